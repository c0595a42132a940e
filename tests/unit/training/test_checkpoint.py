"""Checkpoints: a training that was stopped goes on as if it had not been."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pytest
import torch

from kgplug.errors import RunError
from kgplug.training.checkpoint import load_checkpoint, save_checkpoint
from kgplug.training.loop import train
from tests.unit.helpers.small_task import SmallTask, same

pytestmark = pytest.mark.training

OPTIONS = {"patience": 3, "seed": 5, "description": "small", "progress": False, "fingerprint": "f"}
FIGURES = [0.1, 0.5, 0.4, 0.6, 0.3, 0.2, 0.1]


class Stopped(Exception):
    """The training was interrupted."""


class Interrupted(SmallTask):
    """Is interrupted in the middle of an epoch."""

    def __init__(self, epoch: int, **options) -> None:
        super().__init__(**options)
        self.stop = epoch

    def step(self, batch: torch.Tensor) -> torch.Tensor:
        if self.epochs - 1 == self.stop:
            raise Stopped
        return super().step(batch)


@pytest.mark.parametrize("stop", [1, 2, 4])
def test_a_resumed_training_equals_an_uninterrupted_one_bit_by_bit(tmp_path: Path, stop: int) -> None:
    alone = SmallTask(figures=FIGURES)
    whole = train(alone, epochs=7, **OPTIONS)
    with pytest.raises(Stopped):
        train(Interrupted(stop, figures=FIGURES), epochs=7, checkpoint=tmp_path / "c", **OPTIONS)
    resumed = SmallTask(figures=FIGURES)
    history = train(resumed, epochs=7, checkpoint=tmp_path / "c", **OPTIONS)
    assert resumed.epochs == len(history.losses) == 7
    assert (history.losses, history.validation, history.best_epoch) == (whole.losses, whole.validation, 3)
    assert same(resumed.weights(), alone.weights())


def test_a_finished_training_trains_no_more_and_gives_the_best_weights_again(tmp_path: Path) -> None:
    first, second = SmallTask(figures=FIGURES), SmallTask(figures=FIGURES)
    train(first, epochs=3, checkpoint=tmp_path / "c", **OPTIONS)
    train(second, epochs=3, checkpoint=tmp_path / "c", **OPTIONS)
    assert second.epochs == 0 and same(first.weights(), second.weights())


def test_a_checkpoint_of_other_data_or_settings_is_refused(tmp_path: Path) -> None:
    train(SmallTask(), epochs=1, checkpoint=tmp_path / "c", **OPTIONS)
    task = SmallTask()
    before = task.weights()
    with pytest.raises(RunError, match=r"other data or settings. Delete it"):
        train(task, epochs=1, checkpoint=tmp_path / "c", **{**OPTIONS, "fingerprint": "g"})
    assert same(task.weights(), before)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"x" * 100, None])
def test_a_damaged_checkpoint_is_refused_in_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "c"
    train(SmallTask(), epochs=1, checkpoint=path, **OPTIONS)
    path.write_bytes(path.read_bytes()[:-9] if content is None else content)
    with pytest.raises(RunError, match=r"is damaged"):
        train(SmallTask(), epochs=1, checkpoint=path, **OPTIONS)


def test_one_flipped_bit_of_a_weight_is_detected_and_nothing_is_loaded(tmp_path: Path) -> None:
    path, module = tmp_path / "c", torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(module.parameters())
    save_checkpoint(path, module, [optimizer], module.state_dict(), {"losses": [0.5]}, fingerprint="f")
    whole = path.read_bytes()
    weights = len(whole) - 2 * 4 * (3 * 2 + 2)  # the last bytes of the file: weights and best weights, float32
    for byte in range(weights, len(whole)):
        path.write_bytes(whole[:byte] + bytes([whole[byte] ^ 1 << byte % 8]) + whole[byte + 1 :])
        other = torch.nn.Linear(3, 2)
        before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
        with pytest.raises(RunError, match=r"is damaged \(its content does not match its sha256\)"):
            load_checkpoint(path, other, [torch.optim.Adam(other.parameters())], fingerprint="f")
        assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())


def _save_for_ever(path: Path, saved_once: Event) -> None:
    module, number = torch.nn.Linear(200, 100), 0
    while True:
        number += 1
        for parameter in module.parameters():
            parameter.detach().fill_(number)
        save_checkpoint(path, module, [], module.state_dict(), {"number": number}, fingerprint="f")
        saved_once.set()


def test_a_kill_while_saving_leaves_a_complete_checkpoint(tmp_path: Path) -> None:
    path, rng, saved = tmp_path / "c", np.random.default_rng(1), 0
    module, processes = torch.nn.Linear(200, 100), multiprocessing.get_context("fork")  # torch is not imported again
    for _ in range(6):
        saved_once = processes.Event()
        process = processes.Process(target=_save_for_ever, args=(path, saved_once))
        process.start()
        assert saved_once.wait(60)
        time.sleep(0.1 * rng.random())
        process.kill()  # SIGKILL
        process.join()
        best, history = load_checkpoint(path, module, [], fingerprint="f")
        assert all((tensor == history["number"]).all() for tensor in (*module.state_dict().values(), *best.values()))
        saved += history["number"]
    assert saved > 6
    save_checkpoint(path, module, [], {}, {}, fingerprint="f")
    assert [other.name for other in tmp_path.iterdir()] == ["c"]
