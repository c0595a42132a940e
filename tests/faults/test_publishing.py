"""Faults in the middle of a publish, against a real Neo4j: what served goes on serving, and the rest is done later."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kgplug.errors import GraphError
from kgplug.graph import catalog
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.publishing import plan as planning
from kgplug.graph.publishing.publisher import publish
from kgplug.graph.publishing.removing.rollback import rollback
from kgplug.graph.publishing.writing import lists as list_writing
from kgplug.graph.publishing.writing import vectors as vector_writing
from kgplug.graph.server.home import Endpoint
from kgplug.graph.server.local import LocalNeo4j
from tests.faults.cutting_proxy import CuttingProxy
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
    whole_lists,
)
from tests.integration.helpers.publishing import N_ITEMS, N_USERS, K, publication

pytestmark = NUMBERED_KEYS


@pytest.fixture
def graph(connection: Connection) -> Connection:
    return numbered_graph(connection)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_writing, "_BATCH_USERS", 10)
    monkeypatch.setattr(vector_writing, "_BATCH_ROWS", 20)


@pytest.fixture
def through_proxy(graph: Connection, neo4j_server: Endpoint) -> Iterator[tuple[Connection, CuttingProxy]]:
    """A connection to the database of `graph` through a proxy."""
    proxy = CuttingProxy(neo4j_server.uri)
    opened = Connection.open(proxy.uri, username=neo4j_server.username, password=neo4j_server.password)
    with opened:
        yield opened, proxy
    proxy.close()


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let kgplug and the driver retry soon."""
    monkeypatch.setattr("kgplug.graph.bolt.connection._FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr("neo4j._sync.work.session.retry_delay_generator", lambda *_: itertools.repeat(0.05))


def commits_of_a_publish(connection: Connection, proxy: CuttingProxy) -> int:
    """Publish a first run, and return how many COMMITs a publish takes."""
    before = proxy.commits
    publish(connection, SCHEMA, publication("mkr-0"))
    return proxy.commits - before


@pytest.mark.parametrize("answers_only", [True, False], ids=["answer lost", "COMMIT lost"])
def test_after_a_connection_cut_on_commit_the_outcome_is_checked_not_guessed(
    through_proxy: tuple[Connection, CuttingProxy],
    graph: Connection,
    small_batches: None,
    short_pauses: None,
    answers_only: bool,
):
    connection, proxy = through_proxy
    n = commits_of_a_publish(connection, proxy)
    assert n > 15
    proxy.cut(*range(3, n, 5), answers_only=answers_only)
    wanted = publication("mkr-1", seed=1)
    report = publish(connection, SCHEMA, wanted)
    assert proxy.cuts >= 3
    check_complete(graph, wanted, "mkr-0")
    assert report.edges == N_USERS * K
    assert report.vectors == N_USERS + N_ITEMS


def test_a_network_that_stays_away_ends_in_one_sentence_and_the_old_lists_serve(
    through_proxy: tuple[Connection, CuttingProxy], graph: Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kgplug.graph.bolt.connection._RETRY_TIME_S", 1)
    connection, proxy = through_proxy
    n = commits_of_a_publish(connection, proxy)
    proxy.cut(*range(n // 2, 1000), answers_only=True)
    with pytest.raises(GraphError, match="unknown whether the change was made"):
        publish(connection, SCHEMA, publication("mkr-1", seed=1))
    assert edges(graph) == expected_edges(publication("mkr-0"))
    check_served(graph, ("mkr-0",))


def test_the_batch_that_a_server_refuses_is_named(
    graph: Connection, small_batches: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(planning, "check_constraints", lambda *_: None)  # as if it came while the lists are written
    graph.autocommit(
        "CREATE CONSTRAINT no_more FOR ()-[r:RECOMMENDS]-() REQUIRE (r.model, r.run, r.rank, r.score) IS UNIQUE"
    )
    wanted = publication("mkr-0")
    assert wanted.lists is not None
    wanted.lists.scores[35] = wanted.lists.scores[31]
    with pytest.raises(GraphError, match=r"^Lists, 31 to 40 of 60: Neo4j at .*"):
        publish(graph, SCHEMA, wanted)
    assert catalog.serving(graph, "MKR") is None
    graph.autocommit("DROP CONSTRAINT no_more")
    publish(graph, SCHEMA, wanted)
    assert edges(graph) == expected_edges(wanted)


@pytest.fixture(scope="module")
def own_server(neo4j_jars: Path, quick_java: None) -> Iterator[LocalNeo4j]:
    """A server that tests may kill. Its home is on a small disk if this user may mount one."""
    home = Path(tempfile.mkdtemp(prefix="kgplug-killed-"))
    command = ["mount", "-t", "tmpfs", "-o", "size=600m", "tmpfs", str(home)]
    mounted = (
        shutil.which("mount") is not None and not subprocess.run(command, capture_output=True, check=False).returncode
    )
    server = LocalNeo4j(home / "neo4j", jars=neo4j_jars)
    try:
        yield server
    finally:
        server.kill()
        if mounted:
            subprocess.run(["umount", "-l", str(home)], check=True)
        shutil.rmtree(home, ignore_errors=True)


def connect(server: LocalNeo4j) -> Connection:
    endpoint = server.start(die_with_parent=True)
    return Connection.open(endpoint.uri, username=endpoint.username, password=endpoint.password)


def fill(connection: Connection, n_users: int = N_USERS) -> None:
    for label, n in (("User", n_users), ("Movie", N_ITEMS)):
        connection.autocommit(f"CREATE CONSTRAINT IF NOT EXISTS FOR (n:{label}) REQUIRE n.id IS UNIQUE")
        connection.write(f"UNWIND range(1, $n) AS id MERGE (:{label} {{id: id}})", n=n)


class Killing(Connection):
    """A connection that kills the server in the middle of the n-th writing of lists."""

    server: LocalNeo4j
    lists_left = 3

    def write(self, query, /, **parameters):
        if ":RECOMMENDS {" in query:
            self.lists_left -= 1
            if self.lists_left == 0:
                killer = threading.Timer(0.01, self.server.kill)
                killer.start()
        return super().write(query, **parameters)


def test_a_server_killed_during_a_publish_serves_the_old_run_and_the_publish_can_be_resumed(
    own_server: LocalNeo4j, small_batches: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kgplug.graph.bolt.connection._RETRY_TIME_S", 1)
    endpoint = own_server.start(die_with_parent=True)
    account = {"username": endpoint.username, "password": endpoint.password}
    old, wanted = publication("mkr-0"), publication("mkr-1", seed=1)
    with Killing.open(endpoint.uri, **account) as connection:
        assert isinstance(connection, Killing)
        fill(connection)
        connection.lists_left, connection.server = 10**6, own_server
        publish(connection, SCHEMA, old)
        connection.lists_left = 3
        with pytest.raises(GraphError, match=r"connection|No Neo4j server"):
            publish(connection, SCHEMA, wanted)
    with connect(own_server) as connection:
        assert edges(connection) == expected_edges(old)
        check_served(connection, ("mkr-0",))
        unfinished = catalog.unfinished_run(connection, "MKR")
        assert unfinished is not None
        assert unfinished.id == "mkr-1"
        publish(connection, SCHEMA, wanted)
        check_complete(connection, wanted, "mkr-0")


N_MANY = 600  # their lists need several times what the disk has left


def test_a_full_disk_ends_a_publish_in_one_sentence_and_the_old_run_serves(
    own_server: LocalNeo4j, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kgplug.graph.bolt.connection._RETRY_TIME_S", 1)
    disk = own_server.home.parent
    if not disk.is_mount():
        pytest.skip("this user may not mount a small disk")
    old, wanted = publication("mkr-2", n_users=N_MANY), publication("mkr-3", seed=1, n_users=N_MANY)
    with connect(own_server) as connection:  # it may run, with what the test before has published
        fill(connection, N_MANY)
        publish(connection, SCHEMA, old)
        free = shutil.disk_usage(disk).free
        (disk / "filler").write_bytes(bytes(max(0, free - 300 * 2**10)))
        with pytest.raises(GraphError) as raised:
            publish(connection, SCHEMA, wanted)
    assert "\n" not in str(raised.value)
    (disk / "filler").unlink()
    own_server.kill()  # Neo4j stops taking writes after a full disk, until it is started again
    with connect(own_server) as connection:
        serving = catalog.serving(connection, "MKR")
        assert serving is not None
        assert serving["id"] == "mkr-2"
        assert edges(connection) == expected_edges(old)
        publish(connection, SCHEMA, wanted)
        assert edges(connection) == expected_edges(wanted)
        assert count_edges(connection) == 2 * N_MANY * K


def test_kgplug_waits_for_an_index_that_is_still_populating_but_not_forever(connection: Connection):
    """Many vectors take the server a while: a publish without patience says so, and the next one goes on waiting."""
    n = 6_000
    fill(connection, n)
    wanted = publication("mkr-0", n_users=n)
    users = replace(wanted.vectors[0], vectors=np.tile(wanted.vectors[0].vectors, (1, 8)), indexed=True)
    wanted = replace(wanted, vectors=[users, wanted.vectors[1]])
    with pytest.raises(GraphError, match=r"kgplug_mkr_0_\w+ has stayed at \d+ % for 0 s\. What served before still"):
        publish(connection, SCHEMA, wanted, index_timeout_s=0)
    assert catalog.serving(connection, "MKR") is None
    report = publish(connection, SCHEMA, wanted)
    assert report.indexes == ["kgplug_mkr_0_User", "kgplug_mkr_0_Movie"]
    states = connection.rows("SHOW VECTOR INDEXES YIELD name, state RETURN name, state ORDER BY name DESC")
    assert [row["state"] for row in states] == ["ONLINE", "ONLINE"]


def test_publishing_again_changes_nothing_and_keeps_the_checksum(graph: Connection):
    wanted = publication("mkr-0")
    publish(graph, SCHEMA, wanted)
    query = (
        "MATCH (u:User)-[r:RECOMMENDS]->(m) WITH u, r, m ORDER BY elementId(r) "
        "RETURN count(r) AS n, collect([elementId(r), u.id, m.id, r.rank, r.score, r.run, r.edition]) AS all"
    )
    before, whole = graph.rows(query), everything(graph)
    report = publish(graph, SCHEMA, wanted)
    assert (report.edges, report.vectors, report.lists, report.dropped) == (0, 0, 0, [])
    assert graph.rows(query) == before
    assert everything(graph) == whole


def test_random_kills_and_rollbacks_never_show_a_list_that_is_not_whole(
    graph: Connection, small_batches: None, monkeypatch: pytest.MonkeyPatch
):
    """A reader reads on and on, while publishes die at random turns and are resumed or rolled back at random."""
    rng = np.random.default_rng(6)  # two publishes are resumed, and two rolled back
    publish(graph, SCHEMA, publication("mkr-0"))
    names, torn, stop = {f"mkr-{n}" for n in range(9)}, [], threading.Event()
    reader_connection = graph
    read = reader_connection._managed  # not the one that dies

    def never_stop() -> None:
        while not stop.is_set():
            torn.extend(_not_whole(read, names))

    reader = threading.Thread(target=never_stop)
    reader.start()
    try:
        for number in range(1, 5):
            wanted = publication(f"mkr-{number}", seed=number)
            with dying_after(monkeypatch, int(rng.integers(5, 45))), contextlib.suppress(Died):
                publish(graph, SCHEMA, wanted)
            if rng.random() < 0.5:
                publish(graph, SCHEMA, wanted)
                assert edges(graph) == expected_edges(wanted)
            elif catalog.unfinished_run(graph, "MKR") is not None:
                served = catalog.serving(graph, "MKR")
                rollback(graph, "MKR")
                assert catalog.serving(graph, "MKR") == served
            assert whole_lists(graph, names) == []
    finally:
        stop.set()
        reader.join()
    assert torn == []


def _not_whole(read, names: set[str]) -> list[dict]:
    rows = read(
        "READ",
        "MATCH (model:KgplugModel {name: 'MKR'}) WITH model.edition AS edition LIMIT 1 "
        "MATCH (u:User)-[r:RECOMMENDS {model: 'MKR', edition: edition}]->() "
        "RETURN u.id AS user, collect(r.rank) AS ranks, collect(DISTINCT r.run) AS runs",
        {},
        lambda result: result.data(),
    )
    runs = {run for row in rows for run in row["runs"]}
    whole = len(rows) == N_USERS and len(runs) == 1 and runs <= names
    return [] if whole and all(sorted(row["ranks"]) == list(range(1, K + 1)) for row in rows) else rows or [{}]
