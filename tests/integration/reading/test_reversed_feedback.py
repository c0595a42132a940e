"""Feedback stored from items to users trains, serves and explains as feedback stored the usual way round does."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgplug import jobs
from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.check import check
from kgplug.graph.graph import Graph
from kgplug.graph.reading.reader import read_interactions, read_knowledge
from kgplug.graph.schema import GraphSchema
from kgplug.serving import explain, live
from kgplug.training.runs import Runs
from tests.integration.helpers.sample_graphs import build

LIKED = """
UNWIND range(1, 30) AS u UNWIND range(1, 12) AS i WITH u, i WHERE (u * 3 + i) %% 4 < 2
MERGE (a:User {id: u}) MERGE (b:Movie {id: i}) SET b.title = 'Film ' + i CREATE %s;
MATCH (m:Movie) MERGE (g:Genre {id: m.id %% 3}) SET g.name = 'Genre ' + (m.id %% 3) CREATE (m)-[:IN_GENRE]->(g)
"""
STORED = {
    "user_to_item": "(a)-[:LIKED {stars: 1 + i % 5, at: u * 100 + i}]->(b)",
    "item_to_user": "(b)-[:LIKED {stars: 1 + i % 5, at: u * 100 + i}]->(a)",
}


def schema(direction: str, **feedback: object) -> GraphSchema:
    return GraphSchema.model_validate(
        {
            "item": {"title": "title"},
            "feedback": {
                "type": "LIKED",
                "direction": direction,
                "rating": "stars",
                "timestamp": "at",
                "like_threshold": 3,
            }
            | feedback,
            "knowledge": {"keys": {"Genre": "id"}},
        }
    )


def test_both_directions_read_train_publish_and_explain_alike(connection: Connection, tmp_path: Path) -> None:
    found = []
    for direction, pattern in STORED.items():
        connection.autocommit("MATCH (n) DETACH DELETE n")
        build(connection, LIKED % pattern)
        chosen, runs = schema(direction), Runs(tmp_path / direction)
        rows, knowledge = read_interactions(connection, chosen), read_knowledge(connection, chosen)
        assert list(knowledge.relations) == ["IN_GENRE"]
        assert check(connection, chosen).ok
        graph = Graph(connection).use(chosen)
        jobs.publish(graph, jobs.train("ItemKNN", jobs.read(graph, chosen, name="ItemKNN"), runs), k=3)
        listed = explain.recommendations(graph, 4, k=3)
        alive = live.live_recommendations(graph, runs, 4, k=3)
        popular = graph.cypher("popular_unseen", user=4, k=3)
        reasons = explain.paths(graph, 4, listed["id"][0])
        assert (listed["because"] != "").all() and len(reasons) > 0 and (popular["feedback"] > 0).all()
        liked = set(connection.frame("MATCH (:User {id: 4})-[:LIKED]-(m) RETURN m.id AS id")["id"])
        assert not liked & ({*listed["id"]} | {*alive["id"]} | {*popular["id"]})
        graph.erase_user(4)
        found.append(
            (rows.fingerprint, knowledge.fingerprint, *(f.to_json() for f in (listed, alive, popular, reasons)))
        )
    assert found[0] == found[1]


def test_the_error_for_the_wrong_direction_says_what_to_set(connection: Connection) -> None:
    for direction, pattern in STORED.items():
        connection.autocommit("MATCH (n) DETACH DELETE n")
        build(connection, LIKED % pattern)
        (other,) = {*STORED} - {direction}
        with pytest.raises(DataError, match=f'stored in the other direction: set .feedback. direction = "{direction}"'):
            read_interactions(connection, schema(other))


def test_unusable_values_are_reported_in_either_direction(connection: Connection) -> None:
    build(connection, LIKED % STORED["item_to_user"] + "; MATCH (:User {id: 1})-[r:LIKED]-() SET r.stars = 'many'")
    with pytest.raises(DataError, match=r"have no usable 'stars': .*'many'"):
        read_interactions(connection, schema("item_to_user"))
    with pytest.raises(DataError, match=r"has the property 'points'. Properties found: at, stars"):
        read_interactions(connection, schema("item_to_user", rating="points"))


def test_between_people_the_schema_says_who_is_the_user(connection: Connection) -> None:
    build(
        connection,
        "UNWIND range(1, 9) AS a CREATE (:Person {id: a}); MATCH (a:Person), (b:Person) WHERE b.id = 2 AND a.id <> 2 "
        "CREATE (a)-[:FOLLOWS]->(b)",
    )
    for direction, popular in (("user_to_item", {2}), ("item_to_user", {1, 3, 4, 5, 6, 7, 8, 9})):
        chosen = GraphSchema.model_validate(
            {
                "user": {"label": "Person"},
                "item": {"label": "Person"},
                "feedback": {"type": "FOLLOWS", "direction": direction},
            }
        )
        rows = read_interactions(connection, chosen)
        assert set(rows.item_keys[rows.items]) == popular


def test_users_that_are_items_need_one_key(connection: Connection) -> None:
    build(connection, "CREATE (:Person {id: 1, name: 'a'})-[:FOLLOWS]->(:Person {id: 2, name: 'b'})")
    chosen = GraphSchema.model_validate(
        {
            "user": {"label": "Person", "key": "name"},
            "item": {"label": "Person", "key": "id"},
            "feedback": {"type": "FOLLOWS"},
        }
    )
    with pytest.raises(
        DataError, match=r":Person nodes are both users and items, but with two keys: .*Set both to the same"
    ):
        read_interactions(connection, chosen)


def test_feedback_that_one_training_cannot_read_is_counted_and_reported(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    build(connection, LIKED % STORED["user_to_item"])
    connection.write("MATCH (u:User {id: 4})-[r:LIKED]->(m) DELETE r CREATE (m)-[:LIKED {stars: 5, at: 1}]->(u)")
    connection.write("MATCH (u:User {id: 5}) CREATE (u)-[:LIKED {stars: 5, at: 1}]->(:Series {id: 1})")
    chosen = schema("user_to_item")
    n = connection.rows("MATCH (:Movie)-[r:LIKED]->(:User) RETURN count(r) AS n")[0]["n"]
    said = (
        f"{n + 1} :LIKED are left out because they do not match (a:`User`)-[r:`LIKED`]->(b:`Movie`); {n} of them are "
        "stored in the other direction."
    )
    assert any(one.level == "warning" and said in one.finding for one in check(connection, chosen).findings)
    assert len(read_interactions(connection, chosen)) == 180 - n
    assert said in caplog.text
    connection.write("MATCH (:Movie)-[r:LIKED]->(:User) DELETE r")
    said = "1 :LIKED are left out because they do not match (a:`User`)-[r:`LIKED`]->(b:`Movie`)."
    assert any(said in one.finding for one in check(connection, chosen).findings)
    connection.write("MATCH (s:Series) DETACH DELETE s")
    assert not any("left out" in one.finding for one in check(connection, chosen).findings if one.check == "feedback")


def test_feedback_between_nodes_that_are_users_and_items_is_not_reversed(connection: Connection) -> None:
    build(connection, "UNWIND range(1, 6) AS n CREATE (:Person {id: n})")
    connection.write("MATCH (p:Person) WHERE p.id <= 3 SET p:Author")
    connection.write("MATCH (a:Person), (b:Person) WHERE a <> b CREATE (a)-[:FOLLOWS]->(b)")
    chosen = GraphSchema.model_validate(
        {"user": {"label": "Author"}, "item": {"label": "Person"}, "feedback": {"type": "FOLLOWS"}}
    )
    found = [one.finding for one in check(connection, chosen).findings if "left out" in one.finding]
    assert found == [
        "15 :FOLLOWS are left out because they do not match (a:`Author`)-[r:`FOLLOWS`]->(b:`Person`); 9 of them are "
        "stored in the other direction. One training reads one direction."
    ]
