"""Runs: listed without reading what is big, found by id, beginning or model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kgplug.data.artefact import write_artefact
from kgplug.errors import UsageError
from kgplug.training.runs import Runs

IDS = {
    "mkr-20261123-154500-a1b2": ("MKR", "2026-11-23T15:45:00+00:00"),
    "mkr-20261123-154500-a1c3": ("MKR", "2026-11-23T15:46:00+00:00"),
    "transe-20261101-000000-ffff": ("TransE", None),
}


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    store = Runs(tmp_path / "runs")
    for name, (model, created) in IDS.items():
        content = {"model": model, "kind": "recommender", "metrics": {"AUC": 0.9}, "history": {"seconds": [1.0, 2.0]}}
        write_artefact(store.path(name), {"a": np.zeros(3)}, content | ({"created": created} if created else {}))
    return store


def test_runs_are_listed_with_the_newest_last(runs: Runs) -> None:
    assert [info.id for info in runs.list()] == sorted(IDS, key=lambda name: (IDS[name][1] or "", name))
    oldest = runs.list()[0]
    assert (oldest.model, oldest.kind, oldest.created) == ("TransE", "recommender", "2026-11-01T00:00:00+00:00")
    assert (oldest.metrics, oldest.seconds, oldest.damage) == ({"AUC": 0.9}, 3.0, "")
    assert oldest.path == runs.path("transe-20261101-000000-ffff")


def test_there_may_be_no_folder_yet(tmp_path: Path) -> None:
    assert Runs(tmp_path / "none").list() == []
    with pytest.raises(UsageError, match=r"there is none in .* yet"):
        Runs(tmp_path / "none").resolve("MKR")


@pytest.mark.parametrize("text", ["mkr-20261123-154500-a1b2", "mkr-20261123-154500-a1b", "MKR-20261123-154500-A1B"])
def test_an_id_or_its_beginning_names_a_run(runs: Runs, text: str) -> None:
    assert runs.resolve(text).name == "mkr-20261123-154500-a1b2"


def test_the_name_of_a_model_means_its_newest_run(runs: Runs) -> None:
    assert runs.resolve("mkr").name == "mkr-20261123-154500-a1c3"
    assert runs.resolve("TransE").name == "transe-20261101-000000-ffff"


def test_a_path_names_a_run_too(runs: Runs) -> None:
    assert Runs(runs.folder / "other").resolve(str(runs.path("mkr-20261123-154500-a1b2"))).name.endswith("a1b2")


def test_what_fits_no_run_or_several_tells_what_there_is(runs: Runs) -> None:
    with pytest.raises(UsageError, match=r"fits 2 runs: mkr-20261123-154500-a1b2, mkr-20261123-154500-a1c3"):
        runs.resolve("mkr-2026")
    with pytest.raises(UsageError, match=r'No run or model "KGCN".*a1c3.*Models: MKR, TransE'):
        runs.resolve("KGCN")
    with pytest.raises(UsageError, match=r"No run or model"):
        runs.resolve("")


@pytest.mark.parametrize("damage", ["cut", "empty", "no manifest", "content", "not a run"])
def test_a_damaged_run_is_listed_as_damaged_and_passed_over(runs: Runs, damage: str) -> None:
    folder = runs.path("mkr-20261123-154500-a1c3")
    if damage == "cut":
        (folder / "arrays.safetensors").write_bytes((folder / "arrays.safetensors").read_bytes()[:-1])
    elif damage == "empty":
        [path.unlink() for path in folder.iterdir()]
    elif damage == "no manifest":
        (folder / "manifest.json").unlink()
    elif damage == "content":
        (folder / "content.json").write_text("{}")
    else:
        write_artefact(folder, {}, {"model": "MKR"})
    info = next(info for info in runs.list() if info.id == folder.name)
    assert info.damage and info.model == "" and info.metrics == {}
    assert runs.resolve("MKR").name == "mkr-20261123-154500-a1b2"
    assert runs.resolve(folder.name) == folder  # opening it tells what is wrong


def test_half_written_runs_and_checkpoints_are_not_listed(runs: Runs) -> None:
    (runs.folder / ".mkr.123.building-x").mkdir()
    (runs.folder / ".checkpoints").mkdir()
    (runs.folder / "notes.txt").write_text("x")
    assert len(runs.list()) == 3


def test_an_id_cannot_leave_the_folder(runs: Runs) -> None:
    for bad in ("../x", "a/b", ".hidden", ""):
        with pytest.raises(UsageError, match=r"Run id"):
            runs.path(bad)
    assert runs.path(runs.new_id("Item KNN")).parent == runs.folder


def test_listing_imports_nothing_heavy(runs: Runs) -> None:
    script = (
        "import sys, json; from kgplug.training.runs import Runs; from pathlib import Path;"
        f"print(json.dumps([len(Runs(Path({str(runs.folder)!r})).list()), "
        "[name for name in ('torch', 'pandas', 'scipy', 'neo4j', 'pykeen', 'dgl') if name in sys.modules]]))"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == [3, []]
