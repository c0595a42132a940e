"""Work that threads share, one a processor."""

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
_here = threading.local()  # `.shares`: whether this thread has a share of some work


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def row_blocks(n: int, size: int) -> list[slice]:
    """Return slices of at most `size` rows each that cover range(n), in order; none where n is 0."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def share(
    work: Callable[[Part], object],
    parts: Sequence[Part],
    *,
    threads: int | None = None,
    within: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> None:
    """Call `work` with each part once; this thread and others take the parts in their order.

    Called from such work, all parts are done by the thread that calls. After an error no part is begun any more.

    Args:
        work: lets go of Python's lock for most of its time.
        parts: as many as there are threads, or more.
        threads: that take parts, at most; None: as many as there are processors.
        within: makes what each thread enters before it takes parts.

    Raises:
        Exception: what a part raised.
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
        begun = [other for other in others if not other.cancel()]  # busy helpers need not come: nothing is left
        errors = [other.exception() for other in begun]
    for error in filter(None, errors):
        raise error


def share_rows(fill: Callable[[slice], object], n: int, *, threads: int) -> None:
    """Call `fill` with as many blocks of range(n), of equal size, as there shall be threads; see `share`."""
    share(fill, row_blocks(n, max(1, -(-n // threads))), threads=threads)


@cache
def _helpers() -> ThreadPoolExecutor:
    """Return threads that are kept: to start one takes as long as a part."""
    return ThreadPoolExecutor(max(1, processors() - 1), thread_name_prefix="kgplug-share")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.cache_clear)  # a child has none of its parent's threads
