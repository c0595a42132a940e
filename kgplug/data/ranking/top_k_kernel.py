"""The compiled loop (numba) of `kgplug.data.ranking.top_k`."""

from __future__ import annotations

import numba
import numpy as np

from kgplug.data.ranking.lanes import LANES, RAISED_BY, SIZE, above, first_one, ones, raise_peaks


@numba.njit(cache=True, nogil=True)
def best_of_rows(scores: np.ndarray, indices: np.ndarray, values: np.ndarray) -> bool:
    """Find the k best scores of each row, best first; equal scores are ordered by index.

    A first pass over a row finds a bound that the k best scores exceed. A second pass collects and sorts the scores
    above the bound.

    Args:
        scores: float32 (n, m), C order.
        indices: int64 (n, k), output: position of each score in its row; -1 where there are no more finite scores.
        values: float32 (n, k), output: the scores; -inf where there are no more finite scores.

    Returns:
        False if a score is NaN (the output is then incomplete), otherwise true.
    """
    n, m = scores.shape
    peaks, candidates = np.empty(LANES, dtype=np.float32), np.empty(LANES, dtype=np.float32)
    positions = np.empty(LANES, dtype=np.int64)
    starts, bits = np.empty(-(-m // LANES), dtype=np.int64), np.empty(-(-m // LANES), dtype=np.uint32)
    for i in range(n):
        row, best, best_scores = scores[i], indices[i], values[i]
        best[:] = -1
        best_scores[:] = -np.inf
        least = _below_the_best(row, len(best), peaks)
        if _collect(row, least, positions, candidates, starts, bits):
            numeric = _rank(positions, candidates, best, best_scores)
        else:
            numeric = _insert(row, least, best, best_scores)
        if not numeric:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def leave_out(scores: np.ndarray, rows: np.ndarray, indptr: np.ndarray, indices: np.ndarray) -> None:
    """Set scores to -inf where a sparse matrix has an entry.

    Args:
        scores: float32 (n, m), changed in place.
        rows: int64 (n,), the matrix row for each row of scores.
        indptr, indices: arrays of the CSR matrix.
    """
    for i in range(len(rows)):
        for position in range(indptr[rows[i]], indptr[rows[i] + 1]):
            scores[i, indices[position]] = -np.inf


@numba.njit(cache=True, nogil=True)
def _below_the_best(row: np.ndarray, k: int, peaks: np.ndarray) -> np.float32:
    """Return a bound that a row's k best scores and few others exceed; -inf if k is more than 32.

    The row is divided into 32 interleaved slices (every 32nd score). A peak is the maximum of a slice, so at least k
    scores reach the k-th greatest peak. The bound is the float just below that peak. `peaks`, float32 (32,), is
    overwritten.
    """
    if k > LANES:
        return np.float32(-np.inf)
    peaks[:] = -np.inf
    row_at, peaks_at = np.uintp(row.ctypes.data), np.uintp(peaks.ctypes.data)
    for start in range(0, len(row) - RAISED_BY + 1, RAISED_BY):
        raise_peaks(peaks_at, row_at + np.uintp(SIZE * start))
    kth = np.float32(np.inf)
    for peak in peaks:
        among = ones(above(peaks_at, peak)) < k
        kth = peak if among and peak < kth else kth
    return np.nextafter(kth, np.float32(-np.inf))


@numba.njit(cache=True, nogil=True)
def _collect(
    row: np.ndarray,
    least: np.float32,
    positions: np.ndarray,
    candidates: np.ndarray,
    starts: np.ndarray,
    bits: np.ndarray,
) -> bool:
    """Collect the scores of a row that are above a bound or NaN, in the row's order.

    Args:
        row: float32 (m,).
        least: the bound.
        positions, candidates: int64 and float32 (32,), output: position and value of each collected score; -1
            and -inf fill the rest.
        starts, bits: int64 and uint32 (m / 32, rounded up), work space: first position and bit mask of each block of
            32 that has such scores.

    Returns:
        True if there are at most 32 such scores. If there are more, false, and nothing is collected.
    """
    found, steps = np.uint32(0), 0
    for start in range(0, len(row), LANES):
        better = _greater(row, start, least)
        starts[steps], bits[steps] = start, better
        found += ones(better)
        steps += better != 0
    if found > LANES:
        return False
    positions[:] = -1
    candidates[:] = -np.inf
    position = 0
    for step in range(steps):
        better = bits[step]
        while better:
            j = starts[step] + np.int64(first_one(better))
            positions[position], candidates[position] = j, row[j]
            better &= better - np.uint32(1)
            position += 1
    return True


@numba.njit(cache=True, nogil=True)
def _rank(positions: np.ndarray, candidates: np.ndarray, best: np.ndarray, best_scores: np.ndarray) -> bool:
    """Sort the positions and scores from `_collect` into `best` and `best_scores`, best first.

    Return false if a score is NaN.
    """
    address = np.uintp(candidates.ctypes.data)
    for j in range(LANES):
        if positions[j] < 0:
            break
        if np.isnan(candidates[j]):
            return False
        rank = np.int64(ones(above(address, candidates[j])))
        while rank < len(best) and best[rank] >= 0:  # skip positions taken by equal scores that come earlier in the row
            rank += 1
        if rank < len(best):
            best[rank], best_scores[rank] = positions[j], candidates[j]
    return True


@numba.njit(cache=True, nogil=True)
def _insert(row: np.ndarray, least: np.float32, best: np.ndarray, best_scores: np.ndarray) -> bool:
    """Insert a row's scores that exceed `least` into `best_scores`, which stays sorted, the highest first.

    Their positions in the row are inserted into `best` in the same order. Return false if the row contains NaN.
    """
    for start in range(0, len(row), LANES):
        better = _greater(row, start, least)
        while better:
            j = start + np.int64(first_one(better))
            better &= better - np.uint32(1)
            candidate = row[j]
            if candidate <= least:
                continue
            if np.isnan(candidate):
                return False
            position = len(best) - 1
            while position > 0 and best_scores[position - 1] < candidate:
                best_scores[position], best[position] = best_scores[position - 1], best[position - 1]
                position -= 1
            best_scores[position], best[position] = candidate, j
            least = max(least, best_scores[-1])
    return True


@numba.njit(cache=True, nogil=True)
def _greater(row: np.ndarray, start: int, bound: np.float32) -> np.uint32:
    """Return a bit mask of the (up to) 32 scores from `start` on: 1 for scores greater than a bound, or NaN."""
    m, address = len(row), np.uintp(row.ctypes.data)
    if start + LANES <= m:
        return above(address + np.uintp(SIZE * start), bound)
    if m >= LANES:  # the last 32 scores, shifted to drop those before `start`
        return above(address + np.uintp(SIZE * (m - LANES)), bound) >> np.uint32(start + LANES - m)
    bits = np.uint32(0)
    for j in range(m):
        bits |= np.uint32(not row[j] <= bound) << np.uint32(j)
    return bits
