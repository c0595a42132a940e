"""Short queries about one user, one node or a few items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kgplug.data.repeated import as_weights, merge_rows
from kgplug.data.values.times import TimeUnit
from kgplug.errors import DataError, UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.feedback_match import (
    as_part,
    expression_of,
    has_feedback,
    is_feedback,
    is_like,
    match_of,
    paths_of,
    schema_rows,
)
from kgplug.graph.feedback_schema import EXPRESSIONS
from kgplug.graph.find_key import require_item, require_key, require_user
from kgplug.graph.members import is_item, is_outside, item_node, members_of, user_node
from kgplug.graph.ownership import is_own, not_own
from kgplug.graph.queries import name_expression, quote
from kgplug.graph.reading.ratings import rating_of, weight_of
from kgplug.graph.reading.times import read_times, time_parts_of
from kgplug.graph.schema import FeedbackSchema, GraphSchema

_PATHS_BETWEEN = """
MATCH {user_node} WHERE user.{user_key} = $user
WITH user, {liked} AS liked
UNWIND liked AS one WITH one[0] AS liked_item, one[1] AS steps
MATCH {recommended} WHERE recommended.{item_key} = $item
MATCH (liked_item)-[first]-(shared)-[second]-(recommended)
WHERE NOT {feedback_first} AND NOT {feedback_second} AND NOT (shared:{user} AND {has_feedback})
  AND NOT {own_first} AND NOT {own_second} AND NOT {outside}
WITH shared, collect(steps + [first, second]) AS paths, COUNT {{ (shared)--() }} AS degree
WITH paths, log(1 + size(paths)) / (5 + degree) AS weight, {name} AS name
ORDER BY name IS NULL, weight DESC // as in explain.cypher
UNWIND paths AS path
WITH path LIMIT $limit
UNWIND path AS relationship
"""
_AROUND = """
MATCH (centre:{label}) WHERE centre.{key} = $key AND {exists}
MATCH (centre)-[relationship]-(other)
WHERE NOT {feedback} AND NOT (other:{user} AND {has_feedback})
  AND NOT {own} AND NOT {outside}
WITH relationship, other LIMIT 20 * $limit
WITH relationship, {name} AS name
ORDER BY name IS NULL LIMIT $limit
"""
_RELATIONSHIPS = """
WITH DISTINCT relationship, startNode(relationship) AS head, endNode(relationship) AS tail
RETURN elementId(head) AS head, labels(head) AS head_labels, properties(head) AS head_properties,
       type(relationship) AS type,
       elementId(tail) AS tail, labels(tail) AS tail_labels, properties(tail) AS tail_properties
