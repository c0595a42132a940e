"""Read feedback that is a relationship type, as relationships between two nodes."""

from __future__ import annotations

from typing import Any

from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import Contents, listed
from kgplug.graph.counts import count_patterns
from kgplug.graph.ownership import count_own, not_own
from kgplug.graph.queries import feedback_arrow, quote
from kgplug.graph.reading.bulk import Wanted
from kgplug.graph.schema import FeedbackSchema, GraphSchema


def feedback_pattern(schema: GraphSchema, kind: FeedbackSchema) -> str:
    """Return the Cypher pattern of a type of feedback: (a:User)-[r:TYPE]->(b:Item) or (a:User)<-[r:TYPE]-(b:Item)."""
    return f"(a:{quote(schema.user.label)}){feedback_arrow(kind, 'r')}(b:{quote(schema.item.label)})"


def wanted_edges(
    connection: Connection, schema: GraphSchema, kind: FeedbackSchema, contents: Contents, values: tuple[str, ...]
) -> tuple[Wanted, int]:
    """Return what to read, and how many relationships of the feedback's type kgplug wrote.

    `values` are the Cypher expressions to read for each relationship (`Wanted.values`).
    """
    name, total = kind.type, contents.types[kind.type]
    head, tail = quote(schema.user.label), quote(schema.item.label)
    if kind.direction == "item_to_user":
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


def edges_elsewhere(connection: Connection, schema: GraphSchema, kind: FeedbackSchema, n: int) -> str:
    """Return a sentence on the n relationships of the feedback's type that do not lead from users to items.

    Return "" if n is not positive.
    """
    if n <= 0:
        return ""
    direction = "user_to_item" if kind.direction == "item_to_user" else "item_to_user"
    other = kind.model_copy(update={"direction": direction})
    turned = 0
    if schema.user.label != schema.item.label:
        # A relationship between two nodes that both have both labels matches in both directions, so it has been read.
        both = f"NOT (b:{quote(schema.user.label)} AND a:{quote(schema.item.label)})"
        pattern = f"{feedback_pattern(schema, other).replace('[r:', '[n:', 1)} WHERE {both}"
        turned = count_patterns(connection, {"turned": pattern})["turned"]
    text = f"{n:,} :{kind.type} are left out because they do not match {feedback_pattern(schema, kind)}"
    if not turned:
        return f"{text}."
    return f"{text}; {turned:,} of them are stored in the other direction. One training reads one direction."


def no_edges(connection: Connection, schema: GraphSchema, kind: FeedbackSchema) -> DataError:
    """Return the error for a graph without feedback; it names the labels that the feedback's type connects."""
    rows = connection.rows(
        f"MATCH (a)-[r:{quote(kind.type)}]->(b) WITH a, r, b LIMIT 1000 "
        "RETURN DISTINCT labels(a) AS heads, labels(b) AS tails"
    )
    connected = [f"(:{':'.join(row['heads'])})-->(:{':'.join(row['tails'])})" for row in rows]
    return DataError(
        f"No feedback: MATCH {feedback_pattern(schema, kind)} RETURN count(r) gives 0 in database "
        f'"{connection.database}". :{kind.type} connects {listed(connected, most=4)}.',
        advice=_advice(schema, kind, rows),
    )


def _advice(schema: GraphSchema, kind: FeedbackSchema, rows: list[dict[str, Any]]) -> str:
    """Return advice for a graph in which no feedback was found.

    If the type connects users and items in the other direction, the advice is to change `direction` in the schema.
    Otherwise, it is to change the labels and the type.
    """
    user, item, direction = schema.user.label, schema.item.label, kind.direction
    ends = ("heads", "tails") if direction == "item_to_user" else ("tails", "heads")
    if any(user in row[ends[0]] and item in row[ends[1]] for row in rows):
        other = "item_to_user" if direction == "user_to_item" else "user_to_item"
        return f'It is stored in the other direction: set {schema.table_of(kind)} direction = "{other}".'
    return f"Set [user] label, [item] label and {schema.table_of(kind)} type to a pattern of the graph."
