"""BPR: its loss is the paper's, and it ranks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kgplug.data.interactions import Interactions
from kgplug.recommenders.click_through.pairs import ClickThroughData
from kgplug.recommenders.models.bpr import BPR, BPRTask, Comparisons
from tests.unit.helpers.planted import directors_and_fans, tiny, unseen_share
from tests.unit.helpers.stirred import stirred

pytestmark = pytest.mark.training

SMALL = {"embedding_dim": 5, "epochs": 4, "batch_size": 4, "device": "cpu"}


def task_of(model: BPR, interactions: Interactions) -> BPRTask:
    return BPRTask(model.network, model.config, ClickThroughData(interactions, None, seed=0))


def test_scores_and_loss_equal_the_equations() -> None:
    interactions, _ = tiny()
    model = stirred(BPR(**SMALL, l2=0.03).fit(interactions, progress=False))
    w = {name: tensor.double().numpy() for name, tensor in model.network.state_dict().items()}

    def score(u: int, i: int) -> float:
        return float(w["users"][u] @ w["items"][i] + w["item_bias"][i, 0])

    users, items = np.indices((4, 5)).reshape(2, -1)
    expected = [score(u, i) for u, i in zip(users, items, strict=True)]
    np.testing.assert_allclose(model.score(users, items), expected, atol=1e-5)
    batch = Comparisons(np.array([0, 0, 3]), np.array([0, 1, 4]), np.array([2, 2, 1]))
    loss = 0.0
    for u, i, j in zip(batch.users, batch.liked, batch.others, strict=True):
        loss -= math.log(1 / (1 + math.exp(-(score(u, i) - score(u, j))))) / 3
        for item in (i, j):
            squares = (w["users"][u] ** 2).sum() + (w["items"][item] ** 2).sum() + w["item_bias"][item, 0] ** 2
            loss += 0.03 * squares / 6  # mean over the pairs, two a comparison
    assert task_of(model, interactions).loss(batch).item() == pytest.approx(loss, abs=1e-5)


def test_each_like_is_compared_once_an_epoch_with_an_item_that_is_none() -> None:
    interactions, *_ = directors_and_fans()
    model = BPR(**SMALL).fit(interactions, progress=False)
    liked = set(interactions.pairs.tolist())
    batches = list(task_of(model, interactions).batches(0, np.random.default_rng(0)))
    pairs = [(b.users * interactions.n_items + b.liked).tolist() for b in batches]
    assert sorted(pair for part in pairs for pair in part) == interactions.pairs.tolist()
    assert not liked & {n for b in batches for n in (b.users * interactions.n_items + b.others).tolist()}
    assert max(map(len, pairs)) == 2  # a comparison is two pairs


def test_a_user_who_likes_everything_is_left_out_of_the_comparisons() -> None:
    users, items = np.indices((2, 3)).reshape(2, -1)
    rows = Interactions.from_arrays(np.arange(2), np.arange(3), users[:-1], items[:-1])
    model, other = (BPR(**SMALL).fit(rows, seed=seed, progress=False) for seed in (0, 1))
    assert not np.array_equal(model.user_vectors()[0], other.user_vectors()[0])  # as drawn, by the seed
    assert all((b.users == 1).all() for b in task_of(model, rows).batches(0, np.random.default_rng(0)))
    assert np.isfinite(model.score(users, items)).all()


def test_what_the_other_fan_likes_is_recommended() -> None:
    interactions, _, film_director, fan_of = directors_and_fans()
    settings = {"epochs": 60, "batch_size": 64, "l2": 1e-2, "learning_rate": 5e-2, "device": "cpu"}
    model = BPR(**settings).fit(interactions, progress=False)
    assert unseen_share(model, film_director, fan_of) > 0.25  # by chance: 0.05


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    interactions, _ = tiny()
    first, again, other = (BPR(**SMALL).fit(interactions, seed=s, progress=False) for s in (1, 1, 2))
    assert all(torch.equal(t, again.network.state_dict()[n]) for n, t in first.network.state_dict().items())
    assert not torch.equal(first.network.users, other.network.users)
