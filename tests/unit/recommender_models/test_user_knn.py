"""UserKNN: its scores are the formula's, neighbours are people of one's taste."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from kgplug.data.interactions import Interactions
from kgplug.recommenders.models.item_knn import rows_near, weighted_rows
from kgplug.recommenders.models.user_knn import UserKNN
from tests.unit.helpers.literal_similarity import literal_similarity, nearest_only
from tests.unit.helpers.planted import directors_and_fans, tiny, unseen_share


@pytest.mark.parametrize("similarity", ["bm25", "tfidf", "cosine"])
@pytest.mark.parametrize("neighbours", [3, 30])
def test_scores_equal_the_formula(neighbours: int, similarity: str) -> None:
    rng = np.random.default_rng(1)
    table = (rng.random((9, 14)) < rng.uniform(0.2, 0.7, (9, 1))).astype(int)
    users, items = np.nonzero(table)
    interactions = Interactions.from_arrays(np.arange(9), np.arange(14), users, items)
    model = UserKNN(similarity=similarity, neighbours=neighbours).fit(interactions)
    found = model.score(*np.indices(table.shape).reshape(2, -1)).reshape(table.shape)
    near = nearest_only(literal_similarity(table, similarity), neighbours)
    np.testing.assert_allclose(found, near @ table, rtol=0, atol=1e-5)


@pytest.mark.parametrize("similarity", ["bm25", "tfidf", "cosine"])
def test_what_the_other_fan_likes_is_recommended(similarity: str) -> None:
    interactions, _, film_director, fan_of = directors_and_fans()
    model = UserKNN(similarity=similarity).fit(interactions)
    assert unseen_share(model, film_director, fan_of) > 0.3  # by chance: 0.05; the other fan knows 2.4 of the 6 left


def test_dislikes_are_not_learnt_but_count_as_seen() -> None:
    interactions, _ = tiny()  # user 1 likes item 1 and dislikes item 2; user 0 likes 0 and 1
    model = UserKNN().fit(interactions)
    assert model.score(np.array([0]), np.array([2]))[0] == 0
    assert 2 not in model.recommend(np.array([1]), 5)[0]


def test_a_single_user_has_no_neighbours_and_gets_a_list() -> None:
    one = Interactions.from_arrays(np.array([7], dtype=object), np.arange(4), np.array([0, 0]), np.array([1, 3]))
    items, scores = UserKNN().fit(one).recommend(np.array([0]), 4)
    assert items.tolist() == [[0, 2, -1, -1]] and (scores[0, :2] == 0).all()


@pytest.mark.parametrize("similarity", ["bm25", "tfidf", "cosine"])
@pytest.mark.parametrize("density", [0.1, 0.5, 0.95])
def test_each_new_user_is_compared_as_if_added_alone(
    similarity: str, density: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    rows, new = (sparse.csr_matrix((rng.random((n, 12)) < density).astype(np.float32)) for n in (30, 7))
    monkeypatch.setattr("kgplug.recommenders.models.item_knn._BLOCK_CELLS", 60)  # two new users at a time
    found = rows_near(new, rows, similarity, 30).toarray()
    for each, expected in zip(found, new, strict=True):
        weighted = weighted_rows(sparse.csr_matrix(sparse.vstack([rows, expected])), similarity).toarray()
        np.testing.assert_allclose(each, weighted[:-1] @ weighted[-1], rtol=1e-5, atol=1e-6)
    assert rows_near(new[:0], rows, similarity, 5).shape == (0, 30)
