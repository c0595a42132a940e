"""Run the work of a publish in batches, two at a time, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from kgplug.data.ranking.threads import row_blocks
from kgplug.errors import GraphError
from kgplug.progress import bar as progress_bar

_T = TypeVar("_T")
_SESSIONS = 2  # one batch is packed here while the server works on the other


def run_batches(
    work: Callable[[slice], _T], n_rows: int, batch_rows: int, *, description: str, unit: str, progress: bool | None
) -> list[_T]:
    """Call `work` with slices that cover range(n_rows), from two threads; return its results in order.

    After the first error, no further batch begins. The error is raised when the running batches are done. An error of
    the server also names the batch that failed.

    Args:
        work: function that processes one batch, given as a slice of row numbers, in one transaction.
        n_rows: number of rows in all batches together.
        batch_rows: maximum number of rows in a batch.
        description, unit: texts on the progress bar.
        progress: Whether to show a progress bar. None: only on a terminal.
    """
    batches = row_blocks(n_rows, batch_rows)
    results: list[_T] = []
    with (
        progress_bar(n_rows, what=description, unit=unit, progress=progress) as bar,
        ThreadPoolExecutor(_SESSIONS) as pool,
    ):
        futures = [pool.submit(work, batch) for batch in batches]
        try:
            for batch, future in zip(batches, futures, strict=True):
                results.append(_result(future, f"{description}, {batch.start + 1:,} to {batch.stop:,} of {n_rows:,}"))
                bar.update(batch.stop - batch.start)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def _result(future: Future[_T], batch: str) -> _T:
    try:
        return future.result()
    except GraphError as error:
        raise GraphError(f"{batch}: {error}") from error.__cause__
