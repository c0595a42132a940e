"""Tuning, comparing and drawing models of a real graph, as a user does from the command line."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from click.testing import Result
from matplotlib import image
from typer.testing import CliRunner

from kgplug.cli import app
from kgplug.errors import UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.server.home import Endpoint
from tests.integration.helpers.sample_graphs import FILM_KEYS, FILMS, build

pytestmark = FILM_KEYS

SPLIT = ("--split", "0.6,0.2,0.2")
SMALL = ("-s", "embedding_dim=8", "-s", "epochs=2", "-s", "device=cpu", *SPLIT)


@pytest.fixture
def films(connection: Connection, neo4j_server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph of films, the server in the environment, and a home of the test's own."""
    build(connection, FILMS)
    monkeypatch.setenv("NEO4J_URI", neo4j_server.uri)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password.get_secret_value())
    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.chdir(tmp_path)


def kgplug(*arguments: str) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None:
        raise result.exception
    return result


def test_models_are_compared_drawn_and_not_trained_twice(films: None) -> None:
    rows = json.loads(kgplug("compare", "distmult", "TransE", "TransH", *SMALL, "--json").stdout)
    assert {row["model"] for row in rows} == {"DistMult", "TransE", "TransH"}
    assert [row["MRR"] for row in rows] == sorted((row["MRR"] for row in rows), reverse=True)
    sizes = {row["model"]: row["parameters"] for row in rows}
    assert sizes["TransE"] == (18 + 2) * 8 and sizes["TransH"] == (18 + 2 + 2) * 8
    again = kgplug("compare", "TransH", "TransE", "DistMult", *SMALL)
    assert "MRR" in again.stdout and "parameters" in again.stdout
    assert len(json.loads(kgplug("runs", "--json").stdout)) == 3
    for runs, widest in ((("TransE", "TransH", "DistMult"), 2200), (("TransE",), 2200)):
        kgplug("plot", *runs, "--to", "picture.png")
        height, width, _ = image.imread("picture.png").shape
        assert height > 400 and 1500 < width <= widest
    kgplug("train", "ItemKNN")
    with pytest.raises(UsageError, match="no metric in common"):
        kgplug("plot", "TransE", "ItemKNN", "--to", "picture.png")


def test_recommenders_are_compared_and_unmeasured_runs_have_no_bars(films: None) -> None:
    rows = json.loads(kgplug("compare", "Popularity", "ItemKNN", *SPLIT, "--json").stdout)
    assert [row["NDCG@10"] for row in rows] == sorted((row["NDCG@10"] for row in rows), reverse=True)
    rows = json.loads(kgplug("compare", "Popularity", "ItemKNN", *SPLIT, "-k", "3,5", "--json").stdout)
    assert [row["NDCG@3"] for row in rows] == sorted((row["NDCG@3"] for row in rows), reverse=True)
    assert "NDCG@5" in rows[0] and "NDCG@10" not in rows[0]
    with pytest.raises(UsageError, match="whole numbers of at least 1"):
        kgplug("compare", "Popularity", "ItemKNN", "-k", "0")
    kgplug("train", "MKR", *SMALL)
    said = kgplug("plot", "MKR", "ItemKNN", "--to", "picture.svg").stdout
    assert "No bars for mkr-" in said and "ItemKNN" in Path("picture.svg").read_text()


def test_tune_prints_the_command_that_trains_with_the_best_settings(films: None) -> None:
    search = ("tune", "TransE", "--epochs", "2", "-s", "device=cpu", *SPLIT)
    shown = kgplug(*search, "--trials", "2").stdout
    assert "the best 2 of 2 trials" in shown and "Next: kgplug train TransE -s device=cpu" in shown
    found = json.loads(kgplug(*search, "--trials", "4", "--json").stdout)
    assert len(found["trials"]) == 4
    assert found["best"] == max(trial["metric"] for trial in found["trials"])
    assert Path(found["plot"]).parent == Path(found["study"]).parent == Path("home/runs/.tuning").absolute()
    assert image.imread(found["plot"]).shape[1] > 1000
    kgplug(*shlex.split(found["command"])[1:], "-s", "epochs=1")
    (run,) = Path("home/runs").glob("transe-*")
    trained = json.loads(next(run.glob("content*.json")).read_text())
    assert {**trained["settings"], **found["settings"]} == trained["settings"]
    assert trained["split"]["fractions"] == [0.6, 0.2, 0.2]
    with pytest.raises(UsageError, match="this split has none"):
        kgplug("tune", "TransE", "--split", "0.8,0,0.2")


