"""Ctrl-C and SIGTERM during training: an epoch that is nearly done is finished and saved first."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from types import FrameType
from typing import Any, Self

FINISH_S = 10.0  # seconds; an interrupted epoch is finished and saved if that is expected to take no longer
SIGNALS = (signal.SIGINT, signal.SIGTERM)

_log = logging.getLogger(__name__)


class Interruption:
    """Context that delays the first Ctrl-C or SIGTERM until the end of the epoch, if that is expected within 10 s.

    A second signal is handled at once. The context has no effect outside the main thread, because Python delivers
    signals to the main thread only.

    Args:
        active: Whether there is a checkpoint to write; without one, the context has no effect.

    Attributes:
        signal: Number of the signal that waits for the end of the epoch; None if none waits.
    """

    def __init__(self, *, active: bool) -> None:
        self.signal: int | None = None
        self._active = active and threading.current_thread() is threading.main_thread()
        self._ready_at = math.inf
        self._before: dict[int, Any] = {}

    def expect(self, seconds: float) -> None:
        """Set the expected duration in seconds of the epoch that begins now, including its checkpoint."""
        self._ready_at = time.monotonic() + seconds

    def give_back(self) -> None:
        """Restore the earlier signal handlers, then handle the signal that waits, if any."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
        if self.signal is not None:
            number, self.signal = self.signal, None
            signal.raise_signal(number)

    def __enter__(self) -> Self:
        if self._active:
            handlers = {number: signal.getsignal(number) for number in SIGNALS}
            # `getsignal` returns None for a handler set by C code, which Python cannot restore.
            self._before = {n: old for n, old in handlers.items() if old not in (None, signal.SIG_IGN)}
            for number in self._before:
                signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        left_s = self._ready_at - time.monotonic()
        waits = self.signal is None and abs(left_s) <= FINISH_S  # do not wait for an epoch that is long overdue
        self.signal = number
        if not waits:
            self.give_back()
            return
        _log.warning("Interrupted: finishing and saving this epoch first, in about %.0f s.", max(1.0, left_s))
