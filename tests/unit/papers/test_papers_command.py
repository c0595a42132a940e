"""`kgplug papers` as a user runs it, on a folder of CSV files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kgplug.data.sources.catalogue import DATA_SETS
from kgplug.data.sources.csv_folder import write_folder
from kgplug.graph.schema import GraphSchema
from kgplug.jobs.papers import refuse_richer
from tests.unit.helpers.printed import printed

pytestmark = pytest.mark.training


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"u:int": np.repeat(np.arange(40), 10), "i:int": rng.integers(0, 30, 400)}).drop_duplicates()
    rows["rating:float"] = np.where((rows["u:int"] + rows["i:int"]) % 2, 5.0, 1.0)
    write_folder(
        tmp_path / "shop",
        nodes={
            "User": pd.DataFrame({"id:int": np.arange(40)}),
            "Movie": pd.DataFrame({"id:int": np.arange(30)}),
            "Genre": pd.DataFrame({"name": ["even", "odd"]}),
        },
        relationships={
            ("User", "RATED", "Movie"): rows,
            ("Movie", "IN", "Genre"): pd.DataFrame({"i:int": np.arange(30), "g": ["even", "odd"] * 15}),
        },
    )
    (tmp_path / "shop" / "kgplug.toml").write_text('[feedback]\nrating = "rating"\nlike_threshold = 4\n')
    return tmp_path


QUICK = ("papers", "movies-table-2", "--data", "shop", "--quick", "--models", "EASE,Popularity")


def test_a_folder_is_measured_and_the_pages_are_named(folder: Path) -> None:
    result = printed(*QUICK)
    assert result.code == 0, result.err
    assert "Page: papers/movies-table-2-quick.html" in result.out
    page = (folder / "papers" / "movies-table-2-quick.html").read_text()
    assert "the folder shop" in page
    assert "kgplug papers movies-table-2 --data shop --models EASE,Popularity --quick" in page


def test_json_has_every_value(folder: Path) -> None:
    result = printed(*QUICK, "--repetitions", "3", "--json")
    found = json.loads(result.out)
    assert {(row["protocol"], row["model"], row["repetition"]) for row in found["rows"]} == {
        (protocol, model, n) for protocol in ("ratings", "honest") for model in ("EASE", "Popularity") for n in range(3)
    }
    assert all(0 <= row["AUC"] <= 1 for row in found["rows"])


def test_without_a_name_the_choices_are_listed() -> None:
    out = printed("papers").out
    for name in ("movies-table-2", "movies-figure-8", "books-figure-3", "books-figures-4-5"):
        assert name in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("movies-table-3",), "movies-table-2"),
        (("movies-table-2", "--models", "MKRR"), "movies-table-2 does not measure MKRR. Choose from LibFM"),
        (("movies-table-2", "--data", "nowhere"), '--data nowhere: expected "graph", a folder of CSV files'),
        (("movies-table-2", "--schema", "shop/kgplug.toml"), "Use it with --data graph or with a folder"),
        (("movies-table-2", "--repetitions", "0"), "greater than or equal to 1"),
    ],
)
def test_wrong_words_are_refused_in_one_sentence(words: tuple[str, ...], message: str, folder: Path) -> None:
    result = printed("papers", *words)
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err
    assert not (folder / "papers").exists()


def test_a_folder_whose_schema_says_more_is_refused_with_what_to_do(folder: Path) -> None:
    (folder / "shop" / "kgplug.toml").write_text('[feedback]\nrating = "rating"\n[knowledge]\nexclude = ["Genre"]\n')
    result = printed(*QUICK)
    assert result.code == 2
    assert "use --data graph" in " ".join(result.err.split())


@pytest.mark.parametrize("name", DATA_SETS)
def test_the_data_sets_that_kgplug_knows_can_be_measured(name: str) -> None:
    refuse_richer(GraphSchema.model_validate(DATA_SETS[name].schema))
