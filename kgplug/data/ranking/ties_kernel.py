"""The compiled loops (numba) of `kgplug.data.ranking.ties`."""

from __future__ import annotations

import numba
import numpy as np

from kgplug.data.ranking.lanes import LANES, SIZE, above, first_one

_PASSES = 8  # maximum passes over a row to find where a group ends; after that, the row is sorted
_SIGN, _INFINITE = np.uint32(0x7FFFFFFF), np.uint32(0x7F800000)


@numba.njit(cache=True, nogil=True)
def largest_of_rows(scores: np.ndarray, largest: np.ndarray) -> None:
    """Fill `largest` with the largest finite absolute value of each row; 0 if no value is finite.

    Args:
        scores: float32 (n, m), C order, no NaN.
        largest: float32 (n,), output.
    """
    bits = scores.view(np.uint32)  # read as integers, the bits of non-negative floats keep their order
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
    indices: np.ndarray,
    values: np.ndarray,
    tolerance: np.ndarray,
    priorities: np.ndarray,
    k: int,
) -> None:
    """Order tied items by priority, in lists that are sorted by score.

    Items next to each other in a list are in one group if their scores differ by at most the tolerance. All items of a
    group get its best score. If a group continues past position k, the list gets the group's first items by priority.

    Args:
        scores: float32 (n, m), C order, no NaN.
        indices, values: int64 and float32 (n, min(k + 1, m)), the best items of each row and their scores, -1 and
            -inf past a list's end. Changed in place.
        tolerance: float32 (n,), for each row the largest difference at which neighbouring scores are tied.
        priorities: int32 (m,), priority of each item; among tied items, the lowest comes first.
        k: length of the lists. Column k of `values`, if there is one, is only read: it shows whether a group of tied
            items continues past the list's end.
    """
    for i in range(len(indices)):
        items, value = indices[i], values[i]
        start = 0
        while start < k and items[start] >= 0:
            end = start + 1
            while end < len(items) and items[end] >= 0 and _tied(value[end - 1], value[end], tolerance[i]):
                end += 1
            if end > k:
                bottom = _end_of_group(scores[i], value[end - 1], tolerance[i])
                _first_of_group(scores[i], bottom, value[start], priorities, items[start:k])
            elif end > start + 1:
                _sort_by_priority(items[start:end], priorities)
            value[start : min(end, k)] = value[start]
            start = end


@numba.njit(cache=True, nogil=True)
def _tied(upper: np.float32, lower: np.float32, tolerance: np.float32) -> bool:
    return bool(upper == lower or upper - lower <= tolerance)


@numba.njit(cache=True, nogil=True)
def _sort_by_priority(items: np.ndarray, priorities: np.ndarray) -> None:
    if len(items) > LANES:
        items[:] = items[np.argsort(priorities[items])]
        return
    for j in range(1, len(items)):
        moved, at = items[j], j
        while at > 0 and priorities[items[at - 1]] > priorities[moved]:
            items[at] = items[at - 1]
            at -= 1
        items[at] = moved


@numba.njit(cache=True, nogil=True)
def _end_of_group(row: np.ndarray, bottom: np.float32, tolerance: np.float32) -> np.float32:
    """Return the lowest score of a group of tied scores, given `bottom`, the lowest one found so far.

    Args:
        row: float32 (m,), all scores of the row.
        bottom: score from which to search downwards.
        tolerance: the largest difference at which neighbouring scores are tied.
    """
    for _ in range(_PASSES):
        before = bottom
        for start in range(0, len(row), LANES):
            # The bound is one float lower, to miss no score within the tolerance; each score is checked below.
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
    row: np.ndarray, bottom: np.float32, top: np.float32, priorities: np.ndarray, items: np.ndarray
) -> None:
    """Fill `items`, int64 (n,), with the first n items by priority of a group of tied scores.

    Args:
        row: float32 (m,), all scores of the row.
        bottom, top: lowest and highest score of the group.
        priorities: int32 (m,), priority of each item; the lowest comes first.
        items: output. The group has at least n items.
    """
    found = 0
    for start in range(0, len(row), LANES):
        members = _between(row, start, _under(bottom), top)
        while members:
            item = start + np.int64(first_one(members))
            members &= members - np.uint32(1)
            if found == len(items) and priorities[item] > priorities[items[found - 1]]:
                continue
            at = min(found, len(items) - 1)
            while at > 0 and priorities[items[at - 1]] > priorities[item]:
                items[at] = items[at - 1]
                at -= 1
            items[at] = item
            found = min(found + 1, len(items))


@numba.njit(cache=True, nogil=True)
def _under(score: np.float32) -> np.float32:
    return np.nextafter(score, np.float32(-np.inf))


@numba.njit(cache=True, nogil=True)
def _between(row: np.ndarray, start: int, low: np.float32, high: np.float32) -> np.uint32:
    """Return a bit mask of the (up to) 32 scores from `start` on: 1 for scores above `low` and at most `high`."""
    m, address = len(row), np.uintp(row.ctypes.data)
    if start + LANES <= m:
        at = address + np.uintp(SIZE * start)
        return above(at, low) & ~above(at, high)
    bits = np.uint32(0)
    for j in range(start, m):
        bits |= np.uint32(low < row[j] <= high) << np.uint32(j - start)
    return bits
