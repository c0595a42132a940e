"""Top k: exact, with ties ordered by index."""

from __future__ import annotations

import multiprocessing
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse

from kgplug.data.ranking.top_k import leave_out, top_k
from kgplug.errors import TrainingError

few_values = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 1.0])
blocks = arrays.arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 12)), elements=few_values)


@settings(max_examples=200)
@given(blocks, st.integers(1, 12))
def test_the_top_k_are_those_of_a_stable_sort(scores: np.ndarray, k: int) -> None:
    k = min(k, scores.shape[1])
    numbers, values = top_k(scores.copy(), k)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    expected_values = np.take_along_axis(scores, expected, axis=1)
    assert np.array_equal(values, expected_values)
    assert np.array_equal(numbers, np.where(np.isneginf(expected_values), -1, expected))
    assert numbers.dtype == np.int64 and values.dtype == np.float32


@pytest.mark.parametrize("k", [1, 2, 4])
def test_scores_that_are_not_numbers_are_refused(k: int) -> None:
    with pytest.raises(TrainingError, match=r"NaN"):
        top_k(np.array([[1, 2, 3, 4], [1, np.nan, 3, 4]], dtype=np.float32), k)


def sigmoid(scores: np.ndarray) -> np.ndarray:
    return np.float32(1) / (np.float32(1) + np.exp(-scores, dtype=np.float32))


@settings(max_examples=200)
@given(blocks, st.integers(1, 12))
def test_the_last_step_changes_the_scores_but_not_the_order(scores: np.ndarray, k: int) -> None:
    k = min(k, scores.shape[1])
    numbers, values = top_k(scores * np.float32(30), k, finish=sigmoid)
    expected, unfinished = top_k(scores * np.float32(30), k)
    assert np.array_equal(numbers, expected)
    assert np.allclose(values, np.where(np.isneginf(unfinished), unfinished, sigmoid(unfinished)), atol=1e-6)
    assert not (values[:, 1:] > values[:, :-1]).any()


def test_lists_of_any_length_are_those_of_a_stable_sort() -> None:
    scores = np.random.default_rng(0).integers(0, 500, size=(3, 1000)).astype(np.float32)
    for k in (1, 127, 128, 129, 999, 1000):
        expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        assert np.array_equal(top_k(scores, k)[0], expected), k
        assert np.array_equal(top_k(np.asfortranarray(scores), k)[0], expected), k


def test_lists_from_long_rows_many_rows_and_infinities_are_those_of_a_stable_sort() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(1000, 1300)).astype(np.float32)  # enough for threads to share
    scores[rng.random(scores.shape) < 0.01] = np.inf
    scores[::2] = np.round(scores[::2])  # ties everywhere
    scores[rng.random(scores.shape) < 0.5] = -np.inf
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    assert np.array_equal(top_k(scores, 10)[0], expected)
    scores[-1, 700] = np.nan
    with pytest.raises(TrainingError, match=r"NaN"):
        top_k(scores, 10)


@pytest.mark.parametrize("m", [1, 31, 32, 33, 255, 256, 257, 288, 600])
def test_lists_from_rows_of_any_length_are_those_of_a_stable_sort(m: int) -> None:
    rng = np.random.default_rng(m)
    scores = rng.integers(0, 40, size=(50, m)).astype(np.float32)
    scores[::5] = -np.inf
    scores[::5, rng.integers(m, size=3)] = 1
    scores[1::5] *= -1
    for k in {1, min(10, m), min(32, m), min(33, m)}:
        expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        values = np.take_along_axis(scores, expected, axis=1)
        assert np.array_equal(top_k(scores, k)[0], np.where(np.isneginf(values), -1, expected)), k
    for place in range(m):
        wrong = scores[4:5].copy()
        wrong[0, place] = np.nan
        with pytest.raises(TrainingError, match=r"NaN"):
            top_k(wrong, 1)


def test_nan_scores_are_refused_even_if_most_items_are_left_out() -> None:
    scores = np.full((1, 200), -np.inf, dtype=np.float32)
    scores[0, :3] = 1, np.nan, 2
    with pytest.raises(TrainingError, match=r"NaN"):
        top_k(scores, 129)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_its_own_threads() -> None:
    scores = np.random.default_rng(0).normal(size=(1000, 1300)).astype(np.float32)
    expected = top_k(scores, 3)[0]
    child = multiprocessing.get_context("fork").Process(target=_same_again, args=(scores, expected))
    child.start()
    child.join(300)
    assert child.exitcode == 0, "the child waits for a thread of its parent" if child.is_alive() else "it failed"


def _same_again(scores: np.ndarray, expected: np.ndarray) -> None:
    assert np.array_equal(top_k(scores, 3)[0], expected)


def test_only_items_left_out_score_minus_infinity() -> None:
    seen = sparse.random(20, 30, density=0.3, format="csr", random_state=0, dtype=np.float32)
    rows = np.array([3, 3, 19, 0])
    scores = np.ones((4, 30), dtype=np.float32)
    leave_out(scores, rows, seen)
    assert np.array_equal(scores, np.where(seen.toarray()[rows] > 0, -np.inf, 1))


def test_saturated_probabilities_keep_the_order_of_the_underlying_scores() -> None:
    logits = np.linspace(40, 60, 50, dtype=np.float32)[None]  # their sigmoids are all 1
    numbers, values = top_k(logits, 5, finish=sigmoid)
    assert numbers.tolist() == [[49, 48, 47, 46, 45]]
    assert (values == 1).all()
