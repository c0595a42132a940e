"""A real server that is down, refuses, deadlocks, hangs or dies: one sentence each, within a time-out."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import neo4j
import pytest
from pydantic import SecretStr

from kgplug.errors import GraphError
from kgplug.graph.bolt import connection as connection_module
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.importing.importer import import_folder
from kgplug.graph.server.home import Endpoint
from kgplug.graph.server.local import LocalNeo4j
from tests.conftest import empty
from tests.faults.command import kgplug, sentence
from tests.faults.conftest import fill, opened
from tests.faults.proxy import proxied

SECRET = "s3cret-w0rd"
COMMANDS = [("check",), ("init",), ("train", "MF"), ("recommend", "1"), ("cypher", "health", "--run")]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_server_that_is_down_is_one_line_with_its_uri_and_no_password(tmp_path: Path, command: tuple) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        uri = f"bolt://127.0.0.1:{free.getsockname()[1]}"
    began = time.monotonic()
    result = kgplug(*command, home=tmp_path, endpoint=None, NEO4J_URI=uri, NEO4J_PASSWORD=SECRET)
    assert f"No Neo4j server answers at {uri} (Connection refused)" in sentence(result)
    assert len(result.stderr.splitlines()) == 1 and not result.stdout
    assert SECRET not in result.stderr
    assert time.monotonic() - began < 240  # 15 s of retries, and what a busy machine takes to start


def test_a_wrong_password_is_tried_once_and_never_shown(neo4j_server: Endpoint, tmp_path: Path) -> None:
    with proxied(neo4j_server.uri) as proxy:
        wrong = Endpoint(proxy.uri, "nobody", SecretStr(SECRET), neo4j_server.import_dir)
        result = kgplug("check", home=tmp_path, endpoint=wrong)
        assert proxy.n_talks == 1
    assert sentence(result) == (
        f"The server at {proxy.uri} refuses this user name or password. Set NEO4J_USERNAME and NEO4J_PASSWORD to valid "
        "ones."
    )
    assert SECRET not in result.stderr + result.stdout


def test_debug_logs_and_exceptions_of_a_failed_login_hold_no_password(
    neo4j_server: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("neo4j", "neo4j.io", "neo4j.pool", "kgplug"):
        caplog.set_level(logging.DEBUG, logger=name)
    with pytest.raises(GraphError) as raised:
        Connection.open(neo4j_server.uri, username="nobody", password=SecretStr(SECRET))
    shown = "".join(traceback.format_exception(raised.value))
    error: BaseException | None = raised.value
    while error is not None:
        shown += repr(error) + repr(vars(error)) + repr(error.args)
        error = error.__cause__ or error.__context__
    assert any(record.name == "neo4j.io" and "LOGON" in record.getMessage() for record in caplog.records)
    assert SECRET not in caplog.text
    assert SECRET not in shown


PROGRAM = """
import logging
logging.basicConfig(level=logging.DEBUG)
from kgplug.cli import main
main()
"""


def test_a_program_at_debug_level_prints_no_password_when_its_login_fails(
    neo4j_server: Endpoint, tmp_path: Path
) -> None:
    wrong = Endpoint(neo4j_server.uri, "nobody", SecretStr(SECRET), neo4j_server.import_dir)
    result = kgplug("check", home=tmp_path, endpoint=wrong, code=PROGRAM)
    assert result.returncode == 1
    assert "DEBUG:neo4j" in result.stderr
    assert SECRET not in result.stderr + result.stdout


@pytest.mark.parametrize(
    "uri",
    [
        f"bolt://neo4j:{SECRET}@localhost:7687",
        f"neo4j:{SECRET}@localhost:7687",
        f"bolt://neo4j:{SECRET}@localhost:port",
    ],
)
def test_a_password_in_a_uri_is_not_shown_however_malformed_it_is(tmp_path: Path, uri: str) -> None:
    result = kgplug("check", home=tmp_path, endpoint=None, NEO4J_URI=uri, NEO4J_PASSWORD="x")
    assert "contains a user name or password" in sentence(result)
    assert SECRET not in result.stderr + result.stdout


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """What queries managed transactions were asked, retries included: (thread, seconds)."""
    made, run = [], neo4j.ManagedTransaction.run

    def counted(self: neo4j.ManagedTransaction, *args: object, **more: object) -> neo4j.Result:
        made.append((threading.get_ident(), time.monotonic()))
        return run(self, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(neo4j.ManagedTransaction, "run", counted)
    return made


def test_writers_that_deadlock_are_retried_until_all_is_written(
    connection: Connection, attempts: list[tuple[int, float]]
) -> None:
    n_nodes, n_rounds = 300, 10
    connection.write("UNWIND range(1, $n) AS i CREATE (:N {i: i, x: 0})", n=n_nodes)
    query = "UNWIND $ids AS i MATCH (n:N {i: i}) SET n.x = n.x + 1"
    upwards, downwards = list(range(1, n_nodes + 1)), list(range(n_nodes, 0, -1))
    attempts.clear()

    def write(ids: list[int]) -> None:
        for _ in range(n_rounds):
            connection.write(query, ids=ids)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, [upwards, downwards] * 2))
    assert len(attempts) > 4 * n_rounds  # deadlocks there were
    assert connection.rows("MATCH (n:N) RETURN min(n.x) AS least, max(n.x) AS most") == [{"least": 40, "most": 40}]


@pytest.fixture(scope="module")
def impatient_server(
    neo4j_jars: Path, quick_java: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalNeo4j]:
    """A server that waits a short time for locks and for silent connections. Tests may kill it."""
    config = {"db.lock.acquisition.timeout": "200ms", "server.bolt.connection_keep_alive": "3s"}
    server = LocalNeo4j(tmp_path_factory.mktemp("impatient") / "neo4j", jars=neo4j_jars, config=config)
    yield server
    server.kill()


def test_a_lasting_error_is_retried_with_growing_pauses_up_to_a_limit(
    impatient_server: LocalNeo4j, attempts: list[tuple[int, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "_RETRY_TIME_S", 4)
    endpoint = impatient_server.start(die_with_parent=True)
    with opened(endpoint) as connection:
        connection.write("CREATE (:Locked {by: 0})")
        with connection.session() as session, session.begin_transaction() as owner:
            owner.run("MATCH (n:Locked) SET n.by = 1").consume()
            attempts.clear()
            with pytest.raises(GraphError) as raised:
                connection.write("MATCH (n:Locked) SET n.by = 2")
            times = [when for _, when in attempts]
            owner.commit()
        assert connection.rows("MATCH (n:Locked) RETURN n.by AS by") == [{"by": 1}]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert 3 <= len(times) <= 5, pauses
    assert pauses == sorted(pauses) and pauses[-1] > 1.3 * pauses[0]
    assert f"Neo4j at {endpoint.uri} still failed after 4 s of retries: " in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_read_continues_after_its_connection_was_cut(neo4j_server: Endpoint, connection: Connection) -> None:
    with proxied(neo4j_server.uri) as proxy, opened(neo4j_server, proxy.uri) as cut:
        assert cut.rows("RETURN 1 AS x") == [{"x": 1}]
        proxy.cut()
        assert cut.rows("RETURN 2 AS x") == [{"x": 2}]


def working(connection: Connection, folder: Path) -> None:
    """Import without end."""
    while True:
        import_folder(connection, folder)


def rows_without_end(folder: Path) -> Path:
    (folder / "nodes").mkdir(parents=True)
    (folder / "nodes" / "A.csv").write_text("id:int\n" + "".join(f"{n}\n" for n in range(200_000)))
    return folder


@pytest.mark.parametrize("how", ["killed", "hangs"])
def test_a_server_that_dies_or_hangs_during_work_is_reported_in_one_sentence_in_time(
    impatient_server: LocalNeo4j, tmp_path: Path, how: str
) -> None:
    endpoint = impatient_server.start(die_with_parent=True)
    pid = impatient_server.status().pid
    with opened(endpoint) as connection, ThreadPoolExecutor(1) as pool:
        empty(connection)
        work = pool.submit(working, connection, rows_without_end(tmp_path / "rows"))
        deadline = time.monotonic() + 120
        while connection.rows("MATCH (n:A) RETURN count(n) AS n")[0]["n"] == 0:
            assert time.monotonic() < deadline
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL if how == "killed" else signal.SIGSTOP)
        try:
            with pytest.raises(GraphError) as raised:
                work.result(timeout=120)
        finally:
            os.kill(pid, signal.SIGKILL)
    assert "\n" not in str(raised.value)
    assert endpoint.uri in str(raised.value)
    assert time.monotonic() - began < 90


def test_a_server_whose_disk_fills_up_during_an_import_keeps_its_data_and_the_next_import_completes_it(
    start_server: Callable, small_disk: Callable[[int], Path], tmp_path: Path
) -> None:
    n_nodes, text, folder, disk = 20_000, "y" * 1000, tmp_path / "rows", small_disk(300)
    (folder / "nodes").mkdir(parents=True)
    rows = "".join(f"{number},{text}\n" for number in range(n_nodes))
    (folder / "nodes" / "A.csv").write_text("id:int,text\n" + rows)
    server, endpoint = start_server(disk / "neo4j")
    with opened(endpoint) as connection:
        connection.write("CREATE (:B)")
        filling = fill(disk, leaving_kb=500)
        with pytest.raises(
            GraphError, match=r"A copy of nodes/A.csv .* No space left on device\..* free some space"
        ) as raised:
            import_folder(connection, folder)
        assert "\n" not in str(raised.value)
        assert list((disk / "neo4j" / "import").iterdir()) == []
        connection.import_dir = None  # the rows travel as parameters: it is the server that finds the disk full
        filling.unlink()
        filling = fill(disk, leaving_kb=3000)
        with pytest.raises(GraphError, match=r"can no longer write: .* a full disk") as raised:
            import_folder(connection, folder)
        assert "\n" not in str(raised.value) and "kill" not in str(raised.value)
        filling.unlink()
    server.stop()
    with opened(server.start(die_with_parent=True)) as connection:
        (left,) = connection.rows("MATCH (n) RETURN count(n) AS n, count{(:B)} AS b")
        assert 0 < left["n"] <= n_nodes and left["b"] == 1
        import_folder(connection, folder)
        assert connection.rows("MATCH (n:A) RETURN count(DISTINCT n.id) AS n") == [{"n": n_nodes}]
