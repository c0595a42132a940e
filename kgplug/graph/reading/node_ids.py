"""Translate the internal ids of nodes into numbers, and into row numbers of arrays, within one read."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd


class ElementIds:
    """Gives each element id a number, in order of first appearance. Several threads may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._texts: list[str] = []

    def encode(self, texts: np.ndarray) -> np.ndarray:
        """Return the number of each element id, int64 (n,); an id without a number gets the next one."""
        codes, unique = pd.factorize(texts)
        with self._lock:
            for text in unique:
                if text not in self._numbers:
                    self._numbers[text] = len(self._texts)
                    self._texts.append(text)
            numbers = np.fromiter((self._numbers[text] for text in unique), dtype=np.int64, count=len(unique))
        return numbers[codes] if len(codes) else np.empty(0, dtype=np.int64)

    def decode(self, numbers: np.ndarray) -> list[str]:
        """Return the element id to which each number was given."""
        return [self._texts[number] for number in numbers.tolist()]


class NodeRows:
    """Maps the internal ids of nodes to their rows in an array, such as the array of all users' keys.

    Args:
        ids: int64 (n,), unique.
        rows: int64 (n,), the row number of each id; by default its position in `ids`.
    """

    def __init__(self, ids: np.ndarray, rows: np.ndarray | None = None) -> None:
        order = np.argsort(ids, kind="stable")
        self._ids = ids[order]
        self._rows = order if rows is None else np.asarray(rows, dtype=np.int64)[order]

    def of(self, ids: np.ndarray) -> np.ndarray:
        """Return the row number of each id, int64 (n,); -1 if unknown."""
        if len(self._ids) == 0:
            return np.full(len(ids), -1, dtype=np.int64)
        place = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        return np.where(self._ids[place] == ids, self._rows[place], -1).astype(np.int64)
