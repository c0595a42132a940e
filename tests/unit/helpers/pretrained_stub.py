"""Pre-trained item vectors that cost nothing, for tests of models that use them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from kgplug.recommenders.parts.pretrained import ItemEntities
from kgplug.recommenders.training_data import TrainingData


def share_of_tails(embedding: str, data: TrainingData, **rest: Any) -> ItemEntities:
    """Stand in for `item_entities`: an item's vector is a sum of random vectors, one a (relation, tail) it has."""
    knowledge = data.graph
    entities = knowledge.entities_of(data.interactions.item_keys)
    drawn = np.random.default_rng(data.seed).normal(size=(knowledge.n_relations, knowledge.n_entities, 16))
    known = np.zeros((knowledge.n_entities, 16))
    head, relation, tail = knowledge.triples.T
    np.add.at(known, head, drawn[relation, tail])
    linked = entities >= 0
    vectors = np.where(linked[:, None], known[entities], 0).astype(np.float32)
    model = SimpleNamespace(vocabulary=knowledge, entity_vectors=lambda: known.astype(np.float32))
    return ItemEntities(vectors, linked, model, entities)  # type: ignore[arg-type]
