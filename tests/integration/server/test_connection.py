"""Connecting, querying, and one sentence for everything that a server or the network refuses."""

from __future__ import annotations

import http.server
import socket
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from kgplug.errors import GraphError
from kgplug.graph.bolt import connection as connection_module
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.bolt.server_errors import translated_errors
from kgplug.graph.connect import connect_settings
from kgplug.graph.queries import quote
from kgplug.graph.server.home import Endpoint
from kgplug.graph.server.local import LocalNeo4j
from kgplug.settings import Settings
from tests.conftest import VERSION


def open_with(endpoint: Endpoint, **changes) -> Connection:
    arguments = {"uri": endpoint.uri, "username": endpoint.username, "password": endpoint.password, **changes}
    return Connection.open(arguments.pop("uri"), **arguments)


def refused(endpoint: Endpoint, **changes) -> str:
    """Return the one-sentence message of a connection that must be refused."""
    with pytest.raises(GraphError) as raised:
        open_with(endpoint, **changes).close()
    message = str(raised.value)
    assert "\n" not in message
    assert endpoint.password.get_secret_value() not in message
    return message


def test_a_connection_reads_what_it_wrote(connection) -> None:
    counters = connection.write("UNWIND $xs AS x CREATE (:A {x: x})", xs=np.arange(3))
    assert (counters["nodes_created"], counters["properties_set"], counters["relationships_created"]) == (3, 3, 0)
    assert connection.rows("MATCH (a:A) RETURN a.x AS x ORDER BY x") == [{"x": 0}, {"x": 1}, {"x": 2}]


def test_each_test_starts_with_an_empty_database(connection) -> None:
    assert connection.rows("MATCH (n) RETURN count(n) AS n") == [{"n": 0}]


def test_a_connection_knows_its_server_and_database(connection, neo4j_server) -> None:
    assert (connection.server_version, connection.edition) == (VERSION.release, "community")
    assert (connection.database, connection.uri) == ("neo4j", neo4j_server.uri)


def test_a_frame_has_its_columns_even_without_rows(connection) -> None:
    frame = connection.frame("MATCH (n:Absent) RETURN n.a AS a, n.b AS b")
    assert (list(frame.columns), len(frame)) == (["a", "b"], 0)
    assert connection.frame("UNWIND [1, 2] AS x RETURN x, x * x AS y").to_numpy().tolist() == [[1, 1], [2, 4]]


def test_parameters_may_have_any_name(connection) -> None:
    rows = connection.rows("RETURN $query AS query, $self AS self, $parameters AS p", query=1, self=2, parameters=3)
    assert rows == [{"query": 1, "self": 2, "p": 3}]


def test_autocommit_runs_schema_commands_and_batched_transactions(connection) -> None:
    connection.autocommit("CREATE CONSTRAINT FOR (a:A) REQUIRE a.x IS UNIQUE")
    connection.autocommit("UNWIND range(1, 10) AS x CALL (x) { CREATE (:A {x: x}) } IN TRANSACTIONS OF 3 ROWS")
    assert connection.autocommit("MATCH (a:A) RETURN count(a) AS n") == [{"n": 10}]


def test_a_raw_session_works_within_translated_errors(connection) -> None:
    with translated_errors(connection.uri), connection.session(access="READ") as session:
        assert session.run("RETURN 1").single(strict=True)[0] == 1
    with (
        pytest.raises(GraphError, match="Writing in read access mode"),
        translated_errors(connection.uri),
        connection.session(access="READ") as session,
    ):
        session.run("CREATE ()").consume()


def test_other_exceptions_pass_translated_errors_unchanged() -> None:
    with pytest.raises(KeyError), translated_errors("bolt://localhost"):
        raise KeyError("mine")


def test_a_vector_index_can_be_made(connection) -> None:
    connection.autocommit(
        "CREATE VECTOR INDEX v FOR (n:V) ON (n.v) "
        "OPTIONS {indexConfig: {`vector.dimensions`: 2, `vector.similarity_function`: 'cosine'}}"
    )
    assert connection.rows("SHOW INDEXES YIELD name, type WHERE type = 'VECTOR'") == [{"name": "v", "type": "VECTOR"}]


@settings(max_examples=5)
@given(st.lists(st.text(min_size=1).filter(lambda text: "\\" not in text and "\0" not in text), max_size=20))
def test_a_quoted_identifier_reaches_the_server_as_it_was(neo4j_server, names) -> None:
    pairs = ", ".join(f"{quote(name)}: {index}" for index, name in enumerate(names))
    with open_with(neo4j_server) as connection:
        expected = {name: index for index, name in enumerate(names)}
        assert connection.rows(f"RETURN {{{pairs}}} AS map") == [{"map": expected}]


def test_a_wrong_password_is_refused(neo4j_server) -> None:
    assert "refuses this user name or password" in refused(neo4j_server, password=SecretStr("wrong"))
    assert "refuses this user name or password" in refused(neo4j_server, username="nobody")


