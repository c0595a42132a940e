"""Compiled loops (numba) over the rows that a batch is about, where torch would pass over memory once an operation."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, error_model="numpy")
def adam_rows(
    table: np.ndarray,
    moments: np.ndarray,
    steps: np.ndarray,
    rows: np.ndarray,
    grad: np.ndarray,
    lr: np.float32,
    beta1: np.float32,
    beta2: np.float32,
    eps: np.float32,
) -> None:
    """Do one step of Adam (Kingma and Ba, ICLR 2015, algorithm 1) on some rows of a table, in place.

    Args:
        table: float32 (n, d).
        moments: float32 (n, 2d), mean of the gradients, then of their squares.
        steps: float32 (n,), how often each row was touched.
        rows: int64 (m,), each once.
        grad: float32 (m, d).
        lr, beta1, beta2, eps: float32.
    """
    one, d = np.float32(1), table.shape[1]
    for i in range(len(rows)):
        row = rows[i]
        steps[row] += one
        scale = np.sqrt(one - beta2 ** steps[row])
        size, floor = lr * scale / (one - beta1 ** steps[row]), eps * scale
        weight, mean, square, g = table[row], moments[row, :d], moments[row, d:], grad[i]
        for j in range(d):
            mean[j] = beta1 * mean[j] + (one - beta1) * g[j]
            square[j] = beta2 * square[j] + (one - beta2) * g[j] * g[j]
            weight[j] -= size * mean[j] / (np.sqrt(square[j]) + floor)
