"""Hashes of the rows in a run's training, validation and test set, to find these rows again in a later graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

TRAINING, VALIDATION, TEST = 0, 1, 2
NEW = -1  # a row that is not in the run's memory
HASHES, SETS = "rows.hashes", "rows.parts"  # names of the arrays in a run


@dataclass(frozen=True, eq=False)
class RowMemory:
    """Record of which rows were in the training, validation and test set of a run. Rows are identified by hashes.

    A row is a user's feedback on an item, or a triple.

    Attributes:
        hashes: uint64 (n,), hash of each row, ascending.
        sets: uint8 (n,), which set each row was in: TRAINING (0), VALIDATION (1) or TEST (2).
    """

    hashes: np.ndarray
    sets: np.ndarray

    @classmethod
    def of_sets(cls, *hashes: np.ndarray | None) -> Self:
        """Return a memory of the rows in a split's sets.

        Args:
            hashes: hashes of the rows in the training, validation and test set, uint64 each; None for an empty set.
        """
        present = [np.empty(0, dtype=np.uint64) if each is None else each for each in hashes]
        every = np.concatenate(present)
        order = np.argsort(every, kind="stable")
        codes = np.repeat(np.arange(len(present), dtype=np.uint8), [len(each) for each in present])
        return cls(every[order], codes[order])

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Self | None:
        """Return the row memory stored in a run's arrays; None if the run was saved by a version that stored none."""
        if HASHES not in arrays or SETS not in arrays:
            return None
        return cls(arrays[HASHES], arrays[SETS])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays to store in a run: nine bytes per row."""
        return {HASHES: self.hashes, SETS: self.sets}

    def sets_of(self, hashes: np.ndarray) -> np.ndarray:
        """Return for each row of a graph which set it was in: int8 (m,), TRAINING, VALIDATION or TEST.

        Rows that are not in the memory get NEW (-1).

        Args:
            hashes: uint64 (m,), hash of each row.
        """
        if len(self.hashes) == 0:
            return np.full(len(hashes), NEW, dtype=np.int8)
        positions = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return np.where(self.hashes[positions] == hashes, self.sets[positions].astype(np.int8), np.int8(NEW))

    def count(self, code: int) -> int:
        """Return the number of rows in a set.

        Args:
            code: the set: TRAINING, VALIDATION or TEST.
        """
        return int((self.sets == code).sum())

    def without(self, hashes: np.ndarray) -> Self:
        """Return the memory without the rows whose hash is in `hashes`, uint64 (m,). Unknown hashes are ignored."""
        kept = ~np.isin(self.hashes, hashes)
        return type(self)(self.hashes[kept], self.sets[kept])


def common_test_rows(sets: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mask of the rows on which runs can be compared, bool (m,).

    These rows are in the test set of at least one run, and in no run's training or validation set.

    Args:
        sets: for each run an array from `RowMemory.sets_of`, int8 (m,): which of the run's sets each row was in. All
            arrays are about the same m rows.
    """
    tested, learnt = np.zeros(len(sets[0]), dtype=bool), np.zeros(len(sets[0]), dtype=bool)
    for codes in sets:
        tested |= codes == TEST
        learnt |= (codes == TRAINING) | (codes == VALIDATION)
    return tested & ~learnt
