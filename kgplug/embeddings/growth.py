"""Going on from a trained model when nodes, relations and triples have arrived."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pykeen.models import ERModel
from pykeen.nn.representation import Embedding

from kgplug.embeddings.frozen import CarriedOver
from kgplug.embeddings.translational import TransE, weight_of
from kgplug.errors import UsageError

ROUNDS = 3  # of the closed form: new nodes may know each other


@torch.no_grad()
def carry_over(
    earlier: ERModel, module: ERModel, triples: np.ndarray, *, entities: np.ndarray, relations: np.ndarray
) -> CarriedOver:
    """Give a fresh module the vectors that an earlier one has learnt, and a start to those of new nodes.

    Under TransE a new node starts at the mean of where its triples put it, t − r and h + r: the point that fits them
    best in the least squares. Elsewhere it starts at random.

    Args:
        earlier: trained.
        module: of the same kind and shapes, just built.
        triples: int64 (n, 3), the training triples in `module`'s numbers.
        entities, relations: int64, the row in `earlier` of each row of `module`; -1 for what is new.
    """
    tables = {id(part): entities for part in module.entity_representations}
    tables |= {id(part): relations for part in module.relation_representations}
    copied: set[int] = set()
    for new, old in zip(module.modules(), earlier.modules(), strict=True):
        if id(new) not in tables:
            continue
        rows, weight = tables[id(new)], weight_of(new)
        known = np.flatnonzero(rows >= 0)
        weight[known] = weight_of(old)[rows[known]].to(weight.device)
        copied.add(id(weight))
    for new, old in zip(module.parameters(), earlier.parameters(), strict=True):
        if id(new) not in copied:
            new.copy_(old)
    found = CarriedOver(entities >= 0, relations >= 0)
    if isinstance(module, TransE):
        _place(module, triples, found)
    return found


def check_fit(earlier: ERModel, module: ERModel, *, name: str, run: str) -> None:
    """Refuse a module that cannot take over what an earlier one has learnt.

    Args:
        name: of both models, for the message.
        run: of the earlier one.

    Raises:
        UsageError: the shapes differ, or the model computes its vectors from the whole graph.
    """
    parts = [*module.entity_representations, *module.relation_representations]
    if any(type(part) is not Embedding for part in parts):
        raise UsageError(f"{name} computes its vectors from the whole graph; train it anew.")
    others = [*earlier.entity_representations, *earlier.relation_representations]
    if [part.shape for part in parts] != [part.shape for part in others]:
        raise UsageError(
            f"{name} cannot go on from run {run}: its vectors have other lengths. "
            "Leave embedding_dim and model_settings as they are there."
        )


def _place(module: ERModel, triples: np.ndarray, known: CarriedOver) -> None:
    """Put new entities where their triples want them: the mean of t − r and h + r over known neighbours."""
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
