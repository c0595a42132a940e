"""Users who were not in the training, users without a like, films without a like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

import kgplug
from kgplug.data.interactions import Interactions
from kgplug.errors import UsageError
from kgplug.recommenders import new_users
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.new_users import FoldIn
from kgplug.recommenders.parts.operations.layers import average_cold
from tests.unit.helpers.literal_similarity import literal_similarity
from tests.unit.helpers.planted import FILMS_EACH, directors_and_fans, shuffled

pytestmark = pytest.mark.training

SETTINGS: dict[str, dict] = {
    "MF": {"embedding_dim": 16, "epochs": 60, "learning_rate": 0.05, "batch_size": 128, "l2": 1e-3, "device": "cpu"},
    "MKR": {"embedding_dim": 16, "epochs": 60, "learning_rate": 0.05, "batch_size": 128, "device": "cpu"},
    "RippleNet": {"embedding_dim": 16, "epochs": 30, "learning_rate": 0.02, "batch_size": 128, "device": "cpu"},
    "UserKNN": {},
    "RKGE": {"embedding_dim": 16, "epochs": 20, "learning_rate": 0.02, "batch_size": 64, "l2": 1e-3, "device": "cpu"},
    "RKGE-CF": {"embedding_dim": 16, "epochs": 20, "learning_rate": 0.02, "batch_size": 64, "device": "cpu"},
    "KGCN": {"embedding_dim": 16, "epochs": 60, "learning_rate": 0.05, "batch_size": 128, "l2": 1e-4, "device": "cpu"},
}


def literal_vectors(known: np.ndarray, items: np.ndarray, users: np.ndarray, likes: np.ndarray) -> np.ndarray:
    """Ridge regression written out: minimise Σ_u ‖W (x_u − x̄) − (y_u − ȳ)‖² + λ ‖W‖² by its normal equations."""

    def one(row: np.ndarray) -> np.ndarray:
        liked = [items[item] for item in range(len(row)) if row[item]]
        return sum(liked, np.zeros(items.shape[1])) / len(liked) ** 0.5

    rows = [user for user in range(len(known)) if known[user].any()]
    x, y = np.array([one(known[user]) for user in rows]), users[rows]
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    d = x.shape[1]
    square = sum((np.outer(a - x_mean, a - x_mean) for a in x), np.zeros((d, d)))
    penalty = new_users._RIDGE * sum(square[i, i] for i in range(d)) / d
    mixed = sum(np.outer(a - x_mean, b - y_mean) for a, b in zip(x, y, strict=True))
    weights = np.linalg.inv(square + penalty * np.eye(d)) @ mixed
    return np.array([y_mean + (one(row) - x_mean) @ weights if row.any() else y_mean for row in likes])


def test_new_users_get_what_ridge_regression_gives() -> None:
    rng = np.random.default_rng(3)
    known, likes = (rng.random((9, 7)) < 0.4).astype(np.float32), (rng.random((4, 7)) < 0.4).astype(np.float32)
    known[2], likes[1] = 0, 0  # one who is not learnt from, and one who likes nothing
    items, users = rng.normal(size=(7, 3)).astype(np.float32), rng.normal(size=(9, 4)).astype(np.float32)
    fold = FoldIn.learn(sparse.csr_matrix(known), items, users)
    found = fold.vectors(sparse.csr_matrix(likes), items)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, literal_vectors(known, items, users, likes), atol=1e-5)


def test_one_user_is_enough_to_learn_from() -> None:
    fold = FoldIn.learn(sparse.csr_matrix(np.ones((1, 3))), np.ones((3, 2)), np.array([[5.0, 6.0]]))
    assert fold.vectors(sparse.csr_matrix(np.eye(3)), np.ones((3, 2))).tolist() == [[5, 6]] * 3


def test_users_without_a_like_get_the_mean_of_the_others() -> None:
    rows, likes = torch.tensor([[1.0, 2.0], [9.0, 9.0], [3.0, 4.0]]), sparse.csr_matrix([[1, 0], [0, 0], [1, 1]])
    average_cold(rows, likes)
    assert rows.tolist() == [[1, 2], [2, 3], [3, 4]]


def test_a_model_of_similar_items_treats_a_new_user_as_the_user_with_the_same_likes() -> None:
    interactions, _, _, fan_of = directors_and_fans()
    model = _fitted("ItemKNN", interactions)
    for user in range(0, len(fan_of), 7):
        items, scores = model.recommend_for(model.liked[user].indices, 5)
        expected, expected_scores = model.recommend(np.array([user]), 5)
        assert np.array_equal(items, expected[0]) and np.array_equal(scores, expected_scores[0])


@pytest.mark.parametrize("similarity", ["bm25", "tfidf", "cosine"])
def test_a_new_users_neighbours_are_the_users_of_like_taste(similarity: str) -> None:
    """Scores are Σ over the two users most similar to the new user, as if the new user were the last of all users."""
    interactions, _, _, fan_of = directors_and_fans()
    model = _fitted("UserKNN", interactions, neighbours=2, similarity=similarity)
    likes = interactions.matrix().toarray()
    new_user = np.flatnonzero(likes[4])[:3]
    row = np.zeros(likes.shape[1])
    row[new_user] = 1
    alike = literal_similarity(np.vstack([likes, row]), similarity)[-1, :-1]
    expected = sum(alike[user] * likes[user] for user in np.argsort(-alike, kind="stable")[:2] if alike[user] > 0)
    items, scores = model.recommend_for(new_user, 30)
    assert len(fan_of) == len(likes) and scores[0] > 0
    np.testing.assert_allclose(scores, expected[items], atol=1e-5)


@pytest.fixture(scope="module", params=sorted(SETTINGS))
def fan_model(request: pytest.FixtureRequest) -> tuple[Recommender, np.ndarray]:
    """A model fitted without the likes of every tenth fan."""
    interactions, knowledge, film_director, fan_of = directors_and_fans()
    absent = (np.arange(len(fan_of)) % 10 == 1)[interactions.users]
    return _fitted(request.param, interactions.take(~absent), knowledge), film_director


def _fitted(name: str, interactions: Interactions, knowledge: object = None, **settings: object) -> Recommender:
    model = kgplug.create(name, **{**SETTINGS.get(name, {}), **settings})
    assert isinstance(model, Recommender)
    return model.fit(interactions, knowledge if model.inputs.triples else None, progress=False)  # type: ignore[arg-type]


def test_a_new_user_who_likes_films_of_a_director_gets_the_directors_other_films(fan_model) -> None:
    model, film_director = fan_model
    right = []
    for director in range(20):
        films = np.flatnonzero(film_director == director)
        watched = films[np.asarray(model.liked.sum(axis=0)).ravel()[films] > 0]  # a film nobody liked tells MF nothing
        items, _ = model.recommend_for(watched[:3], 4)
        right.append((film_director[items] == director).mean())
    assert np.mean(right) > 0.35  # by chance one in twenty


def test_a_user_without_a_like_gets_the_average_users_list(fan_model, tmp_path: Path) -> None:
    model, _ = fan_model
    cold = np.flatnonzero(np.diff(model.liked.indptr) == 0)
    assert len(cold) == 4
    items, scores = model.recommend(cold, 5)
    assert (items == items[0]).all()
    nobody, nobody_scores = model.recommend_for(np.array([], dtype=np.int64), 5)
    np.testing.assert_allclose(scores[0], nobody_scores, atol=1e-5)
    model.save(tmp_path / "run")
    again = kgplug.load(tmp_path / "run")
    assert isinstance(again, Recommender)
    assert np.array_equal(again.recommend(cold, 5)[0], items) and np.array_equal(
        again.recommend_for(nobody, 5)[0], model.recommend_for(nobody, 5)[0]
    )


def test_films_nobody_liked_are_ranked_by_their_director_where_the_model_learns_the_graph() -> None:
    """A list of new films only: those of the fan's director come first, which nothing but the graph can tell."""
    interactions, knowledge, film_director, fan_of = directors_and_fans()
    new = np.arange(len(film_director)) % FILMS_EACH == 0  # one film of each director
    train = interactions.take(~new[interactions.items])
    fans = np.unique(train.users)
    more_graph = {"epochs": 100, "learning_rate": 0.02, "kge_learning_rate": 0.02, "l2": 1e-3, "kge_interval": 1}
    found = []
    for graph in (knowledge, shuffled(knowledge)):
        items, _ = _fitted("MKR", train, graph, **more_graph).recommend(fans, 3, only=new)
        found.append((film_director[items] == fan_of[fans][:, None]).any(axis=1).mean())
    assert found[0] > 0.5 > 2 * found[1]  # by chance 3 of 20


def test_likes_that_are_no_items_are_refused() -> None:
    interactions, _, _, _ = directors_and_fans()
    with pytest.raises(UsageError, match="likes: expected item indices from 0 to 199"):
        _fitted("ItemKNN", interactions).recommend_for(np.array([200]))
