"""Translate internal node ids, within one read: element ids to integers, and ids to the row numbers of an array."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd


class ElementIds:
    """A map from element ids, which are texts, to integers: 0, 1, … in order of first use. It is thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._texts: list[str] = []

    def encode(self, texts: np.ndarray) -> np.ndarray:
        """Return the integer of each element id, int64 (n,). An id that has none yet gets the next integer."""
        codes, unique = pd.factorize(texts)
        with self._lock:
            for text in unique:
                if text not in self._numbers:
                    self._numbers[text] = len(self._texts)
                    self._texts.append(text)
            numbers = np.fromiter((self._numbers[text] for text in unique), dtype=np.int64, count=len(unique))
        return numbers[codes] if len(codes) else np.empty(0, dtype=np.int64)

    def decode(self, numbers: np.ndarray) -> list[str]:
        """Return the element id for each integer that `encode` returned."""
        return [self._texts[number] for number in numbers.tolist()]


class NodeRows:
    """A map from internal node ids to row numbers in an array, such as the array of all users' keys.

    Args:
        ids: int64 (n,), unique node ids.
        rows: int64 (n,), the row number of each id; by default its index in `ids`.
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
