"""Embeddings that recommenders have trained: one training serves all that need the same."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from kgplug.embeddings.model import EmbeddingModel
from kgplug.recommenders.parts.pretrained import item_entities
from kgplug.recommenders.training_data import TrainingData
from tests.unit.helpers.planted import directors_and_fans

pytestmark = pytest.mark.training


@pytest.mark.parametrize(
    ("other", "trainings"),
    [({}, 1), ({"seed": 1}, 2), ({"settings": {"epochs": 1, "embedding_dim": 8}}, 2), ({"graph": True}, 2)],
)
def test_an_embedding_is_trained_again_only_where_something_differs(
    monkeypatch: pytest.MonkeyPatch, other: dict, trainings: int
) -> None:
    interactions, knowledge, *_ = directors_and_fans()
    fit, seen = EmbeddingModel.fit, []
    monkeypatch.setattr(EmbeddingModel, "fit", lambda self, *a, **k: (seen.append(1), fit(self, *a, **k)))
    asked: dict = {"settings": {"epochs": 1, "embedding_dim": 4}, "progress": False} | other
    once = TrainingData(interactions, knowledge)
    again = dataclasses.replace(once, seed=asked.pop("seed", 0))
    if asked.pop("graph", False):
        again = dataclasses.replace(again, knowledge=dataclasses.replace(knowledge, triples=knowledge.triples[1:]))
    settings = {"epochs": 1, "embedding_dim": 4}
    first = item_entities("TransE", once, settings=settings, progress=False)
    second = item_entities("TransE", again, **asked)
    assert len(seen) == trainings
    assert np.array_equal(first.vectors, second.vectors) == (trainings == 1)
