"""Two catalogues in one database: each published model has a name of its own, and none replaces the other's lists."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import kgplug
from kgplug import jobs
from kgplug.cli import app
from kgplug.data.artefact import read_content
from kgplug.errors import GraphError, UsageError
from kgplug.graph import catalog
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.publishing import publisher
from kgplug.graph.schema import FeedbackSchema, GraphSchema, ItemSchema, UserSchema
from kgplug.graph.server.home import Endpoint
from kgplug.jobs.erase_user import erase_user
from kgplug.serving import explain
from kgplug.serving.live import live_recommendations
from kgplug.training.runs import Runs
from tests.integration.helpers.publishing import publication

FILMS = GraphSchema()
BOOKS = GraphSchema(item=ItemSchema(label="Book", title="title"), feedback=FeedbackSchema(type="READ"))
RATED = """
UNWIND range(1, 12) AS u UNWIND range(1, 9) AS i WITH u, i WHERE (u * 7 + i * 3) % 4 < 2
MERGE (a:User {id: u}) MERGE (b:Movie {id: i}) CREATE (a)-[:RATED]->(b)
"""
READ = """
UNWIND range(1, 12) AS u UNWIND range(1, 9) AS i WITH u, i WHERE (u * 5 + i) % 3 < 2
MERGE (a:User {id: u}) MERGE (b:Book {id: i}) SET b.title = 'Book ' + i CREATE (a)-[:READ]->(b)
"""
LISTED = """
MATCH (model:KgplugModel {name: $model}) WITH model.edition AS edition LIMIT 1
MATCH (:User)-[r:RECOMMENDS {model: $model, edition: edition}]->(m) RETURN DISTINCT labels(m)[0] AS label
"""


@pytest.fixture
def graph(
    connection: Connection, neo4j_server: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Graph]:
    monkeypatch.setenv("NEO4J_URI", neo4j_server.uri)
    monkeypatch.setenv("NEO4J_USERNAME", neo4j_server.username)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password.get_secret_value())
    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    connection.write(RATED)
    connection.write(READ)
    connection.write("CREATE (:User {id: 99})")
    yield Graph(connection)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs")


def train(graph: Graph, runs: Runs, schema: GraphSchema, name: str = "ItemKNN") -> Path:
    return jobs.train(name, jobs.read(graph, schema, name=name, progress=False), runs, progress=False)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in arguments])


def labels(graph: Graph, model: str) -> list[str]:
    return [row["label"] for row in graph.connection.rows(LISTED, model=model)]


def test_lists_of_another_schema_are_replaced_only_on_request(graph: Graph, runs: Runs) -> None:
    films, books = train(graph, runs, FILMS), train(graph, runs, BOOKS)
    jobs.publish(graph, films, progress=False)
    for refused in (
        lambda: jobs.publish(graph, books, progress=False),
        lambda: jobs.preview(graph, books, progress=False),
        lambda: graph.publish(kgplug.load(books)),
    ):
        with pytest.raises(
            UsageError, match=r'"ItemKNN" is served by run .*RATED.*Movie.*READ.*Book.*--as NAME.*--replace'
        ):
            refused()
    assert labels(graph, "ItemKNN") == ["Movie"]
    again = train(graph, runs, FILMS)
    assert jobs.publish(graph, again, progress=False).previous == films.name  # the same schema: no question
    replaced = run("publish", books.name, "--replace")
    assert replaced.exit_code == 0, replaced.exception
    assert labels(graph, "ItemKNN") == ["Book"]
    graph.rollback("ItemKNN")
    assert labels(graph, "ItemKNN") == ["Movie"]


def test_a_name_of_its_own_serves_every_command(graph: Graph, runs: Runs) -> None:
    films, books = train(graph, runs, FILMS), train(graph, runs, BOOKS)
    for folder, name in ((films, "films"), (books, "books 'n' more")):
        result = run("publish", folder.name, "--as", name)
        assert result.exit_code == 0, result.exception
        assert f"{name} is served by run {folder.name}" in result.output
    name = "books 'n' more"
    listed = json.loads(run("recommend", 3, "--model", name, "--json").stdout)
    assert listed and all(row["title"].startswith("Book ") for row in listed)
    live = run("recommend", 3, "--model", name, "--live", "--json")
    assert [row["id"] for row in json.loads(live.stdout)] == [row["id"] for row in listed]
    assert json.loads(run("recommend", 3, "--model", "films", "--json").stdout)
    found = run("cypher", "recommend", "--run", "-p", f"model={name}", "-p", "user=3", "-p", "k=3", "--json")
    assert [row["id"] for row in json.loads(found.stdout)] == [row["id"] for row in listed[:3]]
    health = graph.use(FILMS).cypher("health")
    assert health["model"].tolist() == sorted(["films", name]) and health["lists"].tolist() == [13, 13]
    assert health["stray_edges"].tolist() == [0, 0]
    second = train(graph, runs, BOOKS)
    report = run("publish", second.name, "--as", name)
    assert "kgplug rollback 'books '\"'\"'n'\"'\"' more'" in report.output
    assert books.name in run("rollback", name).output
    difference = run("diff", "films", "films")
    assert difference.exit_code == 0, difference.exception
    assert run("unpublish", name).exit_code == 0
    assert catalog.known_models(graph.connection) == ["films"]
    assert labels(graph, "films") == ["Movie"]


def test_the_default_model_is_the_newest_one_for_these_users_and_items(graph: Graph, runs: Runs) -> None:
    for schema, name in ((FILMS, "films"), (BOOKS, "books")):
        jobs.publish(graph, train(graph, runs, schema), name=name, progress=False)
    for schema, label in ((FILMS, "Movie"), (BOOKS, "Book")):
        frame = explain.recommendations(graph.use(schema), 3, reasons=False)
        there = graph.query(f"MATCH (:User {{id: 3}})-[r:RECOMMENDS]->(m:{label}) RETURN m.id AS id ORDER BY r.rank")
        assert frame["id"].tolist() == there["id"].tolist()
        assert len(live_recommendations(graph, runs, 3, reasons=False)) == len(frame)


def test_invalid_names_and_names_of_other_models_are_refused(graph: Graph, runs: Runs) -> None:
    folder = train(graph, runs, FILMS)
    for name in ("", " films", "a\nb", "\0"):
        with pytest.raises(UsageError, match="needs a name of printable text"):
            jobs.publish(graph, folder, name=name, progress=False)
    jobs.publish(graph, folder, name="films", progress=False)
    with pytest.raises(UsageError, match='differs from "Films" only in case'):
        jobs.publish(graph, folder, name="Films", progress=False)
    with pytest.raises(GraphError, match="under the name films, and a run has one name"):
        jobs.publish(graph, folder, progress=False)
    assert isinstance(run("publish", "--resume", "--as", "films").exception, UsageError)


def test_an_interrupted_publish_is_resumed_under_its_name(
    graph: Graph, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.publish(graph, train(graph, runs, FILMS), name="mine", progress=False)
    folder = train(graph, runs, BOOKS)

    def die(*_: object, **__: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(publisher, "count_edges", die)
        with pytest.raises(RuntimeError):
            jobs.publish(graph, folder, name="mine", replace=True, progress=False)
    assert labels(graph, "mine") == ["Movie"]
    assert jobs.resume(graph, runs, "mine", progress=False).run == folder.name
    assert labels(graph, "mine") == ["Book"]


def test_lists_without_a_schema_in_the_catalogue_are_identified_by_their_nodes(graph: Graph, runs: Runs) -> None:
    """Earlier versions kept the schema of runs only, not that of models published from Python."""
    publisher.publish(graph.connection, FILMS, publication("itemknn-0", model="ItemKNN", n_users=9), progress=False)
    with pytest.raises(UsageError, match=r"\(:User\) and \(:Movie\), and this run is of .*Book"):
        jobs.publish(graph, train(graph, runs, BOOKS), progress=False)
    assert jobs.publish(graph, train(graph, runs, FILMS), progress=False).previous == "itemknn-0"


@pytest.mark.parametrize(
    ("constraint", "is_refused"),
    [
        ("FOR ()-[r:RECOMMENDS]-() REQUIRE r.rank IS UNIQUE", True),
        ("FOR ()-[r:RECOMMENDS]-() REQUIRE (r.model, r.score) IS UNIQUE", True),
        ("FOR ()-[r:RECOMMENDS]-() REQUIRE r.ticket IS UNIQUE", False),
        ("FOR ()-[r:SIMILAR_TO]-() REQUIRE r.rank IS UNIQUE", False),
    ],
)
def test_a_constraint_on_the_users_own_type_is_named_before_anything_is_written(
    graph: Graph, runs: Runs, constraint: str, is_refused: bool
) -> None:
    graph.connection.autocommit(f"CREATE CONSTRAINT theirs {constraint}")
    folder = train(graph, runs, FILMS)
    if not is_refused:
        assert jobs.publish(graph, folder, progress=False).edges
        return
    with pytest.raises(GraphError, match=r"The constraint theirs on :RECOMMENDS\(.*Drop it"):
        jobs.publish(graph, folder, progress=False)
    assert catalog.known_models(graph.connection) == []


def test_the_reason_for_a_missing_list_claims_no_more_than_is_known(graph: Graph, runs: Runs) -> None:
    films = train(graph, runs, FILMS)
    graph.connection.write("MATCH (u:User {id: 5}), (m:Movie) MERGE (u)-[:RATED]->(m)")
    graph.connection.write("CREATE (:User {id: 100})")
    jobs.publish(graph, films, progress=False)
    graph.use(FILMS)
    with pytest.raises(UsageError, match="the user has feedback on every :Movie") as full:
        explain.recommendations(graph, 5)
    assert "--live" not in str(full.value) and "newer" not in str(full.value)
    with pytest.raises(UsageError, match=r"trained before the user was added, .*or .* `kgplug recommend 100 --live"):
        explain.recommendations(graph, 100)
    erase_user(graph, runs, 6)
    with pytest.raises(UsageError, match=r"the user was erased, or .* `kgplug recommend 6 --live"):
        explain.recommendations(graph, 6)
    with pytest.raises(UsageError, match=r"No published model has lists and its run on this machine|among the runs"):
        live_recommendations(graph, Runs(runs.folder / "none"), 5)
    with pytest.raises(UsageError, match=r"No published model has a list .*READ"):
        explain.recommendations(graph.use(BOOKS), 5)


def test_similar_items_come_from_the_newest_model_that_has_vectors_of_them(graph: Graph, runs: Runs) -> None:
    settings = {"embedding_dim": 4, "epochs": 2, "device": "cpu"}
    data = jobs.read(graph, FILMS, name="MF", progress=False)
    jobs.publish(graph, jobs.train("MF", data, runs, settings=settings, progress=False), progress=False)
    jobs.publish(graph, train(graph, runs, FILMS, "Popularity"), progress=False)
    graph.use(FILMS)
    assert len(explain.similar_items(graph, 3, k=4)) == 4
    with pytest.raises(
        UsageError, match=r"Popularity has no vectors of :Movie nodes in the graph\. Models that have them: MF"
    ):
        explain.similar_items(graph, 3, model="Popularity")
    people = GraphSchema(item=ItemSchema(label="User"))
    assert (
        len(explain.similar_items(Graph(graph.connection).use(people), 3, k=4, model="MF")) == 4
    )  # of its other label
    graph.connection.write("CREATE (:Movie {id: 77})")
    with pytest.raises(UsageError, match="no vector of Movie 77: the node has no relationship"):
        explain.similar_items(graph, 77)
    with pytest.raises(UsageError, match="No published model has vectors of :Book"):
        explain.similar_items(graph.use(BOOKS), 3)


def test_a_person_is_erased_from_runs_that_know_people_by_another_key(graph: Graph, runs: Runs) -> None:
    graph.connection.write(
        "MATCH (u:User) SET u.card = CASE u.id WHEN 99 THEN 99 ELSE u.id % 12 + 1 END"
    )  # everybody's card is somebody else's id
    by_card = FILMS.model_copy(update={"user": UserSchema(key="card")})
    theirs, mine = train(graph, runs, by_card), train(graph, runs, FILMS)
    assert {4, 5} <= set(read_content(theirs)["user_keys"])
    report = erase_user(graph.use(FILMS), runs, 4)
    assert sorted(report.runs) == sorted([theirs.name, mine.name])
    assert 5 not in read_content(theirs)["user_keys"] and 4 in read_content(theirs)["user_keys"]
    assert 4 not in read_content(mine)["user_keys"]
    with pytest.raises(UsageError, match="None of the 2 runs"):
        erase_user(Graph(graph.connection).use(by_card), runs, 77)
