"""Compiled loops (numba) over the rows that a batch is about, where torch would pass over memory once an operation."""

from __future__ import annotations

import numba
import numpy as np

FADED = 150  # missed steps after which nothing of a mean is left: 0.9 ** 150 is 1e-7


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


@numba.njit(cache=True, nogil=True, error_model="numpy")
def catch_up(
    table: np.ndarray,
    moments: np.ndarray,
    steps: np.ndarray,
    rows: np.ndarray,
    now: int,
    lr: np.float32,
    beta1: np.float32,
    beta2: np.float32,
    eps: np.float32,
) -> np.ndarray:
    """Do the steps that rows have missed since they were last touched, as Adam does them where the gradient is zero.

    Mean and square only shrink then, by beta1 and beta2 a step, so a row moves in all missed steps by one sum times
    mean / √square. (eps stands outside of the sum: it is tiny beside √square wherever mean is not zero.)

    Args:
        table, moments, steps, lr, beta1, beta2, eps: as in `adam_rows`; `steps` holds the step that each row is at.
        rows: int64 (m,), each once.
        now: the step that all rows shall be at.

    Returns:
        float32 (m, d), the rows.
    """
    one, d = np.float32(1), table.shape[1]
    values = np.empty((len(rows), d), dtype=np.float32)
    for i in range(len(rows)):
        row = rows[i]
        missed = now - int(steps[row])
        weight, mean, square = table[row], moments[row, :d], moments[row, d:]
        if missed > 0 and steps[row] > 0:
            first, second = beta1 ** steps[row], beta2 ** steps[row]
            share, total = one, np.float32(0)
            for _ in range(min(missed, FADED)):
                first, second, share = first * beta1, second * beta2, share * beta1 / np.sqrt(beta2)
                total += share * np.sqrt(one - second) / (one - first)
            faded, shrunk = beta1 ** np.float32(missed), beta2 ** np.float32(missed)
            for j in range(d):
                weight[j] -= lr * total * mean[j] / (np.sqrt(square[j]) + eps)
                mean[j], square[j] = faded * mean[j], shrunk * square[j]
        steps[row] = now
        values[i] = weight
    return values
