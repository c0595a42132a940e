"""Information on processes: whether one is a given local Neo4j, whether it serves a port, and why it ended."""

from __future__ import annotations

import ctypes
import math
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

_PROBE_TIMEOUT_S = 2
_PR_SET_PDEATHSIG = 1


def dying_with_parent() -> Callable[[], None] | None:
    """Return a `preexec_fn` for Popen, so that Linux kills the child when its parent ends; None on other systems."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)  # loaded before the fork, because no memory may be allocated after the fork

    def ask_for_the_signal() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return ask_for_the_signal


def carries(process: psutil.Process, mark: str) -> bool:
    """Return whether a process is alive and has the text `mark` as one of its command-line arguments."""
    try:
        return mark in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def serves(process: psutil.Process, port: int | None) -> bool:
    """Return whether `process` itself, not another program, accepts connections on a loopback port.

    If `port` is None, the port is unknown, and the result is False.
    """
    if port is None:
        return False
    try:
        sockets = process.net_connections("tcp")
        if not any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in sockets):
            return False
        socket.create_connection(("127.0.0.1", port), timeout=_PROBE_TIMEOUT_S).close()
    except (psutil.Error, OSError):
        return False
    return True


def executable(process: psutil.Process) -> Path | None:
    """Return the path of the program that a process runs; None if the process has just ended."""
    try:
        return Path(process.exe())
    except psutil.Error:
        return None


def age_s(process: psutil.Process) -> float:
    """Return for how many seconds a process has been running; infinity if it has just ended."""
    try:
        return time.time() - process.create_time()
    except psutil.Error:
        return math.inf


def last_telling_line(log: Path) -> str:
    """Return the line of a log that best explains why the server ended: the innermost cause or the last error."""
    try:
        lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        lines = []
    for mark in ("Caused by:", " ERROR ", "Error", ""):
        telling = [line for line in lines if line and mark in line]
        if telling:
            return telling[-1].rstrip(".") + "."
    return "its log is empty."
