"""ALS: its vectors solve the paper's equations, whatever the number of threads."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kgplug.data.interactions import Interactions
from kgplug.errors import TrainingError
from kgplug.recommenders.models.als import ALS, bearable_l2
from tests.unit.helpers.planted import directors_and_fans, tiny, unseen_share

pytestmark = pytest.mark.training


def literal_items(likes: np.ndarray, users: np.ndarray, confidence: float | np.ndarray, l2: float) -> np.ndarray:
    """Return the item vectors for given user vectors: y_i = (Xᵀ C_i X + λ I)⁻¹ Xᵀ C_i p_i, one item at a time.

    `confidence` is that of all likes, or an array (n_users, n_items).
    """
    confidence = np.broadcast_to(confidence, likes.shape)
    n_users, n_items = likes.shape
    result = np.zeros((n_items, users.shape[1]))
    for i in range(n_items):
        c = np.diag([confidence[u, i] if likes[u, i] else 1.0 for u in range(n_users)])
        left = users.T @ c @ users + l2 * np.eye(users.shape[1])
        result[i] = np.linalg.solve(left, users.T @ c @ likes[:, i])
    return result


def test_item_vectors_solve_the_equations_of_the_user_vectors() -> None:
    rng = np.random.default_rng(0)
    table = (rng.random((20, 9)) < 0.4).astype(float)
    table[np.arange(20), np.arange(20) % 9] = 1  # else a user without a like would be the average one
    interactions = Interactions.from_arrays(np.arange(20), np.arange(9), *np.nonzero(table))
    model = ALS(embedding_dim=3, confidence=4.0, l2=0.5).fit(interactions)  # three steps solve three unknowns exactly
    expected = literal_items(table, model.user_vectors().astype(float), 4.0, 0.5)
    np.testing.assert_allclose(model.item_vectors(), expected, atol=1e-5)


@pytest.mark.parametrize("alpha", [3.0, -0.5])
def test_a_likes_confidence_is_one_plus_alpha_times_the_logarithm_of_its_weight(alpha: float) -> None:
    rng = np.random.default_rng(0)
    table = (rng.random((20, 9)) < 0.4).astype(float)
    table[np.arange(20), np.arange(20) % 9] = 1
    users, items = np.nonzero(table)
    weights = rng.lognormal(0, 2, len(users))
    interactions = Interactions.from_arrays(np.arange(20), np.arange(9), users, items, weights=weights)
    model = ALS(embedding_dim=3, confidence=1 + alpha, l2=0.5).fit(interactions)
    logs = [math.log(1 + weight / np.median(weights)) for weight in weights]
    confidence = np.ones_like(table)
    for user, item, log in zip(users, items, logs, strict=True):
        confidence[user, item] = max(1 + alpha * log / (sum(logs) / len(logs)), 1e-3)
    expected = literal_items(table, model.user_vectors().astype(float), confidence, 0.5)
    np.testing.assert_allclose(model.item_vectors(), expected, atol=1e-5)
    limit = float(np.linalg.norm(table * confidence, 2))
    assert bearable_l2(interactions, 1 + alpha) == pytest.approx(limit / 2, rel=5e-3)


def test_threads_change_nothing_and_seeds_do(monkeypatch: pytest.MonkeyPatch) -> None:
    interactions, *_ = directors_and_fans()
    two, other = ALS().fit(interactions, seed=3), ALS().fit(interactions, seed=4)
    monkeypatch.setattr("kgplug.recommenders.models.als.processors", lambda: 1)
    one = ALS().fit(interactions, seed=3)
    assert np.array_equal(one.item_vectors(), two.item_vectors())
    assert np.array_equal(one.user_vectors(), two.user_vectors())
    assert not np.array_equal(other.item_vectors(), two.item_vectors())


def test_what_the_other_fan_likes_is_recommended() -> None:
    interactions, _, film_director, fan_of = directors_and_fans()
    model = ALS().fit(interactions)
    assert unseen_share(model, film_director, fan_of) > 0.3  # by chance: 0.05


def test_l2_is_half_of_what_would_leave_nothing_unless_it_is_set() -> None:
    interactions, *_ = directors_and_fans()
    limit = 20 * float(np.linalg.norm(interactions.matrix().toarray(), 2))
    assert ALS().fit(interactions).config.l2 == pytest.approx(limit / 2, rel=5e-3)
    assert ALS(l2=100).fit(interactions).config.l2 == 100
    alone = Interactions.from_arrays(np.arange(1), np.arange(4), np.zeros(4, dtype=np.int64), np.arange(4))
    assert bearable_l2(alone, 20) == pytest.approx(20)  # one user with four likes: σ = 2

    def largest(l2: float) -> float:
        return float(np.abs(ALS(l2=l2, epochs=60).fit(interactions).user_vectors()).max())

    assert largest(1.1 * limit) < 1e-6 < 0.1 < largest(0.9 * limit)


def test_an_item_that_nobody_likes_has_no_vector_and_a_score() -> None:
    interactions, _ = tiny()
    model = ALS(embedding_dim=2).fit(interactions)
    disliked = 2  # rated 2 and 1
    assert np.abs(model.item_vectors()[disliked]).max() < 1e-6
    assert np.abs(model.score(np.arange(4), np.full(4, disliked))).max() < 1e-6


@pytest.mark.parametrize("settings", [{"l2": 1e30}, {"confidence": 1e30}])
def test_numbers_too_large_for_the_solver_are_told_with_the_settings(settings: dict) -> None:
    with pytest.raises(TrainingError, match=r"^ALS: the vectors became NaN with l2=.* and confidence="):
        ALS(**settings).fit(tiny()[0])
