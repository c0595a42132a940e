"""Encrypted connections to a real Neo4j whose certificate was signed by an own authority."""

from __future__ import annotations

import shutil
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import kgplug
from kgplug.errors import GraphError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.connect import connect_settings
from kgplug.graph.server.home import Endpoint
from kgplug.graph.server.local import LocalNeo4j
from kgplug.settings import Settings
from tests.integration.helpers.certificates import make_authority, sign


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Path:
    """Certificate of the authority that signed the server's."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def tls_server(authority: Path, neo4j_jars: Path, quick_java: None) -> Iterator[Endpoint]:
    """A Neo4j with a certificate for 127.0.0.1, not for localhost."""
    home = Path(tempfile.mkdtemp(prefix="kgplug-neo4j-"))
    sign(authority, home / "certificates" / "bolt", names="IP:127.0.0.1")
    config = {
        "server.bolt.tls_level": "OPTIONAL",  # kgplug looks after its own server over bolt://
        "dbms.ssl.policy.bolt.enabled": "true",
        "dbms.ssl.policy.bolt.base_directory": "certificates/bolt",
        "dbms.ssl.policy.bolt.client_auth": "NONE",
    }
    server = LocalNeo4j(home, jars=neo4j_jars, config=config)
    try:
        yield server.start(die_with_parent=True)
    finally:
        server.kill()
        shutil.rmtree(home, ignore_errors=True)


def open_with(server: Endpoint, scheme: str, *, host: str = "127.0.0.1", ca_file: Path | None = None) -> Connection:
    uri = server.uri.replace("bolt://127.0.0.1", f"{scheme}://{host}")
    return Connection.open(uri, username=server.username, password=server.password, ca_file=ca_file)


def refused(server: Endpoint, scheme: str, **given) -> str:
    """Return the one-sentence message of a connection that must be refused."""
    with pytest.raises(GraphError) as raised:
        open_with(server, scheme, **given).close()
    message = str(raised.value)
    assert "\n" not in message
    return message


def is_encrypted(connection: Connection) -> bool:
    """Tell whether the driver's sockets are TLS sockets; the server does not say."""
    connection.rows("RETURN 1")
    pools = connection._driver._pool.connections.values()
    sockets = [one.socket._socket for pool in pools for one in pool]
    return bool(sockets) and all(isinstance(each, ssl.SSLSocket) for each in sockets)


@pytest.mark.parametrize("scheme", ["bolt+s", "neo4j+s"])
def test_a_server_with_an_own_authority_is_trusted_through_its_file(tls_server, authority, scheme) -> None:
    with open_with(tls_server, scheme, ca_file=authority) as connection:
        assert connection.uri.startswith(scheme)
        assert connection.rows("RETURN 1 AS one") == [{"one": 1}]
        assert is_encrypted(connection)


@pytest.mark.parametrize("scheme", ["bolt+s", "neo4j+s"])
def test_without_the_file_the_certificate_is_not_trusted(tls_server, scheme) -> None:
    message = refused(tls_server, scheme)
    assert "is not trusted" in message and "Set NEO4J_CA_FILE" in message


def test_another_authority_is_not_trusted(tls_server, tmp_path) -> None:
    assert "is not trusted" in refused(tls_server, "bolt+s", ca_file=make_authority(tmp_path))


@pytest.mark.parametrize("scheme", ["bolt+s", "neo4j+s"])
def test_a_certificate_for_another_host_is_refused(tls_server, authority, scheme) -> None:
    assert "is for another host" in refused(tls_server, scheme, host="localhost", ca_file=authority)


@pytest.mark.parametrize("scheme", ["bolt+ssc", "neo4j+ssc"])
def test_ssc_accepts_any_certificate(tls_server, scheme) -> None:
    with open_with(tls_server, scheme) as connection:
        assert is_encrypted(connection)


@pytest.mark.parametrize("scheme", ["bolt", "neo4j", "bolt+ssc"])
def test_a_file_of_authorities_is_refused_if_nothing_is_verified(tls_server, authority, scheme) -> None:
    assert f"{scheme}:// does not verify certificates" in refused(tls_server, scheme, ca_file=authority)


def test_an_unusable_file_is_refused_in_one_sentence(tls_server, authority, tmp_path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    (tmp_path / "empty.pem").touch()
    key = authority.with_name("ca.key")
    for path in (tmp_path / "ca.pem", tmp_path / "empty.pem", key):
        assert f"{path} contains no certificate in PEM format" in refused(tls_server, "bolt+s", ca_file=path)
    for path in (tmp_path / "absent.pem", tmp_path, Path("a\0b"), Path("~nobody-there/ca.pem")):
        assert "cannot be read" in refused(tls_server, "bolt+s", ca_file=path)


def test_the_environment_and_connect_name_the_file(tls_server, authority, monkeypatch) -> None:
    uri = tls_server.uri.replace("bolt://", "bolt+s://")
    monkeypatch.setenv("NEO4J_URI", uri)
    monkeypatch.setenv("NEO4J_PASSWORD", tls_server.password.get_secret_value())
    with kgplug.connect(ca_file=str(authority)) as graph:
        assert graph.connection.uri == uri
    monkeypatch.setenv("NEO4J_CA_FILE", str(authority))
    with connect_settings(Settings()) as connection:
        assert connection.rows("RETURN 1 AS one") == [{"one": 1}]