def test_beyond_accuracy_metrics_are_a_separate_table_on_request(films: None) -> None:
    kgplug("train", "Popularity", *SPLIT)
    kgplug("train", "ItemKNN", *SPLIT)
    plain = json.loads(kgplug("evaluate", "Popularity", "ItemKNN", "--k", "3", "--json").stdout)
    assert all(list(row)[-5:] == ["users", "left out", "test rows", "gone", "differences"] for row in plain)
    assert all(row["test rows"] > 0 and row["gone"] == 0 for row in plain)
    rows = json.loads(kgplug("evaluate", "Popularity", "ItemKNN", "--k", "3", "--beyond", "--json").stdout)
    for before, row in zip(plain, rows, strict=True):
        assert {name: row[name] for name in before} == before
        assert {"novelty@3", "diversity@3", "popularity@3", "Gini@3", "NDCG@3 cold items", "cold users"} <= set(row)
    shown = kgplug("evaluate", "Popularity", "ItemKNN", "--k", "3", "--beyond").stdout
    first, second = shown.split("Beyond accuracy")
    assert "NDCG@3" in first and "novelty" not in first and "novelty@3" in second and "left out" not in second
    assert "test rows" in first and "test rows" not in second


def test_two_runs_are_compared_user_by_user_in_plain_sentences(films: None) -> None:
    for model in ("Popularity", "ItemKNN"):
        kgplug("train", model, *SPLIT)
    rows = json.loads(kgplug("evaluate", "Popularity", "ItemKNN", "-k", "3", "--json").stdout)
    (found,) = [row["differences"] for row in rows if row["differences"]]
    metrics = ["AUC", "precision@3", "recall@3", "F1@3", "NDCG@3", "hit@3", "MRR@3"]
    assert [each["metric"] for each in found] == metrics
    best = max(rows, key=lambda row: row["NDCG@3"])
    assert {each["baseline"] for each in found} == {best["run"]} and not best["differences"]
    shown = kgplug("evaluate", "Popularity", "ItemKNN", "-k", "3").stdout
    for metric in metrics:
        assert any(line.startswith(f"{metric}: ") for line in shown.splitlines())
    assert "paired bootstrap over" in shown
    assert "differences" not in json.loads(kgplug("evaluate", "ItemKNN", "-k", "3", "--json").stdout)[0]


def test_a_comparison_names_its_baseline_and_runs_of_different_rows_have_none(films: None) -> None:
    chosen = ("compare", "popularity", "ItemKNN", *SPLIT, "-k", "3", "--baseline", "itemknn")
    rows = json.loads(kgplug(*chosen, "--json").stdout)
    found = {row["model"]: row["differences"] for row in rows}
    assert {each["baseline"] for each in found["Popularity"]} == {"ItemKNN"} and found["ItemKNN"] == []
    assert "NDCG@3: Popularity" in kgplug(*chosen).stdout
    with pytest.raises(UsageError, match="expected one of Popularity"):
        kgplug("compare", "Popularity", *SPLIT, "--baseline", "MKR")
    with pytest.raises(UsageError, match="embeddings have no users"):
        kgplug("compare", "TransE", *SMALL, "--baseline", "TransE")
    kgplug("train", "Popularity", "--split", "0.2,0.4,0.4", "--seed", "4")
    other = kgplug("evaluate", "Popularity", "ItemKNN", "-k", "3")
    assert ("Do not compare their metrics" in other.stdout) == ("paired bootstrap" not in other.stdout)


def test_controls_are_rows_below_their_model_and_not_among_the_runs(films: None) -> None:
    controls = ("compare", "CEASE", "PER", "--controls", *SPLIT, "-k", "3")
    rows = json.loads(kgplug(*controls, "--json").stdout)
    names = [row["model"] for row in rows]
    for name in ("CEASE", "PER"):
        place = names.index(name)
        assert names[place + 1].startswith(f"{name} with") and rows[place]["differences"] == []
    assert {"CEASE without graph", "CEASE with shuffled graph", "PER with shuffled graph"} <= set(names)
    assert all(each["baseline"] == row["model"].split()[0] for row in rows for each in row["differences"])
    shown = kgplug(*controls).stdout
    assert "There is no row PER without graph: PER: no two items share" in shown
    assert "NDCG@3: CEASE with" in shown and "its baseline" in shown
    assert {row["model"] for row in json.loads(kgplug("runs", "--json").stdout)} == {"CEASE", "PER"}
    assert len(json.loads(kgplug("runs", "--json").stdout)) == 2
    assert [*Path("home/runs/.checkpoints").rglob("content*.json")]
    assert "2 files or folders of unfinished trainings and controls" in kgplug("erase-user", "1").stdout
    assert not [*Path("home/runs/.checkpoints").iterdir()]
    with pytest.raises(UsageError, match="Omit ItemKNN"):
        kgplug("compare", "CEASE", "ItemKNN", "--controls")


