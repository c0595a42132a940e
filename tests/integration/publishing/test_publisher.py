"""The publisher against a real Neo4j."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kgplug.data.publication import NodeVectors, Publication, TopLists
from kgplug.errors import DataError, GraphError, UsageError
from kgplug.graph import catalog
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.publishing import publisher
from kgplug.graph.publishing.publisher import publish
from kgplug.graph.publishing.writing import lists as list_writing
from kgplug.graph.publishing.writing import vectors as vector_writing
from kgplug.graph.queries import quote
from kgplug.graph.schema import GraphSchema, ItemSchema, KnowledgeSchema, UserSchema
from kgplug.graph.server.home import Endpoint
from tests.conftest import empty
from tests.integration.helpers.published import (
    NUMBERED_KEYS,
    SCHEMA,
    Died,
    check_complete,
    check_served,
    count_edges,
    dying_after,
    edges,
    everything,
    expected_edges,
    numbered_graph,
    vector_indexes,
    vectors,
    whole_lists,
)
from tests.integration.helpers.publishing import N_ITEMS, N_USERS, K, keys, publication, small_batches, unindexed

pytestmark = NUMBERED_KEYS


@pytest.fixture
def graph(connection: Connection) -> Connection:
    return numbered_graph(connection)


def test_a_publish_writes_vectors_lists_and_the_catalogue(graph):
    wanted = publication("mkr-1")
    report = publish(graph, SCHEMA, wanted)

    assert edges(graph) == expected_edges(wanted)
    assert (report.vectors, report.lists, report.edges) == (N_USERS + N_ITEMS, N_USERS, N_USERS * K)
    run = catalog.serving(graph, "MKR")
    assert run is not None
    assert (run["id"], run["status"], run["labels"]) == ("mkr-1", "serving", ["User", "Movie"])
    assert run["details"] == wanted.details
    for nodes, name in zip(wanted.vectors, run["properties"], strict=True):
        assert vectors(graph, nodes, name) == dict(zip(nodes.keys, nodes.vectors.tolist(), strict=True))
    assert vector_indexes(graph) == [index for index in run["indexes"] if index] == report.indexes


def test_cypher_reaches_the_vectors_through_the_pointer(graph):
    publish(graph, SCHEMA, publication("mkr-1"))
    nearest = graph.rows(
        "MATCH (:KgplugModel {name: 'MKR'})-[:SERVES]->(run:KgplugRun) MATCH (film:Movie {id: 7}) "
        "CALL db.index.vector.queryNodes(run.indexes[1], 1, film[run.properties[1]]) YIELD node RETURN node.id AS id"
    )
    assert nearest == [{"id": 7}]


def test_publishing_a_run_again_changes_nothing(graph):
    publish(graph, SCHEMA, publication("mkr-1"))
    before = everything(graph)
    report = publish(graph, SCHEMA, publication("mkr-1"))
    assert everything(graph) == before
    assert (report.vectors, report.lists, report.edges) == (0, 0, 0)
    assert (report.vectors_kept, report.lists_kept) == (N_USERS + N_ITEMS, N_USERS)


def test_the_previous_run_is_kept_and_older_ones_are_dropped(graph):
    runs = [publication(f"mkr-{number}", seed=number) for number in range(3)]
    names = [catalog.property_name("MKR", run.run) for run in runs]
    for run in runs[:2]:
        report = publish(graph, SCHEMA, run)
    assert report.previous == "mkr-0"
    assert edges(graph) == expected_edges(runs[1])
    assert len(vector_indexes(graph)) == 2
    assert len(vectors(graph, runs[0].vectors[1], names[0])) == N_ITEMS

    report = publish(graph, SCHEMA, runs[2])
    assert (report.previous, report.dropped) == ("mkr-1", ["mkr-0"])
    assert [len(vectors(graph, run.vectors[0], name)) for run, name in zip(runs, names, strict=True)] == [0, 60, 60]
    assert vector_indexes(graph) == [f"{names[1]}_Movie", f"{names[2]}_Movie"]
    states = graph.rows("MATCH (run:KgplugRun) RETURN run.id AS id, run.status AS status ORDER BY id")
    assert [tuple(row.values()) for row in states] == [("mkr-1", "previous"), ("mkr-2", "serving")]
    links = graph.rows("MATCH (a:KgplugRun)-[:PREVIOUS]->(b) RETURN a.id AS a, b.id AS b")
    assert links == [{"a": "mkr-2", "b": "mkr-1"}]


def test_zero_and_non_finite_vectors_are_counted_and_not_written(graph):
    wanted = publication("mkr-1")
    array = wanted.vectors[1].vectors
    array[2], array[4, 0], array[6, 1] = 0.0, np.nan, np.inf
    report = publish(graph, SCHEMA, wanted)
    assert report.vectors_skipped == 3
    assert report.skipped_keys == ["Movie 3", "Movie 5", "Movie 7"]
    written = vectors(graph, wanted.vectors[1], catalog.property_name("MKR", "mkr-1"))
    assert sorted(set(range(1, N_ITEMS + 1)) - set(written)) == [3, 5, 7]


AWKWARD_KEYS = keys("film one", "🎬", "שלום עולם", 'it\'s `x` \\ "y"', 2**62, -(2**62), 7, "7")


@pytest.mark.parametrize(
    ("label", "indexed"),
    [("Weird `label` with spaces", True), ("فيلم", False)],
    ids=["with an index on the key", "without one"],
)
def test_any_key_and_label_survives_a_round_trip(connection, label, indexed):
    schema = GraphSchema(
        user=UserSchema(label=f"{label} user", key="the `key`"), item=ItemSchema(label=label, key="the `key`")
    )
    for name in (label, f"{label} user"):
        if indexed:
            connection.autocommit(f"CREATE CONSTRAINT FOR (n:{quote(name)}) REQUIRE n.{quote('the `key`')} IS UNIQUE")
        connection.write(
            f"UNWIND $keys AS key CREATE (:{quote(name)} {{{quote('the `key`')}: key}})", keys=AWKWARD_KEYS.tolist()
        )
    n = len(AWKWARD_KEYS)
    array = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    lists = TopLists(
        f"{label} user", label, AWKWARD_KEYS, AWKWARD_KEYS, np.arange(n)[:, None], np.ones((n, 1), dtype=np.float32)
    )
    wanted = Publication("MKR", "mkr-1", [NodeVectors(label, AWKWARD_KEYS, array)], lists)
    report = publish(connection, schema, wanted)
    assert (report.vectors, report.edges, report.missing) == (n, n, 0)
    found = vectors(connection, wanted.vectors[0], catalog.property_name("MKR", "mkr-1"), "the `key`")
    assert found == dict(zip(AWKWARD_KEYS, array.tolist(), strict=True))
    pairs = connection.rows(
        f"MATCH (u)-[:RECOMMENDS]->(m) RETURN u.{quote('the `key`')} AS user, m.{quote('the `key`')} AS item"
    )
    assert len(pairs) == n
    assert all(pair["user"] == pair["item"] and type(pair["user"]) is type(pair["item"]) for pair in pairs)
    again = publish(connection, schema, wanted)
    assert (again.vectors, again.edges, again.lists_kept) == (0, 0, n)


def test_a_label_that_would_end_its_quotes_matches_nothing_and_the_graph_is_not_changed(graph):
    before = everything(graph)
    label = "A\\u0060) DETACH DELETE n //"
    schema = GraphSchema(knowledge=KnowledgeSchema(keys={label: "id"}))
    nodes = NodeVectors(label, keys(1), np.ones((1, 4), dtype=np.float32))
    with pytest.raises(DataError, match=r"None of the 1 .* nodes that the model knows is in this database"):
        publish(graph, schema, Publication("MKR", "mkr-1", [nodes]))
    assert everything(graph) == before


def test_kgplug_changes_nothing_that_it_did_not_write(graph):
    graph.write("MATCH (u:User {id: 1}), (m:Movie {id: 1}) CREATE (u)-[:RECOMMENDS {by: 'a friend'}]->(m)")
    graph.write("MATCH (u:User {id: 1}), (m:Movie {id: 2}) CREATE (u)-[:RECOMMENDS {model: 'MKR'}]->(m)")
    graph.write("MATCH (m:Movie) SET m.kgplug_mine = [1.0, 2.0], m.title = 'film'")
    graph.autocommit("CREATE INDEX kgplug_own FOR (m:Movie) ON (m.kgplug_mine)")
    for number in range(3):
        publish(graph, SCHEMA, publication(f"mkr-{number}", seed=number))
    foreign = graph.rows("MATCH (:User {id: 1})-[r:RECOMMENDS]->(m) WHERE r.run IS NULL RETURN m.id AS id ORDER BY id")
    assert foreign == [{"id": 1}, {"id": 2}]
    kept = graph.rows("MATCH (m:Movie) WHERE m.kgplug_mine = [1.0, 2.0] AND m.title = 'film' RETURN count(m) AS n")
    assert kept == [{"n": N_ITEMS}]
    assert graph.rows("SHOW INDEXES YIELD name WHERE name = 'kgplug_own' RETURN name")


def test_a_name_that_is_taken_is_refused_before_the_first_write(graph):
    name = catalog.property_name("MKR", "mkr-1")
    graph.autocommit(f"CREATE INDEX {name}_Movie FOR (m:Movie) ON (m.title)")
    before = everything(graph)
    with pytest.raises(GraphError, match=f"index {name}_Movie that kgplug did not make"):
        publish(graph, SCHEMA, publication("mkr-1"))
    assert everything(graph) == before
    graph.autocommit(f"DROP INDEX {name}_Movie")
    graph.write(f"MATCH (u:User {{id: 1}}) SET u.{name} = 'mine'")
    with pytest.raises(GraphError, match="that kgplug did not write"):
        publish(graph, SCHEMA, publication("mkr-1"))
    assert graph.rows(f"MATCH (u:User) WHERE u.{name} = 'mine' RETURN count(u) AS n") == [{"n": 1}]


def test_two_nodes_of_one_key_are_refused(connection):
    empty(connection)
    connection.write("UNWIND [1, 2, 2] AS id CREATE (:User {id: id}) CREATE (:Movie {id: id})")
    with pytest.raises(DataError, match="Two :User nodes have id = 2"):
        publish(connection, SCHEMA, publication("mkr-1"))


def test_a_graph_that_has_none_of_the_nodes_is_refused(connection):
    connection.write("CREATE (:User {id: 'other'}), (:Movie {id: 'other'})")
    before = everything(connection)
    with pytest.raises(DataError, match="None of the 60 :User nodes that the model knows"):
        publish(connection, SCHEMA, publication("mkr-1"))
    assert everything(connection) == before


def test_a_label_without_known_key_is_refused(graph):
    nodes = NodeVectors("Actor", keys(1), np.ones((1, 4), dtype=np.float32))
    with pytest.raises(UsageError, match="No key property is known for :Actor"):
        publish(graph, SCHEMA, Publication("TransE", "transe-1", [nodes]))


def test_a_publish_may_be_killed_before_any_of_its_queries(graph, monkeypatch):
    monkeypatch.setattr(list_writing, "_BATCH_USERS", 20)
    monkeypatch.setattr(vector_writing, "_BATCH_ROWS", 30)
    publish(graph, SCHEMA, publication("mkr-0"))
    rng, serving, n_calls, finished = np.random.default_rng(0), "mkr-0", 0, False
    while not finished:
        wanted = publication(f"mkr-{n_calls + 1}", seed=n_calls + 1)
        with dying_after(monkeypatch, n_calls):
            try:
                publish(graph, SCHEMA, wanted)
                finished = True
            except Died:
                pass
        assert whole_lists(graph, {wanted.run, *(f"mkr-{n}" for n in range(n_calls + 1))}) == []
        check_served(graph, (serving, wanted.run))
        serving = str(graph.rows("MATCH (:KgplugModel)-[:SERVES]->(run) RETURN run.id AS id")[0]["id"])
        n_calls += int(rng.integers(4, 12))
    runs = graph.rows("MATCH (run:KgplugRun {status: 'previous'}) RETURN run.id AS id")
    check_complete(graph, wanted, str(runs[0]["id"]))
    assert n_calls > 25


@pytest.fixture
def torn(graph) -> Iterator[list[dict]]:
    """Lists that a reader, who never stops reading while the test runs, found not whole."""
    small_batches()
    found: list[dict] = []
    stop = threading.Event()
    readings = [0]

    def read() -> None:
        while not stop.is_set():
            found.extend(whole_lists(graph, {"mkr-0", "mkr-1"}))
            readings[0] += 1

    publish(graph, SCHEMA, publication("mkr-0"))
    reader = threading.Thread(target=read)
    reader.start()
    yield found
    stop.set()
    reader.join()
    assert readings[0] > 10


def test_a_killed_publisher_leaves_whole_lists_and_is_completed_by_the_next(
    graph: Connection, neo4j_server: Endpoint, torn: list[dict], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(list_writing, "_BATCH_USERS", 10)
    monkeypatch.setattr(vector_writing, "_BATCH_ROWS", 10)
    for calls in sorted(np.random.default_rng(1).choice(np.arange(8, 40), size=3, replace=False)):
        child = subprocess.run(
            [
                *(sys.executable, "-m", "tests.integration.helpers.publishing"),
                *(neo4j_server.uri, neo4j_server.username, "mkr-1", "1", str(calls)),
            ],
            input=neo4j_server.password.get_secret_value(),
            text=True,
            capture_output=True,
            cwd=Path(__file__).parents[3],
            timeout=120,
            check=False,
        )
        assert child.returncode == -9, child.stderr
        check_served(graph, ("mkr-0", "mkr-1"))
    wanted = publication("mkr-1", seed=1)
    publish(graph, SCHEMA, wanted)
    check_complete(graph, wanted, "mkr-0")
    assert torn == []


def test_what_a_dead_build_left_is_removed_by_the_next_run(graph, monkeypatch):
    publish(graph, SCHEMA, publication("mkr-0"))

    def die(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(publisher, "wait_for_indexes", die)
        with pytest.raises(Died):
            publish(graph, SCHEMA, publication("mkr-1", seed=1))
    assert graph.rows("MATCH (run:KgplugRun {status: 'building'}) RETURN run.id AS id") == [{"id": "mkr-1"}]
    report = publish(graph, SCHEMA, publication("mkr-2", seed=2))
    assert (report.previous, report.dropped) == ("mkr-0", ["mkr-1"])
    check_complete(graph, publication("mkr-2", seed=2), "mkr-0")


# Without vector indexes: they play no part in what these tests say.


def test_deleted_nodes_are_skipped_and_counted(graph):
    wanted = unindexed("mkr-1")
    graph.write("MATCH (n) WHERE (n:User AND n.id = 5) OR (n:Movie AND n.id IN [1, 2]) DETACH DELETE n")
    report = publish(graph, SCHEMA, wanted)
    assert report.missing == 3
    assert report.missing_keys == ["User 5", "Movie 1", "Movie 2"]
    assert len(edges(graph)) == report.edges == sum(e[0] != 5 and e[3] not in (1, 2) for e in expected_edges(wanted))
    assert whole_lists(graph, {"mkr-1"}, shortened=True) == []


def test_nodes_deleted_during_a_publish_are_counted(graph, monkeypatch):
    begin = catalog.begin

    def begin_and_delete(connection: Connection, record: catalog.RunRecord, token: str, *, stage: bool):
        begun = begin(connection, record, token, stage=stage)
        connection.write("MATCH (n:Movie {id: 1}) DETACH DELETE n")
        return begun

    monkeypatch.setattr(catalog, "begin", begin_and_delete)
    wanted = unindexed("mkr-1")
    report = publish(graph, SCHEMA, wanted)
    in_lists = sum(edge[3] == 1 for edge in expected_edges(wanted))
    assert report.vanished == 1 + in_lists
    assert len(edges(graph)) == report.edges == N_USERS * K - in_lists


def test_a_run_id_that_another_model_or_shape_has_is_refused(graph):
    publish(graph, SCHEMA, unindexed("run-1"))
    with pytest.raises(GraphError, match="under the name MKR, and a run has one name"):
        publish(graph, SCHEMA, unindexed("run-1", model="KGCN"))
    with pytest.raises(GraphError, match="A run does not change"):
        publish(graph, SCHEMA, replace(unindexed("run-1"), vectors=[]))
    with pytest.raises(GraphError, match="belongs to run run-1"):
        publish(graph, SCHEMA, unindexed("run_1"))


def test_an_empty_list_or_an_absent_user_loses_the_old_list(graph):
    publish(graph, SCHEMA, unindexed("mkr-1"))
    wanted = unindexed("mkr-2", seed=2, n_users=50)
    assert wanted.lists is not None
    wanted.lists.items[0] = -1  # user 1 has no list, user 2 one of two films, users 51 … 60 are not there
    wanted.lists.items[1, 2:] = -1
    report = publish(graph, SCHEMA, wanted)
    counts = Counter(edge[0] for edge in edges(graph))
    assert counts == {2: 2, **dict.fromkeys(range(3, 51), K)}
    assert report.edges == len(edges(graph)) == sum(counts.values())
    assert publish(graph, SCHEMA, wanted).lists == 0


def test_a_model_without_lists_takes_the_old_ones_away(graph):
    publish(graph, SCHEMA, unindexed("mkr-1"))
    report = publish(graph, SCHEMA, replace(unindexed("mkr-2"), lists=None))
    assert (edges(graph), report.edges, count_edges(graph)) == ([], 0, N_USERS * K)


def test_a_run_published_with_longer_lists_has_only_those(graph):
    publish(graph, SCHEMA, unindexed("mkr-1"))
    longer = unindexed("mkr-1", k=K + 2)
    report = publish(graph, SCHEMA, replace(longer, vectors=unindexed("mkr-1").vectors))
    assert edges(graph) == expected_edges(longer)
    assert (report.edges, report.previous, count_edges(graph)) == (N_USERS * (K + 2), None, N_USERS * (K + 2))


def test_a_list_that_somebody_damaged_is_mended(graph):
    wanted = unindexed("mkr-1")
    publish(graph, SCHEMA, wanted)
    graph.write("MATCH (:User {id: 3})-[r:RECOMMENDS {rank: 2}]->() DELETE r")
    graph.write("MATCH (m:Movie {id: 3}) REMOVE m." + catalog.property_name("MKR", "mkr-1"))
    report = publish(graph, SCHEMA, wanted)
    assert (report.lists, report.vectors) == (1, 1)
    assert edges(graph) == expected_edges(wanted)


def test_new_vectors_of_the_same_run_replace_the_old_ones(graph):
    publish(graph, SCHEMA, unindexed("mkr-1"))
    wanted = unindexed("mkr-1", seed=9)
    report = publish(graph, SCHEMA, wanted)
    assert report.vectors == N_USERS + N_ITEMS
    nodes = wanted.vectors[1]
    found = vectors(graph, nodes, catalog.property_name("MKR", "mkr-1"))
    assert found == dict(zip(nodes.keys, nodes.vectors.tolist(), strict=True))


def test_two_models_live_side_by_side(graph):
    mkr, kgcn = unindexed("mkr-1", seed=1), unindexed("kgcn-1", model="KGCN", seed=2)
    publish(graph, SCHEMA, mkr)
    publish(graph, SCHEMA, kgcn)
    publish(graph, SCHEMA, replace(mkr, run="mkr-2"))
    assert edges(graph, "KGCN") == expected_edges(kgcn)
    assert len(edges(graph, "MKR")) == N_USERS * K
    assert [run["id"] for run in catalog.published_models(graph)] == ["mkr-2", "kgcn-1"]
    assert catalog.serving(graph, "TransE") is None


def test_the_previous_run_serves_again_without_its_vectors_being_written(graph):
    old, new = unindexed("mkr-0", seed=0), unindexed("mkr-1", seed=1)
    for run in (old, new):
        publish(graph, SCHEMA, run)
    report = publish(graph, SCHEMA, old)
    assert (report.vectors, report.previous, report.dropped) == (0, "mkr-1", [])
    assert edges(graph) == expected_edges(old)
    assert [run["id"] for run in catalog.published_models(graph)] == ["mkr-0"]
    links = graph.rows("MATCH (a:KgplugRun)-[:PREVIOUS]->(b) RETURN a.id AS a, b.id AS b")
    assert links == [{"a": "mkr-0", "b": "mkr-1"}]
