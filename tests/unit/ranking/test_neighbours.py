"""Nearest neighbours of vectors: exact, with any block size."""

from __future__ import annotations

import numpy as np
import pytest

from kgplug.data.publication import NodeVectors
from kgplug.data.ranking import neighbours
from kgplug.data.ranking.neighbours import nearest_neighbours, similar_lists
from kgplug.errors import UsageError


def some_vectors(n: int, d: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-2, 3, size=(n, d)).astype(np.float32) + np.float32(0.125)


@pytest.mark.parametrize(("rows", "columns"), [(512, 8192), (7, 3), (3, 7), (1, 1)])
@pytest.mark.parametrize("k", [1, 4, 100])
def test_neighbours_are_those_of_the_whole_cosine_matrix_for_any_block_size(monkeypatch, rows, columns, k):
    monkeypatch.setattr(neighbours, "_BLOCK_ROWS", rows)
    monkeypatch.setattr(neighbours, "_BLOCK_COLUMNS", columns)
    vectors = some_vectors(23)
    numbers, cosines = nearest_neighbours(vectors, k)
    unit = vectors.astype(float) / np.linalg.norm(vectors, axis=1, keepdims=True)
    exact = unit @ unit.T
    np.fill_diagonal(exact, -np.inf)
    k = min(k, 22)
    assert numbers.shape == cosines.shape == (23, k)
    np.testing.assert_allclose(cosines, -np.sort(-exact, axis=1)[:, :k], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(exact, numbers, axis=1), cosines, atol=1e-6)
    assert all(len(set(row)) == k for row in numbers.tolist())


def test_equal_cosines_are_ordered_by_index(monkeypatch):
    monkeypatch.setattr(neighbours, "_BLOCK_COLUMNS", 2)
    numbers, _ = nearest_neighbours(np.ones((6, 4), dtype=np.float32), 3)
    assert numbers.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2], [0, 1, 2]]


def test_a_lone_vector_has_no_neighbours():
    numbers, cosines = nearest_neighbours(np.ones((1, 4), dtype=np.float32), 3)
    assert numbers.shape == cosines.shape == (1, 0)


def test_lists_are_made_per_label_and_skip_vectors_without_a_direction():
    films, people = some_vectors(6), some_vectors(4, seed=1)
    films[2], films[4] = 0, np.nan
    film_keys, people_keys = np.arange(6).astype(object), np.array(list("abcd"), dtype=object)
    vectors = [NodeVectors("Movie", film_keys, films), NodeVectors("Person", people_keys, people)]
    movies, persons = similar_lists(vectors, 3)
    assert (movies.user_label, movies.item_label, movies.user_keys.tolist()) == ("Movie", "Movie", [0, 1, 3, 5])
    assert movies.items.shape == (4, 3) and persons.items.shape == (4, 3)
    assert [one.user_label for one in similar_lists(vectors, 3, label="Person")] == ["Person"]


def test_an_unknown_label_and_a_length_of_zero_are_refused():
    vectors = [NodeVectors("Movie", np.arange(3).astype(object), some_vectors(3))]
    with pytest.raises(UsageError, match='Did you mean "Movie"'):
        similar_lists(vectors, 3, label="Movies")
    with pytest.raises(UsageError, match="at least 1"):
        similar_lists(vectors, 0)
