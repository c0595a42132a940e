"""The compiled loop (numba) of `kgplug.data.top_k`."""

from __future__ import annotations

import numba
import numpy as np

_STRETCH = 128  # scores that are first only counted, many at a time, against the least of the list so far


@numba.njit(cache=True, nogil=True)
def best_of_rows(scores: np.ndarray, numbers: np.ndarray, values: np.ndarray) -> bool:
    """Find the k best of each row, best first; of equal ones the first. One pass over the scores.

    Args:
        scores: float32 (n, m), C order.
        numbers: int64 (n, k), written; -1 past the finite scores.
        values: float32 (n, k), written; -inf there.

    Returns:
        whether all scores are numbers.
    """
    n, m = scores.shape
    k = numbers.shape[1]
    for i in range(n):
        row, number, value = scores[i], numbers[i], values[i]
        number[:] = -1
        value[:] = -np.inf
        least = value[k - 1]
        for start in range(0, m, _STRETCH):
            # Counted from 0, many are compared at a time; counted from start, numba would ask of each whether its
            # number is negative.
            stretch = row[start : start + _STRETCH]
            better = np.int32(0)
            for j in range(len(stretch)):
                better += not (stretch[j] <= least)  # true of NaN, too
            if better == 0:
                continue
            for j in range(len(stretch)):
                candidate = stretch[j]
                if candidate <= least:
                    continue
                if np.isnan(candidate):
                    return False
                place = k - 1
                while place > 0 and value[place - 1] < candidate:
                    value[place], number[place] = value[place - 1], number[place - 1]
                    place -= 1
                value[place], number[place] = candidate, start + j
                least = value[k - 1]
    return True


@numba.njit(cache=True, nogil=True)
def leave_out(scores: np.ndarray, rows: np.ndarray, indptr: np.ndarray, indices: np.ndarray) -> None:
    """Set to -inf what some rows of a sparse matrix hold.

    Args:
        scores: float32 (n, m), written.
        rows: int64 (n,), the row of the matrix that each row of scores is of.
        indptr, indices: of the CSR matrix.
    """
    for i in range(len(rows)):
        for place in range(indptr[rows[i]], indptr[rows[i] + 1]):
            scores[i, indices[place]] = -np.inf
