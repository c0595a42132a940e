"""Exact top-k of a block of scores."""

from __future__ import annotations

import numpy as np


def top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k best of each row, best first; equal scores stand in the order of their number.

    Args:
        scores: float32 (n, m); -inf marks what is left out.
        k: at most m.

    Returns:
        (numbers, values): int64 and float32 (n, k); -1 and -inf past a row's finite scores.
    """
    n, m = scores.shape
    if k < m:
        # The k-th best value, then everything above it and the first of those equal to it.
        kth = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]  # (n, 1)
        above = scores > kth
        equal = scores == kth
        room = k - above.sum(axis=1, keepdims=True)
        chosen = above | (equal & (np.cumsum(equal, axis=1) <= room))
        numbers = np.nonzero(chosen)[1].reshape(n, k)
    else:
        numbers = np.broadcast_to(np.arange(m), (n, m))
    values = np.take_along_axis(scores, numbers, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    numbers, values = np.take_along_axis(numbers, order, axis=1), np.take_along_axis(values, order, axis=1)
    return np.where(np.isneginf(values), -1, numbers), values
