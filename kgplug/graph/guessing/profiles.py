"""Sample every relationship type: its end labels, its properties, and how often a node has several relationships."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from kgplug.graph.bolt.connection import Connection
from kgplug.graph.bolt.far_times import readable
from kgplug.graph.contents import Contents
from kgplug.graph.guessing.words import FEEDBACK_WORDS, mentions
from kgplug.graph.ownership import not_own
from kgplug.graph.queries import quote

_SAMPLE = 1000
_SAMPLED_NODES = 300
_MOST_SAMPLED = 30  # number of most frequent types that are sampled, with one query each
_MOST_CALLED_SO = 10  # maximum number of further types that are sampled because their names suggest feedback
_LEAST_OF_PART = 0.1  # minimum share of the sampled relationships that a pair of labels must connect, to be a part
_SHARE = 0.95  # minimum share of the sampled start nodes, or end nodes, that must have the label returned for them


@dataclass(frozen=True)
class Holder:
    """Relationships of a type, or nodes of a label, whose properties may be ratings, times or counts.

    Attributes:
        name: the type or label.
        pattern: Cypher pattern in which they have the variable `r`, such as "(:`User`)-[r:`RATED`]->(:`Movie`)".
        things: "relationship" or "node".
        n_sampled: number of sampled relationships or nodes.
        properties: property → sampled values.
    """

    name: str
    pattern: str
    things: str
    n_sampled: int
    properties: dict[str, list[Any]]


@dataclass(frozen=True)
class TypeProfile:
    """What is known of a relationship type, mostly from a sample of its relationships.

    Attributes:
        name: the type.
        n: number of relationships.
        heads, tails: label of nearly all start nodes, and label of nearly all end nodes; None if there is none.
        head_labels, tail_labels: each different set of labels that a sampled start node or end node has.
        shared_heads: share of the sampled relationships whose start node has other outgoing relationships of the type.
        shared_tails: share of the sampled relationships whose end node has other incoming relationships of the type.
        n_sampled: number of sampled relationships.
        properties: property → sampled values.
        parts: the type between each frequent pair of labels, if `heads` or `tails` is None; otherwise [].
    """

    name: str
    n: int
    heads: str | None
    tails: str | None
    head_labels: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    tail_labels: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    shared_heads: float = 0.0
    shared_tails: float = 0.0
    n_sampled: int = 0
    properties: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    parts: list[TypeProfile] = field(default_factory=list["TypeProfile"])

    @property
    def holder(self) -> Holder:
        """The relationships as what holds properties."""
        heads, tails = (f":{quote(label)}" if label else "" for label in (self.heads, self.tails))
        pattern = f"({heads})-[r:{quote(self.name)}]->({tails})"
        return Holder(self.name, pattern, "relationship", self.n_sampled, self.properties)

    def __str__(self) -> str:
        return f"(:{self.heads or '…'})-[:{self.name}]->(:{self.tails or '…'})"


def profile_types(connection: Connection, contents: Contents) -> list[TypeProfile]:
    """Return a profile of each relationship type between labelled nodes. Samples leave out what kgplug wrote.

    If there are many types, only the most frequent ones and some whose names suggest feedback are sampled. The
    profiles of the other types have only the number of relationships and the labels of their start and end nodes.
    """
    names = list(contents.types)
    sampled = names[:_MOST_SAMPLED]
    called_so = [name for name in names[_MOST_SAMPLED:] if mentions(name, FEEDBACK_WORDS)]
    sampled += called_so[:_MOST_CALLED_SO]
    profiles = [_profile(connection, contents, name, contents.types[name]) for name in sampled]
    found = [profile for profile in profiles if profile is not None]
    others = [name for name in names if name not in {*sampled}]
    return found + (_by_labels(connection, contents, others) if others else [])


def sample_nodes(connection: Connection, labels: Collection[str]) -> dict[str, Holder]:
    """Return label → its nodes as what holds properties, from a sample of each label, with one query."""
    if not labels:
        return {}
    parts = " UNION ALL ".join(
        f"MATCH (n:{quote(label)}) WITH n LIMIT {_SAMPLED_NODES} RETURN {number} AS i, n"
        for number, label in enumerate(labels)
    )
    rows = connection.rows(
        f"CALL () {{ {parts} }} RETURN i, [name IN keys(n) WHERE NOT name STARTS WITH 'kgplug_' | [name, n[name]]] "
        "AS properties"
    )
    found = {label: Holder(label, f"(r:{quote(label)})", "node", 0, {}) for label in labels}
    names = list(labels)
    for row in readable(rows):
        holder = found[names[row["i"]]]
        found[holder.name] = replace(holder, n_sampled=holder.n_sampled + 1)
        for name, value in row["properties"]:
            holder.properties.setdefault(name, []).append(value)
    return found


def _by_labels(connection: Connection, contents: Contents, names: list[str]) -> list[TypeProfile]:
    """Return the profiles of types that are not sampled, from the count store or from one scan of all relationships."""
    heads: dict[str, Counter[tuple[str, ...]]] = {name: Counter() for name in names}
    tails: dict[str, Counter[tuple[str, ...]]] = {name: Counter() for name in names}
    if contents.ends is not None:
        for (name, label), (n_heads, n_tails) in contents.ends.items():
            if name in heads and label in contents.labels:
                heads[name].update({(label,): n_heads} if n_heads else {})
                tails[name].update({(label,): n_tails} if n_tails else {})
    else:
        rows = connection.rows(
            "MATCH (a)-[r]->(b) WHERE type(r) IN $names "
            "RETURN type(r) AS name, labels(a) AS heads, labels(b) AS tails, count(*) AS n",
            names=names,
        )
        for row in rows:
            heads[row["name"]].update({tuple(sorted(row["heads"])): row["n"]})
            tails[row["name"]].update({tuple(sorted(row["tails"])): row["n"]})
    return [
        TypeProfile(
            name,
            contents.types[name],
            _most_common(contents, heads[name], contents.types[name]),
            _most_common(contents, tails[name], contents.types[name]),
            sorted(heads[name]),
            sorted(tails[name]),
        )
        for name in names
        if heads[name] and tails[name]
    ]


def _profile(connection: Connection, contents: Contents, name: str, n: int) -> TypeProfile | None:
    others = not_own(connection, name)
    where = f"WHERE {others} " if others else ""
    kind = quote(name)
    rows = connection.rows(
        f"MATCH (a)-[r:{kind}]->(b) {where}WITH a, r, b LIMIT $rows RETURN labels(a) AS heads, labels(b) AS tails, "
        f"properties(r) AS properties, COUNT {{ (a)-[:{kind}]->() }} > 1 AS shared_head, "
        f"COUNT {{ ()-[:{kind}]->(b) }} > 1 AS shared_tail",
        rows=_SAMPLE,
    )
    known = set(contents.labels)
    rows = [row for row in rows if known & set(row["heads"]) and known & set(row["tails"])]
    if not rows:
        return None
    whole = _of_rows(contents, name, n, rows)
    if whole.heads and whole.tails:
        return whole
    return replace(whole, parts=_parts(contents, name, n, rows))


def _parts(contents: Contents, name: str, n: int, rows: list[dict[str, Any]]) -> list[TypeProfile]:
    """Return a profile for each frequent pair of labels that a type connects. Numbers are estimated from the sample."""
    groups: dict[tuple[str | None, str | None], list[dict[str, Any]]] = {}
    for row in rows:
        ends = _common_label(contents, [row["heads"]]), _common_label(contents, [row["tails"]])
        groups.setdefault(ends, []).append(row)
    return [
        _of_rows(contents, name, round(n * len(part) / len(rows)), part)
        for part in groups.values()
        if len(part) >= _LEAST_OF_PART * len(rows)
    ]


def _of_rows(contents: Contents, name: str, n: int, rows: list[dict[str, Any]]) -> TypeProfile:
    """Return the profile of a type with `n` relationships, from sampled ones."""
    properties: dict[str, list[Any]] = {}
    for row in rows:
        for key, value in readable(row["properties"]).items():
            properties.setdefault(key, []).append(value)
    return TypeProfile(
        name,
        n,
        _common_label(contents, [row["heads"] for row in rows]),
        _common_label(contents, [row["tails"] for row in rows]),
        sorted({tuple(sorted(row["heads"])) for row in rows}),
        sorted({tuple(sorted(row["tails"])) for row in rows}),
        sum(row["shared_head"] for row in rows) / len(rows),
        sum(row["shared_tail"] for row in rows) / len(rows),
        len(rows),
        properties,
    )


def _common_label(contents: Contents, ends: list[list[str]]) -> str | None:
    """Return the label with the fewest nodes among those that nearly all of the given nodes have; None if none fits.

    Between labels with equally many nodes, one with a unique key is preferred. `ends` has the labels of each node.
    """
    return _most_common(contents, Counter(tuple(sorted(labels)) for labels in ends), len(ends))


def _most_common(contents: Contents, ends: Counter[tuple[str, ...]], n_ends: int) -> str | None:
    counts = Counter[str]()
    for labels, n in ends.items():
        counts.update({label: n for label in labels if label in contents.labels})
    common = [label for label, n in counts.items() if n >= _SHARE * n_ends]
    return min(common, key=lambda label: (contents.labels[label], label not in contents.unique, label), default=None)
