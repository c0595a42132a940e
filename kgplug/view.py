"""Parts of the graph drawn for a notebook, with Neo4j's own viewer (neo4j-viz)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kgplug.errors import DataError, UsageError
from kgplug.graph.catalog import OWN_RELATIONSHIPS
from kgplug.graph.cypher import feedback_arrow, quote
from kgplug.graph.feedback import rating_of
from kgplug.graph.naming import label_of, name_of

if TYPE_CHECKING:
    from kgplug.graph.graph import Graph

_PATHS_BETWEEN = """
MATCH (user:{user}) WHERE user.{user_key} = $user
MATCH (recommended:{item}) WHERE recommended.{item_key} = $item
MATCH path = (user){feedback}(:{item})-[first]-(shared)-[second]-(recommended)
WHERE NOT first:{type} AND NOT second:{type} AND NOT (shared:{user} AND EXISTS {{ (shared){feedback}(:{item}) }})
  AND none(edge IN [first, second] WHERE type(edge) IN $own AND edge.run IS NOT NULL)
  {liked}
WITH path ORDER BY COUNT {{ (shared)--() }} LIMIT $limit
UNWIND relationships(path) AS relationship
"""
_AROUND = """
MATCH (centre:{label}) WHERE centre.{key} = $key
MATCH (centre)-[relationship]-(other)
WHERE NOT relationship:{type} AND NOT (other:{user} AND EXISTS {{ (other){feedback}(:{item}) }})
  AND NOT (type(relationship) IN $own AND relationship.run IS NOT NULL)
WITH relationship LIMIT $limit
"""
_RETURN = """
WITH DISTINCT relationship, startNode(relationship) AS head, endNode(relationship) AS tail
RETURN elementId(head) AS head, labels(head) AS head_labels, properties(head) AS head_properties,
       type(relationship) AS type,
       elementId(tail) AS tail, labels(tail) AS tail_labels, properties(tail) AS tail_properties
"""


def neighbourhood(graph: Graph, *, label: str, key: int | str, limit: int = 50) -> Any:
    """Draw a node and what it is connected to, users left out.

    Args:
        graph: with a schema (`graph.use(schema)`).
        label, key: of the node.
        limit: at most so many relationships.

    Returns:
        An object that a notebook shows as an interactive picture.
    """
    schema = graph.schema
    key_property = schema.item.key if label == schema.item.label else schema.knowledge.keys.get(label)
    if key_property is None:
        raise UsageError(f'The schema names no key for the label "{label}"; add it to [knowledge.keys].')
    query = (
        _AROUND.format(
            label=quote(label),
            key=quote(key_property),
            user=quote(schema.user.label),
            item=quote(schema.item.label),
            type=quote(schema.feedback.type),
            feedback=feedback_arrow(schema),
        )
        + _RETURN
    )
    rows = graph.connection.rows(query, key=key, limit=limit, own=OWN_RELATIONSHIPS)
    return _draw(graph, rows, nothing=f"No :{label} with {key_property} = {key!r} has a relationship.")


def why(graph: Graph, *, user: int | str, item: int | str, limit: int = 10) -> Any:
    """Draw the paths from what a user liked, through shared entities, to an item; the rarest shared ones first."""
    schema = graph.schema
    feedback = schema.feedback
    query = (
        _PATHS_BETWEEN.format(
            user=quote(schema.user.label),
            user_key=quote(schema.user.key),
            item=quote(schema.item.label),
            item_key=quote(schema.item.key),
            type=quote(feedback.type),
            feedback=feedback_arrow(schema),
            liked=f"AND {rating_of(f'relationships(path)[0].{quote(feedback.rating)}')} >= $like"
            if feedback.rating and feedback.like is not None
            else "",
        )
        + _RETURN
    )
    values = {"user": user, "item": item, "limit": limit, "like": feedback.like, "own": OWN_RELATIONSHIPS}
    rows = graph.connection.rows(query, **values)
    return _draw(graph, rows, nothing=f"No path of three steps leads from user {user!r} to item {item!r}.")


def _draw(graph: Graph, rows: list[dict], *, nothing: str) -> Any:
    if not rows:
        raise DataError(nothing)
    try:
        from neo4j_viz import Node, Relationship, VisualizationGraph
    except ImportError:
        raise UsageError("Pictures of the graph need neo4j-viz: pip install 'kgplug[notebook]'.") from None
    nodes = {}
    for row in rows:
        for end in ("head", "tail"):
            caption = _caption(graph, row[f"{end}_labels"], row[f"{end}_properties"])
            label = sorted(row[f"{end}_labels"])[0]
            nodes[row[end]] = Node(id=row[end], caption=caption, properties={"label": label})  # pyright: ignore[reportCallIssue]
    edges = [
        Relationship(source=row["head"], target=row["tail"], caption=row["type"])  # pyright: ignore[reportCallIssue]
        for row in rows
    ]
    picture = VisualizationGraph(nodes=list(nodes.values()), relationships=edges)
    picture.color_nodes(property="label")
    return picture.render()


def _caption(graph: Graph, labels: list[str], properties: dict) -> str:
    label, name = label_of(graph.schema, labels), name_of(graph.schema, labels, properties)
    if label == graph.schema.user.label != graph.schema.item.label:
        return f"{label} {properties.get(graph.schema.user.key)}"
    return label if name is None else str(name)
