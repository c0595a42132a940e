"""Top-k: exact, ties in the order of their number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kgplug.data.top_k import top_k
from kgplug.errors import TrainingError

few_values = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 1.0])
blocks = arrays.arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 12)), elements=few_values)


@settings(max_examples=200)
@given(blocks, st.integers(1, 12))
def test_it_is_what_a_stable_sort_gives(scores: np.ndarray, k: int) -> None:
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


def coarse(scores: np.ndarray) -> np.ndarray:
    """Make many scores equal, as a sigmoid does far from zero."""
    return np.floor(scores * np.float32(0.5))


@settings(max_examples=200)
@given(blocks, st.integers(1, 12))
def test_a_last_step_that_makes_scores_equal_changes_nothing_but_what_is_computed(scores: np.ndarray, k: int) -> None:
    k = min(k, scores.shape[1])
    numbers, values = top_k(scores * np.float32(3), k, finish=coarse)
    expected, expected_values = top_k(coarse(scores * np.float32(3)), k)
    assert np.array_equal(numbers, expected)
    assert np.array_equal(values, expected_values)


def test_lists_of_any_length_are_what_a_stable_sort_gives() -> None:
    scores = np.random.default_rng(0).integers(0, 500, size=(3, 1000)).astype(np.float32)
    for k in (1, 127, 128, 129, 999, 1000):
        expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        assert np.array_equal(top_k(scores, k)[0], expected), k
        assert np.array_equal(top_k(np.asfortranarray(scores), k)[0], expected), k


def test_saturated_probabilities_stand_in_the_order_of_their_number() -> None:
    logits = np.linspace(40, 60, 50, dtype=np.float32)[None]  # their sigmoids are all 1
    numbers, values = top_k(logits, 5, finish=lambda x: 1 / (1 + np.exp(-x)))
    assert numbers.tolist() == [[0, 1, 2, 3, 4]]
    assert (values == 1).all()
