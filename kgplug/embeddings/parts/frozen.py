"""Rows of a table that training does not change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pykeen.models import ERModel

from kgplug.embeddings.parts.translational import weight_of


@dataclass(frozen=True)
class CarriedOver:
    """Rows of a model's tables that come from an earlier model.

    Attributes:
        entities: bool (n_entities,), true for entities that the earlier model has.
        relations: bool (n,), true for relations that the earlier model has; n is the number of the module's relations.
    """

    entities: np.ndarray
    relations: np.ndarray

    def concerned(self, triples: np.ndarray) -> np.ndarray:
        """Return the triples that contain a new entity or relation: int64 (n, 3) → (m, 3)."""
        head, relation, tail = triples.T
        return triples[~(self.entities[head] & self.entities[tail] & self.relations[relation])]


class Frozen:
    """The rows of a module that stay unchanged during training.

    Args:
        module: The module. Its weights outside of the entity and relation tables stop requiring gradients.
        known: The rows to keep.
        whole_tables: Whether steps update whole entity tables; otherwise the caller skips the kept rows of these.

    Attributes:
        free_entities: bool (n_entities,), true for the entities that are trained.
    """

    def __init__(self, module: ERModel[Any, Any, Any], known: CarriedOver, *, whole_tables: bool = False) -> None:
        self.free_entities = torch.from_numpy(~known.entities).to(module.device)
        relations = [weight_of(part) for part in module.relation_representations]
        entities = [weight_of(part) for part in module.entity_representations]
        by_row = [*relations, *entities]
        for parameter in module.parameters():
            if not any(parameter is weight for weight in by_row):
                parameter.requires_grad_(False)
        kept = [(relations, known.relations), *([(entities, known.entities)] if whole_tables else [])]
        self.kept = [
            (weight, rows, weight.detach()[rows].clone())
            for weights, is_known in kept
            for rows in [torch.from_numpy(np.flatnonzero(is_known)).to(module.device)]
            for weight in weights
        ]

    def restore(self) -> None:
        """Restore the kept rows of the tables that each step updates as a whole."""
        for weight, rows, values in self.kept:
            weight[rows] = values
