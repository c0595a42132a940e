"""`kgplug card`: a run on one page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kgplug import jobs
from kgplug.evaluation.significance import intervals_by_user, paired_bootstrap
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.schema import GraphSchema, KnowledgeSchema
from kgplug.graph.server.home import Endpoint
from kgplug.jobs.card import card
from kgplug.training.runs import Runs
from tests.faults.command import kgplug
from tests.integration.helpers.sample_graphs import FILM_KEYS, FILMS, build

pytestmark = pytest.mark.training
SCHEMA = GraphSchema(knowledge=KnowledgeSchema(keys={"Actor": "id", "Genre": "id"}))


@FILM_KEYS
def test_a_card_shows_what_the_run_records_and_what_is_measured(connection: Connection, tmp_path: Path) -> None:
    build(connection, FILMS)
    graph, runs = Graph(connection).use(SCHEMA), Runs(tmp_path)
    settings = {"embedding_dim": 4, "epochs": 2, "device": "cpu"}
    run = jobs.train("CKE", jobs.read(graph, SCHEMA, name="CKE"), runs, settings=settings, progress=False)
    page = card(graph, run, runs, controls=True, progress=False)
    text = page.as_markdown(lambda number: f"{number}.png")
    measured = jobs.evaluate(graph, [run], k=(10, 20), beyond=True)["recommender"].iloc[0]
    assert f"# CKE: run {run.name}" in text
    assert f"| AUC | {measured['AUC']:.4f} | " in text
    assert f"| coverage@10 | {measured['coverage@10']:.4g} | " in text
    assert "| embedding_dim | 4 | set, or adapted to the data |" in text
    assert "| learning_rate | " in text and "| default |" in text
    lines = text.splitlines()
    for name in ("with its graph", "without graph", "with shuffled graph"):
        assert sum(line.startswith(f"| {name} |") for line in lines) == 1
    assert len(runs.list()) == 1  # the runs of controls are not among the user's runs
    likes = connection.rows("MATCH (:User)-[r:RATED]->(:Movie) RETURN count(r) AS n")[0]["n"]
    rows = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in lines if line.startswith("| ")}
    assert sum(int(rows[f"{name} rows"]) for name in ("training", "validation", "test")) == likes
    assert f"kgplug.load({str(run)!r})" in text
    assert "data:image/png" in page.as_html()


@FILM_KEYS
def test_an_embedding_has_a_card_too(connection: Connection, tmp_path: Path) -> None:
    build(connection, FILMS)
    graph, runs = Graph(connection).use(SCHEMA), Runs(tmp_path)
    settings = {"embedding_dim": 4, "epochs": 2, "device": "cpu"}
    split = jobs.Split((0.6, 0.2, 0.2))
    data = jobs.read(graph, SCHEMA, name="TransE")
    run = jobs.train("TransE", data, runs, settings=settings, split=split, progress=False)
    text = card(graph, run, runs, progress=False).as_markdown(str)
    assert "| MRR | " in text
    assert "## Lists" not in text
    assert "| relations | " in text


@FILM_KEYS
def test_the_catalogue_says_in_one_sentence_what_is_published(connection: Connection, tmp_path: Path) -> None:
    build(connection, FILMS)
    graph, runs = Graph(connection).use(SCHEMA), Runs(tmp_path)
    run = jobs.train("ItemKNN", jobs.read(graph, SCHEMA, name="ItemKNN"), runs, progress=False)
    jobs.publish(graph, run, k=2)
    (row,) = connection.rows("MATCH (run:KgplugRun) RETURN run.summary AS text")
    assert row["text"].startswith("ItemKNN, trained 20") and row["text"].endswith("on the test set: not measured.")
    measured = jobs.evaluate(graph, [run])["recommender"].iloc[0]
    jobs.publish(graph, run, k=2, replace=True)
    (row,) = connection.rows("MATCH (run:KgplugRun) RETURN run.summary AS text")
    assert f"NDCG@10 {measured['NDCG@10']:.4g}" in row["text"]


@FILM_KEYS
def test_the_command_writes_two_pages_and_refuses_what_it_cannot_do(
    connection: Connection, neo4j_server: Endpoint, tmp_path: Path
) -> None:
    build(connection, FILMS)
    graph, runs = Graph(connection).use(SCHEMA), Runs(tmp_path / "runs")
    run = jobs.train("ItemKNN", jobs.read(graph, SCHEMA, name="ItemKNN"), runs, progress=False)
    out = kgplug("card", "ItemKNN", "--out", str(tmp_path / "cards"), home=tmp_path, endpoint=neo4j_server)
    assert out.returncode == 0, out.stderr
    assert {path.name for path in (tmp_path / "cards").iterdir()} == {f"{run.name}.html", f"{run.name}.md"}
    refused = kgplug("card", "ItemKNN", "--controls", home=tmp_path, endpoint=neo4j_server)
    assert refused.returncode == 2
    assert "Omit ItemKNN" in refused.stderr and "Traceback" not in refused.stderr


def test_intervals_are_those_of_the_bootstrap_and_skip_users_without_a_value() -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"AUC": rng.random(50), "NDCG@10": rng.random(50)})
    frame.loc[:9, "AUC"] = np.nan
    found = intervals_by_user(frame)
    _, low, high, _ = paired_bootstrap(frame[["AUC"]].to_numpy()[10:])
    assert found["AUC"] == (low[0], high[0])
    assert found["NDCG@10"][0] < frame["NDCG@10"].mean() < found["NDCG@10"][1]
