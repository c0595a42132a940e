"""When a training writes its checkpoint: by elapsed time, so that writing takes a small part of the training."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

MAX_SHARE = 0.05  # of the time of a training that writing may take
BYTES_PER_S = 100e6  # of a slow disk: what the first write is expected to take, before one was measured
STATES = 4  # weights, best weights, and Adam's two moments


class CheckpointTimes:
    """Says after each epoch whether to write a checkpoint, and measures how long the writes take.

    Args:
        interval_s: minimum number of seconds between two writes; 0: after every epoch, whatever it costs.
        n_bytes: expected size of a checkpoint.
        clock: gives the time in seconds.

    Attributes:
        expected_s: seconds that the next write is expected to take.
    """

    def __init__(self, interval_s: float, n_bytes: int, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.interval_s, self._clock = interval_s, clock
        self.expected_s = n_bytes / BYTES_PER_S
        self._began = self._last = clock()
        self._spent_s = 0.0

    def due(self) -> bool:
        """Return whether it is time for a write that keeps all writes within `MAX_SHARE` of the training."""
        if self.interval_s == 0:
            return True
        now = self._clock()
        if now - self._last < self.interval_s:
            return False
        return self._spent_s + self.expected_s <= MAX_SHARE * (now - self._began)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Measure a write."""
        began = self._clock()
        yield
        self._last = self._clock()
        self.expected_s = self._last - began
        self._spent_s += self.expected_s


def expected_bytes(module: torch.nn.Module) -> int:
    """Return about how many bytes the checkpoint of a module has that Adam trains."""
    return STATES * sum(tensor.nbytes for tensor in module.state_dict().values())
