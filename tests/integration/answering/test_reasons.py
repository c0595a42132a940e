"""Which shared node a reason names, and how it describes a node whose key people cannot read."""

from __future__ import annotations

import re

import pytest

from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.naming import name_of, readable_name_of
from kgplug.graph.queries import render
from kgplug.graph.schema import GraphSchema, ItemSchema, KnowledgeSchema
from kgplug.serving import explain, view
from tests.integration.helpers.sample_graphs import build
from tests.unit.helpers.readable_keys import OPAQUE, READABLE

SCHEMA = GraphSchema(
    item=ItemSchema(title="title"), knowledge=KnowledgeSchema(keys={"Person": "id", "Genre": "name", "Studio": "id"})
)
USER, ITEM = 1, 10
# User 1 likes films 1 to 5 of 40. Film 10 shares with them: a star (films 1, 2, 3 and three others), an extra with a
# name (film 5), an extra without a name (film 4), the genre of all films, and a studio with a readable key (film 4).
# 60 people acted in film 10 only.
CLUB = """
UNWIND range(1, 40) AS i CREATE (:Movie {id: i, title: 'Film ' + i});
CREATE (:User {id: 1});
MATCH (u:User), (m:Movie) WHERE m.id <= 5 CREATE (u)-[:RATED]->(m);
CREATE (:Person:Actor {id: 'm.0star', name: 'The Star'}), (:Person:Actor {id: 'm.0extra', name: 'The Extra'}),
  (:Person:Actor {id: 'm.01nobody'}), (:Genre {name: 'Comedy'}), (:Studio {id: 'Toho'});
MATCH (p:Person {id: 'm.0star'}), (m:Movie) WHERE m.id IN [10, 1, 2, 3, 20, 21, 22] CREATE (p)-[:ACTED_IN]->(m);
MATCH (p:Person {id: 'm.0extra'}), (m:Movie) WHERE m.id IN [10, 5] CREATE (p)-[:ACTED_IN]->(m);
MATCH (p:Person {id: 'm.01nobody'}), (m:Movie) WHERE m.id IN [10, 4] CREATE (p)-[:ACTED_IN]->(m);
MATCH (s:Studio), (m:Movie) WHERE m.id IN [10, 4, 30, 31, 32, 33] CREATE (m)-[:MADE_BY]->(s);
MATCH (g:Genre), (m:Movie) CREATE (m)-[:IN_GENRE]->(g);
MATCH (m:Movie {id: 10}) UNWIND range(1, 60) AS i CREATE (:Person:Actor {id: 'm.0crowd' + i})-[:ACTED_IN]->(m);
"""
BARE = re.compile(r"m\.0")


@pytest.fixture(scope="module")
def club(shared_connection: Connection) -> Graph:
    build(shared_connection, CLUB)
    return Graph(shared_connection).use(SCHEMA)


def test_a_well_known_node_comes_before_a_rare_one_a_common_one_and_one_without_a_name(club: Graph) -> None:
    paths = club.explain(USER, ITEM, k=100)
    assert list(dict.fromkeys(paths["shared"])) == ["The Star", "The Extra", "Toho", "Comedy", "an actor they share"]
    assert paths["weight"][0] == pytest.approx(2 / (5 + 7))  # log2(1 + 3 liked films)
    assert paths["liked"].tolist() == [
        "Film 1",
        "Film 2",
        "Film 3",
        "Film 5",
        "Film 4",
        *map("Film {}".format, range(1, 6)),
        "Film 4",
    ]


def test_fewer_paths_are_the_first_of_all_paths(club: Graph) -> None:
    everything = club.explain(USER, ITEM, k=100)
    for k in (1, 2, 4, 7, len(everything)):
        assert club.explain(USER, ITEM, k=k).equals(everything.head(k))


def test_a_reason_names_the_shared_node(club: Graph) -> None:
    table = club.explain(USER, ITEM, k=1).assign(id=ITEM)
    assert explain.with_reasons(club, USER, table)["because"].tolist() == ["Film 1 — ACTED_IN — Person The Star"]


def test_no_reason_table_or_picture_shows_a_key_that_people_cannot_read(club: Graph) -> None:
    assert not BARE.search(club.explain(USER, ITEM, k=100).to_string())
    for picture in (
        view.why(club, user=USER, item=ITEM, limit=100),
        view.neighbourhood(club, label="Movie", key=ITEM, limit=100),
    ):
        shown = re.findall(r'"(?:caption|name)": "([^"]*)"', picture._page)
        assert {"The Star", "actor", "Comedy", "Toho"} <= set(shown)
        assert not any(map(BARE.search, shown))


def test_a_picture_with_few_paths_or_relationships_shows_nodes_with_names(club: Graph) -> None:
    for picture in (
        view.why(club, user=USER, item=ITEM, limit=1),
        view.neighbourhood(club, label="Movie", key=ITEM, limit=4),
    ):
        shown = re.findall(r'"caption": "([^"]*)"', picture._page)
        assert "The Star" in shown and "actor" not in shown


def test_a_recommended_item_whose_shared_nodes_have_no_names_is_described(connection: Connection) -> None:
    build(connection, CLUB)
    connection.write("MATCH (p:Person) REMOVE p.name")
    connection.write("MATCH (n) WHERE n:Genre OR n:Studio DETACH DELETE n")
    graph = Graph(connection).use(SCHEMA)
    table = graph.explain(USER, ITEM, k=1).assign(id=ITEM)
    assert explain.with_reasons(graph, USER, table)["because"].tolist() == ["Film 1 — ACTED_IN — an actor they share"]


def test_queries_and_python_agree_on_what_is_readable(connection: Connection) -> None:
    rows = [{"id": key, "code": code} for key in (*OPAQUE, *READABLE) for code in (None, "DE", "m.05p553")]
    for labels in ("Person", "Movie", "Other"):
        connection.write(f"UNWIND $rows AS row CREATE (n:{labels}) SET n = row", rows=rows)
    query = (
        "MATCH (tail) RETURN properties(tail) AS properties, labels(tail) AS labels,\n"
        "// name of tail\nx\n// end of name\nAS name,\n"
        "// readable name of tail\nx\n// end of readable name\nAS readable"
    )
    found = connection.rows(render(query, SCHEMA))
    assert len(found) == 3 * len(rows)
    for row in found:
        assert row["readable"] == readable_name_of(SCHEMA, row["labels"], row["properties"]), row
        assert row["name"] == name_of(SCHEMA, row["labels"], row["properties"]), row
