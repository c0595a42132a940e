"""What a run remembers of its split: a hash of each row with its part, to find the rows again in a later graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

TRAINING, VALIDATION, TEST = 0, 1, 2
NEW = -1  # a row that a run does not remember
HASHES, PARTS = "rows.hashes", "rows.parts"


@dataclass(frozen=True, eq=False)
class RowMemory:
    """The rows of a split, feedback or triples, by hash.

    Attributes:
        hashes: uint64 (n,), ascending.
        parts: uint8 (n,), TRAINING, VALIDATION or TEST.
    """

    hashes: np.ndarray
    parts: np.ndarray

    @classmethod
    def of_parts(cls, *hashes: np.ndarray | None) -> Self:
        """Return the memory of a split.

        Args:
            hashes: uint64 of the training, validation and test rows; None for an empty part.
        """
        present = [np.empty(0, dtype=np.uint64) if each is None else each for each in hashes]
        every = np.concatenate(present)
        order = np.argsort(every, kind="stable")
        codes = np.repeat(np.arange(len(present), dtype=np.uint8), [len(each) for each in present])
        return cls(every[order], codes[order])

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Self | None:
        """Return what a run has kept; None for a run of an earlier version."""
        if HASHES not in arrays or PARTS not in arrays:
            return None
        return cls(arrays[HASHES], arrays[PARTS])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return what a run keeps, nine bytes per row."""
        return {HASHES: self.hashes, PARTS: self.parts}

    def parts_of(self, hashes: np.ndarray) -> np.ndarray:
        """Return the part of each row of a graph, int8 (m,), NEW where it is not remembered.

        Args:
            hashes: uint64 (m,).
        """
        if len(self.hashes) == 0:
            return np.full(len(hashes), NEW, dtype=np.int8)
        places = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return np.where(self.hashes[places] == hashes, self.parts[places], NEW).astype(np.int8)

    def count(self, part: int) -> int:
        """Return the number of rows of a part."""
        return int((self.parts == part).sum())

    def without(self, hashes: np.ndarray) -> Self:
        """Return the memory without some rows, uint64 (m,), whether they are in it or not."""
        kept = ~np.isin(self.hashes, hashes)
        return type(self)(self.hashes[kept], self.parts[kept])


def common_test_rows(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return the rows on which runs can be compared, bool (m,).

    They are test rows of at least one run, and training or validation rows of none.

    Args:
        parts: int8 (m,) of each run, from `RowMemory.parts_of` on one graph.
    """
    tested, learnt = np.zeros(len(parts[0]), dtype=bool), np.zeros(len(parts[0]), dtype=bool)
    for part in parts:
        tested |= part == TEST
        learnt |= (part == TRAINING) | (part == VALIDATION)
    return tested & ~learnt
