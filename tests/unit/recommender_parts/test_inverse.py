"""The inverse of a large matrix: by LAPACK or by blocks, in its own memory."""

from __future__ import annotations

import numpy as np
import pytest

from kgplug.recommenders.parts import inverse
from kgplug.recommenders.parts.inverse import invert

pytestmark = pytest.mark.training


def positive_definite(n: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(n, n // 2 + 1))
    return x @ x.T + 0.1 * np.eye(n)


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 63, 200])
@pytest.mark.parametrize("block_rows", [1, 8, 64, 1000])
def test_blocks_of_any_size_give_the_inverse_in_the_matrixs_own_memory(n, block_rows, monkeypatch) -> None:
    monkeypatch.setattr(inverse, "_LAPACK_ROWS", 0)
    monkeypatch.setattr(inverse, "_BLOCK_ROWS", block_rows)
    matrix = positive_definite(n)
    expected = np.linalg.inv(matrix)
    assert invert(matrix)
    np.testing.assert_allclose(matrix, expected, atol=1e-9 * np.abs(expected).max())
    assert np.array_equal(matrix, matrix.T)


@pytest.mark.parametrize("lapack_rows", [0, 1000])
def test_both_ways_give_the_same_and_refuse_what_is_not_positive_definite(lapack_rows, monkeypatch) -> None:
    monkeypatch.setattr(inverse, "_LAPACK_ROWS", lapack_rows)
    monkeypatch.setattr(inverse, "_MIRRORED_ROWS", 7)
    monkeypatch.setattr(inverse, "_BLOCK_ROWS", 16)
    matrix = positive_definite(50, seed=1)
    expected = np.linalg.inv(matrix)
    assert invert(matrix)
    np.testing.assert_allclose(matrix, expected, atol=1e-9 * np.abs(expected).max())
    assert np.array_equal(matrix, matrix.T)
    for wrong in (-np.eye(40), np.full((40, 40), np.nan), np.diag(np.r_[np.ones(39), -1.0])):
        assert not invert(wrong)


def test_lapack_sees_no_more_rows_than_it_can_count(monkeypatch) -> None:
    seen: list[int] = []
    small = inverse._small_inverse
    monkeypatch.setattr(inverse, "_small_inverse", lambda matrix: seen.append(len(matrix)) or small(matrix))
    monkeypatch.setattr(inverse, "_LAPACK_ROWS", 20)
    monkeypatch.setattr(inverse, "_BLOCK_ROWS", 10)
    assert invert(positive_definite(21)) and max(seen) == 10
    assert invert(positive_definite(20)) and max(seen) == 20


@pytest.mark.parametrize("lapack_rows", [0, 1000])
def test_a_float32_matrix_is_inverted_as_precisely_as_it_is_stored(lapack_rows, monkeypatch) -> None:
    monkeypatch.setattr(inverse, "_LAPACK_ROWS", lapack_rows)
    monkeypatch.setattr(inverse, "_BLOCK_ROWS", 32)
    likes = np.random.default_rng(0).random((3_000, 300)) < 0.9 / np.arange(1, 301) ** 0.5
    matrix = (likes.T.astype(np.float64) @ likes + 0.3 * np.eye(300)).astype(np.float32)
    expected = np.linalg.inv(matrix.astype(np.float64))
    assert invert(matrix)
    errors = np.abs(matrix - expected) / np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
    assert matrix.dtype == np.float32 and errors.max() < 2e-7
