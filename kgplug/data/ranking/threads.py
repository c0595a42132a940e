"""Share work among threads, one per processor."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TypeVar

Part = TypeVar("Part")
_here = threading.local()  # `.shares`: whether this thread is inside `share`


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def row_blocks(n: int, size: int) -> list[slice]:
    """Return slices of up to `size` rows that cover range(n), in order; [] if n is 0."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def share(
    work: Callable[[Part], object],
    parts: Sequence[Part],
    *,
    threads: int | None = None,
    within: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> None:
    """Call `work` once with each part. The calling thread and others take the parts in order.

    If `work` itself calls `share`, the inner call does all its parts in the thread that called it. After an error, no
    further part starts.

    Args:
        work: function of one part. It should release Python's lock (GIL) for most of its time.
        parts: arguments for `work`. If there are fewer parts than threads, fewer threads are used.
        threads: maximum number of threads; None: one per processor.
        within: function that returns a context manager; each thread enters one before it takes parts.

    Raises:
        Exception: an error that `work` raised in any thread.
    """
    threads = min(len(parts), processors() if threads is None else threads)
    if threads < 2 or getattr(_here, "shares", False):
        for part in parts:
            work(part)
        return
    left = deque(parts)

    def take() -> None:
        _here.shares = True
        try:
            with within():
                while True:
                    try:
                        part = left.popleft()
                    except IndexError:
                        return
                    work(part)
        except BaseException:
            left.clear()
            raise
        finally:
            _here.shares = False

    others = [_helpers().submit(take) for _ in range(threads - 1)]
    try:
        take()
    finally:
        begun = [other for other in others if not other.cancel()]  # a helper that can be cancelled has not begun
        errors = [other.exception() for other in begun]
    for error in filter(None, errors):
        raise error


def share_rows(fill: Callable[[slice], object], n: int, *, threads: int) -> None:
    """Split range(n) into one block per thread, of nearly equal size, and call `fill` with each; see `share`."""
    share(fill, row_blocks(n, max(1, -(-n // threads))), threads=threads)


@cache
def _helpers() -> ThreadPoolExecutor:
    """Return the pool of threads that every `share` reuses, because starting a thread takes as long as one part."""
    return ThreadPoolExecutor(max(1, processors() - 1), thread_name_prefix="kgplug-share")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.cache_clear)  # a forked child has none of its parent's threads
