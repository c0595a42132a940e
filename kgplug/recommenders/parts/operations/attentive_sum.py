"""Sums over the edges into each node, weighted by a softmax of the edges' scores: graph attention."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch.autograd.function import once_differentiable

from kgplug.recommenders.parts.operations.compiled_steps import on_cpu
from kgplug.training import kernels
from kgplug.training.tensors import tensor_of


@dataclass(frozen=True, eq=False)
class Edges:
    """Edges of a graph, sorted by the node that they lead into.

    Attributes:
        into, relations, sources: Node that each edge leads into, its relation, and the node it starts from, int64 (m,).
        n_into: Number of nodes that edges may lead into.
    """

    into: torch.Tensor
    relations: torch.Tensor
    sources: torch.Tensor
    n_into: int

    @classmethod
    def around(
        cls, triples: np.ndarray, first: int, n: int, *, n_relations: int, device: torch.device | str = "cpu"
    ) -> Edges:
        """Return the edges into nodes `first` to `first + n` - 1, which become 0 to n - 1; sources keep their numbers.

        Every triple is an edge in both directions. From tail to head it has its relation, from head to tail the inverse
        relation, whose number is higher by `n_relations`.

        Args:
            triples: Head, relation and tail, int64 (m, 3).
            first, n: The nodes.
            n_relations: Number of relations.
            device: Device of the edges.
        """
        head, relation, tail = triples.T
        into = np.concatenate([head, tail]) - first
        relations, sources = np.concatenate([relation, relation + n_relations]), np.concatenate([tail, head])
        rows = np.lexsort((sources, relations, into))
        rows = rows[(into[rows] >= 0) & (into[rows] < n)]
        into, relations, sources = (tensor_of(part[rows]).to(device) for part in (into, relations, sources))
        return cls(into, relations, sources, n)

    def __len__(self) -> int:
        return len(self.into)

    def kept(self, mask: np.ndarray) -> Edges:
        """Return the edges where `mask`, bool (m,), is True."""
        rows = tensor_of(np.flatnonzero(mask)).to(self.into.device)
        return Edges(self.into[rows], self.relations[rows], self.sources[rows], self.n_into)

    @cached_property
    def starts(self) -> np.ndarray:
        """Row of the first edge into each node, and the number of edges, int64 (n_into + 1,)."""
        return np.searchsorted(self.into.cpu().numpy(), np.arange(self.n_into + 1))


def softmax_of_rows(scores: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the softmax of scores within each row of a CSR matrix, float32 (m,).

    Args:
        scores: Score of each entry, float32 (m,).
        starts: The matrix's `indptr`, integer (n + 1,). Rows may be empty.
    """
    sizes = np.diff(starts)
    some = sizes > 0
    if not some.any():
        return scores.copy()
    first, sizes = starts[:-1][some], sizes[some]
    weights = np.exp(scores - np.repeat(np.maximum.reduceat(scores, first), sizes))
    return weights / np.repeat(np.add.reduceat(weights, first), sizes)


def attentive_sum(scores: torch.Tensor, x: torch.Tensor, edges: Edges) -> torch.Tensor:
    """Return Σ softmax(scores) · x[source] over the edges into each node; zeros for a node without edges.

    On the CPU, the messages are not stored.

    Args:
        scores: Score of each edge, (m,). The softmax is over all edges into the same node.
        x: Vectors of the sources, (n, d).
        edges: The edges.

    Returns:
        (n_into, d).
    """
    if on_cpu(scores, x):
        return _AttentiveSum.apply(scores, x, edges)  # type: ignore[return-value]
    highest = scores.new_zeros(edges.n_into).scatter_reduce(0, edges.into, scores.detach(), "amax", include_self=False)
    weights = torch.exp(scores - highest[edges.into])
    weights = weights / scores.new_zeros(edges.n_into).index_add(0, edges.into, weights)[edges.into]
    return x.new_zeros(edges.n_into, x.shape[1]).index_add(0, edges.into, weights[:, None] * x[edges.sources])


class _AttentiveSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: torch.Tensor, x: torch.Tensor, edges: Edges) -> torch.Tensor:
        vectors = x.detach().contiguous().numpy()
        weights = softmax_of_rows(scores.detach().numpy(), edges.starts)
        shape = (edges.n_into, len(vectors))
        ctx.matrix = sparse.csr_matrix((weights, edges.sources.numpy(), edges.starts), shape=shape, copy=False)
        ctx.edges = edges
        ctx.save_for_backward(x)
        return tensor_of(ctx.matrix @ vectors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        (x,), grad, into = ctx.saved_tensors, grads[0].contiguous().numpy(), ctx.edges.into.numpy()
        weights, sources = ctx.matrix.data, ctx.edges.sources.numpy()
        to_weights = kernels.pair_dots(grad, into, x.detach().contiguous().numpy(), sources)
        means = np.bincount(into, weights=weights * to_weights, minlength=ctx.edges.n_into).astype(np.float32)
        return tensor_of(weights * (to_weights - means[into])), tensor_of(ctx.matrix.T @ grad), None
