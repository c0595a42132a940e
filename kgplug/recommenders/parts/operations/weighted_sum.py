"""Weighted sums of K rows, and their gradient, by compiled loops (numba): the message passing of KGCN on the CPU."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch.nn import functional

from kgplug.data.ranking.threads import share, share_rows
from kgplug.recommenders.parts.operations.compiled_steps import on_cpu

_SHARED_FROM = 1_500_000  # multiplications; with fewer, a second thread is not faster (two cores)


def weighted_sum(rows: torch.Tensor, places: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return n weighted sums of K rows, without storing the products.

    Args:
        rows: Vectors, (m, d).
        places: Indices in `rows` of the vectors to sum, int64 (n, K).
        weights: Weights of these vectors, (n, K).

    Returns:
        Row i is Σ_k weights[i, k] · rows[places[i, k]], (n, d).
    """
    if on_cpu(rows, weights):
        return WeightedSum.apply(rows, places, weights)  # type: ignore[return-value]
    return functional.embedding_bag(places, rows, per_sample_weights=weights, mode="sum")


class WeightedSum(torch.autograd.Function):
    """The sums Σ_k weights[i, k] · rows[places[i, k]] for each i, of tensors on the CPU.

    The number K of terms is small and constant, so plain loops are faster than DGL and torch, which build a sparse
    matrix in every step, and its transpose for the gradient. The sums do not depend on the number of threads.
    """

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, places: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return the sums: rows (m, d), places int64 (n, K), weights (n, K) → (n, d)."""
        ctx.save_for_backward(rows, places, weights)
        sums = np.empty((len(places), rows.shape[1]), dtype=np.float32)
        first, where, weight = (x.detach().contiguous().numpy() for x in (rows, places, weights))

        def fill(part: slice) -> None:
            _sums(first, where[part], weight[part], sums[part])

        share_rows(fill, len(sums), threads=_threads(where.size * rows.shape[1]))
        return torch.from_numpy(sums)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, torch.Tensor]:
        rows, places, weights, grad = (x.detach().contiguous().numpy() for x in (*ctx.saved_tensors, grads[0]))
        of_rows, of_weights = np.zeros_like(rows), np.empty_like(weights)
        both = (
            lambda: _gradient_of_rows(places, weights, grad, of_rows),
            lambda: _gradient_of_weights(rows, places, grad, of_weights),
        )
        share(lambda fill: fill(), both, threads=_threads(places.size * rows.shape[1]))
        return torch.from_numpy(of_rows), None, torch.from_numpy(of_weights)


def _threads(multiplications: int) -> int:
    return torch.get_num_threads() if multiplications > _SHARED_FROM else 1


@numba.njit(cache=True, nogil=True)
def _sums(rows: np.ndarray, places: np.ndarray, weights: np.ndarray, sums: np.ndarray) -> None:
    """Fill `sums`, float32 (n, d): row i is the sum over k of weights[i, k] · rows[places[i, k]]."""
    n, k = places.shape
    d = rows.shape[1]
    for i in range(n):
        total = sums[i]
        total[:] = 0
        for slot in range(k):
            weight, row = weights[i, slot], rows[places[i, slot]]
            for j in range(d):
                total[j] += weight * row[j]


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _gradient_of_rows(places: np.ndarray, weights: np.ndarray, grad: np.ndarray, of_rows: np.ndarray) -> None:
    """Add the gradient of `rows` in `_sums` to `of_rows`, float32 (m, d). `grad` is the gradient of `sums`, (n, d)."""
    n, k = places.shape
    d = grad.shape[1]
    for i in range(n):
        g = grad[i]
        for slot in range(k):
            weight, change = weights[i, slot], of_rows[places[i, slot]]
            for j in range(d):
                change[j] += weight * g[j]


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _gradient_of_weights(rows: np.ndarray, places: np.ndarray, grad: np.ndarray, of_weights: np.ndarray) -> None:
    """Fill `of_weights`, float32 (n, K), with the gradient of `weights`; `grad` (n, d) is the gradient of `sums`."""
    n, k = places.shape
    d = rows.shape[1]
    for i in range(n):
        g = grad[i]
        for slot in range(k):
            row, product = rows[places[i, slot]], np.float32(0)
            for j in range(d):
                product += g[j] * row[j]
            of_weights[i, slot] = product
