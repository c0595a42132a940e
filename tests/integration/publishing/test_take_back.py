"""Rollback, unpublish, erasing a user, dry runs and leases, against a real Neo4j."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from kgplug.data.ranking.list_difference import compare_lists
from kgplug.errors import GraphError, UsageError
from kgplug.graph import catalog
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.publishing import lease, publisher
from kgplug.graph.publishing.preview import preview
from kgplug.graph.publishing.publisher import publish
from kgplug.graph.publishing.removing import clean
from kgplug.graph.publishing.removing.erase import erase_user
from kgplug.graph.publishing.removing.rollback import rollback
from kgplug.graph.publishing.removing.unpublish import unpublish
from tests.integration.helpers.published import (
    NUMBERED_KEYS,
    SCHEMA,
    Died,
    check_served,
    count_edges,
    edges,
    everything,
    expected_edges,
    numbered_graph,
    vector_indexes,
    vectors,
    whole_lists,
)
from tests.integration.helpers.publishing import N_ITEMS, N_USERS, K, publication, unindexed

pytestmark = NUMBERED_KEYS


@pytest.fixture
def graph(connection: Connection) -> Connection:
    return numbered_graph(connection)


def interrupt(connection: Connection, monkeypatch: pytest.MonkeyPatch, wanted, step: str = "wait_for_indexes") -> None:
    """Publish, and die before a step."""

    def die(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(publisher, step, die)
        with pytest.raises(Died):
            publish(connection, SCHEMA, wanted)


def test_a_rollback_brings_the_previous_run_back_and_another_returns_the_later_one(graph):
    old, new = publication("mkr-0", seed=0), publication("mkr-1", seed=1)
    for run in (old, new):
        publish(graph, SCHEMA, run)
    report = rollback(graph, "mkr")
    assert (report.serves, report.kept, report.undone) == ("mkr-0", "mkr-1", None)
    assert edges(graph) == expected_edges(old)
    check_served(graph, ("mkr-0",))
    assert rollback(graph, "MKR").serves == "mkr-1"
    assert edges(graph) == expected_edges(new)
    before = everything(graph)
    publish(graph, SCHEMA, new)
    assert everything(graph) == before


def test_a_rollback_undoes_an_interrupted_publish_and_leaves_what_serves(graph, monkeypatch):
    old = publication("mkr-0", seed=0)
    publish(graph, SCHEMA, old)
    before = everything(graph)
    interrupt(graph, monkeypatch, publication("mkr-1", seed=1), "count_edges")
    assert count_edges(graph) > N_USERS * K
    report = rollback(graph, "MKR")
    assert (report.undone, report.serves) == ("mkr-1", "mkr-0")
    assert edges(graph) == expected_edges(old)
    after = everything(graph)
    assert after[1:] == before[1:]
    assert [row["id"] for row in after[0]] == [row["id"] for row in before[0]]
    with pytest.raises(UsageError, match="MKR has no run to go back to: run mkr-0 is the only one"):
        rollback(graph, "MKR")


def test_without_a_previous_run_there_is_one_set_of_lists(graph):
    for number in range(3):
        report = publish(graph, SCHEMA, publication(f"mkr-{number}", seed=number), keep_previous=False)
    assert (report.previous, report.dropped) == (None, ["mkr-1"])
    assert count_edges(graph) == N_USERS * K
    assert len(vector_indexes(graph)) == 1


def test_unpublishing_removes_everything_of_kgplug_and_nothing_else(graph):
    catalog.drop_constraints(graph)  # of the tests before
    graph.write("MATCH (u:User {id: 1}), (m:Movie {id: 1}) CREATE (u)-[:RECOMMENDS {by: 'a friend'}]->(m)")
    before = everything(graph)
    for number in range(2):
        publish(graph, SCHEMA, publication(f"mkr-{number}", seed=number))
    publish(graph, SCHEMA, publication("kgcn-1", model="KGCN"))
    report = unpublish(graph, "MKR")
    assert (report.runs, report.edges, len(report.indexes)) == (["mkr-0", "mkr-1"], 2 * N_USERS * K, 2)
    assert edges(graph, "KGCN") == expected_edges(publication("kgcn-1", model="KGCN"))
    unpublish(graph, "kgcn")
    assert everything(graph) == before


def test_an_interrupted_unpublish_can_be_run_again(graph, monkeypatch):
    before = everything(graph)
    publish(graph, SCHEMA, publication("mkr-0"))

    def die(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr("kgplug.graph.publishing.removing.unpublish.drop_run", die)
        with pytest.raises(Died):
            unpublish(graph, "MKR")
    assert catalog.serving(graph, "MKR") is None
    unpublish(graph, "MKR")
    assert everything(graph) == before


@contextmanager
def publishing_elsewhere(connection: Connection, model: str = "MKR") -> Iterator[None]:
    """Hold the lease on a model in another thread, until the block ends."""
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lease.leased(connection, model):
            taken.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert taken.wait(30)
    try:
        yield
    finally:
        done.set()
        holder.join()


def test_the_lease_of_a_dead_owner_elsewhere_runs_out(graph, monkeypatch):
    monkeypatch.setattr(lease, "LEASE_MS", 1500)
    monkeypatch.setattr(lease, "_machine", lambda: "elsewhere.1")
    with monkeypatch.context() as patch, pytest.raises(Died), lease.leased(graph, "MKR"):
        patch.setattr(Connection, "write", lambda *_, **__: (_ for _ in ()).throw(Died))
        raise Died
    monkeypatch.setattr(lease, "_machine", lambda: "here.1")
    began = time.monotonic()
    with pytest.raises(GraphError, match=r"on elsewhere \(process"), lease.leased(graph, "MKR"):
        pass
    while time.monotonic() - began < 120:
        try:
            with lease.leased(graph, "MKR"):
                break
        except GraphError:
            time.sleep(0.2)
    assert 0.5 < time.monotonic() - began < 120


def test_a_lease_is_renewed_while_its_holder_works(graph, monkeypatch):
    monkeypatch.setattr(lease, "LEASE_MS", 1000)
    with publishing_elsewhere(graph):
        time.sleep(2)
        with pytest.raises(GraphError, match="is being published"), lease.leased(graph, "MKR"):
            pass


def test_lists_without_a_common_item_have_no_rank_to_move_by():
    before = publication("mkr-0").lists
    assert before is not None
    after = replace(before, item_keys=np.array([f"other {key}" for key in before.item_keys], dtype=object))
    told = str(compare_lists(before, after, k=(1,)))
    assert "overlap@1 0.000; no item is in both lists." in told and "nan" not in told


def test_lists_are_compared_item_by_item():
    one, other = publication("mkr-0", seed=0).lists, publication("mkr-1", seed=1, n_users=50).lists
    assert one is not None
    assert other is not None
    found = compare_lists(one, other, k=(1, 5))
    pairs = [
        (list(one.items[user]), list(other.items[user]) if user < 50 else []) for user in range(N_USERS)
    ]  # literally
    assert found.users == N_USERS
    assert found.added == sum(len(set(after) - set(before)) for before, after in pairs)
    assert found.removed == sum(len(set(before) - set(after)) for before, after in pairs)
    kept = sum(b == a for before, after in pairs for b, a in zip(before, after, strict=False))
    assert found.kept == kept
    shared = [(before.index(i), after.index(i)) for before, after in pairs for i in set(before) & set(after)]
    assert found.moved == len(shared) - kept
    assert found.rank_churn == pytest.approx(np.mean([abs(b - a) for b, a in shared]))
    assert found.overlap[5] == pytest.approx(np.mean([len(set(b) & set(a)) / K for b, a in pairs[:50]]))
    assert found.overlap[1] == pytest.approx(np.mean([b[0] == a[0] for b, a in pairs[:50]]))
    assert compare_lists(one, one).changed == 0


# Without vector indexes: they play no part in what these tests say.


def test_a_rollback_undoes_other_lists_of_the_serving_run(graph, monkeypatch):
    wanted = unindexed("mkr-0")
    publish(graph, SCHEMA, wanted)
    interrupt(graph, monkeypatch, replace(unindexed("mkr-0", k=K + 2), vectors=wanted.vectors), "count_edges")
    assert edges(graph) == expected_edges(wanted)
    assert rollback(graph, "MKR").undone == "mkr-0"
    assert edges(graph) == expected_edges(wanted)
    assert count_edges(graph) == N_USERS * K
    assert catalog.unfinished_run(graph, "MKR") is None


def test_a_rollback_of_an_unknown_model_names_the_known_ones(graph):
    with pytest.raises(UsageError, match=r'No model of the graph is called "MKR"\. No model is in this graph'):
        rollback(graph, "MKR")
    publish(graph, SCHEMA, unindexed("mkr-0"))
    with pytest.raises(UsageError, match=r"In the graph: MKR\."):
        unpublish(graph, "KGCN")


def test_lists_that_served_a_moment_ago_stay_for_a_few_seconds(graph, monkeypatch):
    slept, sleep = [], time.sleep
    monkeypatch.setattr(clean, "GRACE_S", 7.0)
    monkeypatch.setattr(clean.time, "sleep", lambda s: slept.append((s, count_edges(graph))) if s == 7 else sleep(s))
    publish(graph, SCHEMA, unindexed("mkr-0"))
    publish(graph, SCHEMA, unindexed("mkr-1", seed=1))
    assert slept == []
    publish(graph, SCHEMA, replace(unindexed("mkr-1", seed=2), vectors=unindexed("mkr-1", seed=1).vectors))
    publish(graph, SCHEMA, unindexed("mkr-2", seed=3), keep_previous=False)
    assert slept == [(7.0, 3 * N_USERS * K), (7.0, 3 * N_USERS * K)]
    assert count_edges(graph) == N_USERS * K


def test_an_erased_user_has_neither_edges_nor_vectors_and_the_rest_stays(graph):
    for number in range(2):
        publish(graph, SCHEMA, unindexed(f"mkr-{number}", seed=number))
    graph.write("MATCH (u:User {id: 7}), (m:Movie {id: 1}) CREATE (u)-[:RECOMMENDS {by: 'a friend'}]->(m)")
    wanted = unindexed("mkr-1", seed=1)
    report = erase_user(graph, SCHEMA, 7)
    assert (report.edges, report.vectors) == (2 * K, ["kgplug_mkr_0", "kgplug_mkr_1"])
    assert report.found == (0, [])
    (row,) = graph.rows(report.proof)
    assert (row["edges"], row["vectors"]) == (0, [])
    assert edges(graph) == [edge for edge in expected_edges(wanted) if edge[0] != 7]
    assert len(vectors(graph, wanted.vectors[0], "kgplug_mkr_1")) == N_USERS - 1
    assert graph.rows("MATCH (:User {id: 7})-[r]->() RETURN r.by AS by") == [{"by": "a friend"}]
    assert report.before == (2 * K, ["kgplug_mkr_0", "kgplug_mkr_1"])
    strange = 'ann "O\'Hara" \\'
    graph.write("CREATE (:User {id: $id})", id=strange)
    assert erase_user(graph, SCHEMA, strange).found == (0, [])


def test_a_dry_run_reports_what_would_change_and_writes_nothing(graph):
    publish(graph, SCHEMA, unindexed("mkr-0"))
    wanted = unindexed("mkr-1")
    assert wanted.lists is not None
    wanted.lists.items[0, :2] = wanted.lists.items[0, 1::-1]  # user 1: two films change places
    wanted.lists.items[1, 4] = next(i for i in range(N_ITEMS) if i not in wanted.lists.items[1])  # user 2: another one
    wanted.lists.items[2, 3:] = -1  # user 3: two less
    before = everything(graph)
    found = preview(graph, SCHEMA, wanted)
    assert everything(graph) == before
    one = found.lists
    assert (one.users, one.changed, one.added, one.removed, one.moved) == (N_USERS, 3, 1, 3, 2)
    assert (found.serves, found.edges, found.vectors) == ("mkr-0", N_USERS * K - 2, N_USERS + N_ITEMS)
    assert found.seconds > 0
    assert "Dry run: nothing was written." in str(found)
    publish(graph, SCHEMA, wanted)
    again = preview(graph, SCHEMA, wanted)
    assert (again.lists.changed, again.edges, again.vectors) == (0, 0, 0)


def test_a_dry_run_of_a_first_publish_adds_everything_that_has_a_node(graph):
    graph.write("MATCH (m:Movie {id: 1}) DETACH DELETE m")
    wanted = unindexed("mkr-0")
    found = preview(graph, SCHEMA, wanted)
    report = publish(graph, SCHEMA, wanted)
    assert found.lists.added == found.edges == report.edges
    assert found.missing == 1
    assert "overlap" not in str(found.lists) and "nan" not in str(found.lists)  # with nothing


def test_a_second_publisher_learns_who_publishes_since_when_and_other_models_are_not_blocked(graph):
    publish(graph, SCHEMA, unindexed("mkr-0"))
    with publishing_elsewhere(graph):
        with pytest.raises(GraphError, match=r"published by \w+ on .+ \(process \d+\), since 2\d{3}-.+ UTC"):
            publish(graph, SCHEMA, unindexed("mkr-1", seed=1))
        for refused in (lambda: rollback(graph, "MKR"), lambda: unpublish(graph, "MKR")):
            with pytest.raises(GraphError, match="MKR is being published"):
                refused()
        with pytest.raises(GraphError, match="MKR is being published"):
            erase_user(graph, SCHEMA, 1)
        assert edges(graph) == expected_edges(unindexed("mkr-0"))
        publish(graph, SCHEMA, unindexed("kgcn-1", model="KGCN"))
    assert publish(graph, SCHEMA, unindexed("mkr-1", seed=1)).previous == "mkr-0"
    assert {row["p"].get("lease_token") for row in everything(graph)[0]} == {None}
    assert count_edges(graph) == 3 * N_USERS * K


def test_a_publisher_that_lost_its_lease_stops_before_the_pointer_moves(graph, monkeypatch):
    publish(graph, SCHEMA, unindexed("mkr-0"))

    def steal(connection: Connection, *_: object, **__: object) -> int:
        connection.write("MATCH (m:KgplugModel {name: 'MKR'}) SET m.lease_token = 'eve@there.1/1/abc'")
        return 0

    monkeypatch.setattr(publisher, "count_edges", steal)
    with pytest.raises(GraphError, match="had no contact with the database for so long"):
        publish(graph, SCHEMA, unindexed("mkr-1", seed=1))
    assert edges(graph) == expected_edges(unindexed("mkr-0"))


def test_the_pointer_never_shows_two_lists_or_none(graph):
    """Readers who never stop, while the pointer flips many times."""
    runs = [unindexed(f"mkr-{number}", seed=number) for number in range(2)]
    for run in runs:
        publish(graph, SCHEMA, run)
    stop, torn, readings = threading.Event(), [], [0, 0]

    def read(number: int) -> None:
        while not stop.is_set():
            torn.extend(whole_lists(graph, {"mkr-0", "mkr-1"}))
            readings[number] += 1

    readers = [threading.Thread(target=read, args=(number,)) for number in range(2)]
    for reader in readers:
        reader.start()
    flips = 40
    for _ in range(flips):
        rollback(graph, "MKR")
    stop.set()
    for reader in readers:
        reader.join()
    assert torn == []
    assert min(readings) > flips / 4
    assert edges(graph) == expected_edges(runs[1])


def test_edges_that_the_server_lost_or_duplicated_are_found_by_counting_and_repaired(graph, monkeypatch):
    publish(graph, SCHEMA, unindexed("mkr-0"))
    counted = publisher.count_edges
    damage = [
        "MATCH (:User {id: 5})-[r:RECOMMENDS {run: 'mkr-1'}]->() DELETE r",
        "MATCH (u:User {id: 6})-[r:RECOMMENDS {run: 'mkr-1', rank: 1}]->(m) CREATE (u)-[s:RECOMMENDS]->(m) "
        "SET s = properties(r)",
    ]

    def count(connection: Connection, edge: str, edition) -> int:
        if edge == catalog.RECOMMENDS:
            connection.write(damage.pop(0))
        return counted(connection, edge, edition)

    monkeypatch.setattr(publisher, "count_edges", count)
    for seed in (1, 2):
        wanted = unindexed("mkr-1", seed=seed)  # the second time with other lists
        publish(graph, SCHEMA, wanted)
        assert edges(graph) == expected_edges(wanted)
    assert damage == []
