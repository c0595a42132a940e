"""Continuing from a trained model after nodes, relations and triples were added."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pykeen.models import ERModel
from pykeen.nn.representation import Embedding

from kgplug.embeddings.parts.frozen import CarriedOver
from kgplug.embeddings.parts.translational import TransE, weight_of
from kgplug.errors import UsageError

ROUNDS = 3  # repetitions of the least-squares fit, because new nodes may be neighbours of each other


@torch.no_grad()
def carry_over(
    earlier: ERModel[Any, Any, Any],
    module: ERModel[Any, Any, Any],
    triples: np.ndarray,
    *,
    entities: np.ndarray,
    relations: np.ndarray,
) -> CarriedOver:
    """Copy the vectors that an earlier module has learnt into a new one, and initialise the vectors of new nodes.

    In TransE, a new node starts at the mean of the positions that its triples suggest: t − r where it is the head,
    h + r where it is the tail. This is the least-squares fit. In other models, new nodes start at random.

    Args:
        earlier: The trained module.
        module: A new module of the same class and shapes.
        triples: int64 (n, 3), the training triples in `module`'s indices.
        entities: int64 (n_entities,), for each row of `module`'s entity tables the row in `earlier`; -1 if new.
        relations: int64 (n,), the same for the n rows of the relation tables.

    Returns:
        The rows of `module` that were copied.
    """
    tables = [
        (module.entity_representations, earlier.entity_representations, entities),
        (module.relation_representations, earlier.relation_representations, relations),
    ]
    copied: set[int] = set()
    for parts, others, rows in tables:
        known = np.flatnonzero(rows >= 0)
        for new, old in zip(parts, others, strict=True):
            weight = weight_of(new)
            weight[known] = weight_of(old)[rows[known]].to(weight.device)
            copied.add(id(weight))
    for new, old in zip(module.parameters(), earlier.parameters(), strict=True):
        if id(new) not in copied:
            new.copy_(old)
    found = CarriedOver(entities >= 0, relations >= 0)
    if isinstance(module, TransE):
        _initialise(module, triples, found)
    return found


def check_fit(earlier: ERModel[Any, Any, Any], module: ERModel[Any, Any, Any], *, name: str, run: str) -> None:
    """Raise an error if a module cannot take over the vectors of an earlier one.

    Args:
        earlier: The trained module.
        module: The new module.
        name: Name of both models, for the message.
        run: Id of the earlier run, for the message.

    Raises:
        UsageError: the shapes differ, or the model computes its vectors from the whole graph.
    """
    parts = [*module.entity_representations, *module.relation_representations]
    if any(type(part) is not Embedding for part in parts):
        raise UsageError(f"{name} computes its vectors from the whole graph; train it from scratch.")
    others = [*earlier.entity_representations, *earlier.relation_representations]
    if [part.shape for part in parts] != [part.shape for part in others]:
        raise UsageError(
            f"{name} cannot continue from run {run}: its vectors have other lengths. "
            "Use the embedding_dim and model_settings of that run."
        )


def _initialise(module: ERModel[Any, Any, Any], triples: np.ndarray, known: CarriedOver) -> None:
    """Move each new entity to the mean of t − r (as head) and h + r (as tail) over its triples.

    A triple counts if its relation is known, and its other entity is known or was moved in an earlier round. There are
    several rounds, because new entities may be neighbours of each other.

    Args:
        module: The new module.
        triples: int64 (n, 3), the training triples.
        known: The rows of `module` that come from the earlier model.
    """
    table, translation = (
        weight_of(part[0]) for part in (module.entity_representations, module.relation_representations)
    )
    placed = torch.from_numpy(known.entities.copy()).to(table.device)
    new = ~placed
    usable = triples[known.relations[triples[:, 1]]]
    head, relation, tail = (torch.from_numpy(column.copy()).to(table.device) for column in usable.T)
    for _ in range(ROUNDS):
        total, count = torch.zeros_like(table), table.new_zeros(len(table), 1)
        for own, other, sign in ((head, tail, -1), (tail, head, 1)):
            rows = torch.nonzero(new[own] & placed[other]).flatten()
            wanted = table[other[rows]] + sign * translation[relation[rows]]
            total.index_add_(0, own[rows], wanted)
            count.index_add_(0, own[rows], count.new_ones(len(rows), 1))
        found = torch.nonzero(count[:, 0] > 0).flatten()
        vectors = total[found] / count[found]
        constrainer: Any = module.entity_representations[0].constrainer
        table[found] = vectors if constrainer is None else constrainer(vectors)
        placed[found] = True
