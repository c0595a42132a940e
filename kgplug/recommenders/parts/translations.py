"""Batches of triples with corrupt tails, and their entities projected into the spaces of relations (TransR).

A corrupt tail is a random tail of the same relation. It replaces the true tail, and the result is not a known triple.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from kgplug.data.ranking.threads import row_blocks
from kgplug.data.sampling import TailCorrupter
from kgplug.recommenders.parts.operations.layers import distinct, lookup, row_penalty


@dataclass(frozen=True, eq=False)
class Triples:
    """Triples of one training step, and a corrupt tail for each triple, as four arrays of indices, int64 (n,) each."""

    heads: np.ndarray
    relations: np.ndarray
    tails: np.ndarray
    corrupt: np.ndarray

    def __len__(self) -> int:
        return len(self.heads)


def triple_batches(
    triples: np.ndarray, corrupter: TailCorrupter, batch_size: int, rng: np.random.Generator
) -> Iterator[Triples]:
    """Yield all triples once, in random order, each with a new corrupt tail.

    If all tails of a relation are true for a head, there is no corrupt tail for triples of this head and relation. Such
    triples are left out, so a batch can be smaller than `batch_size`, even empty.

    Args:
        triples: Head, relation and tail, int64 (n, 3).
        corrupter: Draws corrupt tails of these triples.
        batch_size: Maximum number of triples per batch.
        rng: Random generator.
    """
    order = rng.permutation(len(triples))
    corrupt = corrupter.draw(order, rng)
    for block in row_blocks(len(order), batch_size):
        rows, tails = order[block], corrupt[block]
        rows, tails = rows[tails >= 0], tails[tails >= 0]
        head, relation, tail = np.ascontiguousarray(triples[rows].T)
        yield Triples(head, relation, tail, tails)


@dataclass(frozen=True, eq=False)
class ProjectedEnds:
    """Vectors of a batch's entities, projected by the relations of their triples.

    Attributes:
        heads, tails, corrupt: Projected vectors e M_r of each triple's head, tail and corrupt tail, (n, d).
        relations: Vector of each triple's relation, (n, d).
        penalty: Mean squared norm of a triple's vectors before projection, a scalar.
    """

    heads: torch.Tensor
    tails: torch.Tensor
    corrupt: torch.Tensor
    relations: torch.Tensor
    penalty: torch.Tensor


def projected_ends(
    entities: torch.Tensor,
    relations: torch.Tensor,
    projections: torch.Tensor,
    triples: Triples,
    *,
    normalize: bool = False,
) -> ProjectedEnds:
    """Project the heads, tails and corrupt tails of triples by the relations of the triples.

    All entities of one relation are projected by a single matrix product, each entity once. The gradients of the three
    tables of vectors and matrices are sparse.

    Args:
        entities: Entity vectors, (n_entities, d).
        relations: Relation vectors, (n_relations, d).
        projections: Matrix M_r of each relation, flattened, (n_relations, d²).
        triples: The triples.
        normalize: Whether to scale projected vectors and relation vectors to length one.
    """
    n, (size, dim), device = len(triples), entities.shape, entities.device
    r_rows, (relation_of,) = distinct(triples.relations, device=device)
    r = lookup(relations, r_rows)  # (m_r, d)
    matrices = lookup(projections, r_rows).view(-1, dim, dim)
    ends = np.stack([triples.heads, triples.tails, triples.corrupt])  # (3, n)
    codes, places = np.unique(triples.relations * size + ends, return_inverse=True)
    by_relation, projected_entities = np.divmod(codes, size)
    e_rows, (entity_of,) = distinct(projected_entities, device=device)
    e = lookup(entities, e_rows)
    sizes = np.bincount(by_relation)
    blocks = functional.embedding(entity_of, e).split(sizes[sizes > 0].tolist())
    projected = torch.cat([block @ matrix for block, matrix in zip(blocks, matrices, strict=True)])
    if normalize:
        projected = functional.normalize(projected)
    place = torch.from_numpy(places.reshape(3, n)).to(device)
    penalty = row_penalty(e, entity_of[place], n) + row_penalty(r, relation_of, n)
    of_relations = functional.embedding(relation_of, functional.normalize(r) if normalize else r)
    heads, tails, corrupt = functional.embedding(place, projected).unbind()
    return ProjectedEnds(heads, tails, corrupt, of_relations, penalty)
