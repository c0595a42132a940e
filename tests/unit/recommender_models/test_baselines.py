"""Popularity and ItemKNN: their scores are what their formulas say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kgplug.data.interactions import Interactions
from kgplug.recommenders.models.item_knn import ItemKNN
from kgplug.recommenders.models.popularity import Popularity
from kgplug.recommenders.parts.similarity import nearest
from tests.unit.helpers.literal_similarity import literal_similarity, nearest_only


def _rows(matrix: list[list[int]]) -> Interactions:
    """Rows from a table of ratings, 0 for none; a like is a rating of 4 or 5."""
    table = np.array(matrix)
    users, items = np.nonzero(table)
    keys = [np.arange(size) for size in table.shape]
    return Interactions.from_arrays(*keys, users, items, ratings=table[users, items].astype(float), like_threshold=4)


def _random_likes(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((30, 12)) < np.linspace(0.1, 0.6, 12)).astype(int)


def test_popularity_counts_likes_and_not_dislikes() -> None:
    model = Popularity().fit(_rows([[5, 1, 4, 0], [4, 1, 0, 0], [5, 1, 2, 0]]))
    assert model.score(np.array([0, 0, 1, 2]), np.array([0, 1, 2, 3])).tolist() == [3, 0, 1, 0]


def test_popularity_breaks_ties_by_item_number() -> None:
    model = Popularity().fit(_rows([[0, 4, 0, 4, 0]]))
    assert model.recommend(np.array([0]), 5, exclude_seen=False)[0].tolist() == [[1, 3, 0, 2, 4]]


@pytest.mark.parametrize("neighbours", [4, 12])  # no ties about the fourth
@pytest.mark.parametrize("similarity", ["bm25", "tfidf", "cosine"])
def test_scores_and_similarity_equal_the_formula(similarity: str, neighbours: int) -> None:
    likes = _random_likes()
    model = ItemKNN(similarity=similarity, neighbours=neighbours).fit(_rows(likes * 5))
    expected = nearest_only(literal_similarity(likes.T, similarity), neighbours)
    np.testing.assert_allclose(model.similarity.toarray(), expected, rtol=0, atol=1e-5)
    users, items = np.indices(likes.shape).reshape(2, -1)
    found = model.score(users, items).reshape(likes.shape)
    np.testing.assert_allclose(found, likes @ expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("neighbours", [1, 3])
def test_only_the_nearest_items_count_ties_by_item_number(neighbours: int) -> None:
    likes = _random_likes()
    whole = ItemKNN(similarity="cosine", neighbours=12).fit(_rows(likes * 5)).similarity
    kept = nearest(whole, neighbours).toarray()
    for row, similar in zip(kept, whole.toarray(), strict=True):
        order = np.argsort(-similar, kind="stable")[:neighbours]
        assert set(np.flatnonzero(row)) == set(order[similar[order] > 0])
    few = ItemKNN(similarity="cosine", neighbours=neighbours).fit(_rows(likes * 5)).similarity
    assert (np.diff(few.indptr) <= neighbours).all() and np.allclose(few.sum(axis=1), kept.sum(axis=1)[:, None])


@pytest.mark.parametrize("similarity", ["bm25", "tfidf", "cosine"])
def test_an_item_liked_together_beats_one_that_is_not(similarity: str) -> None:
    likes = np.zeros((20, 9), dtype=int)
    likes[:10, :4], likes[10:, 4:8] = 5, 5
    likes[0, 3] = likes[19, 7] = 0
    model = ItemKNN(similarity=similarity).fit(_rows(likes))
    assert model.recommend(np.array([0, 19]), 1)[0].tolist() == [[3], [7]]


def test_dislikes_are_not_learnt_but_count_as_seen() -> None:
    table = [[5, 5, 0], [5, 5, 0], [5, 0, 1], [1, 1, 5]]
    model = ItemKNN(similarity="cosine").fit(_rows(table))
    assert model.similarity[0, 2] == 0
    assert model.recommend(np.array([2]), 3)[0].tolist() == [[1, -1, -1]]


def test_threads_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = _rows(_random_likes() * 5)
    users, items = np.indices((30, 12)).reshape(2, -1)
    first = ItemKNN().fit(rows).score(users, items)
    monkeypatch.setattr("kgplug.recommenders.models.item_knn.processors", lambda: 1)
    monkeypatch.setattr("kgplug.recommenders.base.SCORE_BLOCK_CELLS", 30)
    again = ItemKNN().fit(rows)
    order = np.random.default_rng(0).permutation(len(users))
    assert np.array_equal(again.score(users, items), first)
    assert np.array_equal(again.score(users[order], items[order]), first[order])
