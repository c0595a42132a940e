"""People who follow people, in a real graph: nobody is recommended to themselves, and an erased person is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgplug import jobs
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.publishing.options import ListOptions
from kgplug.graph.schema import FeedbackSchema, GraphSchema, ItemSchema, UserSchema
from kgplug.jobs.erase_user import erase_user
from kgplug.serving import live
from kgplug.training.runs import Runs

PEOPLE = """
UNWIND range(0, 39) AS a UNWIND range(0, 39) AS b WITH a, b WHERE (a * 13 + b * 7) % 4 = 0
MERGE (p:Person {id: a}) MERGE (q:Person {id: b}) CREATE (p)-[:FOLLOWS]->(q)
"""
ITSELF = "MATCH (p)-[r:RECOMMENDS]->(p) RETURN count(r) AS n"
SCHEMA = GraphSchema(
    user=UserSchema(label="Person"), item=ItemSchema(label="Person"), feedback=FeedbackSchema(type="FOLLOWS")
)


@pytest.fixture
def graph(connection: Connection) -> Graph:
    connection.write(PEOPLE)
    return Graph(connection).use(SCHEMA)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs")


def trained(graph: Graph, runs: Runs, name: str, schema: GraphSchema = SCHEMA) -> Path:
    settings = {"embedding_dim": 4, "epochs": 3} if name == "MF" else {}
    return jobs.train(name, jobs.read(graph, schema, name=name), runs, settings=settings)


@pytest.mark.parametrize("name", ["ItemKNN", "MF", "Popularity"])
def test_nobody_is_recommended_to_themselves_stored_or_live(graph: Graph, runs: Runs, name: str) -> None:
    folder = trained(graph, runs, name)
    for seen in ("all", "none"):
        jobs.publish(graph, folder, k=5, seen=seen)
        assert graph.connection.rows(ITSELF) == [{"n": 0}]
        for person in (3, 4, 8):
            found = live.live_recommendations(graph, runs, person, k=39, options=ListOptions(seen=seen), reasons=False)
            assert len(found) > 0 and person not in found["id"].tolist()


def test_self_loops_are_left_out_and_counted(graph: Graph) -> None:
    rows = graph.read_interactions(SCHEMA)
    loops = graph.connection.rows("MATCH (p)-[r:FOLLOWS]->(p) RETURN count(r) AS n")[0]["n"]
    report = graph.reports["feedback"]
    assert loops > 0
    assert (report.itself, report.repeated, report.kept) == (loops, 0, len(rows))
    assert not (rows.user_keys[rows.users] == rows.item_keys[rows.items]).any()


def test_a_person_who_came_after_the_run_is_not_in_their_own_live_list(graph: Graph, runs: Runs) -> None:
    jobs.publish(graph, trained(graph, runs, "ItemKNN"))
    graph.connection.write(
        "CREATE (p:Person {id: 41}) WITH p MATCH (b:Person) WHERE b.id < 4 CREATE (p)-[:FOLLOWS]->(b)"
    )
    found = live.live_recommendations(graph, runs, 41, reasons=False)
    assert len(found) > 0 and 41 not in found["id"].tolist()


def test_a_node_of_both_labels_is_one_node_whatever_its_keys(graph: Graph, runs: Runs) -> None:
    graph.connection.write("MATCH (p:Person) WHERE p.id >= 10 SET p:Star, p.stage = 'star ' + p.id")
    graph.connection.write("MATCH ()-[r:FOLLOWS]->(b) WHERE NOT b:Star DELETE r")
    schema = SCHEMA.model_copy(update={"item": ItemSchema(label="Star", key="stage")})
    graph.use(schema)
    rows = graph.read_interactions(schema)
    assert rows.own_items is not None
    assert (rows.own_items >= 0).sum() == 30
    for name in ("MF", "ItemKNN"):
        folder = trained(graph, runs, name, schema)
        jobs.publish(graph, folder, k=5, seen="none")
        assert graph.connection.rows(ITSELF) == [{"n": 0}]
        found = live.live_recommendations(graph, runs, 12, options=ListOptions(seen="none"), reasons=False)
        assert len(found) > 0 and "star 12" not in found["id"].tolist()


def test_popular_unseen_does_not_list_the_person(graph: Graph) -> None:
    found = graph.cypher("popular_unseen", user=4, k=50)
    assert len(found) > 0 and 4 not in found["id"].tolist()


def test_an_erased_person_is_in_no_list_of_others_and_no_run(graph: Graph, runs: Runs) -> None:
    folders = [trained(graph, runs, name) for name in ("MF", "ItemKNN")]
    for folder in folders:
        jobs.publish(graph, folder, similar=3)
    into = "MATCH ()-[r:RECOMMENDS|SIMILAR_TO]->(:Person {id: 8}) RETURN count(r) AS n"
    assert graph.connection.rows(into)[0]["n"] > 0
    found = erase_user(graph, runs, 8)
    again = jobs.publish(graph, folders[0], k=3)  # the key that stands in the run in place of theirs is no node's
    assert (again.missing, again.vectors_skipped) == (0, 0) and "erased" not in str(again)
    assert jobs.preview(graph, folders[0]).missing == 0
    assert found.graph.found == (0, [])
    assert sorted(found.runs) == sorted(folder.name for folder in folders)
    assert graph.connection.rows(into)[0]["n"] == 0
    graph.connection.write("MATCH (p:Person {id: 8}) DETACH DELETE p")
    for folder in folders:
        report = jobs.publish(graph, folder)  # with the empty places that are left
        assert report.missing == 0 and report.lists + report.lists_kept >= 39
