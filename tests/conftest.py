"""A real Neo4j for the tests: one server a session, in a temporary folder, killed with the test run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from kgplug.graph.connection import Connection
from kgplug.graph.queries import quote
from kgplug.graph.server.home import Endpoint
from kgplug.graph.server.local import LocalNeo4j
from kgplug.settings import Settings

# Busy machines are slow now and then: no example fails for the time it takes.
hypothesis_settings.register_profile("kgplug", deadline=None)
hypothesis_settings.load_profile("kgplug")


@pytest.fixture(autouse=True)
def no_server_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tests away from a database that the environment points at."""
    for name in ("NEO4J_URI", "NEO4J_USERNAME", "NEO4J_PASSWORD", "NEO4J_DATABASE", "NEO4J_CA_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def a_checkpoint_after_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trainings write checkpoints as often as they can, so that tests can stop them anywhere."""
    monkeypatch.setenv("KGPLUG_CHECKPOINT_S", "0")


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delete lists as soon as they stop serving; otherwise they stay a while for those who are reading them."""
    monkeypatch.setattr("kgplug.graph.publishing.clean.GRACE_S", 0.0)


@pytest.fixture(scope="session")
def neo4j_jars() -> Path:
    """Folder of the server's jars: the normal one, so that they are downloaded once a machine."""
    return Settings().neo4j_dir / "jars"


@pytest.fixture(scope="session")
def quick_java() -> Iterator[None]:
    """Let Java compile less, so that a server is up in half the time."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")
        yield


@pytest.fixture(scope="session")
def neo4j_server(neo4j_jars: Path, quick_java: None) -> Iterator[Endpoint]:
    """A running Neo4j of the tests' own."""
    home = Path(tempfile.mkdtemp(prefix="kgplug-neo4j-"))
    server = LocalNeo4j(home, jars=neo4j_jars)
    try:
        yield server.start(die_with_parent=True)
    finally:
        server.kill()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def connection(neo4j_server: Endpoint) -> Iterator[Connection]:
    """A connection to an empty database: no nodes, no indexes, no constraints."""
    opened = Connection.open(
        neo4j_server.uri,
        username=neo4j_server.username,
        password=neo4j_server.password,
        import_dir=neo4j_server.import_dir,
    )
    with opened:
        empty(opened)
        yield opened


def empty(connection: Connection) -> None:
    """Remove everything from a database."""
    for row in connection.rows("SHOW CONSTRAINTS YIELD name"):
        connection.autocommit(f"DROP CONSTRAINT {quote(row['name'])}")
    for row in connection.rows("SHOW INDEXES YIELD name, type WHERE type <> 'LOOKUP'"):
        connection.autocommit(f"DROP INDEX {quote(row['name'])}")
    connection.autocommit("MATCH (n) CALL { WITH n DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS")
    for file in (connection.import_dir or Path("absent")).glob("*"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
