"""Signs of a collapsed model: each is found in a model broken on purpose, and none in a healthy one."""

from __future__ import annotations

import copy
import logging
from pathlib import Path

import numpy as np
import pytest

import kgplug
from kgplug.data.health import list_findings, publication_findings, refuse_dead, vector_findings
from kgplug.data.interactions import Interactions
from kgplug.data.publication import NodeVectors, Publication, TopLists
from kgplug.embeddings.health import model_findings as embedding_findings
from kgplug.embeddings.model import EmbeddingModel
from kgplug.errors import DeadModelError
from kgplug.evaluation.experiment import evaluate
from kgplug.evaluation.health import no_better_than_guesses, worse_than_popularity
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.health import model_findings
from kgplug.recommenders.models.bpr import BPR
from kgplug.recommenders.models.item_knn import ItemKNN
from kgplug.recommenders.models.mf import MF
from kgplug.recommenders.models.popularity import Popularity
from tests.unit.helpers.contract import NAMES, SETTINGS
from tests.unit.helpers.planted import directors_and_fans, tiny

pytestmark = pytest.mark.training

_rng = np.random.default_rng(0)
HEALTHY = _rng.normal(size=(50, 8)).astype(np.float32)


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (np.zeros((50, 8)), "all 50 Movie vectors are zero"),
        (HEALTHY * 1e-26, "the 50 Movie vectors have shrunk to almost zero"),
        (HEALTHY * 1e-8, "the 50 Movie vectors have shrunk to almost zero"),
        (np.ones((50, 8)), "are almost identical"),
        (np.ones((50, 8)) + 1e-3 * HEALTHY, "are almost identical"),
        (np.arange(1, 51)[:, None] * np.ones((50, 8)), "are almost identical"),  # all the same way
        (np.full((50, 8), np.nan), "50 of 50 Movie vectors are not finite numbers"),
        (np.ones((50, 1)), "are almost identical"),
    ],
)
def test_vectors_without_length_or_spread_are_found(vectors: np.ndarray, said: str) -> None:
    (found,) = vector_findings("Movie", vectors.astype(np.float32))
    assert said in found
    nodes = [NodeVectors("Movie", np.arange(50).astype(object), vectors.astype(np.float32))]
    with pytest.raises(DeadModelError, match="was not published: it has collapsed"):
        refuse_dead(Publication("M", "m-1", nodes), force=False)
    refuse_dead(Publication("M", "m-1", nodes), force=True)


@pytest.mark.parametrize(
    "vectors",
    [
        HEALTHY,
        HEALTHY * 1e-3,
        HEALTHY * 1e4,
        np.abs(HEALTHY) + 3,  # all in one corner, as those of non-negative factors are
        HEALTHY[:, :1],
        np.abs(HEALTHY[:, :1]),
        np.where(np.arange(50)[:, None] < 20, HEALTHY, 0),  # items that nobody likes yet
        np.ones((2, 8)),  # two users who like the same
        HEALTHY[:0],
    ],
)
def test_healthy_vectors_are_not(vectors: np.ndarray) -> None:
    assert vector_findings("Movie", vectors.astype(np.float32)) == []


def test_most_vectors_are_zero_though_there_are_likes_to_learn_from() -> None:
    vectors, learnt = np.where(np.arange(50)[:, None] < 20, HEALTHY, 0), np.arange(50) < 45
    (found,) = vector_findings("Movie", vectors, learnt=learnt)
    assert found == "25 of the 45 Movie vectors with likes to learn from are zero"
    assert vector_findings("Movie", vectors, learnt=np.arange(50) < 25) == []


def _lists(scores: np.ndarray) -> TopLists:
    n, k = scores.shape
    keys = np.arange(100).astype(object)
    items = np.where(np.isfinite(scores), np.arange(k), -1)
    return TopLists("User", "Movie", keys[:n], keys, items, scores.astype(np.float32))


