"""Reasons that are values of properties: a value that an item shares with items that the user likes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kgplug.graph.answering.lookups import feedback_of
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.knowledge_schema import splits_of
from kgplug.graph.members import item_node
from kgplug.graph.queries import quote
from kgplug.graph.schema import GraphSchema

if TYPE_CHECKING:
    import pandas as pd

_RULES = ("values", "decades")  # bands depend on the values of all nodes, so a query about one item cannot know them
_YEAR = (
    "CASE WHEN value IS :: STRING THEN toIntegerOrNull(left(trim(value), 4)) "
    "WHEN value IS :: INTEGER OR value IS :: FLOAT THEN toInteger(value) ELSE value.year END"
)
_VALUES = f"""COLLECT {{ UNWIND node[property.name] AS value
  RETURN DISTINCT CASE property.rule WHEN 'decades' THEN toString(toInteger(floor(({_YEAR}) / 10.0)) * 10) + 's'
    ELSE value END }}"""


def shared_values(
    connection: Connection, schema: GraphSchema, user: int | str, item: int | str, *, k: int
) -> pd.DataFrame:
    """Return the values of [knowledge.properties] that an item shares with items that a user likes.

    Values that few items have come first. Bands are left out.

    Args:
        connection: connection to the database.
        schema: schema of the graph.
        user, item: keys of the user and the item.
        k: maximum number of values.

    Returns:
        One row per value, with the columns of the query `explain`: liked, via, shared_label, shared, to, weight. The
        name of the property, such as "Movie.genres", is in via, shared_label and to. The weight is 1 / number of items
        with the value.
    """
    properties = _properties(connection, schema)
    likes = feedback_of(connection, schema, user)[1] if properties else []
    return connection.frame(_query(schema), item=item, likes=likes, properties=properties, k=k)


def _query(schema: GraphSchema) -> str:
    key, title, node = quote(schema.item.key), quote(schema.item.title or schema.item.key), item_node(schema, "node")
    return f"""
MATCH {node} WHERE node.{key} = $item
UNWIND $properties AS property
WITH node AS item, property, {_VALUES} AS wanted WHERE property.label IN labels(item) AND size(wanted) > 0
MATCH {node} WHERE node.{key} IN $likes AND node <> item
WITH property, wanted, node, {_VALUES} AS found
UNWIND [each IN found WHERE each IN wanted] AS shared
WITH property, shared, min(toString(coalesce(node.{title}, node.{key}))) AS liked
WITH property, collect([shared, liked]) AS all_shared
MATCH {node} WHERE property.label IN labels(node)
WITH property, all_shared, {_VALUES} AS found
UNWIND [each IN all_shared WHERE each[0] IN found] AS pair
WITH property, pair, count(*) AS n
RETURN pair[1] AS liked, property.relation AS via, property.relation AS shared_label, toString(pair[0]) AS shared,
  property.relation AS to, 1.0 / n AS weight
ORDER BY weight DESC, via, shared LIMIT $k
"""


def _properties(connection: Connection, schema: GraphSchema) -> list[dict[str, Any]]:
    """Return what the query needs to know about each property: label, name, rule and relation."""
    rules = {name: each.rule for name, each in schema.knowledge.properties.items() if each.rule in _RULES}
    if not rules:
        return []
    labels = {row["label"] for row in connection.rows("CALL db.labels() YIELD label RETURN label")}
    named = [(name, next((pair for pair in splits_of(name) if pair[0] in labels), None)) for name in rules]
    return [
        {"label": pair[0], "name": pair[1], "rule": rules[name], "relation": name}
        for name, pair in named
        if pair is not None
    ]
