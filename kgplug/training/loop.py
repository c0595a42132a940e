"""The training loop: epochs, early stopping, checkpoints, progress.

All randomness in an epoch comes from generators seeded with (seed, epoch), so a training that continues from a
checkpoint draws the same numbers as an uninterrupted one.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from kgplug.errors import TrainingError, is_out_of_memory
from kgplug.progress import bar as progress_bar
from kgplug.settings import Settings
from kgplug.training.adam import Optimizer
from kgplug.training.checkpoint import load_checkpoint, save_checkpoint
from kgplug.training.checkpoint_times import CheckpointTimes, expected_bytes
from kgplug.training.device import one_thread
from kgplug.training.interruption import Interruption
from kgplug.training.tensors import forked_rng

SMOOTHED = 3  # number of latest epochs whose NDCG is averaged to choose the best epoch, because a single NDCG is noisy
# A step with fewer floats (`step_floats`) runs on one thread. On two cores, KGCN with 1 million floats per step is a
# third slower with two threads than with one.
ONE_THREAD_BELOW = 4_000_000


class TrainingTask(Protocol):
    """What a model must implement so that `train` can train it."""

    @property
    def module(self) -> torch.nn.Module:
        """Return the module to train."""
        ...

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """Return the optimisers; their state is part of a checkpoint."""
        ...

    @property
    def step_floats(self) -> int:
        """Return the approximate number of elements of the largest tensor in a step."""
        ...

    def batches(self, epoch: int, rng: np.random.Generator) -> Sequence[Any] | Iterator[Any]:
        """Return the batches of one epoch. All randomness must come from `rng`."""
        ...

    def step(self, batch: Any) -> torch.Tensor:
        """Do one optimisation step and return its loss, a detached scalar."""
        ...

    def validate(self) -> float | None:
        """Return the metric that decides which epoch is best (higher is better), or None without validation data."""
        ...


@dataclass
class History:
    """Record of a training's epochs.

    Attributes:
        losses: For each epoch, the mean loss of its batches.
        validation: Validation metric of each epoch; empty without validation data.
        lists: NDCG of the validation users' lists after each epoch; empty if lists do not choose the best epoch.
        best_epoch: Number (from 0) of the epoch whose weights were kept; -1 before the first epoch.
        seconds: Wall time of each epoch, including validation.
    """

    losses: list[float] = field(default_factory=list[float])
    validation: list[float] = field(default_factory=list[float])
    lists: list[float] = field(default_factory=list[float])
    best_epoch: int = -1
    seconds: list[float] = field(default_factory=list[float])

    @property
    def metric(self) -> list[float]:
        """For each epoch, the metric that chooses the best one.

        If lists choose the best epoch, this is the mean NDCG of the epoch and the two before it; otherwise it is
        `validation`.
        """
        if not self.lists:
            return self.validation
        recent = (self.lists[max(0, last - SMOOTHED) : last] for last in range(1, len(self.lists) + 1))
        return [round(sum(values) / len(values), 9) for values in recent]  # rounding errors are no improvement

    def to_dict(self) -> dict[str, Any]:
        return copy.deepcopy(self.__dict__)


def best_of(metric: list[float]) -> int:
    """Return the number (from 0) of the epoch with the highest metric, the first of equal ones; -1 without epochs."""
    return metric.index(max(metric)) if metric else -1


def train(
    task: TrainingTask,
    *,
    epochs: int,
    patience: int,
    seed: int,
    description: str,
    chance: float = -math.inf,
    fingerprint: str = "",
    checkpoint: Path | None = None,
    pause_after: int | None = None,
    resumable: bool = True,
    lists: Callable[[], float] | None = None,
    progress: bool | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
) -> History:
    """Train for `epochs` epochs, or until validation has not improved for `patience` epochs.

    Afterwards the module has the weights of the best epoch; without validation data, those of the last epoch. The best
    epoch is the one with the best validation metric or, with `lists`, the best NDCG (`History.metric`). With `lists`,
    training stops when neither of the two metrics has improved for `patience` epochs.

    Args:
        task: The model's task.
        epochs: Maximum number of epochs.
        patience: Stop after this many epochs without a better validation metric.
        seed: Seed of the training; each epoch's generator is seeded with (seed, epoch).
        description: Text next to the progress bar.
        chance: Validation metric that random scores can reach. Epochs count towards `patience` only after the metric
            has exceeded this value.
        fingerprint: Fingerprint of data and settings; a checkpoint with another one is refused.
        checkpoint: File to continue from if it exists; None writes none. It is written at the end of an epoch if the
            last write was at least 60 seconds ago (environment variable KGPLUG_CHECKPOINT_S), and if all writes
            together take at most 5 % of the training time. It is also written if the training is interrupted shortly
            before an epoch's end.
        pause_after: Stop after this many epochs, counting those of earlier calls. The checkpoint is always written at
            the end, so that a call with a higher number continues.
        resumable: Whether the checkpoint outlives this process. If not, an interruption does not wait for the end of
            an epoch.
        lists: Function that returns the NDCG of the validation users' lists with the module's current weights. It is
            called only if the task has a validation metric.
        progress: Whether to show a progress bar. None: only on a terminal.
        on_epoch: Called as on_epoch(epoch, metric) after each validated epoch, with the metric that chooses the best
            epoch; epochs count from 0. It may raise an exception to end the training.

    Raises:
        TrainingError: The loss or metric is not finite, or memory runs out during validation. The module then has the
            best weights so far, and `error.history` is the record of the epochs so far.
        RunError: The checkpoint is damaged or belongs to other data or settings.
    """
    history, best = History(), _weights(task.module)
    if checkpoint is not None and checkpoint.exists():
        best, recorded = load_checkpoint(checkpoint, task.module, task.optimizers, fingerprint=fingerprint)
        history = History(**recorded)
    last = epochs if pause_after is None else min(epochs, pause_after)
    bar = progress_bar(last, what=description, unit="epoch", progress=progress, initial=len(history.losses))
    times = CheckpointTimes(Settings().kgplug_checkpoint_s, expected_bytes(task.module))
    with bar, Interruption(active=checkpoint is not None and resumable) as interruption:
        while len(history.losses) < last and not _exhausted(history, patience, chance):
            epoch, began = len(history.losses), time.perf_counter()
            interruption.expect(history.seconds[-1] + times.expected_s if history.seconds else math.inf)
            try:
                loss, metric = _run_epoch(task, epoch, seed, best), _validate(task.validate, task, epoch, best)
                if metric is not None:
                    _check_metric(metric, epoch, task, best)
                ndcg = None if lists is None or metric is None else _validate(lists, task, epoch, best)
            except TrainingError as error:
                error.history = history.to_dict() if history.best_epoch >= 0 else None
                raise
            history.losses.append(loss)
            if metric is not None:
                history.validation.append(float(metric))
            if ndcg is not None:
                history.lists.append(ndcg)
            if metric is None or best_of(history.metric) == epoch:
                history.best_epoch, best = epoch, _weights(task.module)
            history.seconds.append(time.perf_counter() - began)
            ends = pause_after is not None and (len(history.losses) >= last or _exhausted(history, patience, chance))
            if checkpoint is not None and (times.due() or ends or interruption.signal is not None):
                with times.writing():
                    save_checkpoint(
                        checkpoint, task.module, task.optimizers, best, history.to_dict(), fingerprint=fingerprint
                    )
            if interruption.signal is not None:
                interruption.give_back()
            bar.show(_postfix(history))
            bar.update()
            if on_epoch is not None and history.validation:
                on_epoch(epoch, history.metric[-1])
    task.module.load_state_dict(best)
    return history


def _run_epoch(task: TrainingTask, epoch: int, seed: int, last_good: dict[str, torch.Tensor]) -> float:
    """Train one epoch and return its mean loss. Losses are read from the device once, at the end.

    If the loss is not finite, load the weights `last_good` and raise TrainingError.
    """
    rng = np.random.default_rng([seed, epoch])
    task.module.train()
    # Dropout uses torch's global generator, whose state is restored afterwards.
    with _threads(task), _seeded(task.module, int(rng.integers(2**31))):
        losses = [task.step(batch) for batch in task.batches(epoch, rng)]
    task.module.eval()
    loss = float(torch.stack(losses).double().mean()) if losses else 0.0
    if not math.isfinite(loss):
        raise _diverged("loss", loss, epoch, task, last_good)
    return loss


def _validate(
    measure: Callable[[], float | None], task: TrainingTask, epoch: int, last_good: dict[str, torch.Tensor]
) -> float | None:
    """Return the result of `measure`, a metric of the task's module on the validation data.

    If memory runs out, load the weights `last_good` and raise TrainingError. Unlike in training, smaller batches would
    not help.
    """
    try:
        return measure()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        task.module.load_state_dict(last_good)
        raise TrainingError(
            f"Not enough memory to validate epoch {epoch + 1}; the best weights before it were kept. Free some memory, "
            "then train again."
        ) from error


@contextmanager
def _seeded(module: torch.nn.Module, seed: int) -> Generator[None]:
    """Seed the global generators of the CPU and of the module's devices, and restore them afterwards."""
    numbers = sorted({p.device.index or 0 for p in module.parameters() if p.device.type == "cuda"})
    with forked_rng(numbers):
        torch.default_generator.manual_seed(seed)
        for number in numbers:
            with torch.cuda.device(number):
                torch.cuda.manual_seed(seed)
        yield


