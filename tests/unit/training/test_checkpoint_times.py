"""Checkpoints are written by elapsed time, in a small part of the training, and when it is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from kgplug.training import interruption, loop
from kgplug.training.checkpoint_times import MAX_SHARE, CheckpointTimes, expected_bytes
from kgplug.training.loop import train
from tests.unit.helpers.small_task import SmallTask, same

pytestmark = pytest.mark.training

OPTIONS = {"patience": 3, "seed": 5, "description": "small", "progress": False, "fingerprint": "f"}


class Clock:
    """A clock that goes on only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def simulate(*, interval_s: float, epoch_s: float, write_s: float, epochs: int, n_bytes: int = 0) -> list[float]:
    """Return the times at which a training of so many epochs begins to write."""
    clock, writes = Clock(), []
    times = CheckpointTimes(interval_s, n_bytes, clock=clock)
    for _ in range(epochs):
        clock.now += epoch_s
        if times.due():
            writes.append(clock.now)
            with times.writing():
                clock.now += write_s
    return writes


@pytest.mark.parametrize(("epoch_s", "write_s"), [(0.1, 0.01), (1, 0.5), (10, 5), (10, 30), (100, 2)])
def test_writing_takes_at_most_a_twentieth_of_the_training(epoch_s: float, write_s: float) -> None:
    epochs = int(3600 / epoch_s)
    writes = simulate(interval_s=60, epoch_s=epoch_s, write_s=write_s, epochs=epochs, n_bytes=int(write_s * 1e8))
    total = epochs * epoch_s + len(writes) * write_s
    assert 0 < len(writes) * write_s <= MAX_SHARE * total


def test_writes_are_at_least_the_interval_apart() -> None:
    writes = simulate(interval_s=60, epoch_s=7, write_s=0.1, epochs=200)
    assert min(np.diff(writes)) >= 60 and writes[0] >= 60
    assert len(writes) > 1400 / 70


def test_a_first_write_larger_than_any_before_waits_until_it_is_a_twentieth() -> None:
    (first, *_) = simulate(interval_s=60, epoch_s=10, write_s=8, epochs=50, n_bytes=820_000_000)
    assert 160 <= first <= 180


def test_an_interval_of_zero_means_after_every_epoch() -> None:
    assert len(simulate(interval_s=0, epoch_s=1, write_s=50, epochs=9)) == 9


def test_the_size_of_a_checkpoint_is_about_what_is_expected(tmp_path: Path) -> None:
    module = torch.nn.Linear(1000, 100)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1000)).sum().backward()
    optimizer.step()
    loop.save_checkpoint(tmp_path / "c", module, [optimizer], module.state_dict(), {}, fingerprint="f")
    assert (tmp_path / "c").stat().st_size == pytest.approx(expected_bytes(module), rel=0.1)


def count_writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    written, save = [], loop.save_checkpoint

    def counted(*arguments: object, **options: object) -> None:
        written.append(1)
        save(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "save_checkpoint", counted)
    return written


def test_a_training_shorter_than_the_interval_writes_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = count_writes(monkeypatch)
    monkeypatch.delenv("KGPLUG_CHECKPOINT_S")
    train(SmallTask(), epochs=20, checkpoint=tmp_path / "c", **OPTIONS)
    assert written == [] and list(tmp_path.iterdir()) == []


def test_the_environment_says_how_far_apart_checkpoints_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = count_writes(monkeypatch)
    train(SmallTask(), epochs=4, checkpoint=tmp_path / "c", **OPTIONS)
    assert len(written) == 4  # the tests set it to 0
    monkeypatch.setenv("KGPLUG_CHECKPOINT_S", "0.2")

    class Slow(SmallTask):
        def validate(self) -> None:
            time.sleep(0.05)

    written.clear()
    train(Slow(), epochs=20, checkpoint=tmp_path / "d", **OPTIONS)
    assert 1 <= len(written) <= 5


class Signalled(SmallTask):
    """Sends its process a signal in the middle of an epoch."""

    def __init__(self, number: int, epoch: int, *, times: int = 1) -> None:
        super().__init__()
        self.number, self.epoch, self.times = number, epoch, times

    def step(self, batch: torch.Tensor) -> torch.Tensor:
        if self.epochs - 1 == self.epoch:
            for _ in range(self.times):
                signal.raise_signal(self.number)
            self.times = 0
        return super().step(batch)


class Ended(Exception):
    """What the handler of the test's own raises for SIGTERM."""


def end(*_: object) -> None:
    raise Ended


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Let Ctrl-C interrupt, which is ignored by what a script runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Ended)])
def test_an_interrupted_training_keeps_its_current_epoch_and_resumes_bit_by_bit(
    number: int, error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KGPLUG_CHECKPOINT_S", "60")
    alone, resumed, interrupted = SmallTask(), SmallTask(), Signalled(number, 3)
    train(alone, epochs=7, **OPTIONS)
    before = signal.signal(signal.SIGTERM, end)
    try:
        with pytest.raises(error):
            train(interrupted, epochs=7, checkpoint=tmp_path / "c", **OPTIONS)
        assert signal.getsignal(signal.SIGTERM) is end
    finally:
        signal.signal(signal.SIGTERM, before)
    assert interrupted.epochs == 4 and (tmp_path / "c").exists()
    began = []
    resumed.batches, batches = lambda epoch, rng: (began.append(epoch), batches(epoch, rng))[1], resumed.batches
    train(resumed, epochs=7, checkpoint=tmp_path / "c", **OPTIONS)
    assert began == [4, 5, 6] and same(resumed.weights(), alone.weights())


def test_a_second_interruption_is_not_kept_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGPLUG_CHECKPOINT_S", "60")
    with pytest.raises(KeyboardInterrupt):
        train(Signalled(signal.SIGINT, 3, times=2), epochs=7, checkpoint=tmp_path / "c", **OPTIONS)
    assert not (tmp_path / "c").exists()


def test_a_long_epoch_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGPLUG_CHECKPOINT_S", "60")
    monkeypatch.setattr(interruption, "FINISH_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(Signalled(signal.SIGINT, 3), epochs=7, checkpoint=tmp_path / "c", **OPTIONS)
    assert not (tmp_path / "c").exists()


def test_without_a_checkpoint_and_in_other_threads_signals_are_left_alone(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    found = []

    class Looking(SmallTask):
        def step(self, batch: torch.Tensor) -> torch.Tensor:
            found.append(signal.getsignal(signal.SIGINT))
            return super().step(batch)

    train(Looking(), epochs=1, **OPTIONS)
    thread = threading.Thread(
        target=train, args=(Looking(),), kwargs={"epochs": 1, "checkpoint": tmp_path / "c", **OPTIONS}
    )
    thread.start()
    thread.join()
    assert set(found) == {before} and (tmp_path / "c").exists()


def test_an_invalid_interval_is_refused_in_one_sentence(tmp_path: Path) -> None:
    environment = {**os.environ, "KGPLUG_HOME": str(tmp_path), "KGPLUG_CHECKPOINT_S": "soon"}
    command = [sys.executable, "-c", "from kgplug.cli import main; main()", "runs"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2 and ended.stdout == ""
    assert ended.stderr.startswith("Error: KGPLUG_CHECKPOINT_S=soon: ") and ended.stderr.count("\n") == 1
