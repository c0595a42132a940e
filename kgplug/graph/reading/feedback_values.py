"""Explain ratings, weights and timestamps that cannot be used: how many, some examples, and how to find all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import listed, sample_properties
from kgplug.graph.feedback_match import expression_of, match_of
from kgplug.graph.ownership import not_own
from kgplug.graph.queries import quote
from kgplug.graph.reading.feedback_edges import feedback_pattern
from kgplug.graph.reading.ratings import is_rating, is_weight
from kgplug.graph.reading.times import is_timestamp
from kgplug.graph.schema import FeedbackSchema, GraphSchema
from kgplug.graph.user_cypher import user_rows
from kgplug.plain_text import counted

_EXAMPLES = 3
_SHOWN_VALUE = 60  # characters
_EXPECTED = {
    "rating": "a number or a boolean",
    "weight": "a number above 0",
    "timestamp": "a number since 1970 or a temporal value",
}


@dataclass(frozen=True, eq=False)
class Values:
    """What was read for a setting.

    Attributes:
        setting: "rating", "weight" or "timestamp".
        values: number (n,), NaN where a value is unusable.
        mixed: whether ratings are partly numbers and partly booleans.
    """

    setting: str
    values: np.ndarray
    mixed: bool = False


def unusable_values(
    connection: Connection, schema: GraphSchema, kind: FeedbackSchema, found: Values
) -> DataError | None:
    """Return an error on unusable values; None if all are usable.

    The message has the number of unusable values, some examples with their nodes, and a query that finds all of them.
    If no relationship has the property, the message lists the properties that exist.
    """
    bad, setting = int(np.isnan(found.values).sum()), found.setting
    if bad == 0:
        return None
    if bad == len(found.values) and kind.is_plain and (error := _no_property(connection, schema, kind, setting)):
        return error
    usable = {"rating": is_rating("value", mixed=found.mixed), "weight": is_weight("value")}.get(
        setting, is_timestamp("value")
    )
    others = not_own(connection, kind.type, "rated") if kind.type else ""
    search = (
        f"{match_of(schema, kind, also=others)} WITH user, item, {expression_of(kind, setting)} AS value "
        f"WHERE NOT coalesce({usable}, false) RETURN"
    )
    user, item = schema.user, schema.item
    rows = user_rows(
        connection,
        schema.table_of(kind),
        f"{search} value, user.{quote(user.key)} AS user, item.{quote(item.key)} AS item LIMIT $n",
        n=_EXAMPLES,
    )
    examples = ", ".join(
        f"{_shown(row['value'])} between :{user.label} {row['user']!r} and :{item.label} {row['item']!r}"
        for row in rows
    )
    expected = "only numbers or only booleans" if found.mixed else _EXPECTED[setting]
    table, what, have = schema.table_of(kind), getattr(kind, setting), "has" if bad == 1 else "have"
    of = f"{len(found.values):,} :{kind.type} relationships" if kind.type else _rows_of(kind, len(found.values))
    return DataError(
        f"{bad:,} of {of} {have} no usable {what!r}: expected {expected}, found {examples}. Correct them, or remove "
        f"{table} {setting}. Find them: {search} user, item, value"
    )


def _rows_of(kind: FeedbackSchema, n: int) -> str:
    return f"{counted(n, 'match', plural='matches')} of {kind.pattern}"


def _no_property(connection: Connection, schema: GraphSchema, kind: FeedbackSchema, setting: str) -> DataError | None:
    """Return the error for a property that no relationship has; None if one has it."""
    name = getattr(kind, setting)
    found = sample_properties(connection, feedback_pattern(schema, kind).replace("[r:", "[n:", 1))
    if name in found:
        return None
    return DataError(
        f"No :{kind.type} relationship has the property {name!r}. Properties found: {listed(sorted(found)) or 'none'}.",
        advice=f"Set or remove {schema.table_of(kind)} {setting}.",
    )


def _shown(value: object) -> str:
    """Return a value of a property as text for a message, shortened if it is long."""
    if value is None:
        return "no value"
    if isinstance(value, float) and not np.isfinite(value):
        return "NaN" if np.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    text = repr(value)
    return text if len(text) <= _SHOWN_VALUE else text[: _SHOWN_VALUE - 1] + "…"
