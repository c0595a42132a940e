"""The compiled loops (numba) of `kgplug.data.ranking.ties`."""

from __future__ import annotations

import numba
import numpy as np

from kgplug.data.ranking.lanes import LANES, SIZE, above, first_one

_PASSES = 8  # over a row to find where a group ends; a longer one is found by sorting the row
_SIGN, _INFINITE = np.uint32(0x7FFFFFFF), np.uint32(0x7F800000)


@numba.njit(cache=True, nogil=True)
def largest_of_rows(scores: np.ndarray, largest: np.ndarray) -> None:
    """Find the largest finite absolute value of each row; 0 where there is none.

    Args:
        scores: float32 (n, m), C order, no NaN.
        largest: float32 (n,), written.
    """
    bits = scores.view(np.uint32)  # integers of floats without a sign are in the order of the floats
    of_rows = largest.view(np.uint32)
    for i in range(len(bits)):
        row, found = bits[i], np.uint32(0)
        for j in range(len(row)):
            size = row[j] & _SIGN
            found = max(found, size if size < _INFINITE else np.uint32(0))
        of_rows[i] = found


@numba.njit(cache=True, nogil=True)
def settle_rows(
    scores: np.ndarray,
    numbers: np.ndarray,
    values: np.ndarray,
    tolerance: np.ndarray,
    places: np.ndarray,
    k: int,
) -> None:
    """Order tied items by their places, in lists that are ordered by score.

    Neighbours in the order of scores that differ by no more than the tolerance belong to one group.

    Args:
        scores: float32 (n, m), C order, no NaN.
        numbers, values: int64 and float32 (n, min(k + 1, m)), the best of each row by score; written, -1 and -inf past
            a row's end.
        tolerance: float32 (n,).
        places: int32 (m,), the order of tied items.
        k: the length of the lists; what stands beyond is only read.
    """
    for i in range(len(numbers)):
        number, value = numbers[i], values[i]
        start = 0
        while start < k and number[start] >= 0:
            end = start + 1
            while end < len(number) and number[end] >= 0 and _tied(value[end - 1], value[end], tolerance[i]):
                end += 1
            if end > k:
                bottom = _end_of_group(scores[i], value[end - 1], tolerance[i])
                _first_of_group(scores[i], bottom, value[start], places, number[start:k])
            elif end > start + 1:
                _sort_by_place(number[start:end], places)
            value[start : min(end, k)] = value[start]
            start = end


@numba.njit(cache=True, nogil=True)
def _tied(upper: np.float32, lower: np.float32, tolerance: np.float32) -> bool:
    return bool(upper == lower or upper - lower <= tolerance)


@numba.njit(cache=True, nogil=True)
def _sort_by_place(number: np.ndarray, places: np.ndarray) -> None:
    if len(number) > LANES:
        number[:] = number[np.argsort(places[number])]
        return
    for j in range(1, len(number)):
        moved, at = number[j], j
        while at > 0 and places[number[at - 1]] > places[moved]:
            number[at] = number[at - 1]
            at -= 1
        number[at] = moved


@numba.njit(cache=True, nogil=True)
def _end_of_group(row: np.ndarray, bottom: np.float32, tolerance: np.float32) -> np.float32:
    """Return the lowest score of the group that a score belongs to."""
    for _ in range(_PASSES):
        before = bottom
        for start in range(0, len(row), LANES):
            # Rounded down once more: no score within the tolerance is missed, and each is looked at below.
            below = _between(row, start, np.nextafter(bottom - tolerance, np.float32(-np.inf)), _under(bottom))
            while below:
                score = row[start + np.int64(first_one(below))]
                below &= below - np.uint32(1)
                if score < bottom and _tied(bottom, score, tolerance):
                    bottom = score
        if bottom == before:
            return bottom
    under = -np.sort(-row[row < bottom])
    for score in under:
        if not _tied(bottom, score, tolerance):
            break
        bottom = score
    return bottom


@numba.njit(cache=True, nogil=True)
def _first_of_group(
    row: np.ndarray, bottom: np.float32, top: np.float32, places: np.ndarray, number: np.ndarray
) -> None:
    """Write the items of a group that have the first places, in their order; the group has more than there is room."""
    found = 0
    for start in range(0, len(row), LANES):
        members = _between(row, start, _under(bottom), top)
        while members:
            item = start + np.int64(first_one(members))
            members &= members - np.uint32(1)
            if found == len(number) and places[item] > places[number[found - 1]]:
                continue
            at = min(found, len(number) - 1)
            while at > 0 and places[number[at - 1]] > places[item]:
                number[at] = number[at - 1]
                at -= 1
            number[at] = item
            found = min(found + 1, len(number))


@numba.njit(cache=True, nogil=True)
def _under(score: np.float32) -> np.float32:
    return np.nextafter(score, np.float32(-np.inf))


@numba.njit(cache=True, nogil=True)
def _between(row: np.ndarray, start: int, low: np.float32, high: np.float32) -> np.uint32:
    """Return which of the 32 scores from a place on, if the row has so many, are above `low` and at most `high`."""
    m, address = len(row), np.uintp(row.ctypes.data)
    if start + LANES <= m:
        at = address + np.uintp(SIZE * start)
        return above(at, low) & ~above(at, high)
    bits = np.uint32(0)
    for j in range(start, m):
        bits |= np.uint32(low < row[j] <= high) << np.uint32(j - start)
    return bits
