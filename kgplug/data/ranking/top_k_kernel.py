"""The compiled loop (numba) of `kgplug.data.ranking.top_k`."""

from __future__ import annotations

import numba
import numpy as np

from kgplug.data.ranking.lanes import LANES, RAISED_BY, SIZE, above, first_one, ones, raise_peaks


@numba.njit(cache=True, nogil=True)
def best_of_rows(scores: np.ndarray, numbers: np.ndarray, values: np.ndarray) -> bool:
    """Find the k best of each row, best first; of equal ones the first.

    A first pass over a row finds what its k best are greater than, a second the few that are. Those are ranked almost
    without branches, of which a processor guesses every other one wrong. Where many are, they are inserted one by one.

    Args:
        scores: float32 (n, m), C order.
        numbers: int64 (n, k), written; -1 past the finite scores.
        values: float32 (n, k), written; -inf there.

    Returns:
        whether all scores are numbers.
    """
    n, m = scores.shape
    peaks, candidates = np.empty(LANES, dtype=np.float32), np.empty(LANES, dtype=np.float32)
    places = np.empty(LANES, dtype=np.int64)
    starts, bits = np.empty(-(-m // LANES), dtype=np.int64), np.empty(-(-m // LANES), dtype=np.uint32)
    for i in range(n):
        row, number, value = scores[i], numbers[i], values[i]
        number[:] = -1
        value[:] = -np.inf
        least = _below_the_best(row, len(number), peaks)
        if _collect(row, least, places, candidates, starts, bits):
            numeric = _rank(places, candidates, number, value)
        else:
            numeric = _insert(row, least, number, value)
        if not numeric:
            return False
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


@numba.njit(cache=True, nogil=True)
def _below_the_best(row: np.ndarray, k: int, peaks: np.ndarray) -> np.float32:
    """Return a number that the k best of a row are greater than, and few others; -inf where k is more than 32.

    Where a row is cut into parts, k of its scores are at least as great as the k-th greatest of the parts' peaks.
    `peaks`, float32 (32,), is written.
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
    places: np.ndarray,
    candidates: np.ndarray,
    starts: np.ndarray,
    bits: np.ndarray,
) -> bool:
    """Collect the scores above a bound, and NaN, in the order of their places; -1 and -inf past the last.

    Args:
        row: float32 (m,).
        least: the bound.
        places, candidates: int64 and float32 (32,), written.
        starts, bits: int64 and uint32 (m / 32, rounded up), written: steps with such scores, and which they are.

    Returns:
        whether there are at most 32; else nothing is collected.
    """
    found, steps = np.uint32(0), 0
    for start in range(0, len(row), LANES):
        better = _greater(row, start, least)
        starts[steps], bits[steps] = start, better
        found += ones(better)
        steps += better != 0
    if found > LANES:
        return False
    places[:] = -1
    candidates[:] = -np.inf
    place = 0
    for step in range(steps):
        better = bits[step]
        while better:
            j = starts[step] + np.int64(first_one(better))
            places[place], candidates[place] = j, row[j]
            better &= better - np.uint32(1)
            place += 1
    return True


@numba.njit(cache=True, nogil=True)
def _rank(places: np.ndarray, candidates: np.ndarray, number: np.ndarray, value: np.ndarray) -> bool:
    """Make the list of what `_collect` found; return whether all of it are numbers."""
    address = np.uintp(candidates.ctypes.data)
    for j in range(LANES):
        if places[j] < 0:
            break
        if np.isnan(candidates[j]):
            return False
        rank = np.int64(ones(above(address, candidates[j])))
        while rank < len(number) and number[rank] >= 0:  # equal ones that came before
            rank += 1
        if rank < len(number):
            number[rank], value[rank] = places[j], candidates[j]
    return True


@numba.njit(cache=True, nogil=True)
def _insert(row: np.ndarray, least: np.float32, number: np.ndarray, value: np.ndarray) -> bool:
    """Make the list of the scores above a bound one after another; return whether all of them are numbers."""
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
            place = len(number) - 1
            while place > 0 and value[place - 1] < candidate:
                value[place], number[place] = value[place - 1], number[place - 1]
                place -= 1
            value[place], number[place] = candidate, j
            least = max(least, value[-1])
    return True


@numba.njit(cache=True, nogil=True)
def _greater(row: np.ndarray, start: int, bound: np.float32) -> np.uint32:
    """Return which of the 32 scores from a place on, if the row has so many, are greater than a bound, or NaN."""
    m, address = len(row), np.uintp(row.ctypes.data)
    if start + LANES <= m:
        return above(address + np.uintp(SIZE * start), bound)
    if m >= LANES:  # the last 32, without those before
        return above(address + np.uintp(SIZE * (m - LANES)), bound) >> np.uint32(start + LANES - m)
    bits = np.uint32(0)
    for j in range(m):
        bits |= np.uint32(not row[j] <= bound) << np.uint32(j)
    return bits
