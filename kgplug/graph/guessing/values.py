"""Guess which properties of a feedback type, or of nodes between users and items, are the rating and the time.

A property becomes a candidate because of its name and its sampled values. Then its values are checked on up to a
million relationships of the type. The check uses the Cypher expressions with which training reads the values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kgplug.errors import GraphError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.bolt.far_times import FarTime
from kgplug.graph.guessing.keys import quotable
from kgplug.graph.guessing.profiles import Holder
from kgplug.graph.guessing.words import (
    COUNT_WORDS,
    DISLIKE_WORDS,
    LIKE_WORDS,
    NO_WORDS,
    RATING_WORDS,
    TIME_WORDS,
    YES_WORDS,
    mentions,
)
from kgplug.graph.ownership import not_own
from kgplug.graph.queries import quote
from kgplug.graph.reading.ratings import rating_of
from kgplug.graph.reading.times import find_times, timestamp_of

MOST_JUDGED = 1_000_000  # maximum number of relationships of a type whose values are checked
_SHOWN_TEXT = 40  # maximum length of a shown value, in characters
_LIKE_SHARE = 0.7  # a rating of at least this share of the highest one is a like: 4 of 5, 7 of 10, 70 of 100
_EARLIEST = 1e8  # seconds since 1970; smaller numbers are years or dates such as 20240131
_TIMES_FROM_TEXT = (
    "datetime({value})",
    "datetime(replace(trim({value}), ' ', 'T'))",
    "datetime(replace(replace(trim({value}), '/', '-'), ' ', 'T'))",
)
_RATINGS_FROM_TEXT = (
    "toFloatOrNull(replace({value}, ',', '.'))",
    "toFloatOrNull(split({value}, '/')[0])",
    "toFloatOrNull(split(trim({value}), ' ')[0])",
    "CASE WHEN {value} CONTAINS '★' THEN toFloat(size({value}) - size(replace({value}, '★', ''))) ELSE null END",
    f"CASE WHEN toLower(trim({{value}})) IN {list(YES_WORDS)} THEN true "
    f"WHEN toLower(trim({{value}})) IN {list(NO_WORDS)} THEN false ELSE null END",
)
_ZERO_OR_ONE = ("0", "1", "-1", "0.0", "1.0", "-1.0")


@dataclass(frozen=True)
class Rating:
    """A guessed rating property: its name, the lowest value that counts as a like, and the reason for the guess.

    `name` and `like_threshold` are None if no property fits. If the values must be converted, `value` is the Cypher
    expression over the relationship or node `r` that does so.
    """

    name: str | None
    like_threshold: float | None
    why: str
    value: str | None = None


@dataclass(frozen=True)
class Time:
    """A guessed time property: its name (None if no property fits) and the reason; `value` is as in `Rating`."""

    name: str | None
    why: str
    value: str | None = None


@dataclass(frozen=True)
class Values:
    """What training would read from a property of a feedback type.

    Attributes:
        things: "relationships" or "nodes".
        n: number of relationships or nodes checked.
        missing: how many of them are without the property.
        unusable: how many of them have a value that training would refuse.
        not_finite: how many of the unusable values are numbers that are infinite, NaN or too large.
        example: an unusable value, as text.
        n_different: number of different usable values.
        least, most: lowest and highest usable value; NaN if there is none.
        least_above_zero: lowest usable value above zero; None if there is none.
    """

    things: str
    n: int
    missing: int
    unusable: int
    not_finite: int
    example: str
    n_different: int
    least: float
    least_above_zero: float | None
    most: float

    @property
    def whole(self) -> bool:
        """Whether every relationship has a usable value."""
        return self.missing == self.unusable == 0

    @property
    def wrong_numbers(self) -> bool:
        """Whether some values are unusable numbers, which the user should correct, and all other values are usable."""
        return self.missing == 0 < self.unusable == self.not_finite


def sampled_signs(connection: Connection, holders: list[Holder]) -> dict[str, tuple[str | None, str | None]]:
    """Return pattern of a holder → (name of its rating property, name of its time property), from sampled values.

    A name is None if no property fits. All holders are checked with one query.
    """
    lists = [
        {
            "of": one.pattern,
            "name": name,
            "values": _as_parameter(one.properties[name]),
        }
        for one in holders
        for name in dict.fromkeys([*_rating_names(one), *_time_names(one)])
    ]
    rows = connection.rows(
        "UNWIND $lists AS list RETURN list.of AS of, list.name AS name, "
        f"all(value IN list.values WHERE NOT isNaN({rating_of('value')})) AS rating, "
        f"all(value IN list.values WHERE NOT isNaN({timestamp_of('value')})) AS time",
        lists=lists,
    )
    usable = {(row["of"], row["name"]): row for row in rows}
    return {
        one.pattern: (
            next((name for name in _rating_names(one) if usable[one.pattern, name]["rating"]), None),
            next((name for name in _time_names(one) if usable[one.pattern, name]["time"]), None),
        )
        for one in holders
    }


def guess_rating(connection: Connection, holder: Holder, *, convert: bool = False, rows: int = MOST_JUDGED) -> Rating:
    """Return the guessed rating property of a feedback type, with the lowest rating that counts as a like.

    Args:
        connection: connection to the database.
        holder: the relationships or nodes whose properties may be ratings.
        convert: whether kgplug.toml may convert values from text, as it may for the variables of a pattern.
        rows: maximum number of relationships or nodes whose values are checked.
    """
    notes = []
    for name in _rating_names(holder):
        values = _judge(connection, holder, name, "rating", rows)
        if values.wrong_numbers and values.n_different > 1:
            rating = _rating(name, values, boolean=False)
            wrong = _to_be_corrected(values, "not finite numbers")
            return Rating(name, rating.like_threshold, f"{wrong}. {rating.why}")
        if not values.whole:
            conversion = _conversion(connection, holder, name, _RATINGS_FROM_TEXT) if convert else None
            if conversion is not None and "CASE" not in conversion:
                values = _judge(connection, holder, name, "rating", rows, value=conversion)
                rating = _rating(name, values, boolean=False)
                return Rating(name, rating.like_threshold, f"{rating.why}, read from text", conversion)
            notes.append(_unusable_rating(connection, holder, name, values))
        elif values.n_different == 1 and not (values.most == 0 and _says_whether_liked(holder, name)):
            notes.append(f"{name} is always {values.most:g}, so every relationship is a like")
        else:
            return _rating(name, values, boolean=_boolean(holder.properties[name]))
    if not notes:
        notes = ["no property looks like a rating, so every relationship is a like"]
    elif "always" not in notes[-1]:
        notes.append("without a rating, every relationship is a like")
    return Rating(None, None, "; ".join([*notes, *_other_properties(holder)]))


def guess_timestamp(connection: Connection, holder: Holder, *, convert: bool = False, rows: int = MOST_JUDGED) -> Time:
    """Return the guessed time property of a feedback type; arguments as in `guess_rating`."""
    notes = []
    for name in _time_names(holder):
        values = _judge(connection, holder, name, "timestamp", rows)
        if values.wrong_numbers and values.n_different > 0:
            return Time(name, _to_be_corrected(values, "not times since 1970"))
        if not values.whole:
            conversion = _conversion(connection, holder, name, _TIMES_FROM_TEXT) if convert else None
            if conversion is not None:
                return Time(name, f"a time as text, such as {values.example}", conversion)
            notes.append(_unusable_time(connection, holder, name, values))
        elif _temporal(holder.properties[name]):
            return Time(name, "a temporal value")
        else:
            judged = f"{_judged(connection, holder)} WITH r LIMIT {rows}"
            found = find_times(connection, judged, f"r.{quote(name)}", name=name, unit=None)
            return Time(name, f"CORRECT THESE: {found.problem}" if found.problem else str(found))
    return Time(None, "; ".join(notes) or "no property looks like a time")


def _rating_names(holder: Holder) -> list[str]:
    """Return the possible rating properties: those with a fitting name, then those that mark likes and dislikes."""
    names = sorted(name for name in holder.properties if quotable(name))
    rated = [name for name in names if mentions(name, RATING_WORDS) and not _temporal(holder.properties[name])]
    liked = [name for name in names if _says_whether_liked(holder, name)]
    return [name for name in dict.fromkeys(rated + liked) if not mentions(name, DISLIKE_WORDS)]


def _says_whether_liked(holder: Holder, name: str) -> bool:
    """Return whether a property marks likes and dislikes: by its name, and by values such as true, "yes" or 0."""
    values = holder.properties[name]
    if _boolean(values):
        return mentions(name, LIKE_WORDS | RATING_WORDS)
    words = {*_ZERO_OR_ONE, *YES_WORDS, *NO_WORDS, "true", "false"}
    return mentions(name, LIKE_WORDS) and all(str(value).strip().lower() in words for value in values)


def _time_names(holder: Holder) -> list[str]:
    """Return the properties that may be the time: temporal ones first, then others with a fitting name.

    Others are left out if all their values are small numbers, such as years.
    """
    names = sorted(name for name in holder.properties if quotable(name))
    temporal = [name for name in names if _temporal(holder.properties[name])]
    called = [name for name in names if mentions(name, TIME_WORDS) and not _small(holder.properties[name])]
    return list(dict.fromkeys(sorted(temporal, key=lambda name: not mentions(name, TIME_WORDS)) + called))


def _judge(connection: Connection, holder: Holder, name: str, setting: str, rows: int, *, value: str = "") -> Values:
    """Return what training would read from a property used as `setting`, which is "rating" or "timestamp".

    `value` is the Cypher expression to read, if it is not the property itself.
    """
    value = value or f"r.{quote(name)}"
    number = rating_of(value) if setting == "rating" else timestamp_of(value)
    boolean = "CASE WHEN number IS NOT NULL AND toFloatOrNull(value) IS NULL THEN toBooleanOrNull(value) END"
    (row,) = connection.rows(
        f"MATCH {_judged(connection, holder)} WITH r LIMIT $rows WITH {value} AS value, {number} AS number "
        "WITH value, CASE WHEN isNaN(number) THEN null ELSE number END AS number "
        "RETURN count(*) AS n, count(value) AS present, count(number) AS usable, count(DISTINCT number) AS different, "
        "min(number) AS least, max(number) AS most, min(CASE WHEN number > 0 THEN number END) AS least_above_zero, "
        "count(CASE WHEN number IS NULL AND toFloatOrNull(value) IS NOT NULL THEN 1 END) AS not_finite, "
        f"count({boolean}) AS booleans, head(collect({boolean})[..1]) AS boolean, "
        "head(collect(CASE WHEN value IS NOT NULL AND number IS NULL THEN value END)[..1]) AS example",
        rows=rows,
    )
    mixed = row["booleans"] and (row["least"] < 0 or row["most"] > 1 or row["different"] > 2)
    return Values(
        f"{holder.things}s",
        row["n"],
        row["n"] - row["present"],
        row["present"] - row["usable"] + (row["booleans"] if mixed else 0),
        row["not_finite"],
        repr(row["boolean"] if mixed else _short(row["example"])),
        row["different"],
        math.nan if row["least"] is None else row["least"],
        row["least_above_zero"],
        math.nan if row["most"] is None else row["most"],
    )


def _rating(name: str, values: Values, *, boolean: bool) -> Rating:
    if boolean:
        return Rating(
            name, 1.0, f"{name} is true or false on {values.n:,} {values.things}: true is a like, false a dislike"
        )
    like_threshold = _like_threshold(values)
    span = f"{name} runs from {values.least:g} to {values.most:g} on {values.n:,} {values.things}"
    return Rating(name, like_threshold, f"{span}; from this scale, kgplug guesses that {like_threshold:g} is a like")


def _like_threshold(values: Values) -> float:
    top = values.most
    if top == 0:
        return 1.0
    if values.least < 0:
        return float(top if values.least_above_zero is None else values.least_above_zero)
    if values.n_different == 2:
        return float(top)
    return float(math.ceil(_LIKE_SHARE * top)) if top >= 3 else round(_LIKE_SHARE * top, 3)


def _to_be_corrected(values: Values, what: str) -> str:
    of = f"{values.unusable:,} of {values.n:,}"
    return (
        f"CORRECT THESE: the values of {of} {values.things} are {what} (found {values.example}). "
        "`kgplug check` lists them"
    )


def _unusable_rating(connection: Connection, holder: Holder, name: str, values: Values) -> str:
    if not values.unusable:
        return _missing(holder, name, values, entry="rating")
    text = f"{name} is not a number everywhere (found {values.example})"
    if conversion := _conversion(connection, holder, name, _RATINGS_FROM_TEXT):
        return f"{text}. To use it: {_store(holder, name, conversion)}, then run `kgplug init --force`"
    return f"{text}. To use it, store numbers in it, then run `kgplug init --force`"


def _unusable_time(connection: Connection, holder: Holder, name: str, values: Values) -> str:
    if not values.unusable:
        return _missing(holder, name, values, entry="timestamp")
    text = f"{name} is not everywhere a temporal value or a number since 1970 (found {values.example})"
    if conversion := _conversion(connection, holder, name, _TIMES_FROM_TEXT):
        store = _store(holder, name, conversion)
        return f'{text}. To split by time: {store}, then set timestamp = "{name}"'
    return f'{text}. To split by time, store a datetime in it, then set timestamp = "{name}"'


def _missing(holder: Holder, name: str, values: Values, *, entry: str) -> str:
    return (
        f"{name} is missing on {values.missing:,} of {values.n:,} {values.things}, and all need it. Find them: "
        f"MATCH {holder.pattern} WHERE r.{quote(name)} IS NULL RETURN r; then add it and set "
        f'{entry} = "{name}"' + (" and like_threshold" if entry == "rating" else "")
    )


def _conversion(connection: Connection, holder: Holder, name: str, conversions: Iterable[str]) -> str | None:
    """Return the first Cypher expression of `conversions` that makes all texts of a property usable; None if none does.

    In a conversion, {value} stands for the property, as in "toFloatOrNull({value})".
    """
    if not all(isinstance(value, str) for value in holder.properties[name]):
        return None
    value = f"r.{quote(name)}"
    for conversion in conversions:
        expression = conversion.format(value=value)
        number = rating_of("value") if conversions is _RATINGS_FROM_TEXT else timestamp_of("value")
        query = (
            f"MATCH {holder.pattern} WITH r LIMIT $rows WITH {expression} AS value "
            f"RETURN count(*) AS n, count(CASE WHEN NOT isNaN({number}) THEN 1 END) AS converted"
        )
        try:
            (row,) = connection.rows(query, rows=MOST_JUDGED)
        except GraphError:  # the conversion fails on one of the texts
            continue
        if row["n"] == row["converted"]:
            return expression
    return None


def _store(holder: Holder, name: str, expression: str) -> str:
    return f"MATCH {holder.pattern} SET r.{quote(name)} = {expression}"


def _other_properties(holder: Holder) -> list[str]:
    """Return up to two sentences on properties that could be used as rating: counts, dislikes, other booleans."""
    rest = [name for name in sorted(holder.properties) if quotable(name) and name not in _rating_names(holder)]
    notes = []
    for name in rest:
        values = holder.properties[name]
        if len(values) < holder.n_sampled:
            continue
        if mentions(name, COUNT_WORDS) and _numeric(values):
            notes.append(f'{name} is a count: if 3 or more is a like, set rating = "{name}" and like_threshold = 3')
        elif _boolean(values) and mentions(name, DISLIKE_WORDS):
            store = f"MATCH {holder.pattern} SET r.liked = NOT r.{quote(name)}"
            notes.append(f'{name} means a dislike: {store}, then set rating = "liked" and like_threshold = 1')
        elif _boolean(values):
            notes.append(f'{name} is true or false: if true means a like, set rating = "{name}" and like_threshold = 1')
    return notes[:2]


def _judged(connection: Connection, holder: Holder) -> str:
    """Return the Cypher pattern of a holder, with a WHERE clause that excludes what kgplug wrote, if anything."""
    others = not_own(connection, holder.name)
    return f"{holder.pattern} WHERE {others}" if others else holder.pattern


def _boolean(values: list[Any]) -> bool:
    """Return whether all values are booleans or the texts "true" and "false"."""
    return all(isinstance(value, bool) or str(value).strip().lower() in ("true", "false") for value in values)


def _numeric(values: list[Any]) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def _small(values: list[Any]) -> bool:
    """Return whether all values are numbers, or numbers as text, that are too small to be seconds since 1970."""
    try:
        return all(isinstance(value, bool) or abs(float(value)) < _EARLIEST for value in values)
    except (TypeError, ValueError):
        return False


def _temporal(values: list[Any]) -> bool:
    return all(hasattr(value, "iso_format") and hasattr(value, "year") for value in values)


def _as_parameter(values: list[Any]) -> list[Any]:
    """Return values as the driver can send them: long texts are cut, and dates outside Python's range are left out."""
    return [_short(value) for value in values if not isinstance(value, FarTime)]


def _short(value: Any) -> Any:
    return value[:_SHOWN_TEXT] + "…" if isinstance(value, str) and len(value) > _SHOWN_TEXT else value
