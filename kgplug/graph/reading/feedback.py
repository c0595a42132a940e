"""Read the feedback relationships of a schema with their ratings and timestamps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgplug.data.values.times import Times
from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import Contents, listed, require_label, require_type, sample_properties
from kgplug.graph.counts import count_patterns
from kgplug.graph.ownership import count_own, not_own
from kgplug.graph.queries import feedback_arrow, quote
from kgplug.graph.reading.bulk import BulkReader, Wanted
from kgplug.graph.reading.ratings import is_rating, marked_rating_of, read_ratings
from kgplug.graph.reading.times import (
    FoundTimes,
    find_times,
    is_timestamp,
    kinds_of,
    read_times,
    time_parts_of,
)
from kgplug.graph.schema import GraphSchema

_EXAMPLES = 3
_SHOWN_VALUE = 60  # characters


@dataclass(frozen=True, eq=False)
class Feedback:
    """Feedback relationships as read.

    Attributes:
        users, items: int64 (n,), internal ids of the user node and the item node of each relationship.
        ratings: float32 (n,), NaN where unusable; None if the schema names no rating property.
        times: timestamps of the n relationships; None if the schema names no timestamp property or a value is unusable.
        own: number of relationships of the feedback's type that are left out because kgplug wrote them.
        kinds: how many timestamps are dates or numbers, and in which unit, such as "1,000 numbers of seconds".
        numbers: whether some timestamps are numbers.
        elsewhere: a sentence on relationships of the feedback's type that do not lead from users to items; "" if there
            are none.
        problems: one error for each property with unusable values.
    """

    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray | None
    times: Times | None
    own: int
    kinds: str = ""
    problems: tuple[DataError, ...] = ()
    numbers: bool = False
    elsewhere: str = ""


def feedback_pattern(schema: GraphSchema) -> str:
    """Return the Cypher pattern of a schema's feedback: (a:User)-[r:TYPE]->(b:Item) or (a:User)<-[r:TYPE]-(b:Item)."""
    return f"(a:{quote(schema.user.label)}){feedback_arrow(schema, 'r')}(b:{quote(schema.item.label)})"


def read_feedback(
    connection: Connection,
    schema: GraphSchema,
    contents: Contents,
    bulk: BulkReader,
    *,
    advance: Callable[[int], object] = int,
) -> Feedback:
    """Read all feedback of a schema.

    Args:
        connection: connection to the database.
        schema: schema of the graph.
        contents: contents of the database.
        bulk: reader for the database.
        advance: called with the number of relationships read, for a progress bar.

    Raises:
        DataError: an unknown label, type or property, an unusable rating or timestamp, or no feedback.
    """
    feedback = scan_feedback(connection, schema, contents, bulk, advance=advance)
    if feedback.problems:
        raise feedback.problems[0]
    return feedback


def scan_feedback(
    connection: Connection,
    schema: GraphSchema,
    contents: Contents,
    bulk: BulkReader,
    *,
    advance: Callable[[int], object] = int,
) -> Feedback:
    """Read as `read_feedback` does, but return errors on unusable values in `Feedback.problems` instead of raising one.

    Raises:
        DataError: an unknown label or type, or no feedback.
    """
    require_label(contents, schema.user.label, setting="[user] label")
    require_label(contents, schema.item.label, setting="[item] label")
    require_type(contents, schema.feedback[0].type, setting="[feedback] type")
    rating, timestamp = schema.feedback[0].rating, schema.feedback[0].timestamp
    parts = time_parts_of(f"r.{quote(timestamp)}") if timestamp else ()
    expressions = (*([marked_rating_of(f"r.{quote(rating)}")] if rating else []), *parts)
    wanted, own = _wanted(connection, schema, contents, expressions)
    edges = bulk.edges(wanted, advance)
    if len(edges.heads) == 0:
        raise _no_feedback(connection, schema)
    values = iter(edges.values.T)
    ratings, times, kinds, numbers, problems = None, None, "", False, []
    if rating:
        ratings, mixed = read_ratings(next(values))
        problems += _problems(connection, schema, "rating", rating, ratings, mixed=mixed)
    if timestamp:
        first, second = next(values), next(values)
        wrong = _problems(connection, schema, "timestamp", timestamp, first)
        problems += wrong
        if not wrong:
            try:
                times = read_times(first, second, name=timestamp, unit=schema.feedback[0].time_unit)
                kinds = kinds_of(first, second, unit=schema.feedback[0].time_unit)
                numbers = bool((second < 0).any())
            except DataError as error:
                problems.append(error)
    users, items = edges.heads, edges.tails
    if schema.feedback[0].direction == "item_to_user":
        users, items = items, users
    return Feedback(
        users,
        items,
        None if ratings is None else ratings.astype(np.float32),
        times,
        own,
        kinds,
        tuple(problems),
        numbers,
        _elsewhere(connection, schema, contents.types[schema.feedback[0].type] - own - len(users)),
    )


