"""What a training leaves behind that could not go on."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from kgplug import jobs, models
from kgplug.embeddings.model import EmbeddingModel
from kgplug.embeddings.training import TripleTask
from kgplug.errors import TrainingError
from kgplug.graph.schema import GraphSchema
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.click_through.tasks import ClickThroughTask
from kgplug.training.runs import Runs
from tests.unit.helpers.planted import directors_and_fans

pytestmark = pytest.mark.training

QUICK = {"embedding_dim": 4, "batch_size": 4096, "device": "cpu"}
TASKS = [("TransE", TripleTask), ("MF", ClickThroughTask)]


def _data() -> jobs.GraphData:
    interactions, knowledge, _, _ = directors_and_fans()
    return jobs.GraphData(GraphSchema(), interactions, knowledge)


def _poison(monkeypatch: pytest.MonkeyPatch, task: type, *, after: int) -> None:
    """Make the loss NaN after so many steps; an epoch has one."""
    step, steps = task.step, []

    def poisoned(self: object, batch: object) -> torch.Tensor:
        steps.append(1)
        return step(self, batch) * (float("nan") if len(steps) > after else 1.0)

    monkeypatch.setattr(task, "step", poisoned)


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_a_training_with_a_nan_loss_is_an_error_and_its_best_weights_become_a_run(
    name: str, task: type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs, data = Runs(tmp_path / "runs"), _data()
    split = jobs.Split((0.9, 0.0, 0.1))
    good = models.load(jobs.train(name, data, runs, settings={**QUICK, "epochs": 3}, split=split, progress=False))
    _poison(monkeypatch, task, after=3)
    with pytest.raises(TrainingError, match=r"became nan in epoch 4 with learning rate .* saved as run ") as error:
        jobs.train(name, data, runs, settings={**QUICK, "epochs": 9}, split=split, progress=False)
    run = re.findall(r"saved as run (\S+)\.$", str(error.value))[0]
    kept = models.load(runs.path(run))
    assert kept.history["losses"] == good.history["losses"]
    if isinstance(kept, EmbeddingModel) and isinstance(good, EmbeddingModel):
        assert np.array_equal(kept.entity_vectors(), good.entity_vectors())
    else:
        assert isinstance(kept, Recommender) and isinstance(good, Recommender)
        assert np.array_equal(kept.item_vectors(), good.item_vectors())
    assert not list((tmp_path / "runs" / ".checkpoints").glob("*.safetensors"))


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_without_a_good_epoch_there_is_nothing_to_keep(
    name: str, task: type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _poison(monkeypatch, task, after=0)
    runs = Runs(tmp_path / "runs")
    with pytest.raises(TrainingError, match=r"became nan in epoch 1"):
        jobs.train(name, _data(), runs, settings={**QUICK, "epochs": 9}, progress=False)
    assert runs.list() == []


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_a_training_that_failed_is_not_taken_for_the_one_that_is_asked_for(
    name: str, task: type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs, data = Runs(tmp_path / "runs"), _data()
    with monkeypatch.context() as patch:
        _poison(patch, task, after=2)
        with pytest.raises(TrainingError):
            jobs.train(name, data, runs, settings={**QUICK, "epochs": 4}, progress=False)
    folder = jobs.train(name, data, runs, settings={**QUICK, "epochs": 4}, reuse=True, progress=False)
    assert len(models.load(folder).history["losses"]) == 4 and len(runs.list()) == 2


@pytest.mark.parametrize("kept", [False, True])
def test_an_interrupted_training_promises_to_go_on_only_where_a_checkpoint_is_kept(
    kept: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(_model: object, *_data: object, checkpoint: Path, **_options: object) -> None:
        if kept:
            checkpoint.parent.mkdir(parents=True)
            checkpoint.write_bytes(b"")
        raise KeyboardInterrupt

    monkeypatch.setattr("kgplug.recommenders.base.Recommender.fit", interrupted)
    with pytest.raises(KeyboardInterrupt) as raised:
        jobs.train("MF", _data(), Runs(tmp_path / "runs"), settings=QUICK, progress=False)
    promised = ["Run the same command again to continue from the last checkpoint."]
    assert getattr(raised.value, "__notes__", []) == (promised if kept else [])


def test_a_seed_of_numpy_trains_the_run_that_the_same_number_of_python_trains(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    first = jobs.train("Popularity", _data(), runs, seed=np.int64(3), progress=False)  # type: ignore[arg-type]
    again = jobs.train("Popularity", _data(), runs, seed=3, reuse=True, progress=False)
    assert first == again
