"""Remove entries from arrays that are divided into parts, such as the arrays of a CSR matrix."""

from __future__ import annotations

import numpy as np


def without_entries(
    arrays: dict[str, np.ndarray], starts: str, others: tuple[str, ...], gone: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the arrays of a CSR-like structure without some entries.

    Args:
        arrays: all arrays, by name.
        starts: name of the array that holds the start of each part, such as `indptr` of a CSR matrix.
        others: names of the arrays with one element per entry, such as `indices` and `data`. Names that are not in
            `arrays` are skipped.
        gone: bool (n_entries,), whether to remove each entry.

    Returns:
        Name → array, only for `starts` and `others`.
    """
    before = np.concatenate([[0], np.cumsum(gone)])  # number of entries removed before each position
    shorter = {starts: (arrays[starts] - before[arrays[starts]]).astype(arrays[starts].dtype)}
    return shorter | {name: arrays[name][~gone] for name in others if name in arrays}
