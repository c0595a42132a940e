"""Every setting of a recommender has an effect: training or scoring reads it."""

from __future__ import annotations

import numpy as np
import pytest

import kgplug
from kgplug.recommenders.base import Recommender
from kgplug.training.config import ModelConfig
from tests.unit.helpers.contract import NAMES, SETTINGS
from tests.unit.helpers.planted import tiny

pytestmark = pytest.mark.training

TRAINED = {"epochs": 1, "side": True}
SMALL_EMBEDDING = {"embedding": "TransE", "embedding_settings": {"embedding_dim": 4, "epochs": 1, "device": "cpu"}}
SWITCHED_ON = {  # other settings are read only with these
    "MKR": {"kge_interval": 1},
    "MKR-rated": {"kge_interval": 1},
    "MKR-attention": {"gates": False},
    "SemanticCF": {"compare": "relations"},
    "CFKG": {"embedding_settings": {"embedding_dim": 4, "device": "cpu"}},  # its epochs are a setting of its own
}


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = type(kgplug.create(name).config).model_fields
    settings = (
        SETTINGS[name] | (TRAINED if "side" in fields else {}) | (SMALL_EMBEDDING if "embedding" in fields else {})
    )
    model = kgplug.create(name, **{**settings, **SWITCHED_ON.get(name, {})})
    assert isinstance(model, Recommender)
    read = set()

    def noted(config: ModelConfig, attribute: str) -> object:
        read.add(attribute)
        return object.__getattribute__(config, attribute)

    monkeypatch.setattr(ModelConfig, "__getattribute__", noted)
    monkeypatch.setattr(ModelConfig, "describe", lambda _: "")  # reads all
    interactions, knowledge = tiny()
    interactions = interactions.with_texts({item: f"film {item}" for item in range(5)})
    model.fit(interactions, knowledge if model.inputs.triples else None, valid=interactions, progress=False)
    users, items = np.indices((4, 5)).reshape(2, -1)
    model.score(users, items)
    model.recommend(np.arange(4), k=2)
    assert not fields.keys() - read
