"""Small graphs of strangers: a film club, a shop, a music service and an encyclopaedia without users."""

from __future__ import annotations

import pytest

from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.schema import GraphSchema, ItemSchema, KnowledgeSchema

FILMS = """
CREATE CONSTRAINT IF NOT EXISTS FOR (n:User) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT IF NOT EXISTS FOR (n:Movie) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT IF NOT EXISTS FOR (n:Actor) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT IF NOT EXISTS FOR (n:Genre) REQUIRE n.id IS UNIQUE;
FOREACH (i IN range(1, 12) | CREATE (:Movie {id: i, title: 'Film ' + i, year: 1990 + i % 3}))
FOREACH (i IN range(1, 4) | CREATE (:Actor {id: 'a' + i, name: 'Actor ' + i}))
FOREACH (i IN range(1, 2) | CREATE (:Genre {id: 'g' + i, name: 'Genre ' + i}))
FOREACH (i IN range(1, 9) | CREATE (:User {id: i, age: 20 + i % 4}));
MATCH (a:Actor), (m:Movie) WHERE m.id % 4 = toInteger(right(a.id, 1)) - 1 CREATE (a)-[:ACTED_IN]->(m)
WITH count(*) AS acted
MATCH (m:Movie), (g:Genre) WHERE m.id % 2 = toInteger(right(g.id, 1)) - 1 CREATE (m)-[:IN_GENRE]->(g)
WITH count(*) AS genres
MATCH (u:User), (m:Movie) WHERE u.id < 9 AND m.id < 12 AND (u.id + m.id) % 2 = 0
CREATE (u)-[:RATED {rating: 1 + (u.id * m.id) % 5, timestamp: 900000000 + u.id * 100 + m.id}]->(m);
"""
FILM_KEYS = pytest.mark.keys("User", "Movie", "Actor", "Genre")  # for tests that begin with `build(connection, FILMS)`
FILM_SCHEMA = GraphSchema(
    item=ItemSchema(title="title"), knowledge=KnowledgeSchema(keys={"Actor": "id", "Genre": "id"})
)

SHOP = """
UNWIND range(1, 8) AS i CREATE (:Customer {email: 'c' + i + '@mail', name: 'Customer', since: date('2020-01-01')});
UNWIND range(1, 10) AS i CREATE (:Product {sku: 'P-' + i, name: 'Product ' + i, price: 9.5 + i % 3});
UNWIND range(1, 3) AS i CREATE (:Category {name: 'Category ' + i});
MATCH (p:Product), (c:Category) WHERE toInteger(substring(p.sku, 2)) % 3 = toInteger(right(c.name, 1)) - 1
CREATE (p)-[:PART_OF]->(c);
MATCH (c:Customer), (p:Product)
WHERE (toInteger(substring(c.email, 1, 1)) + toInteger(substring(p.sku, 2))) % 3 = 0
CREATE (c)-[:BOUGHT {at: datetime('2024-05-01T12:00:00Z') + duration({days: toInteger(substring(p.sku, 2))})}]->(p);
MATCH (a:Customer), (b:Customer) WHERE a.email < b.email AND a.email < 'c3' CREATE (a)-[:REFERRED]->(b);
"""

MUSIC = """
CREATE CONSTRAINT FOR (n:`Music Track`) REQUIRE n.`编号` IS UNIQUE;
UNWIND range(1, 10) AS i CREATE (:`Music Track`:Item {`编号`: i, `歌名`: '歌曲 "' + i + '"'});
UNWIND range(1, 3) AS i CREATE (:Artist:Person {id: i, name: '歌手' + i});
UNWIND range(4, 5) AS i CREATE (:Person {id: i, name: '词人' + i});
UNWIND range(11, 18) AS i CREATE (:Person:`听众` {id: i, name: '听众' + i});
MATCH (a:Artist), (t:`Music Track`) WHERE t.`编号` % 3 = a.id - 1 CREATE (t)-[:`演唱.by`]->(a);
MATCH (p:Person), (t:`Music Track`) WHERE p.id IN [4, 5] AND t.`编号` % 2 = p.id - 4 CREATE (p)-[:WROTE]->(t);
MATCH (u:`听众`), (t:`Music Track`) WHERE (u.id + t.`编号`) % 3 = 0 CREATE (u)-[:PLAYED {count: u.id % 4 + 1}]->(t);
"""

ENCYCLOPAEDIA = """
UNWIND range(1, 9) AS i CREATE (:Movie {id: 'm' + i, title: '电影' + i, rate: 7.5 + i % 3});
UNWIND range(1, 4) AS i CREATE (:Person {id: 'p' + i, name: '演员' + i});
UNWIND range(1, 2) AS i CREATE (:Country {code: i, name: '国家' + i});
MATCH (m:Movie), (p:Person) WHERE toInteger(right(m.id, 1)) % 4 = toInteger(right(p.id, 1)) - 1
CREATE (m)-[:actor {rank: 1}]->(p);
MATCH (m:Movie), (c:Country) WHERE toInteger(right(m.id, 1)) % 2 = c.code - 1 CREATE (m)-[:district]->(c);
"""

# All that a graph holds, to compare before and after.
ALL_EDGES = "MATCH (a)-[r]->(b) RETURN elementId(r) AS id, type(r) AS type, properties(r) AS p ORDER BY id"
ALL_NODES = "MATCH (n) RETURN elementId(n) AS id, labels(n) AS labels, properties(n) AS p ORDER BY id"
LISTED = """MATCH (model:KgplugModel {name: $model}) WITH model.edition AS edition LIMIT 1
MATCH (u:User)-[r:RECOMMENDS {model: $model, edition: edition}]->(m)
RETURN u.id AS user, m.id AS film, r.score AS score ORDER BY user, r.rank"""


def films_without_the_constraint_on(label: str) -> str:
    return FILMS.replace(f"CREATE CONSTRAINT IF NOT EXISTS FOR (n:{label}) REQUIRE n.id IS UNIQUE;", "")


def build(connection: Connection, script: str) -> None:
    """Run the statements of a script, parted by semicolons."""
    for statement in filter(None, (part.strip() for part in script.split(";"))):
        connection.autocommit(statement)


def listed(graph: Graph, model: str = "MF") -> dict[int, list[int]]:
    lists: dict[int, list[int]] = {}
    for row in graph.connection.rows(LISTED, model=model):
        lists.setdefault(row["user"], []).append(row["film"])
    return lists