def test_models_are_trained_tuned_and_compared_for_users_they_have_never_seen(
    films: None, connection: Connection
) -> None:
    connection.autocommit(
        "UNWIND range(10, 49) AS i CREATE (u:User {id: i}) WITH u MATCH (m:Movie) WHERE (u.id + m.id) % 2 = 0 "
        "AND (u.id * 7 + m.id * 5) % 12 > 2 CREATE (u)-[:RATED {rating: 5, timestamp: 900000000 + m.id}]->(m)"
    )
    new = ("--by", "new-users", "--split", "0.4,0.3,0.3")
    kgplug("train", "Popularity", *new)
    (row,) = json.loads(kgplug("evaluate", "Popularity", "-k", "3", "--json").stdout)
    (run,) = Path("home/runs").glob("popularity-*")
    content = json.loads(next(run.glob("content*.json")).read_text())
    assert content["split"]["by"] == "new-users" and 0 < row["users"] <= 15 and row["gone"] == 0
    shown = kgplug("evaluate", "Popularity", "-k", "3")
    assert "the test users are new" in shown.stdout and "80% are the profile" in shown.stdout
    rows = json.loads(kgplug("compare", "Popularity", "ItemKNN", *new, "-k", "3", "--json").stdout)
    assert {row["model"] for row in rows} == {"Popularity", "ItemKNN"} and rows[0]["users"] == row["users"]
    assert rows[0]["test rows"] == row["test rows"]
    found = kgplug("tune", "ItemKNN", "--trials", "2", *new).stdout
    assert "--by new-users" in found.splitlines()[-1]
    final = json.loads(kgplug("train", "Popularity", *new, "--final", "--json").stdout)
    assert final["origin"] == run.name
    kgplug("train", "ItemKNN", *SPLIT)
    mixed = kgplug("evaluate", "Popularity", "ItemKNN", "-k", "3")  # Popularity's newest run is measured as its origin
    assert "Do not compare these metrics with those of another split" in mixed.stdout
    assert "paired bootstrap" not in mixed.stdout


def test_a_row_added_later_to_a_trained_user_does_not_make_the_user_new(films: None, connection: Connection) -> None:
    connection.autocommit(
        "UNWIND range(10, 49) AS i CREATE (u:User {id: i}) WITH u MATCH (m:Movie) WHERE (u.id + m.id) % 2 = 0 "
        "CREATE (u)-[:RATED {rating: 5, timestamp: 900000000 + m.id}]->(m)"
    )
    kgplug("train", "Popularity", "--by", "new-users", "--split", "0.4,0.1,0.5")
    connection.autocommit(
        "MATCH (u:User), (m:Movie) WHERE u.id > 9 AND (u.id + m.id) % 7 = 1 AND NOT (u)-[:RATED]->(m) "
        "CREATE (u)-[:RATED {rating: 5, timestamp: 900001000}]->(m)"
    )
    kgplug("train", "ItemKNN", "--by", "new-users", "--split", "0.4,0.1,0.5", "--seed", "1")
    rows = json.loads(kgplug("evaluate", "Popularity", "ItemKNN", "-k", "3", "--json").stdout)
    assert len(rows) == 2 and rows[0]["users"] == rows[1]["users"] and rows[0]["test rows"] == rows[1]["test rows"]
    assert sum(len(row["differences"]) for row in rows) == 7


def test_json_says_on_stderr_which_rows_runs_were_compared_on(films: None) -> None:
    kgplug("train", "ItemKNN", "--split", "0.6,0.2,0.2")
    kgplug("train", "Popularity", "--split", "0.5,0.2,0.3")
    found = kgplug("evaluate", "ItemKNN", "Popularity", "--k", "3", "--json")
    assert len(json.loads(found.stdout)) == 2
    assert "The runs are compared on" in found.stderr or "Do not compare their metrics" in found.stderr


def test_options_that_make_no_difference_to_an_embedding_are_named(films: None) -> None:
    assert "--by and --order are not used" in kgplug("train", "TransE", *SMALL, "--order", "time", "--by", "row").stderr
    assert "-k is not used" in kgplug("compare", "TransE", *SMALL, "-k", "5").stderr
    assert "-k and --beyond are not used" in kgplug("evaluate", "TransE", "-k", "5", "--beyond").stderr
    assert "-k is not used" in kgplug("publish", "TransE", "-k", "5", "--dry-run", "--force").stderr
    for command in (("train", "TransE", *SMALL), ("evaluate", "TransE"), ("publish", "TransE", "--dry-run", "--force")):
        assert "not used" not in kgplug(*command).stderr
