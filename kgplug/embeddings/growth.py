"""Going on from a trained model when nodes, relations and triples have arrived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pykeen.models import ERModel
from pykeen.nn.representation import Embedding

from kgplug.embeddings.catalogue import EMBEDDINGS
from kgplug.embeddings.translational import TransE, weight_of
from kgplug.errors import UsageError

if TYPE_CHECKING:
    from kgplug.embeddings.model import EmbeddingModel

ROUNDS = 3  # of the closed form: new nodes may know each other


@dataclass(frozen=True)
class CarriedOver:
    """Which rows of a model's tables come from an earlier model.

    Attributes:
        entities: bool (n_entities,).
        relations: bool (n,), as the module numbers relations.
    """

    entities: np.ndarray
    relations: np.ndarray

    def concerned(self, triples: np.ndarray) -> np.ndarray:
        """Return the triples int64 (n, 3) that something new takes part in."""
        head, relation, tail = triples.T
        return triples[~(self.entities[head] & self.entities[tail] & self.relations[relation])]


@torch.no_grad()
def carry_over(earlier: EmbeddingModel, model: EmbeddingModel, triples: np.ndarray) -> CarriedOver:
    """Give a fresh model the vectors that an earlier one has learnt, and a start to those of new nodes.

    Rows are matched by label and key, relations by name. Under TransE a new node starts at the mean of where its
    triples put it, t − r and h + r: the point that fits them best in the least squares. Elsewhere it starts at random.

    Args:
        earlier: trained.
        model: of the same name and shapes, its module just built.
        triples: int64 (n, 3), the training triples in `model`'s numbers.

    Raises:
        UsageError: the models differ, or the model computes its vectors from the whole graph.
    """
    _check(earlier, model)
    entities, relations = model.vocabulary.rows_in(earlier.vocabulary)
    if EMBEDDINGS[model.name].inverse:
        relations = np.stack([2 * relations, 2 * relations + 1], axis=1).ravel()
        relations = np.maximum(relations, -1)
    tables = {id(part): entities for part in model.module.entity_representations}
    tables |= {id(part): relations for part in model.module.relation_representations}
    copied: set[int] = set()
    for new, old in zip(model.module.modules(), earlier.module.modules(), strict=True):
        if id(new) not in tables:
            continue
        rows, weight = tables[id(new)], weight_of(new)
        known = np.flatnonzero(rows >= 0)
        weight[known] = weight_of(old)[rows[known]].to(weight.device)
        copied.add(id(weight))
    for new, old in zip(model.module.parameters(), earlier.module.parameters(), strict=True):
        if id(new) not in copied:
            new.copy_(old)
    found = CarriedOver(entities >= 0, relations >= 0)
    if isinstance(model.module, TransE):
        _place(model.module, triples, found)
    return found


def _check(earlier: EmbeddingModel, model: EmbeddingModel) -> None:
    if earlier.name != model.name:
        raise UsageError(f"{model.name} cannot go on from run {earlier.run}, which is a {earlier.name}.")
    parts = [*model.module.entity_representations, *model.module.relation_representations]
    if any(type(part) is not Embedding for part in parts):
        raise UsageError(f"{model.name} computes its vectors from the whole graph; train it anew.")
    others = [*earlier.module.entity_representations, *earlier.module.relation_representations]
    if [part.shape for part in parts] != [part.shape for part in others]:
        raise UsageError(
            f"{model.name} cannot go on from run {earlier.run}: its vectors have other lengths. "
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