def _threads(task: TrainingTask) -> AbstractContextManager[None]:
    """Return a context that uses one thread if steps are small: more threads would then cost more than they save."""
    return one_thread() if task.step_floats < ONE_THREAD_BELOW else nullcontext()


def _check_metric(metric: float, epoch: int, task: TrainingTask, last_good: dict[str, torch.Tensor]) -> None:
    if not math.isfinite(metric):
        raise _diverged("validation metric", float(metric), epoch, task, last_good)


def _diverged(
    what: str, value: float, epoch: int, task: TrainingTask, last_good: dict[str, torch.Tensor]
) -> TrainingError:
    """Load the weights `last_good`, and return the error that says that `what` (a loss or metric) became `value`."""
    task.module.load_state_dict(last_good)
    found = [f"{group['lr']:g}" for optimizer in task.optimizers for group in optimizer.param_groups]
    rates = ", ".join(dict.fromkeys(found))
    return TrainingError(
        f"The {what} became {value} in epoch {epoch + 1} with learning rate {rates}; the best weights before it "
        "were kept. Train again with a smaller learning_rate. If you raised a penalty such as l2, lower it first."
    )


def _exhausted(history: History, patience: int, chance: float) -> bool:
    has_begun = max(history.validation, default=-math.inf) > chance
    last = max(history.best_epoch, best_of(history.validation))
    return has_begun and len(history.losses) - 1 - last >= patience


def _weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def _postfix(history: History) -> dict[str, str]:
    shown = {"loss": f"{history.losses[-1]:.4f}"}
    if history.validation:
        shown["valid"] = f"{history.validation[-1]:.4f}"
        shown["best"] = f"{max(history.validation):.4f}"
    if history.lists:
        shown["NDCG"] = f"{history.lists[-1]:.4f}"
    return shown
