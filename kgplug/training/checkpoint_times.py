"""When to write a checkpoint: by elapsed time, so that writing takes a small share of the training time."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import torch

MAX_SHARE = 0.05  # maximum share of the training time spent on writing
BYTES_PER_S = 100e6  # speed of a slow disk, to estimate the first write
STATES = 4  # weights, best weights, and Adam's two moments


class CheckpointTimes:
    """Schedule of checkpoints: decides after each epoch whether to write one, and measures how long writes take.

    Args:
        interval_s: Minimum number of seconds between two writes; 0 writes after every epoch, however long it takes.
        n_bytes: Expected size of a checkpoint in bytes.
        clock: Function that returns the time in seconds.

    Attributes:
        expected_s: Expected duration of the next write, in seconds.
    """

    def __init__(self, interval_s: float, n_bytes: int, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.interval_s, self._clock = interval_s, clock
        self.expected_s = n_bytes / BYTES_PER_S
        self._began = self._last = clock()
        self._spent_s = 0.0

    def due(self) -> bool:
        """Return whether to write now.

        Unless `interval_s` is 0, all writes together take at most 5 % of the training time.
        """
        if self.interval_s == 0:
            return True
        now = self._clock()
        if now - self._last < self.interval_s:
            return False
        return self._spent_s + self.expected_s <= MAX_SHARE * (now - self._began)

    @contextmanager
    def writing(self) -> Generator[None]:
        """Measure how long the write within this context takes."""
        began = self._clock()
        yield
        self._last = self._clock()
        self.expected_s = self._last - began
        self._spent_s += self.expected_s


def expected_bytes(module: torch.nn.Module) -> int:
    """Return the approximate size in bytes of a checkpoint of a module trained by Adam."""
    return STATES * sum(tensor.nbytes for tensor in module.state_dict().values())
