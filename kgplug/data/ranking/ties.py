"""Tied scores: scores that are equal except for rounding, and the order of their items.

The terms of a score are added in an order that depends on the processor, the number of threads and the block size. So
scores that are mathematically equal may differ in their last digits. Scores that differ by at most a tolerance count as
tied. The tolerance is relative to the size of the terms, because a sum of large terms can be small while its rounding
error is large. In a sorted list, a group of tied scores continues as long as each score differs from the next by at
most the tolerance. Rounding all scores to multiples of the tolerance would not do: two almost equal scores could be
rounded to different multiples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Scores of 25 models differed by up to 2e-7 of their size between kernels, threads and blocks, and dot products of
# 16 to 1,024 terms by up to 3e-7. The relative tolerance is about 1e-6.
ROUNDING = 2.0**-20


@dataclass(frozen=True, eq=False)
class Ties:
    """How ties are found and broken.

    Attributes:
        tolerance: float32 (n,), one number per row of scores. Two scores that are neighbours when the row is sorted are
            tied if they differ by at most this number.
        priorities: int32 (m,), priority of each item; among tied items, the lowest comes first.
    """

    tolerance: np.ndarray
    priorities: np.ndarray

    @classmethod
    def of_sizes(cls, sizes: np.ndarray, priorities: np.ndarray) -> Ties:
        """Return `Ties` for n rows of scores. The tolerance of a row is its size times `ROUNDING`, about 1e-6.

        Args:
            sizes: float (n,), size of each row: the magnitude of the numbers that are summed to give its scores.
            priorities: int32 (m,), as in the class.
        """
        return cls(np.ascontiguousarray(sizes * ROUNDING, dtype=np.float32), priorities)

    @classmethod
    def by_index(cls, size: float, shape: tuple[int, int]) -> Ties:
        """Return `Ties` for (n, m) scores. Every row's size (see `of_sizes`) is `size`. Ties are ordered by index."""
        n, m = shape
        return cls.of_sizes(np.full(n, size), np.arange(m, dtype=np.int32))

    def of_rows(self, rows: slice) -> Ties:
        """Return `Ties` for some of the rows: their tolerances, with the same priorities."""
        return Ties(self.tolerance[rows], self.priorities)


def popularity_ranks(likes: np.ndarray) -> np.ndarray:
    """Return the popularity rank of each item, from 0: most likes first, then by index.

    Args:
        likes: integer (m,), number of likes of each item.

    Returns:
        int32 (m,).
    """
    ranks = np.empty(len(likes), dtype=np.int32)
    ranks[np.argsort(-likes.astype(np.int64), kind="stable")] = np.arange(len(likes), dtype=np.int32)
    return ranks


def sizes_of_rows(scores: np.ndarray) -> np.ndarray:
    """Return the largest finite absolute value of each row: float (n, m) → float32 (n,), 0 if no value is finite."""
    from kgplug.data.ranking.ties_kernel import largest_of_rows

    largest = np.zeros(len(scores), dtype=np.float32)
    largest_of_rows(np.ascontiguousarray(scores, dtype=np.float32), largest)
    return largest


def settle(scores: np.ndarray, indices: np.ndarray, values: np.ndarray, ties: Ties, k: int) -> None:
    """Order tied items by priority in lists that are sorted by score. All items of a tied group get its best score.

    Args:
        scores: float (n, m), no NaN.
        indices, values: int64 and float32 (n, min(k + 1, m)), the best items of each row and their scores. The first k
            columns are overwritten.
        ties: tolerances of these rows and priorities of these items.
        k: length of the lists.
    """
    from kgplug.data.ranking.ties_kernel import settle_rows

    settle_rows(np.ascontiguousarray(scores, dtype=np.float32), indices, values, ties.tolerance, ties.priorities, k)


def groups_of_sorted(rows: np.ndarray, scores: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
    """Number the groups of tied scores from 1, and return the group number of each score: int64 (n,), ascending.

    Args:
        rows: int64 (n,), row of each score, ascending.
        scores: float (n,), descending in each row.
        tolerance: float (n_rows,), for each row the largest difference at which neighbouring scores are tied.
    """
    starts = np.ones(len(rows), dtype=bool)
    upper, lower = scores[:-1], scores[1:]
    starts[1:] = (rows[1:] != rows[:-1]) | ((upper != lower) & ~(upper - lower <= tolerance[rows[1:]]))
    return np.cumsum(starts)
