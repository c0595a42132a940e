"""Every query runs as Cypher 5 and as Cypher 25; `tests/integration/conftest.py` finds what is deprecated."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from kgplug.cli import app
from kgplug.data.publication import NodeVectors, Publication
from kgplug.errors import GraphError
from kgplug.graph import queries
from kgplug.graph.answering import answers, nearest
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.check import check
from kgplug.graph.graph import Graph
from kgplug.graph.publishing.publisher import publish
from kgplug.graph.reading.bulk import BulkReader, Wanted
from kgplug.graph.schema import DEMO_SCHEMA
from kgplug.graph.server.home import Endpoint
from tests.conftest import VERSION
from tests.integration.conftest import Deprecations
from tests.integration.helpers.sample_graphs import FILM_KEYS, FILMS, SHOP, build

pytestmark = pytest.mark.training
LANGUAGES = ["5"] if VERSION.name == "5.26" else ["5", "25"]


@pytest.fixture(params=LANGUAGES)
def language(connection: Connection, request: pytest.FixtureRequest) -> Iterator[str]:
    """The version of Cypher in which the server reads queries that do not name one."""
    if len(LANGUAGES) > 1:
        read_as(connection, request.param)
    yield request.param
    if len(LANGUAGES) > 1:
        read_as(connection, "5")


def read_as(connection: Connection, language: str) -> None:
    """Set the default language of the database, and wait until a query that needs Cypher 25 runs or is refused."""
    connection.system_rows(f"ALTER DATABASE neo4j SET DEFAULT LANGUAGE CYPHER {language}")
    deadline = time.monotonic() + 60
    while runs(connection, "RETURN vector([1, 2], 2, FLOAT32) IS NOT NULL AS x") != (language == "25"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def runs(connection: Connection, query: str) -> bool:
    try:
        connection.rows(query)
    except GraphError:
        return False
    return True


@pytest.fixture
def command_line(
    neo4j_server: Endpoint, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> CliRunner:
    del connection  # the database is empty before a command runs
    monkeypatch.setenv("NEO4J_URI", neo4j_server.uri)
    monkeypatch.setenv("NEO4J_USERNAME", neo4j_server.username)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password.get_secret_value())
    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return CliRunner()


def run(command_line: CliRunner, words: str) -> str:
    result = command_line.invoke(app, words.split())
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result.stdout


def films_with_vectors(connection: Connection, *, run: str = "mkr-1", seed: int = 0) -> None:
    """Publish random vectors for the films of a graph."""
    keys = np.arange(1, 13).astype(object)
    vectors = np.random.default_rng(seed).normal(size=(12, 8)).astype(np.float32)
    publish(
        connection,
        DEMO_SCHEMA,
        Publication(model="MKR", run=run, vectors=[NodeVectors("Movie", keys, vectors)]),
        progress=False,
    )


def test_a_deprecated_query_is_noticed(connection: Connection, reported_deprecations: Deprecations) -> None:
    connection.rows("OPTIONAL MATCH (n) RETURN max(id(n)) AS top")
    assert len(reported_deprecations.found) == 1 and "id is deprecated" in reported_deprecations.found[0]
    reported_deprecations.found.clear()


@FILM_KEYS
def test_every_shipped_query_runs(connection: Connection, language: str) -> None:
    build(connection, FILMS)
    for name in queries.names():
        for schema in (None, DEMO_SCHEMA):
            text = queries.load(name, schema)
            values = {each: "x" if each == "file" else 1 for each in queries.parameters(text)}
            connection.autocommit(f"EXPLAIN {text}", **values)


@FILM_KEYS
def test_a_round_of_commands_runs(
    connection: Connection, command_line: CliRunner, tmp_path: Path, language: str
) -> None:
    for folder, name, text in (
        ("nodes", "User", "id:int\n1\n2\n"),
        ("nodes", "Movie", "id:int,title:string\n13,Film 13\n"),
        ("relationships", "User-RATED-Movie", "user:int,movie:int,rating:float\n1,13,5\n2,13,1\n"),
    ):
        (tmp_path / "csv" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "csv" / folder / f"{name}.csv").write_text(text)
    build(connection, FILMS)
    run(command_line, "import csv")
    run(command_line, "init")
    run(command_line, "check")
    run(command_line, "train EASE --split 1,0,0")
    run(command_line, "train MF --split 1,0,0 --set epochs=1")
    run(command_line, "publish EASE --top 3")
    run(command_line, "publish MF --top 3 --similar 2 --force")
    run(command_line, "train MF --split 1,0,0 --set epochs=2")
    run(command_line, "publish MF --top 3 --label Movie --force")
    run(command_line, "publish MF --top 2 --dry-run --force")
    run(command_line, "recommend 1 --model MF")
    run(command_line, "recommend 1 --model MF --live")
    run(command_line, "similar 1 --model MF")
    for query in ("recommend -p user=1 -p model=MF -p k=3", "popular_unseen -p user=1 -p k=3", "health", "indexes"):
        run(command_line, f"cypher {query.replace(' ', ' --run ', 1)}" if " " in query else f"cypher {query} --run")
    run(command_line, "train TransE --split 1,0,0 --set epochs=1")
    run(command_line, "publish TransE --force")
    run(command_line, "predict TransE --relation ACTED_IN --top 1 --write")
    run(command_line, "cypher predict_links --run -p item=1 -p relation=IN_GENRE -p label=Genre -p model=TransE -p k=2")
    run(command_line, "rollback MF")
    run(command_line, "erase-user 2")
    for model in ("MF", "EASE", "TransE"):
        run(command_line, f"unpublish {model}")
    assert "nothing is published" in json.dumps(run(command_line, "check --json"))


@FILM_KEYS
def test_check_reports_what_the_server_provides(connection: Connection) -> None:
    build(connection, FILMS)
    found = {one.check: one.finding for one in check(connection, DEMO_SCHEMA).findings}
    newest = VERSION.name != "5.26"
    assert found["cypher"] == ("Cypher 5 and 25" if newest else "Cypher 5, no Cypher 25")
    assert ("clause SEARCH" if newest else "queryNodes") in found["vector index"]
    assert ("aligned-1.1 cannot hold the type VECTOR" if newest else "no type VECTOR") in found["vector type"]
    assert found["element ids"] == "contain numbers, so large graphs are read in steps; id() is not used"


@FILM_KEYS
def test_a_store_whose_format_cannot_hold_vectors_refuses_them(connection: Connection, language: str) -> None:
    """If this test fails, the store can hold the type VECTOR, and `check` and the documentation are wrong."""
    if language == "25":
        with pytest.raises(GraphError, match="not supported in aligned store format"):
            connection.write("CREATE (:Movie {vector: vector([1, 2], 2, FLOAT32)})")


def test_a_strangers_graph_is_guessed_and_checked(
    connection: Connection, command_line: CliRunner, language: str
) -> None:
    build(connection, SHOP)
    run(command_line, "init")
    command_line.invoke(app, ["check"])


@FILM_KEYS
@pytest.mark.parametrize("chunk_rows", [5, 1000])
def test_bulk_reads_run(connection: Connection, language: str, chunk_rows: int) -> None:
    build(connection, FILMS)
    reader = BulkReader(connection, chunk_rows=chunk_rows)
    edges = reader.edges(Wanted({"RATED": 44, "ACTED_IN": 12}, values=("coalesce(r.rating, 0)",)))
    films = reader.label("Movie", "id", 12, "title")
    assert len(edges.heads) == connection.rows("MATCH ()-[r:RATED|ACTED_IN]->() RETURN count(r) AS n")[0]["n"]
    assert sorted(films.keys) == list(range(1, 13))
    assert reader.count_labels(films.ids) == {"Movie": 12}
    assert sorted(reader.nodes(edges.heads, "0", "coalesce(n.id, [])").keys, key=str)


@FILM_KEYS
def test_similar_items_by_search_are_those_of_the_procedure(connection: Connection, language: str) -> None:
    build(connection, FILMS)
    films_with_vectors(connection)
    films_with_vectors(connection, run="mkr-2", seed=1)  # the index of the previous run is there, too
    graph = Graph(connection).use(DEMO_SCHEMA)
    by_search = [graph.similar(item, 5, model="MKR") for item in range(1, 13)]
    assert nearest.with_search(connection, queries.load("similar"), "MKR").count("SEARCH similar_item") == (
        2 if connection.has_search else 0
    )
    connection.has_search = False
    for item, found in enumerate(by_search, start=1):
        pd.testing.assert_frame_equal(found, graph.similar(item, 5, model="MKR"))


@FILM_KEYS
def test_an_index_that_is_dropped_before_the_search_is_left_to_the_procedure(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not connection.has_search:
        pytest.skip("this server has no SEARCH")
    build(connection, FILMS)
    films_with_vectors(connection)
    graph = Graph(connection).use(DEMO_SCHEMA)
    expected = graph.similar(3, 5, model="MKR")
    late = nearest.with_search(connection, queries.load("similar", DEMO_SCHEMA), "MKR").replace("`kgplug_", "`gone_")
    with pytest.raises(GraphError, match="does not exist"):
        connection.frame(late, item=3, model="MKR", k=5)
    monkeypatch.setattr(answers, "with_search", lambda connection, text, model: late)
    pd.testing.assert_frame_equal(graph.similar(3, 5, model="MKR"), expected)
