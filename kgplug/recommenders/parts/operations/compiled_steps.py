"""Parts of a training step, each recorded by autograd as one operation instead of dozens of small ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from kgplug.training import kernels

Looked = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # table (n, d), rows int64 (m,), weights of the rows (m,)


def lookup_weights(places: torch.Tensor, n_rows: int, n: int) -> torch.Tensor:
    """Return each row's number of lookups, divided by n: float32 (n_rows,). Use them as weights in `lookup_all`.

    Args:
        places: Row index of each lookup, int64 of any shape.
        n_rows: Number of rows.
        n: Number of pairs or triples in the batch.
    """
    return torch.bincount(places.reshape(-1), minlength=n_rows).to(torch.float32) / n


def lookup_all(looked_up: Sequence[Looked]) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    """Look up rows of several tables, and sum their weighted squared norms.

    Args:
        looked_up: One tuple per table: the table, (n, d); indices of distinct rows, int64 (m,); and weights of these
            rows, float32 (m,). A table must not occur twice.

    Returns:
        (rows, penalty): the rows of each table, (m, d); and Σ weight · ‖row‖² over all tables, a scalar. The gradients
        of the tables are sparse, like those of `layers.lookup`.
    """
    tables, rows, weights = zip(*looked_up, strict=True)
    *found, penalty = _LookupAll.apply(len(tables), *tables, *rows, *weights)
    return tuple(found), penalty


class _LookupAll(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, n: int, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        tables, rows, weights = tensors[:n], tensors[n : 2 * n], tensors[2 * n :]
        found = [table.index_select(0, of) for table, of in zip(tables, rows, strict=True)]
        weighted = [part * weight[:, None] for part, weight in zip(found, weights, strict=True)]
        squares = [torch.dot(a.view(-1), b.view(-1)) for a, b in zip(found, weighted, strict=True)]
        ctx.shapes = [table.shape for table in tables]
        ctx.save_for_backward(*rows, *weighted)
        return (*found, torch.stack(squares).sum())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        n = len(ctx.shapes)
        rows, weighted, twice = ctx.saved_tensors[:n], ctx.saved_tensors[n:], 2 * grads[n]
        result: list[torch.Tensor | None] = [None]
        for grad, of, part, shape in zip(grads[:n], rows, weighted, ctx.shapes, strict=True):
            values = torch.addcmul(grad, part, twice)
            result.append(torch.sparse_coo_tensor(of[None], values, shape, check_invariants=False))
        return (*result, *[None] * (2 * n))


def pair_dots(left: torch.Tensor, left_of: torch.Tensor, right: torch.Tensor, right_of: torch.Tensor) -> torch.Tensor:
    """Return the dot products of left[left_of] and right[right_of], (n,), without copying these rows.

    Args:
        left, right: Vectors, float32 (m, d) and (k, d).
        left_of, right_of: Row of each pair in `left` and `right`, int64 (n,).
    """
    if on_cpu(left, right):
        return _PairDots.apply(left, left_of, right, right_of)
    return (functional.embedding(left_of, left) * functional.embedding(right_of, right)).sum(1)


def on_cpu(*tensors: torch.Tensor) -> bool:
    """Return whether compiled loops can use these tensors, that is, whether all are float32 and on a CPU."""
    return all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)


class _PairDots(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, left: torch.Tensor, left_of: torch.Tensor, right: torch.Tensor, right_of: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(left, left_of, right, right_of)
        return torch.from_numpy(kernels.pair_dots(*_arrays(left, left_of, right, right_of)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        to_left, to_right = kernels.pair_dots_gradient(*_arrays(grad, *ctx.saved_tensors))
        return torch.from_numpy(to_left), None, torch.from_numpy(to_right), None


def cross_compress(
    items: torch.Tensor, entities: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the outputs v' and e' of MKR's cross & compress unit, (n, d) each.

    v' = v (e·w_vv) + e (v·w_ev) + b_v and e' = v (e·w_ve) + e (v·w_ee) + b_e, where v is an item's vector and e that of
    its entity.

    Args:
        items, entities: Vectors v and e, (n, d).
        weights: Rows w_vv, w_ev, w_ve, w_ee, (4, d).
        bias: Rows b_v, b_e, (2, d).
    """
    if on_cpu(items, entities, weights):
        return _CrossCompress.apply(items, entities, weights, bias)
    by_entity = entities @ weights[[0, 2]].T  # (n, 2)
    by_item = items @ weights[[1, 3]].T  # (n, 2)
    crossed_items = items * by_entity[:, :1] + entities * by_item[:, :1] + bias[0]
    crossed_entities = items * by_entity[:, 1:] + entities * by_item[:, 1:] + bias[1]
    return crossed_items, crossed_entities


class _CrossCompress(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.save_for_backward(*inputs[:3])
        crossed_items, crossed_entities = kernels.cross_compress(*_arrays(*inputs))
        return torch.from_numpy(crossed_items), torch.from_numpy(crossed_entities)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = kernels.cross_compress_gradient(*_arrays(*grads, *ctx.saved_tensors))
        return tuple(torch.from_numpy(grad) for grad in found)


def _arrays(*tensors: torch.Tensor) -> tuple[np.ndarray, ...]:
    return tuple(tensor.detach().contiguous().numpy() for tensor in tensors)
