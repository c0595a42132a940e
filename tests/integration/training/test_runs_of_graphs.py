"""Runs of several graphs in one folder: each knows its graph, and commands take those of this one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kgplug import jobs
from kgplug.data.artefact import read_artefact, write_artefact
from kgplug.errors import RunError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.identity import graph_identity
from kgplug.graph.schema import GraphSchema, KnowledgeSchema
from kgplug.graph.server.home import Endpoint
from kgplug.jobs.erase_user import erase_user
from kgplug.training.runs import Runs
from tests.conftest import empty
from tests.faults.command import kgplug, sentence
from tests.integration.helpers.sample_graphs import FILM_KEYS, FILMS, SHOP, build

pytestmark = FILM_KEYS

SCHEMA = GraphSchema(knowledge=KnowledgeSchema(keys={"Actor": "id", "Genre": "id"}))


@pytest.fixture
def graph(connection: Connection) -> Iterator[Graph]:
    build(connection, FILMS)
    yield Graph(connection).use(SCHEMA)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs")


def train(graph: Graph, runs: Runs, name: str = "Popularity") -> Path:
    settings = {"embedding_dim": 4, "epochs": 2, "device": "cpu"} if name == "TransE" else {}
    return jobs.train(name, jobs.read(graph, SCHEMA, name=name), runs, settings=settings, progress=False)


def move(folder: Path, **changes: str) -> None:
    """Make a run one of another graph."""
    arrays, content = read_artefact(folder)
    write_artefact(folder, arrays, {**content, "graph": {**content["graph"], **changes}})


def test_a_run_knows_store_database_address_and_schema(graph: Graph, runs: Runs) -> None:
    found = runs.info(train(graph, runs)).graph
    (row,) = graph.connection.rows("CALL db.info() YIELD id RETURN id")
    assert found == graph_identity(graph.connection, SCHEMA)
    assert (found.store, found.database) == (row["id"], "neo4j")
    assert (found.user, found.item, found.feedback) == ("User.id", "Movie.id", "RATED")
    assert graph.connection.uri.endswith(found.address) and found.address


def test_a_run_of_another_store_is_refused_and_both_graphs_are_named(graph: Graph, runs: Runs) -> None:
    recommender, embedding = train(graph, runs), train(graph, runs, "TransE")
    for folder in (recommender, embedding):
        move(folder, store="F00D" * 16, address="elsewhere:7687")
    here = graph_identity(graph.connection, None)
    for work in (
        lambda: jobs.evaluate(graph, [recommender]),
        lambda: jobs.publish(graph, recommender),
        lambda: jobs.preview(graph, recommender),
        lambda: jobs.predict(graph, embedding, "ACTED_IN"),
    ):
        with pytest.raises(RunError, match=r"trained on another graph: .*elsewhere:7687 \(store F00DF00D\)") as error:
            work()
        assert str(here) in str(error.value)
    assert graph.connection.rows("MATCH (n:KgplugModel) RETURN n") == []


def test_a_training_on_the_same_data_elsewhere_is_not_taken_for_this_one(graph: Graph, runs: Runs) -> None:
    data = jobs.read(graph, SCHEMA, name="Popularity")
    first = jobs.train("Popularity", data, runs, reuse=True)
    assert jobs.train("Popularity", data, runs, reuse=True) == first
    elsewhere = replace(data, identity=replace(data.identity, store="F00D"))
    assert jobs.train("Popularity", elsewhere, runs, reuse=True) != first


def test_a_person_of_this_graph_is_not_erased_from_runs_of_others(graph: Graph, runs: Runs) -> None:
    here, elsewhere = train(graph, runs), train(graph, runs)
    move(elsewhere, store="F00D")
    found = erase_user(graph, runs, 3)
    assert (found.runs, found.elsewhere) == ([here.name], 1)
    assert "1 run of other graphs or tenants was not changed." in str(found)
    assert 3 in read_artefact(elsewhere)[1]["user_keys"]


def test_commands_take_runs_of_this_graph_and_count_the_others(
    graph: Graph, runs: Runs, neo4j_server: Endpoint, tmp_path: Path
) -> None:
    film, other = train(graph, runs), train(graph, runs)
    move(other, store="F00D")  # the newest, of another server
    empty(graph.connection)
    build(graph.connection, SHOP)
    options = {"home": tmp_path, "endpoint": neo4j_server}
    assert kgplug("init", **options).returncode == 0
    assert kgplug("train", "ItemKNN", **options).returncode == 0
    measured = kgplug("evaluate", "--json", **options)
    assert measured.returncode == 0, measured.stderr
    (row,) = json.loads(measured.stdout)
    assert row["run"].startswith("itemknn-")
    assert "2 runs of other graphs skipped" in measured.stderr
    refused = kgplug("publish", "Popularity", **options)
    assert "No run of Popularity on this graph, (:Customer)-[:BOUGHT]-(:Product)" in sentence(refused, exit_code=2)
    listed = {row["run"]: row["this_graph"] for row in json.loads(kgplug("runs", "--json", **options).stdout)}
    assert listed == {film.name: False, other.name: False, row["run"]: True}
    refused = kgplug("evaluate", other.name, **options)
    assert f"Run {other.name} was trained on another graph" in sentence(refused)


def test_without_a_schema_file_the_labels_of_the_database_tell_whose_runs_are_its_own(
    graph: Graph, runs: Runs, neo4j_server: Endpoint, tmp_path: Path
) -> None:
    film = train(graph, runs)
    options = {"home": tmp_path, "endpoint": neo4j_server}
    (row,) = json.loads(kgplug("evaluate", "--json", **options).stdout)
    assert row["run"] == film.name
    empty(graph.connection)
    build(graph.connection, SHOP)
    refused = kgplug("evaluate", **options)
    assert "No run of this graph yet" in sentence(refused, exit_code=2)
    assert "1 run of other graphs skipped" in refused.stderr


def test_one_bad_run_does_not_keep_the_others_from_being_measured(
    graph: Graph, runs: Runs, neo4j_server: Endpoint, tmp_path: Path
) -> None:
    good, cut, flipped = train(graph, runs), train(graph, runs, "ItemKNN"), train(graph, runs, "EASE")
    arrays = cut / "arrays.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-1])
    arrays = flipped / "arrays.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-1] + b"\x7f")
    result = kgplug("evaluate", "--json", home=tmp_path, endpoint=neo4j_server)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert [row["run"] for row in json.loads(result.stdout)] == [good.name]
    for folder in (cut, flipped):
        assert f"Not measured: {folder.name}. " in result.stderr
    assert "2 of 3 runs could not be measured" in sentence(result)


def test_runs_are_listed_without_a_server(graph: Graph, runs: Runs, neo4j_server: Endpoint, tmp_path: Path) -> None:
    here, elsewhere = train(graph, runs), train(graph, runs)
    move(elsewhere, store="F00D", address="elsewhere:7687")
    gone = {"endpoint": neo4j_server, "home": tmp_path, "NEO4J_URI": "bolt://127.0.0.1:1"}
    listed = {row["run"]: row["this_graph"] for row in json.loads(kgplug("runs", "--json", **gone).stdout)}
    assert listed == {here.name: None, elsewhere.name: None}  # nothing was ever trained at this address
    for folder, store in ((here, "CAFE"), (elsewhere, "F00D")):
        move(folder, store=store, address="127.0.0.1:1" if folder == here else "elsewhere:7687")
    result = kgplug("runs", "--json", **gone)
    assert result.returncode == 0, result.stderr
    assert {row["run"]: row["this_graph"] for row in json.loads(result.stdout)} == {
        here.name: True,
        elsewhere.name: False,
    }
    shown = kgplug("runs", **gone).stdout
    assert "this one" in shown and "elsewhere:7687" in shown
