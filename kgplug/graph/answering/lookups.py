"""Short queries about one user, one node or a few items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kgplug.errors import DataError, UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.find_key import require_key
from kgplug.graph.ownership import is_own, not_own
from kgplug.graph.queries import feedback_arrow, name_expression, quote
from kgplug.graph.reading.feedback import feedback_pattern
from kgplug.graph.reading.ratings import rating_of
from kgplug.graph.schema import GraphSchema

_PATHS_BETWEEN = """
MATCH (user:{user}) WHERE user.{user_key} = $user
MATCH (recommended:{item}) WHERE recommended.{item_key} = $item
MATCH path = (user){feedback}(:{item})-[first]-(shared)-[second]-(recommended)
WHERE NOT first:{type} AND NOT second:{type} AND NOT (shared:{user} AND EXISTS {{ (shared){feedback}(:{item}) }})
  AND NOT {own_first} AND NOT {own_second}
  {liked}
WITH shared, collect(path) AS paths, COUNT {{ (shared)--() }} AS degree
WITH paths, log(1 + size(paths)) / (5 + degree) AS weight, {name} AS name
ORDER BY name IS NULL, weight DESC // as in explain.cypher
UNWIND paths AS path
WITH path LIMIT $limit
UNWIND relationships(path) AS relationship
"""
_AROUND = """
MATCH (centre:{label}) WHERE centre.{key} = $key
MATCH (centre)-[relationship]-(other)
WHERE NOT relationship:{type} AND NOT (other:{user} AND EXISTS {{ (other){feedback}(:{item}) }})
  AND NOT {own}
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
        f"MATCH (user:{quote(schema.user.label)}) WHERE user.{quote(schema.user.key)} = $user "
        f"AND EXISTS {{ (user)-[r:RECOMMENDS {{model: name, edition: edition}}]->(:{quote(schema.item.label)}) "
        "WHERE EXISTS { (:KgplugRun {id: r.run, model: name}) } } RETURN name AS model",
        user=user,
    )
    return {row["model"] for row in rows}


def feedback_of(
    connection: Connection, schema: GraphSchema, user: int | str
) -> tuple[list[int | str], list[int | str]]:
    """Return two lists of item keys: the items that a user has feedback on, and the items that the user likes."""
    rating = schema.feedback.rating
    liked = (
        f"{rating_of(f'r.{quote(rating)}')} >= $like_threshold"
        if rating is not None and schema.feedback.like_threshold is not None
        else "true"
    )
    others = not_own(connection, schema.feedback.type) or "true"
    rows = connection.rows(
        f"MATCH {feedback_pattern(schema)} WHERE a.{quote(schema.user.key)} = $user AND {others} "
        f"RETURN b.{quote(schema.item.key)} AS key, coalesce({liked}, false) AS liked",
        user=user,
        like_threshold=schema.feedback.like_threshold,
    )
    keys = {row["key"]: row["liked"] for row in rows if row["key"] is not None}
    return list(keys), [key for key, liked in keys.items() if liked]


def own_item(connection: Connection, schema: GraphSchema, user: int | str) -> list[int | str]:
    """Return the item key of a user who is also an item (the node has both labels), as a list; [] for other users."""
    label = f"{quote(schema.user.label)}:{quote(schema.item.label)}"
    return _keys(connection, label, schema.user.key, user, schema.item.key)


def other_keys(connection: Connection, label: str, key: str, value: int | str, other: str) -> list[int | str]:
    """Return the values of the property `other` on those nodes of a label whose property `key` is `value`."""
    return _keys(connection, quote(label), key, value, other)


def _keys(connection: Connection, labels: str, key: str, value: int | str, other: str) -> list[int | str]:
    query = f"MATCH (n:{labels}) WHERE n.{quote(key)} = $value RETURN DISTINCT n.{quote(other)} AS key"
    return [row["key"] for row in connection.rows(query, value=value) if row["key"] is not None]


def titles_of(connection: Connection, schema: GraphSchema, keys: Sequence[int | str]) -> dict[int | str, str]:
    """Return key → title for those of the items that are still in the graph; an item without a title has its key."""
    rows = connection.rows(
        f"UNWIND $keys AS key MATCH (item:{quote(schema.item.label)}) WHERE item.{quote(schema.item.key)} = key "
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
            label=quote(label),
            key=quote(key_property),
            user=quote(schema.user.label),
            item=quote(schema.item.label),
            type=quote(schema.feedback.type),
            feedback=feedback_arrow(schema),
            own=is_own("relationship"),
            name=name_expression(schema, "other", readable=True),
        )
        + _RELATIONSHIPS
    )
    require_key(connection, label, key_property, key)
    rows = connection.rows(query, key=key, limit=limit)
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
    feedback = schema.feedback
    query = (
        _PATHS_BETWEEN.format(
            own_first=is_own("first"),
            own_second=is_own("second"),
            name=name_expression(schema, "shared", readable=True),
            user=quote(schema.user.label),
            user_key=quote(schema.user.key),
            item=quote(schema.item.label),
            item_key=quote(schema.item.key),
            type=quote(feedback.type),
            feedback=feedback_arrow(schema),
            liked=f"AND {rating_of(f'relationships(path)[0].{quote(feedback.rating)}')} >= $like_threshold"
            if feedback.rating and feedback.like_threshold is not None
            else "",
        )
        + _RELATIONSHIPS
    )
    require_key(connection, schema.user.label, schema.user.key, user)
    require_key(connection, schema.item.label, schema.item.key, item)
    rows = connection.rows(query, user=user, item=item, limit=limit, like_threshold=feedback.like_threshold)
    if not rows:
        raise DataError(f"There is no path of three steps from user {user!r} to item {item!r}.")
    return rows
