"""The side term beside any click-through model: counted by hand, trained, saved, and on where likes are few."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import kgplug
from kgplug import models
from kgplug.recommenders.logits import LogitRecommender
from kgplug.recommenders.mkr import MKR
from kgplug.recommenders.side_features import kg_features
from kgplug.recommenders.trained import SIDE_BELOW
from kgplug.training.config import DataSize
from tests.unit.planted import directors_and_fans, shuffled, tiny, unseen_share
from tests.unit.test_recommender_contract import SETTINGS

BY_PLACE = {"RKGE-CF"}  # its scores are places in a fused list
NAMES = [
    info.name for info in models.available()
    if info.kind == "recommender" and "side" in type(kgplug.create(info.name).config).model_fields
]  # fmt: skip
SCORED = [name for name in NAMES if name not in BY_PLACE]


def fitted(name: str, **settings) -> LogitRecommender:
    interactions, knowledge = tiny()
    interactions = interactions.with_texts({item: f"film {item}" for item in range(5)})
    model = kgplug.create(name, **{**SETTINGS[name], "epochs": 3, "side": True, **settings})
    assert isinstance(model, LogitRecommender)
    return model.fit(interactions, knowledge if model.needs_knowledge else None, progress=False)


def dense(x: list[float], layer: torch.nn.Linear) -> list[float]:
    weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    return [sum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in zip(weight, bias, strict=True)]


def literal(model: LogitRecommender, user: int, item: int) -> float:
    """The side term's logit of a pair, count by count."""
    interactions, knowledge = tiny()
    likes = interactions.likes().matrix().toarray()
    features = kg_features(interactions.likes(), knowledge if model.needs_knowledge else None).toarray().astype(float)
    others = [other for other in range(5) if other != item]
    near = sum((np.minimum(features[item], features[j]) > 0).sum() * likes[:, j].sum() for j in others)
    profile = sum((features[j] for j in range(5) if likes[user, j] and j != item), np.zeros(features.shape[1]))
    norms = math.sqrt(profile @ profile) * math.sqrt(features[item] @ features[item])
    cosine = float(profile @ features[item]) / norms if norms > 0 else 0.0
    degree = likes[:, item].sum()
    towers = model.side.towers
    leaky = [
        [v if v > 0 else 0.1 * v for v in dense(x, layer)]
        for x, layer in (
            ([math.log1p(likes[user].sum())], towers.user_hidden),
            ([math.log1p(degree), math.log1p(near), float(degree == 0)], towers.item_hidden),
        )
    ]
    *g, b = dense(leaky[0], towers.user_out)
    *h, a = dense(leaky[1], towers.item_out)
    weight = towers.profile_weight.item()
    return sum(x * y for x, y in zip(g, h, strict=True)) + a + b + weight * math.log1p(10 * cosine)


@pytest.mark.parametrize("name", SCORED)
def test_a_score_is_the_model_s_own_logit_and_what_is_counted(name: str, tmp_path: Path) -> None:
    model = fitted(name)
    users, items = np.indices((4, 5)).reshape(2, -1)
    logits = model.logits(users, items) + [literal(model, u, i) for u, i in zip(users, items, strict=True)]
    expected = 1 / (1 + np.exp(-logits)) if model.scores_are_probabilities else logits
    np.testing.assert_allclose(model.score(users, items), expected, atol=1e-5)
    listed, scores = model.recommend(np.arange(4), 5, exclude_seen=False)
    np.testing.assert_allclose(scores, np.take_along_axis(expected.reshape(4, 5), listed, axis=1), atol=1e-5)
    model.save(tmp_path / "run")
    assert np.array_equal(kgplug.load(tmp_path / "run").score(users, items), model.score(users, items))


@pytest.mark.parametrize("name", SCORED)
def test_it_is_trained_beside_the_model(name: str) -> None:
    towers = fitted(name).side.towers
    assert towers.profile_weight.item() != 0 or not kgplug.create(name).needs_knowledge
    assert any(towers.user_out.bias.tolist()) or name in ("BPR", "CKE")  # comparisons cancel what is the user's alone
    assert any(towers.item_out.bias.tolist()) or name in ("BPR", "CKE")


def test_no_like_tells_its_own_label_in_training() -> None:
    interactions, _ = tiny()
    likes = interactions.likes()
    facts = fitted("MKR").side.facts
    negatives = np.array([next(i for i in range(5) if not likes.matrix()[u, i]) for u in likes.users])
    own, drawn = (facts.of_pairs(likes.users, items, training=True) for items in (likes.items, negatives))
    assert np.array_equal(own.users, drawn.users)
    counts = np.bincount(likes.items, minlength=5)
    np.testing.assert_allclose(own.items[:, 0], np.log1p(counts[likes.items] - 1), atol=1e-6)
    np.testing.assert_allclose(drawn.items[:, 0], np.log1p(counts[negatives]), atol=1e-6)


def test_a_training_that_was_cut_goes_on_to_the_same_side_term(tmp_path: Path) -> None:
    interactions, knowledge = tiny()
    settings = {**SETTINGS["MKR"], "side": True}
    whole = MKR(**{**settings, "epochs": 4}).fit(interactions, knowledge, progress=False)
    file = tmp_path / "checkpoint.safetensors"

    class Cut(Exception):
        pass

    from kgplug.training import loop

    done = {"epochs": 0}
    before = loop.save_checkpoint

    def cutting(*arguments, **named) -> None:
        before(*arguments, **named)
        done["epochs"] += 1
        if done["epochs"] == 2:
            raise Cut

    loop.save_checkpoint = cutting
    try:
        with pytest.raises(Cut):
            MKR(**{**settings, "epochs": 4}).fit(interactions, knowledge, progress=False, checkpoint=file)
    finally:
        loop.save_checkpoint = before
    again = MKR(**{**settings, "epochs": 4}).fit(interactions, knowledge, progress=False, checkpoint=file)
    for mine, theirs in zip(again.side.towers.parameters(), whole.side.towers.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_it_is_on_where_users_have_few_likes_unless_it_is_set() -> None:
    few, many = DataSize(100, 50, 100 * (SIDE_BELOW - 1)), DataSize(100, 50, 100 * SIDE_BELOW)
    for name in ("MKR", "KGCN", "RippleNet", "RKGE", "LibFM", "Wide&Deep", "DKN"):
        config = kgplug.create(name).config
        assert config.suited(few).side and not config.suited(many).side
        assert not kgplug.create(name, side=False).config.suited(few).side
    assert not kgplug.create("MF").config.suited(few).side  # the plain models stay plain


def test_counts_and_profile_alone_find_the_films_of_ones_director() -> None:
    interactions, knowledge, film_director, fan_of = directors_and_fans()
    settings = {
        "kge_weight": 0.0,
        "side": True,
        "embedding_dim": 4,
        "epochs": 150,
        "batch_size": 64,
        "l2": 1.0,
        "device": "cpu",
    }
    shares = [
        unseen_share(MKR(**settings).fit(interactions, graph, progress=False), film_director, fan_of)
        for graph in (knowledge, shuffled(knowledge))
    ]
    assert shares[0] >= 0.6 and shares[1] <= 0.4, shares
