"""MKR-rated: users described by what they rated, without the rating that is asked for; disliked items as negatives."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import kgplug
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.errors import DataError
from kgplug.recommenders.click_through.pairs import Pairs
from kgplug.recommenders.models.mkr_rated import MKRRated, RatedData, RatedTask
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share

pytestmark = pytest.mark.training

SMALL = {
    "side": False,
    "embedding_dim": 5, "epochs": 3, "batch_size": 3, "kge_batch_size": 3, "kge_interval": 1, "device": "cpu",
}  # fmt: skip


def fitted(**settings) -> MKRRated:
    interactions, knowledge = tiny()
    return MKRRated(**{**SMALL, **settings}).fit(interactions, knowledge, progress=False)


def literal_vectors(model: MKRRated, user: int, item: int, *, leave_out: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return (u_L, v_L) of one pair, rating by rating."""
    rows = tiny()[0]
    assert rows.ratings is not None
    w = {name: tensor.double().numpy() for name, tensor in model.network.state_dict().items()}
    middle = 3.5 if model.config.rating_middle is None else model.config.rating_middle
    total, weight = np.zeros(model.config.embedding_dim), 0.0
    for u, i, rating in zip(rows.users, rows.items, rows.ratings, strict=True):
        if u == user and not (leave_out and i == item):
            total += (float(rating) - middle) * w["items"][i]
            weight += abs(float(rating) - middle)
    u = w["users"][user] + (total / weight if weight else 0.0)
    u = w["user_layers.layers.0.weight"] @ u + w["user_layers.layers.0.bias"]
    offset = model.config.offset
    v, e = w["items"][item] + offset, w["entities"][int(w["item_entities"][item])] + offset
    w_vv, w_ev, _, _ = w["cross.0.weights"] / (len(v) * offset)
    return np.tanh(u), np.outer(v, e) @ w_vv + np.outer(e, v) @ w_ev + w["cross.0.bias"][0] - offset


def biases(model: MKRRated, user: int, item: int) -> list[float]:
    network = model.network
    return [x.item() for x in (network.user_bias[user, 0], network.item_bias[item, 0], network.global_bias[0])]


@pytest.mark.parametrize("middle", [None, 3.0])
def test_scores_and_loss_equal_the_equations(middle):
    model = fitted(rating_middle=middle)
    users, items = np.indices((4, 5)).reshape(2, -1)
    logits = [
        math.fsum([*np.multiply(*literal_vectors(model, u, i, leave_out=False)), *biases(model, u, i)])
        for u, i in zip(users, items, strict=True)
    ]
    np.testing.assert_allclose(model.score(users, items), 1 / (1 + np.exp(-np.array(logits))), atol=1e-5)

    rows, config, w = tiny()[0], model.config, model.network.state_dict()
    task = RatedTask(model.network, config, RatedData(rows, None), np.zeros((0, 3), dtype=np.int64))
    batch = Pairs(rows.users, rows.items, rows.is_like.astype(np.float32))
    loss, n = 0.0, len(rows)
    for u, i, y in zip(batch.users, batch.items, batch.labels, strict=True):
        u_l, v_l = literal_vectors(model, u, i, leave_out=True)
        p = 1 / (1 + math.exp(-(u_l @ v_l + sum(biases(model, u, i)))))
        looked_up = [w["users"][u], w["items"][i], w["entities"][w["item_entities"][i]]]
        norms = sum(float((row.double() ** 2).sum()) for row in looked_up)
        loss -= math.log(p if y else 1 - p) / n
        loss += config.bias_l2 * sum(b**2 for b in biases(model, u, i)[:2]) / n
        loss += (config.l2 * norms + config.vector_l2 * (u_l @ u_l + v_l @ v_l)) / n
    dense = [*model.network.user_layers.parameters(), *model.network.cross.parameters(), model.network.global_bias]
    loss += config.weight_l2 * sum(float((p.detach().double() ** 2).sum()) for p in dense)
    assert task.recommendation_loss(batch).item() == pytest.approx(loss, abs=1e-5)


