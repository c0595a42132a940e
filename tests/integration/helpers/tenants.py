"""A database of two tenants that share labels and keys: each has users 1 … 12 and films 1 … 9 of its own."""

from __future__ import annotations

from typing import Any

from kgplug.graph.bolt.connection import Connection
from kgplug.graph.schema import FeedbackSchema, GraphSchema, ItemSchema, KnowledgeSchema, UserSchema

TENANTS = """
UNWIND ['north', 'south'] AS tenant
UNWIND range(1, 12) AS u
CREATE (:User {id: u, tenant: tenant});
UNWIND ['north', 'south'] AS tenant
UNWIND range(1, 9) AS i
CREATE (:Movie {id: i, title: tenant + ' ' + i, tenant: tenant, era: tenant + ' ' + i % 2});
UNWIND range(1, 3) AS g CREATE (:Genre {id: g, name: 'Genre ' + g});
MATCH (u:User), (m:Movie) WHERE u.tenant = m.tenant
AND (CASE u.tenant WHEN 'north' THEN u.id * 7 + m.id * 3 ELSE u.id * 5 + m.id END) % 4 < 2
CREATE (u)-[:RATED {rating: 1 + (u.id + m.id) % 5}]->(m);
MATCH (u:User {id: 1}), (m:Movie {id: 1}) WHERE u.tenant <> m.tenant CREATE (u)-[:RATED {rating: 5}]->(m);
MATCH (m:Movie), (g:Genre) WHERE (m.id + CASE m.tenant WHEN 'north' THEN 0 ELSE 1 END) % 3 = g.id - 1
CREATE (m)-[:IN_GENRE]->(g);
MATCH (a:Movie {id: 2}), (b:Movie {id: 3}) CREATE (a)-[:SEQUEL_OF]->(b);
MATCH (u:User), (v:User) WHERE u.id = 1 AND v.id IN [1, 2] AND u <> v CREATE (u)-[:KNOWS]->(v);
"""
READERS = """
UNWIND range(1, 12) AS u CREATE (:Reader {card: 'c' + u});
UNWIND range(1, 9) AS i CREATE (:Book {isbn: 'b' + i, title: 'Book ' + i});
MATCH (r:Reader), (b:Book) WHERE (toInteger(substring(r.card, 1)) * 5 + toInteger(substring(b.isbn, 1))) % 3 < 2
CREATE (r)-[:READ]->(b);
"""
BOOKS = GraphSchema(
    user=UserSchema(label="Reader", key="card"),
    item=ItemSchema(label="Book", key="isbn", title="title"),
    feedback=FeedbackSchema(type="READ"),
)


def schema_of(tenant: str, **knowledge: Any) -> GraphSchema:
    return GraphSchema(
        user=UserSchema(where=f"user.tenant = '{tenant}'"),
        item=ItemSchema(title="title", where=f"item.tenant = '{tenant}'"),
        feedback=FeedbackSchema(rating="rating", like_threshold=3),
        knowledge=KnowledgeSchema(keys={"Genre": "id"}, **knowledge),
    )


NORTH, SOUTH = schema_of("north"), schema_of("south")


def toml_of(tenant: str) -> str:
    return (
        f"[user]\nwhere = \"user.tenant = '{tenant}'\"\n"
        f'[item]\ntitle = "title"\nwhere = "item.tenant = \'{tenant}\'"\n'
        '[feedback]\nrating = "rating"\nlike_threshold = 3\n[knowledge.keys]\nGenre = "id"\n'
    )


def owned_by(connection: Connection, model: str) -> tuple[list[Any], ...]:
    """Return all that kgplug wrote for a model: edges, catalogue nodes, vectors and indexes, with all properties."""
    connection.rows("CALL db.awaitIndexes(60)")
    properties = [
        name
        for row in connection.rows("MATCH (r:KgplugRun {model: $model}) RETURN r.properties AS p", model=model)
        for name in row["p"]
    ]
    edges = (
        "MATCH (a)-[r]->(b) WHERE r.model = $model AND r.run IS NOT NULL RETURN elementId(r) AS id, type(r) AS type, "
        "elementId(a) AS head, elementId(b) AS tail, properties(r) AS p ORDER BY id"
    )
    nodes = (
        "MATCH (n:KgplugModel|KgplugRun) WHERE coalesce(n.model, n.name) = $model "
        "RETURN elementId(n) AS id, labels(n) AS labels, properties(n) AS p ORDER BY id"
    )
    vectors = (
        "MATCH (n) UNWIND $names AS name WITH n, name WHERE n[name] IS NOT NULL "
        "RETURN elementId(n) AS id, name, n[name] AS vector ORDER BY id, name"
    )
    indexes = (
        "SHOW INDEXES YIELD name, type, state, labelsOrTypes, properties "
        "WHERE type = 'VECTOR' AND properties[0] IN $names RETURN name, labelsOrTypes, properties, state ORDER BY name"
    )
    return (
        connection.rows(edges, model=model),
        connection.rows(nodes, model=model),
        connection.rows(vectors, names=properties),
        connection.rows(indexes, names=properties),
    )
