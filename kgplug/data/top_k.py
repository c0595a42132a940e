"""Exact top-k of a block of scores."""

from __future__ import annotations

import numpy as np

from kgplug.errors import TrainingError


def top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k best of each row, best first; equal scores stand in the order of their number.

    Args:
        scores: float32 (n, m); -inf marks what is left out.
        k: at most m.

    Returns:
        (numbers, values): int64 and float32 (n, k); -1 and -inf past a row's finite scores.

    Raises:
        TrainingError: a score is NaN.
    """
    n, m = scores.shape
    if k < m:
        kth = np.partition(scores, m - k, axis=1)[:, m - k : m - k + 1]  # (n, 1), the k-th best value
        chosen = scores >= kth  # (n, m)
        counts = chosen.sum(axis=1)
        if (counts < k).any():
            raise _not_numbers()
        tied = np.flatnonzero(counts > k)  # more than one item has the k-th value: the first ones are taken
        above, equal = scores[tied] > kth[tied], scores[tied] == kth[tied]
        room = k - above.sum(axis=1, keepdims=True)
        chosen[tied] = above | (equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= room))
        numbers = np.nonzero(chosen)[1].reshape(n, k)
    else:
        numbers = np.broadcast_to(np.arange(m), (n, m))
    values = np.take_along_axis(scores, numbers, axis=1)
    if np.isnan(values).any():
        raise _not_numbers()
    order = np.argsort(-values, axis=1, kind="stable")
    numbers, values = np.take_along_axis(numbers, order, axis=1), np.take_along_axis(values, order, axis=1)
    return np.where(np.isneginf(values), -1, numbers), values


def _not_numbers() -> TrainingError:
    return TrainingError("The model's scores are not numbers (NaN). Train again with a smaller learning_rate.")
