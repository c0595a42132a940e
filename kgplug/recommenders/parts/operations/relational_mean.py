"""Means over the neighbours in a knowledge graph, as in KGIN: each neighbour's vector times its relation's vector."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch.autograd.function import once_differentiable

from kgplug.data.ranking.threads import share, share_rows
from kgplug.recommenders.parts.operations.compiled_steps import on_cpu
from kgplug.training.tensors import tensor_of

_SHARED_FROM = 1_500_000  # multiplications; with fewer, a second thread is not faster (two cores)


class RelationalMean:
    """The edges of a knowledge graph, and the mean of r ∘ x over the edges of each entity.

    Here x is the vector of the neighbour at the other end of an edge, r is the vector of the edge's relation, and ∘ is
    the element-wise product.

    Every triple is an edge in both directions. From tail to head, the edge has the triple's relation. From head to
    tail, it has the inverse relation, whose index is that of the relation plus `n_relations`.

    Args:
        triples: Head, relation and tail, int64 (n, 3).
        n_entities, n_relations: Numbers of entities and relations.
        device: Device of the means.
    """

    def __init__(self, triples: np.ndarray, *, n_entities: int, n_relations: int, device: torch.device) -> None:
        head, relation, tail = triples.T
        into, relations = np.concatenate([head, tail]), np.concatenate([relation, relation + n_relations])
        order = np.lexsort((relations, into))
        self._degrees: np.ndarray = np.bincount(into, minlength=n_entities)
        self._starts = np.concatenate([[0], np.cumsum(self._degrees)])
        edges = into, relations, np.concatenate([tail, head])
        self._edges = tuple(tensor_of(part[order]).to(device) for part in edges)

    def of_first(self, n: int, x: torch.Tensor, relations: torch.Tensor) -> torch.Tensor:
        """Return the means of the first n entities; zeros for an entity without neighbours.

        Args:
            n: Number of entities to compute the means for.
            x: Vectors of all entities, (n_entities, d).
            relations: Vectors of the relations, then of their inverses, (2 · n_relations, d).

        Returns:
            For each entity i, the mean of relations[r] ∘ x[v] over its edges to neighbours v with relations r, (n, d).
        """
        if on_cpu(x, relations):
            edges = self._starts[: n + 1], *(part.numpy() for part in self._edges[1:])
            return _RelationalMean.apply(x, relations, edges)  # type: ignore[return-value]
        into, along, sources = (part[: int(self._starts[n])] for part in self._edges)
        sums = x.new_zeros(n, x.shape[1]).index_add(0, into, x[sources] * relations[along])
        return sums / tensor_of(self._degrees[:n]).to(x.device).clamp(min=1)[:, None]


class _RelationalMean(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, relations: torch.Tensor, edges: tuple[np.ndarray, np.ndarray, np.ndarray]
    ) -> torch.Tensor:
        ctx.save_for_backward(x, relations)
        ctx.edges = starts, along, sources = edges
        vectors, of_relations = (part.detach().contiguous().numpy() for part in (x, relations))
        means = np.empty((len(starts) - 1, vectors.shape[1]), dtype=np.float32)

        def fill(part: slice) -> None:
            _means(vectors, of_relations, starts[part.start : part.stop + 1], along, sources, means[part])

        share_rows(fill, len(means), threads=_threads(int(starts[-1]) * vectors.shape[1]))
        return torch.from_numpy(means)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        x, relations, grad = (part.detach().contiguous().numpy() for part in (*ctx.saved_tensors, grads[0]))
        to_x, to_relations = np.zeros_like(x), np.zeros_like(relations)
        starts, along, sources = ctx.edges
        both = (
            lambda: _add_gradient(relations, starts, along, sources, grad, to_x),
            lambda: _add_gradient(x, starts, sources, along, grad, to_relations),
        )
        share(lambda fill: fill(), both, threads=_threads(int(starts[-1]) * x.shape[1]))
        return torch.from_numpy(to_x), torch.from_numpy(to_relations), None


def _threads(multiplications: int) -> int:
    return torch.get_num_threads() if multiplications > _SHARED_FROM else 1


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _means(
    x: np.ndarray, relations: np.ndarray, starts: np.ndarray, along: np.ndarray, sources: np.ndarray, means: np.ndarray
) -> None:
    """Fill `means`, float32 (n, d), with the mean of relations[r] ∘ x[v] over each entity's edges.

    Args:
        x: Vectors of entities, float32 (n_entities, d).
        relations: Vectors of relations, float32 (k, d).
        starts: The edges of entity i are those from starts[i] to starts[i + 1] - 1, int64 (n + 1,).
        along, sources: Relation r and neighbour v of each edge, integer (n_edges,).
        means: The result.
    """
    n, d = means.shape
    for i in range(n):
        total = means[i]
        total[:] = 0
        for edge in range(starts[i], starts[i + 1]):
            vector, r = x[sources[edge]], relations[along[edge]]
            for j in range(d):
                total[j] += r[j] * vector[j]
        if starts[i + 1] > starts[i]:
            share = np.float32(1) / np.float32(starts[i + 1] - starts[i])
            for j in range(d):
                total[j] *= share


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _add_gradient(
    others: np.ndarray,
    starts: np.ndarray,
    other_of: np.ndarray,
    own_of: np.ndarray,
    grad: np.ndarray,
    to_own: np.ndarray,
) -> None:
    """Compute the gradient of one of the two factors in `_means`: of the entity vectors, or of the relation vectors.

    Args:
        others: Rows of the other factor, float32 (k, d).
        starts: As in `_means`.
        other_of, own_of: Row of each edge in `others` and in `to_own`, integer (n_edges,).
        grad: Gradient of `means`, float32 (n, d).
        to_own: The gradient is added to this array, float32 (m, d).
    """
    n, d = grad.shape
    scaled = np.empty(d, dtype=np.float32)
    for i in range(n):
        share = np.float32(1) / np.float32(max(1, starts[i + 1] - starts[i]))
        for j in range(d):
            scaled[j] = share * grad[i, j]
        for edge in range(starts[i], starts[i + 1]):
            change, other = to_own[own_of[edge]], others[other_of[edge]]
            for j in range(d):
                change[j] += other[j] * scaled[j]
