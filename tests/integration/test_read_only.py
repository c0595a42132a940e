"""A real Neo4j whose database takes no writes: told by a check, and before a publish does any work."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kgplug.errors import GraphError
from kgplug.graph.check import check
from kgplug.graph.connection import Connection
from kgplug.graph.local import LocalNeo4j
from kgplug.graph.privileges import missing_privileges, require_publish
from kgplug.graph.schema import GraphSchema


def test_an_account_of_community_edition_may_publish(connection: Connection) -> None:
    assert missing_privileges(connection, "read") == missing_privileges(connection, "publish") == []
    require_publish(connection)


@pytest.fixture(scope="module")
def read_only(neo4j_jars: Path, quick_java: None) -> Iterator[Connection]:
    """A connection to a database that was written once and is read-only since."""
    home = Path(tempfile.mkdtemp(prefix="kgplug-neo4j-"))
    try:
        writable = LocalNeo4j(home, jars=neo4j_jars)
        writable.start(die_with_parent=True)
        writable.stop()
        server = LocalNeo4j(home, jars=neo4j_jars, config={"server.databases.read_only": "neo4j"})
        endpoint = server.start(die_with_parent=True)
        with Connection.open(endpoint.uri, username=endpoint.username, password=endpoint.password) as opened:
            yield opened
    finally:
        LocalNeo4j(home, jars=neo4j_jars).kill()
        shutil.rmtree(home, ignore_errors=True)


def test_a_read_only_database_is_told_before_anything_is_written(read_only: Connection) -> None:
    assert missing_privileges(read_only, "read") == []
    with pytest.raises(GraphError, match=r"may not publish into database 'neo4j'.*the database 'neo4j' is read-only"):
        require_publish(read_only)
    with pytest.raises(GraphError, match="read-only mode"):  # as the server sees it, too
        read_only.write("CREATE ()")
    (finding,) = (one for one in check(read_only, GraphSchema()).findings if one.check == "privileges")
    assert (finding.level, "the database 'neo4j' is read-only" in finding.finding) == ("warning", True)