def test_saturated_or_equal_scores_in_lists_are_found() -> None:
    falling = np.linspace(1, 0, 10)[None] * 1e-4 + np.arange(20)[:, None] * 1e-6
    assert "every score in the lists is 0.3" in list_findings(_lists(np.full((20, 10), 0.3)))[0]
    assert "saturated" in list_findings(_lists(1 - falling), probabilities=True)[0]
    assert "saturated" in list_findings(_lists(falling), probabilities=True)[0]
    assert list_findings(_lists(1 - falling)) == []  # no probabilities
    assert list_findings(_lists(0.2 + 5000 * falling), probabilities=True) == []
    assert list_findings(_lists(np.full((2, 10), 0.3))) == []  # of two users
    assert list_findings(_lists(np.full((20, 10), 0.3)), counts=True) == []
    vectors = [NodeVectors("Movie", np.arange(50).astype(object), HEALTHY)]
    assert publication_findings(Publication("M", "m", vectors, lists=_lists(np.full((20, 10), 0.3))))


def test_a_user_who_has_seen_all_neighbours_does_not_make_a_neighbour_model_collapsed() -> None:
    rows = [(user, item) for user in range(20) for item in range(20) if user % 2 == item % 2]
    users, items = np.array(rows).T
    keys = np.arange(20).astype(object)
    model = ItemKNN().fit(Interactions.from_arrays(keys, keys, users, items))
    publication = model.publication(k=5)
    assert publication.lists is not None and (publication.lists.scores == 0).all()
    refuse_dead(publication, force=False)


def test_a_neighbour_model_without_neighbours_gives_no_order() -> None:
    keys, numbers = np.arange(20).astype(object), np.arange(20)
    model = ItemKNN().fit(Interactions.from_arrays(keys, keys, numbers, numbers))
    assert model.health == ["all items have the same score"]


@pytest.fixture(scope="module")
def planted() -> tuple:
    return directors_and_fans(fans=6)


def _mf(likes: Interactions, **settings: object) -> MF:
    return MF(**{**SETTINGS["MF"], **settings}).fit(likes, progress=False)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data", ["planted", "tiny"])
def test_no_healthy_recommender_is_reported_as_collapsed(name: str, data: str, planted: tuple) -> None:
    likes, knowledge = planted[:2] if data == "planted" else tiny()
    if name == "MKR-rated" and data == "planted":
        pytest.skip("learns from dislikes, and there are none")
    likes = likes.with_texts({key: f"{key} {'War' if key % 2 else 'Peace'}" for key in likes.item_keys})
    settings, known = {**SETTINGS[name]}, type(kgplug.create(name).config).model_fields
    quick = {"side": False, "epochs": 10, "batch_size": 128, "learning_rate": 0.02, "l2": 1e-5}
    settings |= {setting: value for setting, value in quick.items() if setting in known and "epochs" in known}
    if name == "Wide&Deep":  # at such a rate its units die, indeed
        settings |= {"learning_rate": 0.002}
    model = kgplug.create(name, **settings)
    assert isinstance(model, Recommender)
    model.fit(likes, knowledge if model.inputs.triples else None, progress=False)
    items, scores = model.recommend(np.arange(likes.n_users), 10)
    lists = TopLists("User", "Movie", likes.user_keys, likes.item_keys, items, scores)
    assert model.health == model_findings(model, lists) == []


@pytest.fixture(scope="module")
def mf(planted: tuple) -> MF:
    return _mf(planted[0])


