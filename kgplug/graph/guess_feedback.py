"""Find the relationships by which users act on items: what their type is called, what they carry, whom they join."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from kgplug.graph.catalog import OWN_RELATIONSHIPS
from kgplug.graph.connection import Connection
from kgplug.graph.contents import Contents, count_all
from kgplug.graph.cypher import quote
from kgplug.graph.guess_keys import quotable
from kgplug.graph.guess_words import COUNT_WORDS, FEEDBACK_WORDS, RATING_WORDS, TIME_WORDS, USER_WORDS, mentions

_SAMPLE = 1000
_SHARE = 0.95  # of the sampled ends that must have a label for it to be the end's label
_LEAST_SHARED = 0.05  # of sampled items with several users, below which a type is no feedback
_ENOUGH_SIGNS = 3  # points: a name of users or of feedback gives 3, a rating 1, a time 2
_LIKE_SHARE = 0.7  # of the top of a rating scale: 4 of 5, 7 of 10, 70 of 100


@dataclass(frozen=True)
class TypeProfile:
    """What a sample tells of a relationship type.

    Attributes:
        name: of the type.
        n: number of relationships.
        heads, tails: the label of each end, None where the sampled ends share none.
        head_labels, tail_labels: the label sets that were met.
        shared_tails: share of the sampled ends that several relationships of the type reach.
        properties: property → sampled values.
    """

    name: str
    n: int
    heads: str | None
    tails: str | None
    head_labels: list[tuple[str, ...]] = field(default_factory=list)
    tail_labels: list[tuple[str, ...]] = field(default_factory=list)
    shared_tails: float = 0.0
    properties: dict[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Rating:
    """A guessed rating property: its name, the least value of a like, and why."""

    name: str | None
    like: float | None
    why: str


def profile_types(connection: Connection, contents: Contents) -> list[TypeProfile]:
    """Look at a sample of every relationship type that is not kgplug's own."""
    profiles = (_profile(connection, contents, name, n) for name, n in contents.types.items())
    return [profile for profile in profiles if profile is not None]


def find_feedback(connection: Connection, profiles: list[TypeProfile]) -> tuple[TypeProfile | None, list[str]]:
    """Return the type that is most likely feedback, or None, and the reasons for it."""
    incoming = _incoming(connection, {one.heads for one in profiles if one.heads})
    largest = max((one.n for one in profiles), default=0)
    judged = []
    for one in profiles:
        if one.heads and one.tails and one.heads != one.tails and one.shared_tails >= _LEAST_SHARED:
            points, reasons = _judge(one)
            if points < _ENOUGH_SIGNS:
                continue
            if not incoming[one.heads]:
                points, reasons = points + 1, [*reasons, f"no relationship ends at a :{one.heads}"]
            if one.n == largest:
                points, reasons = points + 1, [*reasons, "it is the most frequent type"]
            judged.append((points, one.n, one.name, one, reasons))
    if not judged:
        return None, []
    best = max(judged, key=lambda entry: entry[:3])
    return best[3], best[4]


def guess_rating(profile: TypeProfile) -> Rating:
    """Return the rating property of a feedback type, and from which value on it is a like."""
    numeric = {name: values for name, values in profile.properties.items() if _numeric(values) and quotable(name)}
    named = sorted(name for name in numeric if mentions(name, RATING_WORDS))
    counts = sorted(name for name in numeric if mentions(name, COUNT_WORDS) and name not in named)
    if not named:
        why = "no numeric property looks like a rating: every relationship is a like"
        if counts:
            why += f'. {counts[0]} counts something: for a like from 3 on, set rating = "{counts[0]}" and like = 3'
        return Rating(None, None, why)
    name = named[0]
    values = sorted(set(numeric[name]))
    span = f"{values[0]:g} to {values[-1]:g} in {len(numeric[name]):,} sampled"
    if len(values) == 1:
        return Rating(None, None, f"{name} is always {values[0]:g}: every relationship is a like")
    like = _like(values)
    return Rating(name, like, f"{name} runs from {span}; a like from {like:g} on is a guess by that scale")


def guess_timestamp(profile: TypeProfile) -> tuple[str | None, str]:
    """Return the timestamp property of a feedback type, and why."""
    temporal = sorted(name for name, values in profile.properties.items() if quotable(name) and _temporal(values))
    if temporal:
        return temporal[0], "a temporal value"
    named = [name for name in sorted(profile.properties) if mentions(name, TIME_WORDS) and quotable(name)]
    for name in named:
        values = profile.properties[name]
        if _numeric(values) and min(values) > 1e7:
            return name, "numbers of the size of seconds or milliseconds since 1970"
    texts = [name for name in named if all(isinstance(value, str) for value in profile.properties[name])]
    if texts:
        return None, f"{texts[0]} is text; store a datetime to split by time: SET r.{texts[0]} = datetime(r.{texts[0]})"
    return None, "no property looks like a time"


