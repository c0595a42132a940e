"""LibFM: its equation over x in full, what its history hides, its road from triples to scores."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import kgplug
from kgplug.errors import DataError, UsageError
from kgplug.recommenders.click_through import histories
from kgplug.recommenders.click_through.histories import HistoryTask, ItemFeatures
from kgplug.recommenders.click_through.pairs import ClickThroughData, Pairs
from kgplug.recommenders.models.libfm import LibFM
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share
from tests.unit.helpers.pretrained_stub import share_of_tails
from tests.unit.helpers.stirred import stirred

pytestmark = pytest.mark.training

SMALL = {"side": False, "embedding_dim": 6, "epochs": 4, "batch_size": 4, "device": "cpu"}
PLANTED = {
    "side": False,
    "embedding_dim": 16,
    "batch_size": 64,
    "epochs": 80,
    "learning_rate": 0.01,
    "l2": 0.03,
    "device": "cpu",
}


@pytest.fixture(autouse=True)
def vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take vectors that need no training: which tails an item has, turned at random."""
    monkeypatch.setattr(histories, "item_entities", share_of_tails)


def fitted(**settings) -> LibFM:
    interactions, knowledge = tiny()
    return LibFM(**{**SMALL, **settings}).fit(interactions, knowledge, progress=False)


def literal_logit(model: LibFM, user: int, item: int, left_out: int | None = None) -> float:
    """Build x in full, then w0 + w·x + ½ Σ_f [(Σ_k v_kf x_k)² − Σ_k v_kf² x_k²]."""
    w = {name: tensor.double().numpy() for name, tensor in model.network.state_dict().items()}
    interactions, _ = tiny()
    items = model.network.features.items.double().numpy()
    liked = [i for u, i in zip(interactions.likes().users, interactions.likes().items, strict=True) if u == user]
    if left_out is not None:
        liked.remove(left_out)
    history = sum((items[i] for i in liked), np.zeros(items.shape[1])) / max(len(liked), 1)
    x = np.concatenate([np.eye(4)[user], np.eye(5)[item], items[item], history])
    v = np.concatenate([w["users"], w["items"], w["vector_factors"], w["history_factors"]])
    linear = np.concatenate([
        w["user_bias"][:, 0], w["item_bias"][:, 0], w["vector_weights"], w["history_weights"]
    ])  # fmt: skip
    logit = w["global_bias"][0] + sum(linear[k] * x[k] for k in range(len(x)))
    for f in range(6):
        total = sum(v[k, f] * x[k] for k in range(len(x)))
        logit += (total**2 - sum(v[k, f] ** 2 * x[k] ** 2 for k in range(len(x)))) / 2
    return float(logit)


def test_scores_are_those_of_the_equation() -> None:
    model = stirred(fitted())
    users, items = np.indices((4, 5)).reshape(2, -1)
    expected = [1 / (1 + math.exp(-literal_logit(model, u, i))) for u, i in zip(users, items, strict=True)]
    assert np.allclose(model.score(users, items), expected, atol=1e-5)


def test_in_training_a_like_is_left_out_of_the_history_of_itself_and_of_its_negative() -> None:
    model = stirred(fitted())
    pairs = Pairs(np.array([0, 1, 0, 1]), np.array([0, 1, 3, 4]), np.array([1, 1, 0, 0], dtype=np.float32))
    assert pairs.own_likes().tolist() == [0, 1, 0, 1]
    task = HistoryTask(model.network, model.config, ClickThroughData(tiny()[0], None, seed=0))
    with torch.no_grad():
        logits, rows = task.logits(pairs)
    expected = [literal_logit(model, u, i, out) for u, i, out in [(0, 0, 0), (1, 1, 1), (0, 3, 0), (1, 4, 1)]]
    assert np.allclose(logits.numpy(), expected, atol=1e-5)
    w = {name: tensor.double().numpy() for name, tensor in model.network.state_dict().items()}
    squares = [
        sum(np.square(w[name][row]).sum() for name, row in rows_of)
        for rows_of in (
            (("users", u), ("user_bias", u), ("items", i), ("item_bias", i))
            for u, i in zip(pairs.users, pairs.items, strict=True)
        )
    ]
    assert float(rows) == pytest.approx(np.mean(squares), abs=1e-5)


def test_the_history_of_ones_only_like_is_nothing_without_it() -> None:
    interactions, _ = tiny()
    features = ItemFeatures(np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32), interactions.likes())
    only = features.histories(torch.tensor([2]), torch.tensor([3]))
    assert only.tolist() == [[0.0, 0.0, 0.0]]
    assert np.allclose(features.histories(torch.tensor([2])), features.items[[3]], atol=1e-6)


def test_unseen_films_of_ones_director_come_first_and_not_with_shuffled_triples() -> None:
    interactions, knowledge, director, fan_of = directors_and_fans()
    right = unseen_share(LibFM(**PLANTED).fit(interactions, knowledge, progress=False), director, fan_of)
    wrong = unseen_share(LibFM(**PLANTED).fit(interactions, shuffled(knowledge), progress=False), director, fan_of)
    assert right > 0.35 and wrong < right - 0.2


def test_bad_embeddings_and_unknown_items_are_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    interactions, knowledge = tiny()
    with pytest.raises(UsageError, match=r'embedding="nothing": expected a model of PyKEEN'):
        kgplug.create("LibFM", embedding="nothing").fit(interactions, knowledge)
    strange = replace(interactions, item_keys=np.array(list("vwxyz"), dtype=object))
    settings = {"embedding": "TransE", "embedding_settings": {"epochs": 1, "embedding_dim": 4}, **SMALL}
    with pytest.raises(DataError, match=r"none of the 5 items is an entity"):
        kgplug.create("LibFM", **settings).fit(strange, knowledge, progress=False)
