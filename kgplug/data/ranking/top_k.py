"""Exact top-k of a block of scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

from kgplug.data.ranking.threads import processors, share_rows
from kgplug.data.ranking.ties import Ties, settle
from kgplug.errors import TrainingError

_LONGEST = 128  # to longer lists the compiled loop adds an item more slowly than numpy parts a row
_MANY = 4_000_000  # scores from which on threads share the rows


def top_k(
    scores: np.ndarray,
    k: int,
    *,
    finish: Callable[[np.ndarray], np.ndarray] | None = None,
    ties: Ties | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k best of each row, best first.

    Args:
        scores: float32 (n, m); -inf marks what is left out.
        k: at most m.
        finish: the last step of a score, such as a sigmoid, which keeps their order. Lists are in the order of the
            scores before it, so probabilities that are all 1 in float32 are still told apart.
        ties: which scores are tied, and the order of tied items. All items of a tied group have its best score. None:
            only equal scores are tied, and tied items stand in the order of their number.

    Returns:
        (numbers, values): int64 and float32 (n, k); -1 and -inf past a row's finite scores.

    Raises:
        TrainingError: a score is NaN.
    """
    numbers, values = _best(scores, k, ties)
    if finish is not None:  # a sigmoid in float32 may fall in its last digit where it should rise
        values = np.minimum.accumulate(np.where(np.isneginf(values), values, finish(values)), axis=1)
    return numbers, values


def leave_out(scores: np.ndarray, rows: np.ndarray, matrix: sparse.csr_matrix) -> None:
    """Set to -inf the scores of what some rows of a matrix hold.

    Args:
        scores: float32 (b, m), written.
        rows: int64 (b,), the row of the matrix that each row of scores is of.
        matrix: CSR (n, m).
    """
    from kgplug.data.ranking.top_k_kernel import leave_out

    leave_out(scores, rows, matrix.indptr, matrix.indices)


def _best(scores: np.ndarray, k: int, ties: Ties | None) -> tuple[np.ndarray, np.ndarray]:
    width = k if ties is None else min(k + 1, scores.shape[1])  # the next score shows whether a group crosses the end
    if k == 0 or width > _LONGEST or scores.dtype != np.float32 or not scores.flags.c_contiguous:
        numbers, values = _best_by_parting(scores, width)
        if ties is not None:
            settle(scores, numbers, values, ties, k)
        return np.ascontiguousarray(numbers[:, :k]), np.ascontiguousarray(values[:, :k])
    from kgplug.data.ranking.top_k_kernel import best_of_rows

    numbers = np.empty((len(scores), width), dtype=np.int64)
    values = np.empty((len(scores), width), dtype=np.float32)

    def fill(rows: slice) -> None:
        if not best_of_rows(scores[rows], numbers[rows], values[rows]):  # lets go of Python's lock
            raise _not_numbers()
        if ties is not None:
            settle(scores[rows], numbers[rows], values[rows], ties.of_rows(rows), k)

    share_rows(fill, len(scores), threads=processors() if scores.size >= _MANY else 1)
    return np.ascontiguousarray(numbers[:, :k]), np.ascontiguousarray(values[:, :k])


def _best_by_parting(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    n, m = scores.shape
    if np.isnan(scores).any():
        raise _not_numbers()
    if k < m:
        kth = np.partition(scores, m - k, axis=1)[:, m - k : m - k + 1]  # (n, 1), the k-th best value
        chosen = scores >= kth  # (n, m)
        counts = chosen.sum(axis=1)
        tied = np.flatnonzero(counts > k)  # more than one item has the k-th value: the first ones are taken
        above, equal = scores[tied] > kth[tied], scores[tied] == kth[tied]
        room = k - above.sum(axis=1, keepdims=True)
        chosen[tied] = above | (equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= room))
        numbers = np.nonzero(chosen)[1].reshape(n, k)
    else:
        numbers = np.broadcast_to(np.arange(m), (n, m))
    values = np.take_along_axis(scores, numbers, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    numbers, values = np.take_along_axis(numbers, order, axis=1), np.take_along_axis(values, order, axis=1)
    return np.where(np.isneginf(values), -1, numbers), values


def _not_numbers() -> TrainingError:
    return TrainingError(
        "The model's scores are not numbers (NaN). Train it again, with a smaller learning_rate if it has one."
    )