def like_threshold(connection: Connection, schema: GraphSchema, ratings: np.ndarray | None) -> float | None:
    """Return the lowest rating that counts as a like; None if all feedback counts as a like.

    It is the `like_threshold` of the schema. If the schema has none, it is 1 for boolean ratings. Without ratings, the
    threshold is used only if the number of relationships counts as the rating (`repeated = "count"`).

    Args:
        connection: connection to the database.
        schema: schema of the graph.
        ratings: float32 (n,), as read; None if the schema names no rating property.
    """
    part = schema.feedback[0]
    if ratings is None:
        return part.like_threshold if part.repeated == "count" else None
    if part.like_threshold is None and part.rating and np.isin(ratings, (0, 1)).all():
        return 1.0 if has_booleans(connection, schema) else None
    return part.like_threshold


def unused_settings(schema: GraphSchema, feedback: Feedback) -> tuple[str, ...]:
    """Return sentences on settings under [feedback] that have no effect, and on relationships that are not read."""
    part, unused = schema.feedback[0], [feedback.elsewhere] if feedback.elsewhere else []
    if part.like_threshold is not None and part.rating is None and part.repeated != "count":
        unused.append(
            f"[feedback] like_threshold is {part.like_threshold:g}, but no rating is set, so every relationship is a "
            "like. "
            'Set rating, or repeated = "count" to compare the number of relationships.'
        )
    if part.rating is not None and part.repeated == "count":
        unused.append(
            f"[feedback] rating is {part.rating!r}, but repeated is 'count': the number of relationships is the rating."
        )
    if part.time_unit is not None and part.timestamp is None:
        unused.append(f"[feedback] time_unit is {part.time_unit!r}, but no timestamp is set.")
    elif part.time_unit is not None and feedback.times is not None and not feedback.numbers:
        unused.append(f"[feedback] time_unit is {part.time_unit!r}, but {part.timestamp!r} holds dates, not numbers.")
    return tuple(unused)


def has_booleans(connection: Connection, schema: GraphSchema) -> bool:
    """Return whether the rating property contains booleans."""
    value = f"r.{quote(schema.feedback[0].rating or '')}"
    match = f"MATCH {feedback_pattern(schema)} WHERE toFloatOrNull({value}) IS NULL"
    return bool(connection.rows(f"{match} AND toBooleanOrNull({value}) IS NOT NULL RETURN 1 AS n LIMIT 1"))


def times_of(connection: Connection, schema: GraphSchema) -> FoundTimes | None:
    """Return the unit and range of the feedback's timestamps; None if the schema names no timestamp property."""
    name = schema.feedback[0].timestamp
    if not name:
        return None
    others = not_own(connection, schema.feedback[0].type)
    own = f" WHERE {others}" if others else ""
    match, value = f"{feedback_pattern(schema)}{own}", f"r.{quote(name)}"
    return find_times(connection, match, value, name=name, unit=schema.feedback[0].time_unit)


def _wanted(
    connection: Connection, schema: GraphSchema, contents: Contents, values: tuple[str, ...]
) -> tuple[Wanted, int]:
    """Return what to read, and how many relationships of the feedback's type kgplug wrote.

    `values` are the Cypher expressions to read for each relationship (`Wanted.values`).
    """
    name, total = schema.feedback[0].type, contents.types[schema.feedback[0].type]
    head, tail = quote(schema.user.label), quote(schema.item.label)
    if schema.feedback[0].direction == "item_to_user":
        head, tail = tail, head
    n = count_patterns(
        connection,
        {"head": f"(:{head})-[n:{quote(name)}]->()", "tail": f"()-[n:{quote(name)}]->(:{tail})"},
    )
    conditions = ([f"a:{head}"] if n["head"] < total else []) + ([f"b:{tail}"] if n["tail"] < total else [])
    own = count_own(connection, name)
    if own:
        conditions.append(not_own(connection, name))
    others = {other: count for other, count in contents.types.items() if other != name}
    return Wanted({name: min(n["head"], n["tail"])}, others, " AND ".join(conditions), values), own


def _elsewhere(connection: Connection, schema: GraphSchema, n: int) -> str:
    """Return a sentence on the n relationships of the feedback's type that do not lead from users to items.

    Return "" if n is not positive.
    """
    if n <= 0:
        return ""
    direction = "user_to_item" if schema.feedback[0].direction == "item_to_user" else "item_to_user"
    other = schema.model_copy(update={"feedback": schema.feedback[0].model_copy(update={"direction": direction})})
    turned = 0
    if schema.user.label != schema.item.label:
        # A relationship between two nodes that both have both labels matches in both directions, so it has been read.
        both = f"NOT (b:{quote(schema.user.label)} AND a:{quote(schema.item.label)})"
        pattern = f"{feedback_pattern(other).replace('[r:', '[n:', 1)} WHERE {both}"
        turned = count_patterns(connection, {"turned": pattern})["turned"]
    text = f"{n:,} :{schema.feedback[0].type} are left out because they do not match {feedback_pattern(schema)}"
    if not turned:
        return f"{text}."
    return f"{text}; {turned:,} of them are stored in the other direction. One training reads one direction."


