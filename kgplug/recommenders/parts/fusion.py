"""Fusion of two ranked lists into one: the high ranks of the second replace the low ranks of the first."""

from __future__ import annotations

import numba
import numpy as np

from kgplug.errors import UsageError

_ROUNDING = 1e-9  # 0.29 × 100 is 28.999999999999996, but must count as 29


def fuse(first: np.ndarray, second: np.ndarray, *, share: float, length: int | None = None) -> np.ndarray:
    """Fuse two ranked lists per user into one ("high replaces low", CKCF).

    A fused list of length N has the best ⌊N · share⌋ items of the first list. Its other items are the best items of the
    second list that are not yet included. If one list is too short, the other list fills the gap.

    The fused list of length N + 1 contains all items of the fused list of length N. So one ranking is enough: for every
    N, its first N items are the fused list of length N. Position N + 1 gets the first list's next item if
    ⌊(N + 1) share⌋ is more than ⌊N share⌋ and that item is not listed yet. Otherwise it gets the second list's next
    item. To fuse three lists, fuse two, then the result with the third.

    Source: the fusion of CKCF (Zhou et al.); the nested ranking is ours.

    Args:
        first, second: Distinct item indices, best first, int64 (b, n) and (b, m); -1 after a list's end.
        share: Share of the fused list that comes from the first list, 0 to 1.
        length: Length of the result. Default: n + m.

    Returns:
        int64 (b, length), -1 after a list's end.

    Raises:
        UsageError: The share is out of range.
    """
    if not 0 <= share <= 1:
        raise UsageError(f"share: expected a number from 0 to 1, found {share!r}.")
    first, second = (np.ascontiguousarray(ranked, dtype=np.int64) for ranked in (first, second))
    places = first.shape[1] + second.shape[1] if length is None else length
    fused = np.full((len(first), places), -1, dtype=np.int64)
    quota = np.floor(np.arange(1, places + 1) * share + _ROUNDING).astype(np.int64)
    n_items = int(max(first.max(initial=-1), second.max(initial=-1))) + 1
    _fuse_rows(first, second, quota, np.full(n_items, -1, dtype=np.int64), fused)
    return fused


@numba.njit(cache=True, nogil=True)
def _fuse_rows(
    first: np.ndarray, second: np.ndarray, quota: np.ndarray, listed_in: np.ndarray, fused: np.ndarray
) -> None:
    """Fill `fused` (b, length) row by row.

    Args:
        first, second: As in `fuse`.
        quota: quota[p] is the number of best items of the first list that positions 0 to p must contain, int64
            (length,).
        listed_in: Work space, int64 (n_items,), -1 before the call. During the call, it contains for each item the last
            row whose fused list contains the item.
    """
    for row in range(len(fused)):
        # Next positions to read: `due` in the first list for the quota, `spare` in the first list to fill gaps that the
        # second list leaves, `other` in the second list.
        due, spare, other = 0, 0, 0
        for place in range(fused.shape[1]):
            item = np.int64(-1)
            if due < quota[place] and due < first.shape[1] and first[row, due] >= 0:
                item = first[row, due]
                due += 1
                if listed_in[item] == row:
                    item = -1  # already listed; the second list's next item takes this position
            while item < 0 and other < second.shape[1] and second[row, other] >= 0:
                if listed_in[second[row, other]] != row:
                    item = second[row, other]
                other += 1
            while item < 0 and spare < first.shape[1] and first[row, spare] >= 0:
                if listed_in[first[row, spare]] != row:
                    item = first[row, spare]
                spare += 1
            if item < 0:
                break
            listed_in[item] = row
            fused[row, place] = item
