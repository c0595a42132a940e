"""MKR on people who follow people: trained with what they have in common, published, served, taken back, erased."""

from __future__ import annotations

from pathlib import Path

from kgplug import jobs
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.schema import GraphSchema
from kgplug.jobs.erase_user import erase_user
from kgplug.serving import explain
from kgplug.training.runs import Runs
from tests.integration.helpers.sample_graphs import build

PEOPLE = """
CREATE CONSTRAINT FOR (n:Person) REQUIRE n.id IS UNIQUE;
UNWIND range(0, 39) AS a UNWIND range(0, 39) AS b WITH a, b WHERE a <> b AND (a * 13 + b * 7) % 4 = 0
MERGE (p:Person {id: a}) MERGE (q:Person {id: b}) CREATE (p)-[:FOLLOWS]->(q);
MATCH (p:Person) MERGE (t:Tag {id: p.id % 5}) MERGE (p)-[:HAS_TAG]->(t)
"""
SCHEMA = GraphSchema.model_validate(
    {
        "user": {"label": "Person"},
        "item": {"label": "Person"},
        "feedback": {"type": "FOLLOWS"},
        "knowledge": {"keys": {"Tag": "id"}},
    }
)
SETTINGS = {"embedding_dim": 4, "epochs": 2}
ITSELF = "MATCH (p)-[r:RECOMMENDS|SIMILAR_TO]->(p) RETURN count(r) AS n"


def test_people_as_users_and_items_go_all_the_way_with_one_vector_each(connection: Connection, tmp_path: Path) -> None:
    build(connection, PEOPLE)
    graph, runs = Graph(connection).use(SCHEMA), Runs(tmp_path)
    first, second = (
        jobs.train("MKR", jobs.read(graph, SCHEMA, name="MKR"), runs, settings=SETTINGS, seed=seed) for seed in (0, 1)
    )
    for folder in (first, second):
        report = jobs.publish(graph, folder, k=5, similar=3, force=True)
        assert report.vectors == 40
    assert connection.rows(ITSELF) == [{"n": 0}]
    listed = explain.recommendations(graph, 7, k=5)
    followed = set(connection.frame("MATCH (:Person {id: 7})-[:FOLLOWS]->(q) RETURN q.id AS id")["id"])
    assert len(listed) == 5 and 7 not in set(listed["id"]) and not followed & set(listed["id"])
    near = explain.similar_items(graph, 7, k=5)
    assert len(near) == 5 and 7 not in set(near["id"])
    assert graph.rollback("MKR").serves == first.name
    assert len(explain.recommendations(graph, 7, k=5, reasons=False)) == 5
    erased = erase_user(graph, runs, 7)
    assert erased.graph.found == (0, []) and sorted(erased.runs) == sorted([first.name, second.name])
