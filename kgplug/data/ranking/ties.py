"""Tied scores: which ones are equal but for rounding, and in what order their items stand.

Two processors, numbers of threads or sizes of blocks add the terms of a score in different orders, so scores that are
equal on paper differ in their last digits. Scores that differ by no more than a tolerance count as tied. The tolerance
is relative to the size of the terms, since a sum of large terms can be small and its rounding is not. Neighbours in
the order of scores that are tied make a group, however long; so equal scores are never separated, as a grid of rounded
scores would do at its borders.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Scores of 25 models differed by up to 2e-7 of their size between kernels, threads and blocks, and products of 16 to
# 1,024 terms by up to 3e-7. This is 1e-6.
ROUNDING = 2.0**-20


@dataclass(frozen=True, eq=False)
class Ties:
    """How ties are found and broken.

    Attributes:
        tolerance: float32 (n,), the difference up to which neighbouring scores of a row are tied.
        places: int32 (m,), tied items stand in the order of their places.
    """

    tolerance: np.ndarray
    places: np.ndarray

    @classmethod
    def of_sizes(cls, sizes: np.ndarray, places: np.ndarray) -> Ties:
        """Return the rule for scores whose terms are of these sizes, (n,)."""
        return cls(np.ascontiguousarray(sizes * ROUNDING, dtype=np.float32), places)

    @classmethod
    def by_number(cls, size: float, shape: tuple[int, int]) -> Ties:
        """Return the rule for scores (n, m) of one size whose tied items stand in the order of their number."""
        n, m = shape
        return cls.of_sizes(np.full(n, size), np.arange(m, dtype=np.int32))

    def of_rows(self, rows: slice) -> Ties:
        """Return the rule of some of the rows."""
        return Ties(self.tolerance[rows], self.places)


def places_by_popularity(likes: np.ndarray) -> np.ndarray:
    """Return the place of each item, most likes first, then by number: (m,) → int32 (m,)."""
    places = np.empty(len(likes), dtype=np.int32)
    places[np.argsort(-likes.astype(np.int64), kind="stable")] = np.arange(len(likes), dtype=np.int32)
    return places


def sizes_of_rows(scores: np.ndarray) -> np.ndarray:
    """Return the largest finite absolute value of each row: float (n, m) → float32 (n,), 0 where there is none."""
    from kgplug.data.ranking.ties_kernel import largest_of_rows

    largest = np.zeros(len(scores), dtype=np.float32)
    largest_of_rows(np.ascontiguousarray(scores, dtype=np.float32), largest)
    return largest


def settle(scores: np.ndarray, numbers: np.ndarray, values: np.ndarray, ties: Ties, k: int) -> None:
    """Order tied items by their places in lists that are ordered by score; the items of a group get its best score.

    Args:
        scores: float (n, m), no NaN.
        numbers, values: int64 and float32 (n, min(k + 1, m)), the best of each row; the first k are written.
        ties: of the rows and items.
        k: the length of the lists.
    """
    from kgplug.data.ranking.ties_kernel import settle_rows

    settle_rows(np.ascontiguousarray(scores, dtype=np.float32), numbers, values, ties.tolerance, ties.places, k)


def groups_of_sorted(rows: np.ndarray, scores: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
    """Number the groups of tied scores: int64 (n,), ascending.

    Args:
        rows: int64 (n,), ascending.
        scores: float (n,), descending in each row.
        tolerance: float (n_rows,).
    """
    starts = np.ones(len(rows), dtype=bool)
    upper, lower = scores[:-1], scores[1:]
    starts[1:] = (rows[1:] != rows[:-1]) | ((upper != lower) & ~(upper - lower <= tolerance[rows[1:]]))
    return np.cumsum(starts)