def near_misses(profiles: list[TypeProfile]) -> list[str]:
    """Return sentences on what looks like feedback but is not of the form that kgplug reads."""
    sentences = []
    for one in profiles:
        if one.heads is None or one.tails is None:
            continue
        if mentions(one.tails, USER_WORDS) and not mentions(one.heads, USER_WORDS):
            sentences.append(
                f":{one.name} leads from :{one.heads} to :{one.tails}; kgplug reads feedback from users to items. "
                "Add relationships the other way round."
            )
        elif mentions(one.heads, USER_WORDS) and one.shared_tails < _LEAST_SHARED:
            onward = max((other for other in profiles if other.heads == one.tails), key=lambda p: p.n, default=None)
            if onward is not None and onward.tails:
                sentences.append(
                    f"each :{one.tails} has one :{one.heads} only. Join users and items directly: "
                    f"MATCH (u:{quote(one.heads)})-[:{quote(one.name)}]->()-[:{quote(onward.name)}]->"
                    f"(i:{quote(onward.tails)}) MERGE (u)-[:CHOSE]->(i)"
                )
    return sentences


def _profile(connection: Connection, contents: Contents, name: str, n: int) -> TypeProfile | None:
    where = "WHERE r.run IS NULL " if name in OWN_RELATIONSHIPS else ""
    kind = quote(name)
    rows = connection.rows(
        f"MATCH (a)-[r:{kind}]->(b) {where}WITH a, r, b LIMIT $rows RETURN labels(a) AS heads, labels(b) AS tails, "
        f"properties(r) AS properties, COUNT {{ ()-[:{kind}]->(b) }} > 1 AS shared",
        rows=_SAMPLE,
    )
    known = set(contents.labels)
    rows = [row for row in rows if known & set(row["heads"]) and known & set(row["tails"])]
    if not rows:
        return None
    properties: dict[str, list[Any]] = {}
    for row in rows:
        for key, value in row["properties"].items():
            properties.setdefault(key, []).append(value)
    return TypeProfile(
        name,
        n,
        _common_label(contents, [row["heads"] for row in rows]),
        _common_label(contents, [row["tails"] for row in rows]),
        sorted({tuple(sorted(row["heads"])) for row in rows}),
        sorted({tuple(sorted(row["tails"])) for row in rows}),
        sum(row["shared"] for row in rows) / len(rows),
        properties,
    )


def _common_label(contents: Contents, ends: list[list[str]]) -> str | None:
    """Return the rarest label among those that nearly all ends have; of equally rare ones one with a unique key."""
    counts = Counter(label for labels in ends for label in labels if label in contents.labels)
    common = [label for label, n in counts.items() if n >= _SHARE * len(ends)]
    return min(common, key=lambda label: (contents.labels[label], label not in contents.unique, label), default=None)


def _incoming(connection: Connection, labels: set[str]) -> dict[str, int]:
    return count_all(connection, {label: f"()-[n]->(:{quote(label)})" for label in sorted(labels)})


def _judge(one: TypeProfile) -> tuple[int, list[str]]:
    """Return the points that names and properties give a type, with the reasons."""
    points, reasons = 0, []
    if one.heads and mentions(one.heads, USER_WORDS):
        points, reasons = points + 3, [*reasons, f":{one.heads} is a name for users"]
    if mentions(one.name, FEEDBACK_WORDS):
        points, reasons = points + 3, [*reasons, f"{one.name} is a name for feedback"]
    rating = guess_rating(one).name
    if rating:
        points, reasons = points + 1, [*reasons, f"{rating} looks like a rating"]
    if guess_timestamp(one)[0]:
        points, reasons = points + 2, [*reasons, f"{guess_timestamp(one)[0]} looks like a time"]
    return points, reasons


def _like(values: list[float]) -> float:
    top = values[-1]
    if values[0] < 0:
        return float(next((value for value in values if value > 0), top))
    if len(values) == 2:
        return float(top)
    return float(math.ceil(_LIKE_SHARE * top)) if top >= 3 else round(_LIKE_SHARE * top, 3)


def _numeric(values: list[Any]) -> bool:
    return all(
        isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) for value in values
    )


def _temporal(values: list[Any]) -> bool:
    return all(hasattr(value, "iso_format") and hasattr(value, "year") for value in values)
