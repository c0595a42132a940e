"""What the managed local Neo4j needs to know of its process: its end, and its last words."""

from __future__ import annotations

import ctypes
import signal
import sys
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def dying_with_parent() -> Callable[[], None] | None:
    """Return what a child calls before it becomes another program, to be killed when its parent ends (Linux)."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)  # loaded before the fork: nothing may allocate after it

    def ask_for_the_signal() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return ask_for_the_signal


def last_telling_line(log: Path) -> str:
    """Return the line of a server's log that tells best why it ended: the innermost cause, else the last error."""
    try:
        lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        lines = []
    for mark in ("Caused by:", " ERROR ", "Error", ""):
        telling = [line for line in lines if line and mark in line]
        if telling:
            return telling[-1].rstrip(".") + "."
    return "it said nothing."
