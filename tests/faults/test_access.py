"""A database that may only be read, on a real server: what is missing is named before any work."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kgplug.errors import GraphError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.check import check
from kgplug.graph.privileges import WRITE_ACCESS, missing_privileges, require_publish
from kgplug.graph.publishing.publisher import publish
from kgplug.graph.reading.reader import read_interactions
from kgplug.graph.schema import GraphSchema
from kgplug.graph.server.home import Endpoint
from kgplug.graph.server.local import LocalNeo4j
from tests.integration.helpers.publishing import publication

SCHEMA = GraphSchema()


def opened(server: Endpoint) -> Connection:
    return Connection.open(server.uri, username=server.username, password=server.password)


@pytest.fixture(scope="module")
def read_only(neo4j_jars: Path, quick_java: None) -> Iterator[Connection]:
    """A graph with feedback whose server has been told that it may not change."""
    home = Path(tempfile.mkdtemp(prefix="kgplug-read-only-"))
    writing = LocalNeo4j(home, jars=neo4j_jars)
    reading = LocalNeo4j(home, jars=neo4j_jars, config={"server.databases.read_only": "neo4j"})
    try:
        with opened(writing.start(die_with_parent=True)) as connection:
            for label in ("User", "Movie"):
                connection.autocommit(f"CREATE CONSTRAINT FOR (n:{label}) REQUIRE n.id IS UNIQUE")
                connection.write(f"UNWIND range(1, 30) AS id CREATE (:{label} {{id: id}})")
            connection.write("MATCH (u:User), (m:Movie) WHERE (u.id + m.id) % 7 = 0 CREATE (u)-[:RATED]->(m)")
            connection.write("MATCH (m:Movie) CREATE (m)-[:NEXT]->(m)")
        writing.stop()
        with opened(reading.start(die_with_parent=True)) as connection:
            yield connection
    finally:
        reading.kill()
        shutil.rmtree(home, ignore_errors=True)


def everything(connection: Connection) -> tuple[list, list]:
    counts = connection.rows("MATCH (n) OPTIONAL MATCH (n)-[r]->() RETURN count(DISTINCT n) AS n, count(r) AS r")
    return counts, connection.rows("SHOW CONSTRAINTS YIELD name RETURN name ORDER BY name")


def test_a_publish_into_a_read_only_database_is_refused_before_any_work(read_only: Connection) -> None:
    before = everything(read_only)
    with pytest.raises(GraphError, match=r'"neo4j" at bolt://[0-9.:]+ is read-only: the privilege WRITE is missing'):
        require_publish(read_only)
    with pytest.raises(GraphError, match=r"the privilege WRITE is missing\. Nothing was changed"):
        publish(read_only, SCHEMA, publication("mkr-1"))
    assert everything(read_only) == before


def test_a_read_only_account_can_read_what_training_needs(read_only: Connection) -> None:
    assert missing_privileges(read_only, "read") == []
    assert read_interactions(read_only, SCHEMA).n_users == 30


def test_check_reports_that_training_is_possible_and_publishing_is_not(read_only: Connection) -> None:
    report = check(read_only, SCHEMA)
    found = {finding.check: (finding.level, finding.finding) for finding in report.findings}
    assert found["may read"][0] == "ok"
    assert found["may publish"] == ("warning", f"missing: {WRITE_ACCESS} (docs/privileges.md)")
    assert report.ok, report.findings


def test_no_privilege_is_missing_if_writing_is_allowed(connection: Connection) -> None:
    assert missing_privileges(connection, "publish") == missing_privileges(connection, "read") == []
    require_publish(connection)
