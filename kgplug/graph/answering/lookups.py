"""Short queries about one user, one node or a few items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kgplug.errors import DataError, UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.find_key import require_item, require_key, require_user
from kgplug.graph.members import is_item, is_outside, item_node, members_of, user_node
from kgplug.graph.ownership import is_own, not_own
from kgplug.graph.queries import feedback_arrow, quote
from kgplug.graph.reading.feedback import feedback_pattern
from kgplug.graph.reading.ratings import rating_of
from kgplug.graph.schema import GraphSchema

_PATHS_BETWEEN = """
MATCH {user_node} WHERE user.{user_key} = $user
MATCH {recommended} WHERE recommended.{item_key} = $item
MATCH path = (user){feedback}{liked_item}-[first]-(shared)-[second]-(recommended)
WHERE NOT first:{type} AND NOT second:{type} AND NOT (shared:{user} AND EXISTS {{ (shared){feedback}(:{item}) }})
  AND NOT {own_first} AND NOT {own_second} AND NOT {outside}
  {liked}
WITH path ORDER BY COUNT {{ (shared)--() }} LIMIT $limit
UNWIND relationships(path) AS relationship
"""
_AROUND = """
MATCH (centre:{label}) WHERE centre.{key} = $key AND {exists}
MATCH (centre)-[relationship]-(other)
WHERE NOT relationship:{type} AND NOT (other:{user} AND EXISTS {{ (other){feedback}(:{item}) }})
  AND NOT {own} AND NOT {outside}
WITH relationship LIMIT $limit
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
    rating = schema.feedback[0].rating
    liked = (
        f"{rating_of(f'r.{quote(rating)}')} >= $like_threshold"
        if rating is not None and schema.feedback[0].like_threshold is not None
        else "true"
    )
    others = not_own(connection, schema.feedback[0].type) or "true"
    rows = connection.rows(
        f"MATCH {feedback_pattern(schema)} WHERE a.{quote(schema.user.key)} = $user AND {others} "
        f"RETURN b.{quote(schema.item.key)} AS key, coalesce({liked}, false) AS liked",
        user=user,
        like_threshold=schema.feedback[0].like_threshold,
    )
    keys = {row["key"]: row["liked"] for row in rows if row["key"] is not None}
    return list(keys), [key for key, liked in keys.items() if liked]


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
    """Return up to `limit` relationships of a node.

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
            item=quote(schema.item.label),
            type=quote(schema.feedback[0].type),
            feedback=feedback_arrow(schema),
            own=is_own("relationship"),
        )
        + _RELATIONSHIPS
    )
    require_key(connection, label, key_property, key, where=members_of(schema, label, "n"))
    rows = connection.rows(query, key=key, limit=limit)
    if not rows:
        raise DataError(f"No :{label} with {key_property} = {key!r} has relationships to show.")
    return rows


def relationships_between(
    connection: Connection, schema: GraphSchema, user: int | str, item: int | str, *, limit: int
) -> list[dict[str, Any]]:
    """Return all relationships on paths from a user to a liked item, then to a shared node, then to the given item.

    If there are more than `limit` paths, those whose shared nodes have the fewest relationships are used.

    Returns:
        Dicts as in `relationships_around`.

    Raises:
        UsageError: no user or no item has this key.
        DataError: there is no path.
    """
    feedback = schema.feedback[0]
    query = (
        _PATHS_BETWEEN.format(
            user_node=user_node(schema, "user"),
            recommended=item_node(schema, "recommended"),
            liked_item=item_node(schema, "liked"),
            outside=is_outside(schema, "shared") or "false",
            own_first=is_own("first"),
            own_second=is_own("second"),
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
    require_user(connection, schema, user)
    require_item(connection, schema, item)
    rows = connection.rows(query, user=user, item=item, limit=limit, like_threshold=feedback.like_threshold)
    if not rows:
        raise DataError(f"There is no path of three steps from user {user!r} to item {item!r}.")
    return rows
