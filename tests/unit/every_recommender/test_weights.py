"""Weights of feedback: every model either uses them or says that it ignores them."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kgplug import models
from kgplug.data.interactions import Interactions
from tests.unit.helpers import contract
from tests.unit.helpers.planted import fans_with_noise, unseen_share

pytestmark = pytest.mark.training

SINGLE = [name for name in contract.NAMES if name not in ("Blend", "RKGE-CF")]  # these two train other models
NETWORK = {"embedding_dim": 16, "device": "cpu", "learning_rate": 0.02, "batch_size": 512}
SETTINGS: dict[str, dict] = {
    "EASE": {}, "CEASE": {}, "ItemKNN": {},
    "ALS": {"embedding_dim": 20},
    "MF": {**NETWORK, "epochs": 40},
    "BPR": {**NETWORK, "epochs": 40},
    "LightGCN": {**NETWORK, "epochs": 30},
    "MKR": {**NETWORK, "epochs": 20},
    "HiddenEdgeGCN": {**NETWORK, "epochs": 30},
    "MKR-attention": {**NETWORK, "epochs": 30},
}  # fmt: skip


def weighted(weights: np.ndarray) -> Interactions:
    """Return the contract's feedback with the given weights, repeated as often as there are rows."""
    rows = contract.interactions()
    return replace(rows, weights=np.resize(weights, len(rows)).astype(np.float32))


def scores(name: str, rows: Interactions) -> np.ndarray:
    settings = dict(contract.SETTINGS[name])
    if "epochs" in settings:
        settings["epochs"] = 2
    elif "embedding_settings" in settings:
        settings["embedding_settings"] = {**settings["embedding_settings"], "epochs": 2}
    model: Any = models.create(name, **settings)
    model.fit(rows, contract.knowledge() if model.inputs.triples else None, seed=3, progress=False)
    return model.score(*(part.ravel() for part in np.indices((rows.n_users, rows.n_items))))


@pytest.mark.parametrize("name", SINGLE)
def test_weights_change_a_model_unless_it_says_that_it_ignores_them(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        plain = scores(name, contract.interactions())
        assert "ignores the weights" not in caplog.text
        found = scores(name, weighted(np.array([1, 7, 2])))
    uses = models.class_of(name).inputs.weights
    assert np.array_equal(found, plain) == (not uses)
    assert (f"{name} ignores the weights of the feedback" in caplog.text) == (not uses)


@pytest.mark.parametrize("name", SETTINGS)
def test_only_the_ratios_of_weights_matter(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(scores(name, weighted(np.array([2]))), scores(name, contract.interactions()))
    assert "ignores the weights" not in caplog.text
    found = scores(name, weighted(np.array([1, 7, 2])))
    assert np.array_equal(scores(name, weighted(np.array([4, 28, 8]))), found)


@pytest.mark.parametrize("name", SETTINGS)
def test_likes_of_little_weight_are_told_from_those_of_much(name: str) -> None:
    interactions, knowledge, film_director, fan_of = fans_with_noise()
    with_weights, without = (
        unseen_share(
            models.create(name, **SETTINGS[name]).fit(
                rows, knowledge if models.class_of(name).inputs.triples else None, progress=False
            ),
            film_director, fan_of,
        )
        for rows in (interactions, replace(interactions, weights=None))
    )  # fmt: skip
    assert with_weights > without + 0.2
