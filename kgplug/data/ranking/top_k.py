"""Exact top k of a block of scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

from kgplug.data.ranking.threads import processors, share_rows
from kgplug.data.ranking.ties import Ties, settle
from kgplug.errors import TrainingError

_LONGEST = 128  # for longer lists numpy's partition is faster than the compiled loop
_MANY = 4_000_000  # from this number of scores on, several threads share the rows


def top_k(
    scores: np.ndarray,
    k: int,
    *,
    finish: Callable[[np.ndarray], np.ndarray] | None = None,
    ties: Ties | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k best items of each row of scores, best first.

    Args:
        scores: float32 (n, m); -inf marks items that are left out.
        k: length of the lists, at most m.
        finish: function for the final monotonic step of scoring, such as a sigmoid. Lists are sorted by the scores
            before this step, so probabilities that all round to 1 in float32 keep their order.
        ties: which scores are tied, and how tied items are ordered. All items of a tied group get its best score. None:
            only equal scores are tied, and ties are ordered by index.

    Returns:
        (indices, values): int64 and float32 (n, k), the items and their scores; -1 and -inf fill shorter lists.

    Raises:
        TrainingError: a score is NaN.
    """
    indices, values = _best(scores, k, ties)
    if finish is not None:  # a float32 sigmoid is not monotonic in its last digit
        values = np.minimum.accumulate(np.where(np.isneginf(values), values, finish(values)), axis=1)
    return indices, values


def leave_out(scores: np.ndarray, rows: np.ndarray, matrix: sparse.csr_matrix) -> None:
    """Set scores to -inf where a sparse matrix has an entry, for example for the items that users have seen.

    Args:
        scores: float32 (b, m), changed in place.
        rows: int64 (b,), the matrix row for each row of scores.
        matrix: CSR (n, m).
    """
    from kgplug.data.ranking.top_k_kernel import leave_out

    leave_out(scores, rows, matrix.indptr, matrix.indices)


def _best(scores: np.ndarray, k: int, ties: Ties | None) -> tuple[np.ndarray, np.ndarray]:
    width = k if ties is None else min(k + 1, scores.shape[1])  # entry k + 1 shows whether ties continue past the end
    if k == 0 or width > _LONGEST or scores.dtype != np.float32 or not scores.flags.c_contiguous:
        indices, values = _best_by_partition(scores, width)
        if ties is not None:
            settle(scores, indices, values, ties, k)
        return np.ascontiguousarray(indices[:, :k]), np.ascontiguousarray(values[:, :k])
    from kgplug.data.ranking.top_k_kernel import best_of_rows

    indices = np.empty((len(scores), width), dtype=np.int64)
    values = np.empty((len(scores), width), dtype=np.float32)

    def fill(rows: slice) -> None:
        if not best_of_rows(scores[rows], indices[rows], values[rows]):  # releases Python's lock
            raise _not_numbers()
        if ties is not None:
            settle(scores[rows], indices[rows], values[rows], ties.of_rows(rows), k)

    share_rows(fill, len(scores), threads=processors() if scores.size >= _MANY else 1)
    return np.ascontiguousarray(indices[:, :k]), np.ascontiguousarray(values[:, :k])


def _best_by_partition(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    n, m = scores.shape
    if np.isnan(scores).any():
        raise _not_numbers()
    if k < m:
        kth = np.partition(scores, m - k, axis=1)[:, m - k : m - k + 1]  # (n, 1), the k-th best value
        chosen = scores >= kth  # (n, m)
        counts = chosen.sum(axis=1)
        tied = np.flatnonzero(counts > k)  # several items have the k-th value: take the first
        above, equal = scores[tied] > kth[tied], scores[tied] == kth[tied]
        room = k - above.sum(axis=1, keepdims=True)
        chosen[tied] = above | (equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= room))
        indices = np.nonzero(chosen)[1].reshape(n, k)
    else:
        indices = np.broadcast_to(np.arange(m), (n, m))
    values = np.take_along_axis(scores, indices, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    indices, values = np.take_along_axis(indices, order, axis=1), np.take_along_axis(values, order, axis=1)
    return np.where(np.isneginf(values), -1, indices), values


def _not_numbers() -> TrainingError:
    return TrainingError(
        "The model's scores are not numbers (NaN). Train it again, with a smaller learning_rate if it has one."
    )
