"""Wide&Deep: its equation over x in full, ranking by blocks, its road from triples to scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kgplug.recommenders.click_through import histories
from kgplug.recommenders.click_through.histories import HistoryTask
from kgplug.recommenders.click_through.pairs import ClickThroughData, Pairs
from kgplug.recommenders.models import wide_deep
from kgplug.recommenders.models.wide_deep import WideDeep
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share
from tests.unit.helpers.pretrained_stub import share_of_tails
from tests.unit.helpers.stirred import stirred

pytestmark = pytest.mark.training

SMALL = {
    "side": False,
    "embedding_dim": 6,
    "first_layer": 7,
    "second_layer": 5,
    "epochs": 4,
    "batch_size": 4,
    "device": "cpu",
}
PLANTED = {"side": False, "embedding_dim": 16, "batch_size": 64, "epochs": 40, "learning_rate": 0.01, "device": "cpu"}


@pytest.fixture(autouse=True)
def vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take vectors that need no training: which tails an item has, turned at random."""
    monkeypatch.setattr(histories, "item_entities", share_of_tails)


def fitted(**settings) -> WideDeep:
    interactions, knowledge = tiny()
    return WideDeep(**{**SMALL, **settings}).fit(interactions, knowledge, progress=False)


def literal_logit(model: WideDeep, user: int, item: int, left_out: int | None = None) -> float:
    """Build x in full, then w0 + w·x + MLP of its vectors."""
    w = {name: tensor.double().numpy() for name, tensor in model.network.state_dict().items()}
    interactions, _ = tiny()
    items = model.network.features.items.double().numpy()
    liked = [i for u, i in zip(interactions.likes().users, interactions.likes().items, strict=True) if u == user]
    if left_out is not None:
        liked.remove(left_out)
    history = sum((items[i] for i in liked), np.zeros(items.shape[1])) / max(len(liked), 1)
    x = np.concatenate([np.eye(4)[user], np.eye(5)[item], items[item], history])
    linear = np.concatenate([
        w["user_bias"][:, 0], w["item_bias"][:, 0], w["vector_weights"], w["history_weights"]
    ])  # fmt: skip
    hidden = np.concatenate([w["users"][user], history, w["items"][item], items[item]])
    for layer in ("first", "second"):
        hidden = np.maximum(w[f"{layer}.weight"] @ hidden + w[f"{layer}.bias"], 0)
    deep = w["third.weight"][0] @ hidden + w["third.bias"][0]
    return float(w["global_bias"][0] + sum(linear[k] * x[k] for k in range(len(x))) + deep)


def test_scores_are_those_of_the_equation() -> None:
    model = stirred(fitted())
    users, items = np.indices((4, 5)).reshape(2, -1)
    expected = [1 / (1 + math.exp(-literal_logit(model, u, i))) for u, i in zip(users, items, strict=True)]
    assert np.allclose(model.score(users, items), expected, atol=1e-5)
    assert np.allclose(model._score_block(np.arange(4)).ravel(), expected, atol=1e-5)


def test_in_training_the_like_is_left_out_of_the_history() -> None:
    model = stirred(fitted())
    pairs = Pairs(np.array([0, 1, 0, 1]), np.array([0, 1, 3, 4]), np.array([1, 1, 0, 0], dtype=np.float32))
    task = HistoryTask(model.network, model.config, ClickThroughData(tiny()[0], None, seed=0))
    with torch.no_grad():
        logits, _ = task.logits(pairs)
    expected = [literal_logit(model, u, i, out) for u, i, out in [(0, 0, 0), (1, 1, 1), (0, 3, 0), (1, 4, 1)]]
    assert np.allclose(logits.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("cells", [1, 20, 80])
def test_blocks_of_users_and_items_change_nothing(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fitted()
    pairs = np.indices((4, 5)).reshape(2, -1)
    whole, block = model.score(*pairs), model._score_block(np.arange(4))
    monkeypatch.setattr(wide_deep, "_CELLS", cells)
    assert np.allclose(model.score(*pairs), whole, atol=1e-6)
    assert np.allclose(model._score_block(np.arange(4)), block, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "least"), [({"device": "cpu"}, 0.85), (PLANTED, 0.35)], ids=["defaults", "without the side term"]
)
def test_unseen_films_of_ones_director_come_first_and_not_with_shuffled_triples(settings: dict, least: float) -> None:
    for seed in (0, 1):
        interactions, knowledge, director, fan_of = directors_and_fans(seed)
        right, wrong = (
            unseen_share(WideDeep(**settings).fit(interactions, graph, progress=False), director, fan_of)
            for graph in (knowledge, shuffled(knowledge))
        )
        assert right > least and wrong < right - 0.2
