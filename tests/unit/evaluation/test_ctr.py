"""Click-through: AUC and ACC against oracles, and negatives that are what they should be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, roc_auc_score

from kgplug.data.interactions import Interactions
from kgplug.errors import DataError
from kgplug.evaluation.ctr import (
    accuracy,
    auc,
    best_threshold,
    label_pairs,
    sample_negatives_for_evaluation,
    warm_items,
)

scored = st.lists(st.tuples(st.booleans(), st.sampled_from([-1.0, 0.0, 0.25, 0.5, 0.75, 3e38])), min_size=1)
cells = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), min_size=1, unique=True)


def _columns(pairs: list[tuple[bool, float]]) -> tuple[np.ndarray, np.ndarray]:
    labels, scores = zip(*pairs, strict=True)
    return np.array(labels), np.array(scores, dtype=np.float32)


def _rows(pairs: list[tuple[int, int]], **options) -> Interactions:
    users, items = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Interactions.from_arrays(np.arange(5), np.arange(6), users, items, **options)


@settings(max_examples=50)
@given(scored)
def test_auc_is_scikit_learns_ties_included(pairs) -> None:
    labels, scores = _columns(pairs)
    if labels.all() or not labels.any():
        assert np.isnan(auc(labels, scores))
    else:
        assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@settings(max_examples=50)
@given(scored, st.randoms(use_true_random=False))
def test_auc_knows_no_order_and_turns_round_with_the_labels(pairs, random) -> None:
    labels, scores = _columns(pairs)
    shuffled = list(pairs)
    random.shuffle(shuffled)
    assert auc(*_columns(shuffled)) == pytest.approx(auc(labels, scores), nan_ok=True)
    assert auc(~labels, scores) == pytest.approx(1 - auc(labels, scores), nan_ok=True)
    assert auc(labels, -scores) == pytest.approx(1 - auc(labels, scores), nan_ok=True)
    if labels.any() and not labels.all():
        assert auc(labels, labels.astype(float)) == 1.0


def test_auc_is_exact_for_a_million_scores_of_one_value() -> None:
    assert auc(np.arange(1_000_000) % 2 == 0, np.zeros(1_000_000)) == 0.5


@settings(max_examples=50)
@given(scored, st.sampled_from([0.5, 0.0, -2.0]))
def test_accuracy_is_scikit_learns(pairs, threshold) -> None:
    labels, scores = _columns(pairs)
    assert accuracy(labels, scores, threshold) == pytest.approx(accuracy_score(labels, scores >= threshold))


@settings(max_examples=50)
@given(scored)
def test_no_threshold_is_better_than_the_best(pairs) -> None:
    labels, scores = _columns(pairs)
    others = [accuracy(labels, scores, threshold) for threshold in (*scores, np.inf)]
    assert accuracy(labels, scores.astype(float), best_threshold(labels, scores)) == pytest.approx(max(others))


def test_no_pairs_give_no_figure() -> None:
    assert np.isnan(accuracy(np.zeros(0, dtype=bool), np.zeros(0)))
    assert np.isnan(auc(np.zeros(0, dtype=bool), np.zeros(0)))


@settings(max_examples=60)
@given(cells, cells, st.integers(0, 99))
def test_a_user_gets_one_negative_a_positive_among_items_it_has_in_no_part(test, train, seed) -> None:
    positives, others = _rows(test), _rows(train)
    users, items = sample_negatives_for_evaluation(positives, [positives, others], np.random.default_rng(seed))
    drawn, taken = list(zip(users, items, strict=True)), {*test, *train}
    assert len(set(drawn)) == len(drawn) and not taken & set(drawn)
    for user in range(5):
        free = 6 - sum(u == user for u, _ in taken)
        assert (users == user).sum() == min(sum(u == user for u, _ in test), free)


def test_negatives_are_uniform_over_the_free_items() -> None:
    positives, others = _rows([(0, 0), (0, 1)]), _rows([(0, 2)])
    counts, rng = np.zeros(6), np.random.default_rng(0)
    for _ in range(3000):
        counts[sample_negatives_for_evaluation(positives, [others], rng)[1]] += 1
    assert (counts[:3] == 0).all() and np.abs(counts[3:] - 2000).max() < 120  # five standard deviations


def test_a_user_who_has_everything_gets_no_negative_and_the_rest_is_measured() -> None:
    rows = _rows([(0, item) for item in range(6)] + [(1, 0)])
    pairs = label_pairs(rows, [rows], np.random.default_rng(0))
    assert set(pairs.users[~pairs.labels]) == {1}
    assert auc(pairs.labels, -pairs.items.astype(float)) > 0


def test_the_same_generator_gives_the_same_pairs() -> None:
    rows = _rows([(user, item) for user in range(5) for item in range(2)])
    first, second = (label_pairs(rows, [rows], np.random.default_rng(7)).items for _ in range(2))
    assert np.array_equal(first, second)


def test_a_part_without_likes_is_refused() -> None:
    rows = _rows([(0, 0)], ratings=np.array([1.0]), like_threshold=4)
    with pytest.raises(DataError, match=r"none of the 1 rows is a like"):
        label_pairs(rows, [rows], np.random.default_rng(0))


def test_warm_items_have_a_training_like() -> None:
    rows = _rows([(0, 0), (0, 1)], ratings=np.array([5.0, 1.0]), like_threshold=4)
    assert list(np.flatnonzero(warm_items(rows))) == [0]