def test_the_error_for_an_unknown_database_lists_the_existing_ones(neo4j_server) -> None:
    assert "no database 'films'" in refused(neo4j_server, database="films")
    assert "Set NEO4J_DATABASE to one of: neo4j." in refused(neo4j_server, database="films")


def test_a_server_that_is_down_is_reported_at_once(neo4j_server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    message = refused(neo4j_server, uri=f"bolt://127.0.0.1:{port}")
    assert f"No Neo4j server answers at bolt://127.0.0.1:{port} (Connection refused)" in message


@pytest.mark.parametrize("uri", ["http://localhost:7474", "localhost:7687", "localhost", "bolt://", "bolt://a:b", ""])
def test_a_uri_that_is_not_neo4js_is_refused(neo4j_server, uri) -> None:
    assert "is not a Neo4j URI. Expected scheme://host:port" in refused(neo4j_server, uri=uri)


def test_a_uri_with_a_password_is_refused_without_showing_it(neo4j_server) -> None:
    message = refused(neo4j_server, uri="bolt://neo4j:s3cret@localhost:7687")
    assert "NEO4J_PASSWORD" in message and "s3cret" not in message


@pytest.mark.parametrize("scheme", ["bolt+s", "neo4j+s"])
def test_tls_to_a_server_without_tls_is_reported(neo4j_server, scheme) -> None:
    assert "does not offer TLS" in refused(neo4j_server, uri=neo4j_server.uri.replace("bolt", scheme))


def test_a_port_that_does_not_speak_bolt_is_reported(neo4j_server, monkeypatch) -> None:
    monkeypatch.setattr(connection_module, "_CONNECTION_TIMEOUT_S", 0.5)
    web = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    assert "does not speak Bolt" in refused(neo4j_server, uri=f"bolt://127.0.0.1:{web.server_port}")
    web.shutdown()
    web.server_close()


def test_a_server_of_an_old_version_is_refused(neo4j_server, monkeypatch) -> None:
    old = [{"name": "Neo4j Kernel", "versions": ["5.25.1"], "edition": "community"}]
    monkeypatch.setattr(Connection, "rows", lambda self, query: old)
    assert "is Neo4j 5.25.1. kgplug needs 5.26 or newer." in refused(neo4j_server)


@pytest.mark.parametrize(
    ("version", "languages", "provides"),
    [
        ("5.26.30", None, (False, False)),
        ("2025.06.0", ["5", "25"], (True, False)),
        ("2026.01.3", ["5", "25"], (True, False)),
        ("2026.02.0", ["5", "25"], (True, True)),
        ("2026.09-aura", ["5", "25"], (True, True)),
        ("2027.01.0", ["5"], (False, False)),
    ],
)
def test_what_a_server_provides_is_read_from_its_components(
    neo4j_server, monkeypatch, version, languages, provides
) -> None:
    kernel = {"name": "Neo4j Kernel", "versions": [version], "edition": "community"}
    cypher = [] if languages is None else [{"name": "Cypher", "versions": languages, "edition": ""}]
    answers = iter([[*cypher, kernel], [{"name": "neo4j", "id": "x"}]])
    monkeypatch.setattr(Connection, "rows", lambda self, query: next(answers))
    with open_with(neo4j_server) as opened:
        assert (opened.server_version, opened.edition) == (version, "community")
        assert (opened.has_cypher_25, opened.has_search) == provides


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("MATCH (n RETURN n", "Invalid input"),
        ("RETURN $absent", "absent"),
        ("CREATE ()", "Writing in read access mode"),
        ("CALL absent.procedure()", "no procedure with the name"),
        ("LOAD CSV FROM 'file:///absent.csv' AS row RETURN row", "absent.csv"),
    ],
)
def test_refusals_of_the_server_are_one_sentence(connection, query, expected) -> None:
    with pytest.raises(GraphError, match=expected) as raised:
        connection.rows(query)
    assert "\n" not in str(raised.value)


def test_a_violated_constraint_is_reported(connection) -> None:
    connection.autocommit("CREATE CONSTRAINT FOR (a:A) REQUIRE a.x IS UNIQUE")
    connection.write("CREATE (:A {x: 1})")
    with pytest.raises(GraphError, match="already exists with label `A`"):
        connection.write("CREATE (:A {x: 1})")


def test_with_neo4j_uri_no_local_server_is_started(connection, neo4j_server, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(LocalNeo4j, "start", lambda *_, **__: pytest.fail("a local server was started"))
    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NEO4J_URI", neo4j_server.uri)
    monkeypatch.setenv("NEO4J_DATABASE", "neo4j")
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password.get_secret_value())
    with connect_settings() as own:
        assert (own.uri, own.database, own.import_dir) == (neo4j_server.uri, "neo4j", None)
    assert not (tmp_path / "home").exists()


def test_the_error_for_a_uri_without_a_password_says_what_to_set(monkeypatch) -> None:
    monkeypatch.setenv("NEO4J_URI", "bolt://localhost:7687")
    with pytest.raises(GraphError, match="NEO4J_PASSWORD is not"):
        connect_settings(Settings())
