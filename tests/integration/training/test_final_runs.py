"""Final runs: all rows learnt, with the settings and epochs that validation chose, and the metrics of their origin."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kgplug import jobs, models
from kgplug.data.artefact import read_content
from kgplug.data.interactions import Interactions
from kgplug.embeddings.model import EmbeddingModel
from kgplug.errors import RunError, UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.schema import GraphSchema, KnowledgeSchema
from kgplug.graph.server.home import Endpoint
from kgplug.recommenders.base import Recommender
from kgplug.training.runs import Runs
from tests.faults.command import kgplug
from tests.integration.helpers.sample_graphs import FILM_KEYS, FILMS, build
from tests.unit.helpers.planted import directors_and_fans

pytestmark = pytest.mark.training

QUICK = {"embedding_dim": 8, "batch_size": 64, "l2": 1e-3, "device": "cpu", "patience": 2}
EMBEDDING = {name: value for name, value in QUICK.items() if name != "l2"}


@pytest.fixture
def data() -> jobs.GraphData:
    interactions, knowledge, *_ = directors_and_fans(fans=6)
    return jobs.GraphData(GraphSchema(), interactions, knowledge)


def loaded(folder: Path) -> Recommender:
    model = models.load(folder)
    assert isinstance(model, Recommender)
    return model


@pytest.mark.parametrize("name", ["MF", "ItemKNN"])
def test_a_final_run_has_learnt_all_rows_with_what_validation_chose(
    name: str, data: jobs.GraphData, tmp_path: Path
) -> None:
    runs, settings = Runs(tmp_path), QUICK if name == "MF" else {}
    final = jobs.train(name, data, runs, settings=settings, final=True, progress=False)
    (origin,) = [info for info in runs.list() if info.path != final]
    info, before = runs.info(final), read_content(origin.path)
    rows: Interactions = data.interactions  # type: ignore[assignment]
    assert info.origin == origin.id and info.metrics == origin.metrics
    assert loaded(final).seen.nnz == len(rows) > loaded(origin.path).seen.nnz
    if name == "MF":
        best = before["history"]["best_epoch"] + 1
        assert 0 < best < len(before["history"]["losses"]) < 100  # validation has chosen
        assert len(loaded(final).history["losses"]) == loaded(final).config.epochs == best  # type: ignore[attr-defined]
        named = {**before["settings"], "epochs": best}
        alone = jobs.train(name, data, runs, settings=named, split=jobs.Split((1.0, 0.0, 0.0)), progress=False)
        assert np.array_equal(loaded(final).user_vectors(), loaded(alone).user_vectors())  # type: ignore[arg-type]


def test_an_embeddings_final_run_learns_all_triples(data: jobs.GraphData, tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    final = jobs.train("TransE", data, runs, settings={**EMBEDDING, "epochs": 6}, final=True, progress=False)
    (origin,) = [info for info in runs.list() if info.path != final]
    history = read_content(origin.path)["history"]
    model = models.load(final)
    assert isinstance(model, EmbeddingModel)
    assert len(model.history["losses"]) == history["best_epoch"] + 1 and model.history["validation"] == []
    assert runs.info(final).metrics == origin.metrics != {}


def test_an_origin_that_exists_is_not_trained_again_nor_is_a_final_run(data: jobs.GraphData, tmp_path: Path) -> None:
    runs, options = Runs(tmp_path), {"settings": {**QUICK, "epochs": 2}, "progress": False}
    origin = jobs.train("MF", data, runs, **options)
    final = jobs.train("MF", data, runs, final=True, **options)
    assert runs.info(final).origin == origin.name and len(runs.list()) == 2
    assert jobs.train("MF", data, runs, final=True, reuse=True, **options) == final
    assert jobs.train("MF", data, runs, reuse=True, **options) == origin


def test_a_final_run_needs_a_split_and_begins_from_nothing(data: jobs.GraphData, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="this split has none"):
        jobs.train("MF", data, Runs(tmp_path), split=jobs.Split((1.0, 0.0, 0.0)), final=True)
    with pytest.raises(UsageError, match=r"Omit --from or --final"):
        jobs.train("TransE", data, Runs(tmp_path), start=tmp_path, final=True)


def test_a_final_run_that_was_killed_goes_on_and_its_origin_is_not_trained_again(
    data: jobs.GraphData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kgplug.training import loop

    runs, options = Runs(tmp_path / "b"), {"settings": {**QUICK, "epochs": 4, "patience": 9}, "progress": False}
    whole = jobs.train("MF", data, Runs(tmp_path / "a"), final=True, **options)
    n = len(read_content(whole)["history"]["losses"])
    save, saved = loop.save_checkpoint, []

    def then_killed(*arguments: object, **more: object) -> None:
        save(*arguments, **more)  # type: ignore[arg-type]
        saved.append(1)
        if len(saved) == 4 + 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", then_killed)
    with pytest.raises(KeyboardInterrupt):
        jobs.train("MF", data, runs, final=True, **options)
    final = jobs.train("MF", data, runs, final=True, **options)
    assert len(saved) == 4 + n and len(runs.list()) == 2
    assert np.array_equal(loaded(final).user_vectors(), loaded(whole).user_vectors())  # type: ignore[arg-type]


SCHEMA = GraphSchema(knowledge=KnowledgeSchema(keys={"Actor": "id", "Genre": "id"}))


@FILM_KEYS
def test_a_final_run_is_measured_by_its_origin_and_published(connection: Connection, tmp_path: Path) -> None:
    build(connection, FILMS)
    graph, runs = Graph(connection).use(SCHEMA), Runs(tmp_path)
    final = jobs.train("ItemKNN", jobs.read(graph, SCHEMA, name="ItemKNN"), runs, final=True)
    origin = runs.path(runs.info(final).origin)
    table = jobs.evaluate(graph, [final])["recommender"]
    assert list(table.index) == [final.name]
    assert table.attrs["notes"] == [
        f"Run {final.name} was trained on all rows, so it has no test set of its own. Its metrics are those of run "
        f"{origin.name}, which chose its settings and epochs."
    ]
    alone = jobs.evaluate(graph, [origin])["recommender"]
    assert table.iloc[0].to_dict() == alone.iloc[0].to_dict()
    assert list(jobs.evaluate(graph, [final, origin])["recommender"].index) == [final.name, origin.name]
    assert runs.info(final).evaluation == runs.info(origin).evaluation != {}
    jobs.publish(graph, final, k=3)
    (row,) = connection.rows("MATCH (r:KgplugRun {id: $id}) RETURN r.metrics AS metrics", id=final.name)
    assert json.loads(row["metrics"])["NDCG@10"] == pytest.approx(alone["NDCG@10"].iloc[0])
    for path in sorted(origin.iterdir()):
        path.unlink()
    origin.rmdir()
    assert jobs.evaluate(graph, [final])["recommender"]["NDCG@10"].iloc[0] == alone["NDCG@10"].iloc[0]
    (final / "evaluation.json").unlink()
    with pytest.raises(RunError, match=rf"{final.name} was trained on all rows.*{origin.name}, cannot be measured"):
        jobs.evaluate(graph, [final])


@FILM_KEYS
def test_the_command_says_where_the_metrics_of_a_final_run_are_from(
    connection: Connection, neo4j_server: Endpoint, tmp_path: Path
) -> None:
    build(connection, FILMS)
    result = kgplug("train", "Popularity", "--final", home=tmp_path, endpoint=neo4j_server)
    assert result.returncode == 0, result.stderr
    runs = json.loads(kgplug("runs", "--json", home=tmp_path, endpoint=neo4j_server).stdout)
    origin, final = sorted(runs, key=lambda run: run["origin"])
    assert final["origin"] == origin["run"] and not origin["origin"]
    assert (
        f"It was trained on all rows. Its settings, epochs and metrics are those of run {origin['run']}."
        in result.stdout
    )
    measured = kgplug("evaluate", home=tmp_path, endpoint=neo4j_server)
    assert measured.returncode == 0 and f"Its metrics are those of run {origin['run']}" in measured.stdout
    assert f"(of {origin['run']})" in kgplug("runs", home=tmp_path, endpoint=neo4j_server).stdout