def _no_feedback(connection: Connection, schema: GraphSchema) -> DataError:
    """Return the error for a graph without feedback; it names the labels that the feedback's type connects."""
    rows = connection.rows(
        f"MATCH (a)-[r:{quote(schema.feedback[0].type)}]->(b) WITH a, r, b LIMIT 1000 "
        "RETURN DISTINCT labels(a) AS heads, labels(b) AS tails"
    )
    connected = [f"(:{':'.join(row['heads'])})-->(:{':'.join(row['tails'])})" for row in rows]
    return DataError(
        f"No feedback: MATCH {feedback_pattern(schema)} RETURN count(r) gives 0 in database "
        f'"{connection.database}". :{schema.feedback[0].type} connects {listed(connected, most=4)}.',
        advice=_advice(schema, rows),
    )


def _advice(schema: GraphSchema, rows: list[dict[str, Any]]) -> str:
    """Return advice for a graph in which no feedback was found.

    If the type connects users and items in the other direction, the advice is to change `direction` in the schema.
    Otherwise, it is to change the labels and the type.
    """
    user, item, direction = schema.user.label, schema.item.label, schema.feedback[0].direction
    ends = ("heads", "tails") if direction == "item_to_user" else ("tails", "heads")
    if any(user in row[ends[0]] and item in row[ends[1]] for row in rows):
        other = "item_to_user" if direction == "user_to_item" else "user_to_item"
        return f'It is stored in the other direction: set [feedback] direction = "{other}".'
    return "Set [user] label, [item] label and [feedback] type to a pattern of the graph."


def _problems(
    connection: Connection, schema: GraphSchema, setting: str, name: str, values: np.ndarray, *, mixed: bool = False
) -> list[DataError]:
    """Return a list with one error about a property's unusable values; an empty list if all values are usable.

    The message has the number of unusable values, some examples with their nodes, and a query that finds all of them.
    If no relationship has the property, the message lists the properties that exist.

    Args:
        connection: connection to the database.
        schema: schema of the graph.
        setting: "rating" or "timestamp".
        name: name of the property.
        values: float64 (n,), NaN where a value is unusable.
        mixed: whether the ratings are partly numbers and partly booleans.
    """
    bad = int(np.isnan(values).sum())
    if bad == 0:
        return []
    pattern = feedback_pattern(schema)
    if bad == len(values):
        found = sample_properties(connection, pattern.replace("[r:", "[n:", 1))
        if name not in found:
            return [
                DataError(
                    f"No :{schema.feedback[0].type} relationship has the property {name!r}. Properties found: "
                    f"{listed(sorted(found)) or 'none'}.",
                    advice=f"Set or remove [feedback] {setting}.",
                )
            ]
    value = f"r.{quote(name)}"
    usable = is_rating(value, mixed=mixed) if setting == "rating" else is_timestamp(value)
    others = not_own(connection, schema.feedback[0].type)
    search = f"MATCH {pattern} WHERE {f'{others} AND ' if others else ''}NOT coalesce({usable}, false) RETURN"
    rows = connection.rows(
        f"{search} r.{quote(name)} AS value, a.{quote(schema.user.key)} AS user, b.{quote(schema.item.key)} AS item "
        "LIMIT $n",
        n=_EXAMPLES,
    )
    examples = ", ".join(
        f"{_shown(row['value'])} between :{schema.user.label} {row['user']!r} and :{schema.item.label} {row['item']!r}"
        for row in rows
    )
    expected = "a number since 1970 or a temporal value"
    if setting == "rating":
        expected = "only numbers or only booleans" if mixed else "a number or a boolean"
    have = "has" if bad == 1 else "have"
    return [
        DataError(
            f"{bad:,} of {len(values):,} :{schema.feedback[0].type} relationships {have} no usable {name!r}: expected "
            f"{expected}, found {examples}. Correct them, or remove [feedback] {setting}. Find them: {search} a, r, b"
        )
    ]


def _shown(value: object) -> str:
    """Return a value of a property as text for a message, shortened if it is long."""
    if value is None:
        return "no value"
    if isinstance(value, float) and not np.isfinite(value):
        return "NaN" if np.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    text = repr(value)
    return text if len(text) <= _SHOWN_VALUE else text[: _SHOWN_VALUE - 1] + "…"