def _broken(healthy: MF, how: str) -> MF:
    model = copy.deepcopy(healthy)
    f = model.factors
    if how == "zero":
        f.users[:], f.items[:] = 0, 0
    elif how == "tiny":
        f.users[:], f.items[:] = f.users * 1e-26, f.items * 1e-26
    elif how == "small":  # lengths that a vector index takes, but that no score feels
        f.users[:], f.items[:] = f.users * 1e-3, f.items * 1e-3
        f.item_bias[:] = np.linspace(-3, 3, len(f.item_bias))
    elif how == "equal":
        f.users[:], f.items[:] = 1, 0.5
    elif how == "saturated":
        f.item_bias[:] += 30
    elif how == "impossible":
        f.item_bias[:] -= 40
    elif how == "not numbers":
        f.items[:] = np.nan
    return model


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("zero", "vectors are zero"),
        ("tiny", "shrunk to almost zero"),
        ("small", "its vectors do not affect its lists"),
        ("equal", "almost identical"),
        ("saturated", "of all probabilities are at least"),
        ("impossible", "have a probability of at most"),
        ("not numbers", "not finite"),
    ],
)
def test_each_way_to_break_a_model_is_found_and_not_published(mf: MF, how: str, said: str) -> None:
    assert not any(said in sentence for sentence in model_findings(mf))
    model = _broken(mf, how)
    found = model_findings(model)
    assert any(said in sentence for sentence in found), found
    if how != "not numbers":  # which gives no lists at all
        with pytest.raises(DeadModelError, match=said):
            refuse_dead(model.publication(k=5), force=False)
        refuse_dead(model.publication(k=5), force=True)


def test_findings_are_logged_and_stored_in_the_run(
    planted: tuple, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        model = BPR(**{**SETTINGS["BPR"], "epochs": 60, "l2": 100.0}).fit(planted[0], progress=False)
    assert model.health and "BPR has collapsed" in caplog.text
    model.save(tmp_path / "run")
    assert kgplug.load(tmp_path / "run").health == model.health


def test_lists_worse_than_popularity_are_found_user_by_user() -> None:
    rng = np.random.default_rng(0)
    popularity = 1 / np.arange(1, 201)
    rows = [(u, i) for u in range(300) for i in rng.choice(200, 12, replace=False, p=popularity / popularity.sum())]
    users, items = np.array(rows).T
    keys = [np.arange(n).astype(object) for n in (300, 200)]
    train, _, test = Interactions.from_arrays(*keys, users, items).split((0.7, 0.1, 0.2), by="row")
    healthy, usual = _mf(train, epochs=15), Popularity().fit(train)
    backwards = copy.deepcopy(healthy)
    assert worse_than_popularity(healthy, train, test) is None
    assert worse_than_popularity(usual, train, test) is None
    backwards.factors.item_bias[:] = -10 * backwards.factors.item_bias - np.linspace(5, 0, 200)
    sentence = worse_than_popularity(backwards, train, test)
    assert sentence is not None and "its lists are worse than the most popular items: NDCG@10 0.0" in sentence
    few = test.take(np.isin(test.users, np.arange(20)))
    assert worse_than_popularity(backwards, train, few) is None  # of 20 users nobody knows
    table = evaluate({"good": healthy, "bad": backwards}, train, test)
    assert list(table.attrs["health"]) == ["bad"]


def test_ranks_no_better_than_guesses_are_found() -> None:
    ranks = np.random.default_rng(0).integers(1, 1001, 500)
    sentence = no_better_than_guesses(min(float((1 / ranks).mean()), 0.0075), 500, 1000)
    assert sentence is not None and "no better than guesses" in sentence
    assert no_better_than_guesses(0.05, 500, 1000) is None
    assert no_better_than_guesses(0.007, 20, 1000) is None


@pytest.mark.parametrize("name", ["TransE", "DistMult", "ComplEx", "RotatE", "TransH", "RGCN", "ConvE"])
def test_a_broken_embedding_is_reported_as_collapsed_and_a_healthy_one_is_not(name: str, planted: tuple) -> None:
    model = kgplug.create(name, embedding_dim=16, epochs=3, device="cpu")
    assert isinstance(model, EmbeddingModel)
    model.fit(planted[1], progress=False)
    assert model.health == []
    if name == "TransE":
        for scale, said in ((0, "are zero"), (1e-20, "shrunk to almost zero")):
            table = model.module.entity_representations[0]._embeddings.weight.data
            kept = table.clone()
            table *= scale
            model._forget_cached()
            assert said in embedding_findings(model)[0]
            table.copy_(kept)
