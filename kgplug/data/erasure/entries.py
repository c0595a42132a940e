"""Remove entries from arrays that others point into."""

from __future__ import annotations

import numpy as np


def without_entries(
    arrays: dict[str, np.ndarray], starts: str, others: tuple[str, ...], gone: np.ndarray
) -> dict[str, np.ndarray]:
    """Return `starts` and the arrays that they point into, without the entries marked in `gone`, bool (n,)."""
    before = np.concatenate([[0], np.cumsum(gone)])  # number of entries removed before each position
    shorter = {starts: (arrays[starts] - before[arrays[starts]]).astype(arrays[starts].dtype)}
    return shorter | {name: arrays[name][~gone] for name in others if name in arrays}
