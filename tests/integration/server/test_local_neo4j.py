"""The managed local Neo4j with a real server: safety, recovery, a clean stop."""

from __future__ import annotations

import logging
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from kgplug.errors import LocalServerError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.connect import connect_settings
from kgplug.graph.server.home import Endpoint
from kgplug.graph.server.local import LocalNeo4j
from kgplug.settings import Settings
from tests.conftest import VERSION


@pytest.fixture(scope="module")
def local(neo4j_jars: Path, quick_java: None) -> Iterator[LocalNeo4j]:
    """A local Neo4j in a home whose path has a space and an accent, as KGPLUG_HOME would have made it."""
    folder = Path(tempfile.mkdtemp(prefix="kgplug é "))
    server = LocalNeo4j(folder / "neo4j", jars=neo4j_jars)
    yield server
    server.kill()
    shutil.rmtree(folder, ignore_errors=True)


def connect(endpoint: Endpoint) -> Connection:
    return Connection.open(endpoint.uri, username=endpoint.username, password=endpoint.password)


def process_of(local: LocalNeo4j) -> psutil.Process:
    return psutil.Process(local.status().pid)


def test_a_started_server_answers_and_starting_it_again_returns_it(local) -> None:
    endpoint = local.start(die_with_parent=True)
    status = local.status()
    assert (status.state, status.uri, status.version) == ("running", endpoint.uri, VERSION.release)
    assert status.data_bytes > 0
    assert local.start() == endpoint
    assert local.status().pid == status.pid
    with connect(endpoint) as connection:
        assert connection.server_version == VERSION.release


def test_without_neo4j_uri_the_local_server_is_used(local) -> None:
    endpoint = local.start(die_with_parent=True)
    with connect_settings(Settings(kgplug_home=local.home.parent), start_local=False) as connection:
        assert (connection.uri, connection.import_dir) == (endpoint.uri, local.home / "import")


def test_load_csv_reads_the_import_folder(local) -> None:
    endpoint = local.start(die_with_parent=True)
    (endpoint.import_dir / "films.csv").write_text("id\n1\n2\n", encoding="utf-8")
    with connect(endpoint) as connection:
        query = "LOAD CSV WITH HEADERS FROM 'file:///films.csv' AS row RETURN count(row) AS n"
        assert connection.rows(query) == [{"n": 2}]


def test_only_its_owner_can_read_the_password_and_it_appears_nowhere_else(local) -> None:
    password = local.start(die_with_parent=True).password.get_secret_value()
    private = local.home / "password"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(local.home.stat().st_mode) == 0o700
    assert password not in " ".join(process_of(local).cmdline())
    assert password not in str(process_of(local).environ())
    files = [path for path in local.home.rglob("*") if path.is_file() and path != private]
    assert len(files) > 10
    assert [path for path in files if password.encode() in path.read_bytes()] == []


def test_the_default_password_never_opens_the_server(local) -> None:
    from pydantic import SecretStr

    from kgplug.errors import GraphError

    uri = local.start(die_with_parent=True).uri
    with pytest.raises(GraphError, match="refuses this user name or password"):
        Connection.open(uri, password=SecretStr("neo4j"))


def test_the_server_listens_on_loopback_only(local) -> None:
    local.start(die_with_parent=True)
    listening = [each.laddr for each in process_of(local).net_connections() if each.status == psutil.CONN_LISTEN]
    assert [address.ip.removeprefix("::ffff:") for address in listening] == ["127.0.0.1"]


def test_after_a_kill_committed_data_is_kept_even_if_pid_and_port_belong_to_others(local, caplog) -> None:
    endpoint = local.start(die_with_parent=True)
    with connect(endpoint) as connection:
        connection.write("UNWIND range(1, 50000) AS i CREATE (:Kept {i: i})")
    local.kill()
    (local.home / "neo4j.pid").write_text(f"{psutil.Process().pid}\n")
    port = int(endpoint.uri.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)), caplog.at_level(logging.WARNING):
        recovered = local.start(die_with_parent=True)
    assert f"Another program uses port {port}" in caplog.text
    with connect(recovered) as connection:
        assert connection.rows("MATCH (n:Kept) RETURN count(n) AS n, sum(n.i) AS s") == [{"n": 50000, "s": 1250025000}]


def test_a_stopped_server_is_gone_and_the_error_says_how_to_start_it(local) -> None:
    local.start(die_with_parent=True)
    process = process_of(local)
    assert local.stop() is True
    assert not process.is_running()
    assert local.status().state == "stopped"
    assert "Stopped." in local.log.read_text(encoding="utf-8")
    with pytest.raises(LocalServerError, match="kgplug db start"):
        local.endpoint()
    with pytest.raises(LocalServerError, match="kgplug db start"):
        connect_settings(Settings(kgplug_home=local.home.parent), start_local=False)
    assert local.stop() is False