"""


def models_with_list(connection: Connection, schema: GraphSchema, user: int | str) -> set[str]:
    """Return the names of the models that serve a list for a user."""
    rows = connection.rows(
        "MATCH (model:KgplugModel) WITH model.name AS name, model.edition AS edition "
        f"MATCH {user_node(schema, 'user')} WHERE user.{quote(schema.user.key)} = $user "
        f"AND EXISTS {{ (user)-[r:RECOMMENDS {{model: name, edition: edition}}]->{item_node(schema, 'item')} "
        "WHERE EXISTS { (:KgplugRun {id: r.run, model: name}) } } RETURN name AS model",
        user=user,
    )
    return {row["model"] for row in rows}


def feedback_of(
    connection: Connection, schema: GraphSchema, user: int | str
) -> tuple[list[int | str], list[int | str]]:
    """Return two lists of item keys: the items that a user has feedback on, and the items that the user likes."""
    seen, likes = dict[int | str, None](), dict[int | str, None]()
    for kind in schema.feedback:
        keys, is_like = _feedback_of_kind(connection, schema, kind, user)
        seen |= dict.fromkeys(keys)
        likes |= dict.fromkeys(key for key, liked in zip(keys, is_like, strict=True) if liked)
    return list(seen), list(likes)


def _feedback_of_kind(
    connection: Connection, schema: GraphSchema, kind: FeedbackSchema, user: int | str
) -> tuple[list[int | str], list[bool]]:
    """Return the keys of the items that a user has feedback of one kind on, and whether each is a like.

    Several rows for one item are merged as in a training.
    """
    others = not_own(connection, kind.type, "rated") if kind.type else ""
    rating, weight, timestamp = (expression_of(kind, setting) or "null" for setting in EXPRESSIONS)
    seconds, rest = time_parts_of("timestamp")
    rows = schema_rows(
        connection,
        schema,
        f"MATCH (user:{quote(schema.user.label)}) WHERE user.{quote(schema.user.key)} = $user WITH user "
        f"{match_of(schema, kind, also=others)} "
        f"WITH item.{quote(schema.item.key)} AS key, {rating} AS rating, {weight} AS weight, "
        f"{timestamp} AS timestamp "
        "WHERE key IS NOT NULL "
        f"RETURN key, {rating_of('rating')} AS rating, {weight_of('weight')} AS weight, {seconds} AS first, "
        f"{rest} AS second",
        user=user,
    )
    keys = list(dict.fromkeys(row["key"] for row in rows))
    threshold = kind.like_threshold if kind.rating or kind.repeated == "count" else None
    if threshold is None:
        return keys, [True] * len(keys)
    places = {key: place for place, key in enumerate(keys)}
    first, second, ratings, weights = (
        np.array([row[name] for row in rows], dtype=np.float64) for name in ("first", "second", "rating", "weight")
    )
    timestamps, time_unit = _times_of(kind, first, second)
    merged = merge_rows(
        np.array([places[row["key"]] for row in rows], dtype=np.int64),
        ratings.astype(np.float32),
        as_weights(np.nan_to_num(weights, nan=0.0)) if kind.weight else None,
        timestamps,
        repeated=kind.repeated,
        half_life=kind.half_life,
        time_unit=time_unit,
    )
    assert merged.ratings is not None
    return keys, (merged.ratings >= np.float32(threshold)).tolist()


def _times_of(kind: FeedbackSchema, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, TimeUnit]:
    """Return the times of rows, int64 (n,), the earliest that there is where one is missing, and their unit.

    `first` and `second`, float64 (n,), are the values of the expressions from `time_parts_of`.
    """
    known, timestamps = np.isfinite(first), np.full(len(first), np.iinfo(np.int64).min)
    if not known.any():
        return timestamps, "s"
    times = read_times(first[known], second[known], name=kind.timestamp or "", unit=kind.time_unit)
    timestamps[known] = times.values
    return timestamps, times.unit


def own_item(connection: Connection, schema: GraphSchema, user: int | str) -> list[int | str]:
    """Return the item key of a user who is also an item (the node has both labels), as a list; [] for other users."""
    return _keys(connection, schema, user, schema.item.key, also=f" AND {is_item(schema, 'n')}")


def other_keys(connection: Connection, schema: GraphSchema, user: int | str, other: str) -> list[int | str]:
    """Return the values of the property `other` of the users with a key."""
    return _keys(connection, schema, user, other)


def _keys(connection: Connection, schema: GraphSchema, user: int | str, other: str, also: str = "") -> list[int | str]:
    rows = connection.rows(
        f"MATCH {user_node(schema, 'n')} WHERE n.{quote(schema.user.key)} = $user{also} "
        f"RETURN DISTINCT n.{quote(other)} AS key",
        user=user,
    )
    return [row["key"] for row in rows if row["key"] is not None]


def titles_of(connection: Connection, schema: GraphSchema, keys: Sequence[int | str]) -> dict[int | str, str]:
    """Return key → title for those of the items that are still in the graph; an item without a title has its key."""
    rows = connection.rows(
        f"UNWIND $keys AS key MATCH {item_node(schema, 'item')} WHERE item.{quote(schema.item.key)} = key "
        f"RETURN key, coalesce(item.{quote(schema.item.title or schema.item.key)}, key) AS title",
        keys=list(keys),
    )
    return {row["key"]: row["title"] for row in rows}


def relationships_around(
    connection: Connection, schema: GraphSchema, label: str, key: int | str, *, limit: int
) -> list[dict[str, Any]]:
    """Return up to `limit` relationships of a node, those to nodes with a readable name first.

    Left out are feedback, relationships to a user who has feedback, and kgplug's own edges.

    Returns:
        One dict per relationship, with the keys head and tail (element ids of its nodes), head_labels, tail_labels,
        head_properties, tail_properties and type.

    Raises:
        UsageError: the schema has no key for the label, or no node has this key.
        DataError: the node has no such relationship.
    """
    key_property = schema.item.key if label == schema.item.label else schema.knowledge.keys.get(label)
    if key_property is None:
        raise UsageError(f'The schema has no key for the label "{label}". Add it to [knowledge.keys].')
    query = (
        _AROUND.format(
            exists=members_of(schema, label, "centre") or "true",
            outside=is_outside(schema, "other") or "false",
            label=quote(label),
            key=quote(key_property),
            user=quote(schema.user.label),
            feedback=is_feedback(schema, "relationship"),
            has_feedback=has_feedback(schema, "other"),
            own=is_own("relationship"),
            name=name_expression(schema, "other", readable=True),
        )
        + _RELATIONSHIPS
    )
    require_key(connection, label, key_property, key, where=members_of(schema, label, "n"))
    rows = schema_rows(connection, schema, query, key=key, limit=limit)
    if not rows:
        raise DataError(f"No :{label} with {key_property} = {key!r} has relationships to show.")
    return rows


def relationships_between(
    connection: Connection, schema: GraphSchema, user: int | str, item: int | str, *, limit: int
) -> list[dict[str, Any]]:
    """Return all relationships on paths from a user to a liked item, then to a shared node, then to the given item.

    If there are more than `limit` paths, those whose shared nodes come first in explain.cypher are used.

    Returns:
        Dicts as in `relationships_around`.

    Raises:
        UsageError: no user or no item has this key.
        DataError: there is no path.
    """
    query = (
        _PATHS_BETWEEN.format(
            user_node=user_node(schema, "user"),
            recommended=item_node(schema, "recommended"),
            outside=is_outside(schema, "shared") or "false",
            own_first=is_own("first"),
            own_second=is_own("second"),
            name=name_expression(schema, "shared", readable=True),
            user=quote(schema.user.label),
            user_key=quote(schema.user.key),
            item=quote(schema.item.label),
            item_key=quote(schema.item.key),
            liked=" + ".join(_liked_paths(schema, kind) for kind in schema.feedback),
            feedback_first=is_feedback(schema, "first"),
            feedback_second=is_feedback(schema, "second"),
            has_feedback=has_feedback(schema, "shared"),
        )
        + _RELATIONSHIPS
    )
    require_user(connection, schema, user)
    require_item(connection, schema, item)
    rows = schema_rows(connection, schema, query, user=user, item=item, limit=limit)
    if not rows:
        raise DataError(f"There is no path from user {user!r} through a liked item and a shared node to item {item!r}.")
    return rows


def _liked_paths(schema: GraphSchema, kind: FeedbackSchema) -> str:
    """Return the Cypher expression for a list of pairs: an item that `user` likes, and the relationships to it."""
    steps = " + ".join(f"relationships({name})" for name, _ in paths_of(schema, kind))
    match = match_of(schema, kind, also=is_like(kind), named=True)
    return f"COLLECT {{ {as_part(kind, f'{match} RETURN [item, {steps}]')} }}"
