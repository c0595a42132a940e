"""A model that has collapsed: training and evaluation say so, and publishing refuses it unless forced."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kgplug import jobs, models
from kgplug.cli import app
from kgplug.data.artefact import read_artefact, write_artefact
from kgplug.errors import DeadModelError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.schema import FeedbackSchema, GraphSchema, KnowledgeSchema
from kgplug.graph.server.home import Endpoint
from kgplug.training.runs import Runs

FILMS = """
UNWIND range(0, 59) AS u UNWIND range(0, 39) AS i WITH u, i WHERE i % 4 = u % 4 AND (u + i) % 5 < 4 OR i < 3
MERGE (a:User {id: u}) MERGE (b:Movie {id: i}) MERGE (a)-[:RATED]->(b)
MERGE (g:Genre {id: i % 4}) MERGE (b)-[:IN]->(g)
"""
SCHEMA = GraphSchema(feedback=FeedbackSchema(type="RATED"), knowledge=KnowledgeSchema(keys={"Genre": "id"}))
WRITTEN = "MATCH ()-[r:RECOMMENDS]->() RETURN count(r) AS n"


@pytest.fixture
def graph(connection: Connection, neo4j_server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    connection.write(FILMS)
    monkeypatch.setenv("NEO4J_URI", neo4j_server.uri)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password.get_secret_value())
    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return Graph(connection).use(SCHEMA)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs")


def trained(graph: Graph, runs: Runs, name: str = "MF", **settings: object) -> Path:
    settings = {"settings": "defaults", "embedding_dim": 8, "epochs": 30, "device": "cpu", **settings}
    return jobs.train(name, jobs.read(graph, SCHEMA, name=name), runs, settings=settings)


def break_run(folder: Path, how: str) -> None:
    """Break a run on disk, as one that an earlier version left: nobody has looked at its health."""
    arrays, content = read_artefact(folder)
    factor = {"zero": 0.0, "tiny": 1e-26}[how]
    for name in ("model.users", "model.items"):
        arrays[name] = arrays[name] * np.float32(factor)
    write_artefact(folder, arrays, {name: value for name, value in content.items() if name != "health"})


def test_a_dead_run_of_an_earlier_version_is_refused_and_nothing_is_written(graph: Graph, runs: Runs) -> None:
    folder = trained(graph, runs)
    jobs.publish(graph, folder, k=3)  # alive
    graph.unpublish("MF")
    for how, said in (("tiny", "have shrunk to almost zero"), ("zero", "User vectors are zero")):
        break_run(folder, how)
        for refused in (jobs.publish, jobs.preview):
            with pytest.raises(DeadModelError, match=said):
                refused(graph, folder, k=3)
        with pytest.raises(DeadModelError, match="--force"):
            graph.publish(models.load(folder), schema=SCHEMA)
    assert graph.connection.rows(WRITTEN) == [{"n": 0}]
    assert graph.connection.rows("MATCH (n:KgplugModel) RETURN count(n) AS n") == [{"n": 0}]

    result = CliRunner().invoke(app, ["publish", folder.name])
    assert isinstance(result.exception, DeadModelError) and result.exception.exit_code == 1
    forced = CliRunner().invoke(app, ["publish", folder.name, "--top", "3", "--force"])
    assert forced.exit_code == 0, forced.output
    assert graph.connection.rows(WRITTEN)[0]["n"] > 0


def test_a_collapsed_model_is_reported_saved_listed_and_not_published(
    graph: Graph, runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        folder = trained(graph, runs, init_scale=1e-9, learning_rate=1e-9, epochs=2)
    assert "MF has collapsed" in caplog.text
    info = runs.info(folder)
    assert info.health
    assert json.loads(CliRunner().invoke(app, ["runs", "--json"]).output)[0]["health"] == info.health
    with pytest.raises(DeadModelError):
        jobs.publish(graph, folder)


def test_lists_worse_than_popularity_are_noted_under_the_table_and_refused_until_measured_again(
    graph: Graph, runs: Runs
) -> None:
    folder = trained(graph, runs, epochs=30)
    arrays, content = read_artefact(folder)
    arrays["model.item_bias"] = -20 * arrays["model.item_bias"] - np.where(np.arange(40) < 3, 50, 0).astype(np.float32)
    arrays["model.users"] = -arrays["model.users"]
    write_artefact(folder, arrays, content)
    tables = jobs.evaluate(graph, [folder])
    (sentence,) = tables["recommender"].attrs["health"][folder.name]
    assert "worse than the most popular items" in sentence
    shown = CliRunner().invoke(app, ["evaluate", folder.name]).output
    assert "worse than the most popular items" in shown
    with pytest.raises(DeadModelError, match="worse than the most popular items"):
        jobs.publish(graph, folder)
    jobs.publish(graph, folder, force=True)


def test_healthy_models_are_published_without_a_word(
    graph: Graph, runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for name in ("MF", "BPR", "LightGCN", "Popularity", "ItemKNN", "TransE"):
            settings = {} if name in ("Popularity", "ItemKNN") else {"epochs": 20}
            data = jobs.read(graph, SCHEMA, name=name)
            folder = jobs.train(name, data, runs, settings=settings)
            assert jobs.evaluate(graph, [folder]).popitem()[1].attrs["health"] == {}
            jobs.publish(graph, folder)
    assert "collapsed" not in caplog.text and "worse" not in caplog.text


def test_the_next_command_after_a_dead_training_is_not_to_publish_it(graph: Graph) -> None:
    assert graph.known_schema is not None
    result = CliRunner().invoke(app, ["train", "ALS", "-s", "l2=1e6"])
    assert result.exit_code == 0, result.output
    assert (
        "Next: train ALS with other settings. This run has collapsed, so `kgplug publish` refuses it" in result.output
    )
    assert "`kgplug publish als-" not in result.output