def test_a_rating_does_not_reach_its_own_prediction_in_training():
    interactions, _ = tiny()
    model = fitted()
    task = RatedTask(model.network, model.config, RatedData(interactions, None), np.zeros((0, 3), dtype=np.int64))
    batch = Pairs(interactions.users[:1], interactions.items[:1], np.ones(1, dtype=np.float32))
    before = task.recommendation_loss(batch).item()
    model.network.rated_weights[0] = -2.0
    assert task.recommendation_loss(batch).item() == pytest.approx(before, abs=1e-6)
    model.network.rated_weights[1] = -2.0  # another rating of the same user
    assert abs(task.recommendation_loss(batch).item() - before) > 1e-5


def test_an_epoch_is_every_row_once_with_its_own_label():
    interactions, _ = tiny()
    batches = list(RatedData(interactions, None).epoch(np.random.default_rng(0), 3))
    assert [len(batch) for batch in batches] == [3, 3, 2]
    found = {(u, i): y for b in batches for u, i, y in zip(b.users, b.items, b.labels, strict=True)}
    likes = zip(interactions.users, interactions.items, interactions.is_like, strict=True)
    assert found == {(u, i): float(like) for u, i, like in likes}


def rated_by_fans(seed: int = 0, *, fans: int = 2) -> Interactions:
    """Return the likes of `directors_and_fans` and some 15 dislikes a user, of films of other directors."""
    likes, _, film_director, fan_of = directors_and_fans(seed, fans=fans)
    rng = np.random.default_rng(5 + seed)
    users = np.repeat(np.arange(len(fan_of)), 16)
    films = rng.integers(0, len(film_director), len(users))
    other = film_director[films] != fan_of[users]
    return Interactions.from_arrays(
        likes.user_keys,
        likes.item_keys,
        np.concatenate([likes.users, users[other]]),
        np.concatenate([likes.items, films[other]]),
        ratings=np.repeat([5.0, 1.0], [len(likes), int(other.sum())]),
        like_threshold=4,
    )


@pytest.mark.parametrize("seed", range(3))
def test_films_of_a_liked_director_are_found_through_the_graph(seed: int):
    """Six fans a director, so that somebody likes nearly every film; dislikes are all that others say of the rest."""
    _, knowledge, film_director, fan_of = directors_and_fans(seed, fans=6)
    rated = rated_by_fans(seed, fans=6)
    settings = {
        "side": False, "epochs": 20, "batch_size": 128, "kge_batch_size": 256, "kge_interval": 1, "bias": False,
        "l2": 1e-4, "vector_l2": 5e-3, "learning_rate": 7e-3, "kge_learning_rate": 5e-3,
        "init_scale": 0.1, "device": "cpu",
    }  # fmt: skip

    def share(graph: KnowledgeGraph) -> float:
        return unseen_share(MKRRated(**settings).fit(rated, graph, seed=seed, progress=False), film_director, fan_of)

    found = share(knowledge)
    assert found > 0.6  # by chance: 0.03
    if seed == 0:
        assert share(shuffled(knowledge)) < found / 2  # what the ratings alone reveal


def test_feedback_without_ratings_or_without_dislikes_is_refused_in_one_sentence():
    interactions, knowledge = tiny()
    for rows in (replace(interactions, ratings=None, like_threshold=None), interactions.likes()):
        with pytest.raises(DataError, match=r"needs ratings below like_threshold, and there are none"):
            MKRRated(**SMALL).fit(rows, knowledge)


def test_what_users_rated_survives_the_disk(tmp_path):
    model = fitted()
    model.save(tmp_path / "run")
    again = kgplug.load(tmp_path / "run")
    assert isinstance(again, MKRRated)
    assert torch.equal(again.network.rated_weights, model.network.rated_weights)
    assert np.array_equal(again.user_vectors(), model.user_vectors())
