"""Maximal marginal relevance: the items that the paper's formula chooses, one by one."""

from __future__ import annotations

import numpy as np
import pytest

import kgplug
from kgplug.data.ranking import diversity as module
from kgplug.data.ranking.diversity import rerank
from kgplug.errors import UsageError
from kgplug.recommenders.base import Recommender
from tests.unit.helpers.planted import directors_and_fans


def literal(items: list[int], scores: list[float], vectors: np.ndarray, k: int, diversity: float) -> list[int]:
    """Carbonell & Goldstein 1998: argmax over R \\ S of λ Sim1(D, Q) - (1 - λ) max over S of Sim2(D, D')."""
    low, high = min(scores), max(scores)
    relevance = {item: (score - low) / (high - low) for item, score in zip(items, scores, strict=True)}

    def cosine(one: int, other: int) -> float:
        lengths = float(np.linalg.norm(vectors[one])) * float(np.linalg.norm(vectors[other]))
        return float(vectors[one] @ vectors[other]) / lengths if lengths else 0.0

    chosen: list[int] = []
    while len(chosen) < k:
        best, best_value = -1, -np.inf
        for item in items:
            if item in chosen:
                continue
            likeness = max((cosine(item, other) for other in chosen), default=0.0)
            value = (1 - diversity) * relevance[item] - diversity * likeness
            if value > best_value:
                best, best_value = item, value
        chosen.append(best)
    return chosen


@pytest.mark.parametrize("diversity", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_the_chosen_items_are_those_of_the_mmr_formula(diversity: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    n_items, pool, k, n = 40, 15, 6, 25
    vectors = rng.normal(size=(n_items, 5)).astype(np.float32)
    vectors[3] = 0
    items = np.stack([rng.permutation(n_items)[:pool] for _ in range(n)])
    scores = -np.sort(-rng.normal(size=(n, pool)), axis=1).astype(np.float32) * 7
    monkeypatch.setattr(module, "_BLOCK_FLOATS", 4 * pool * 5)  # blocks of four users
    found, values = rerank(items, scores, vectors, k, diversity=diversity)
    assert found.dtype == np.int64 and values.dtype == np.float32
    for row in range(n):
        assert found[row].tolist() == literal(items[row].tolist(), scores[row].tolist(), vectors, k, diversity)
        of = dict(zip(items[row].tolist(), scores[row].tolist(), strict=True))
        assert values[row].tolist() == [of[item] for item in found[row].tolist()]
    if diversity == 0:
        assert np.array_equal(found, items[:, :k])


def test_short_rows_keep_their_end_marks() -> None:
    items = np.array([[4, 2, -1, -1], [-1, -1, -1, -1], [1, -1, -1, -1]])
    scores = np.array([[0.5, 0.5, *[-np.inf] * 2], [-np.inf] * 4, [2, *[-np.inf] * 3]], dtype=np.float32)
    found, values = rerank(items, scores, np.ones((5, 2), dtype=np.float32), 3, diversity=0.5)
    assert found.tolist() == [[4, 2, -1], [-1, -1, -1], [1, -1, -1]]
    assert np.array_equal(np.isneginf(values), found == -1)


@pytest.fixture(scope="module")
def fitted() -> tuple[Recommender, np.ndarray, np.ndarray]:
    interactions, _, film_director, fan_of = directors_and_fans()
    model = kgplug.create("ItemKNN")
    assert isinstance(model, Recommender)
    return model.fit(interactions), film_director, fan_of


def test_diversity_adds_other_directors_and_keeps_the_models_scores(fitted) -> None:
    model, film_director, fan_of = fitted
    vectors = np.eye(20, dtype=np.float32)[film_director]  # films are alike when they share the director
    users = np.arange(len(fan_of))
    plain, _ = model.recommend(users, 5, vectors=vectors)
    mixed, scores = model.recommend(users, 5, diversity=0.8, vectors=vectors)

    def directors(lists: np.ndarray) -> float:
        return float(np.mean([len(set(film_director[row])) for row in lists]))

    assert directors(mixed) == 5 > directors(plain)
    assert np.array_equal(mixed[:, 0], plain[:, 0])  # the best one stays first
    assert np.array_equal(scores.ravel(), model.score(np.repeat(users, 5), mixed.ravel()))


def test_invalid_diversity_and_vectors_are_refused_in_one_sentence(fitted) -> None:
    model, _, _ = fitted
    users = np.array([0])
    with pytest.raises(UsageError, match=r"ItemKNN has no item vectors to compare items for diversity"):
        model.recommend(users, 5, diversity=0.3)
    for wrong in (-0.1, 1.5, True, "much", np.nan):
        with pytest.raises(UsageError, match=r"diversity: expected a number from 0 \(scores only\) to 1"):
            model.recommend(users, 5, diversity=wrong)
    for wrong in (np.ones((3, 2)), np.full((200, 2), np.nan), np.ones(200)):
        with pytest.raises(UsageError, match=r"vectors: expected finite numbers, one row per item \(200 rows\)"):
            model.recommend(users, 5, diversity=0.3, vectors=wrong)
