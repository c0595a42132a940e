"""Ties: scores that differ only by rounding form one group, whose items have a stable order."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from kgplug.data.interactions import Interactions
from kgplug.data.ranking.neighbours import nearest_neighbours
from kgplug.data.ranking.ties import ROUNDING, Ties, groups_of_sorted, popularity_ranks, sizes_of_rows
from kgplug.data.ranking.top_k import top_k
from kgplug.recommenders.click_through.factors import Factors
from kgplug.recommenders.models.als import ALS
from kgplug.recommenders.models.popularity import Popularity

pytestmark = pytest.mark.training

ULP = 2.0**-23  # of numbers from 1 to 2


def literal(scores: np.ndarray, k: int, ties: Ties) -> tuple[np.ndarray, np.ndarray]:
    """Return the expected result of `top_k`: row by row, group by group."""
    numbers, values = np.full((len(scores), k), -1), np.full((len(scores), k), -np.inf, dtype=np.float32)
    for line, (row, tolerance) in enumerate(zip(scores, ties.tolerance, strict=True)):
        groups: list[list[int]] = []
        for i in np.argsort(-row, kind="stable")[: np.isfinite(row).sum()]:
            if groups and row[groups[-1][-1]] - row[i] <= tolerance:
                groups[-1].append(i)
            else:
                groups.append([i])
        ranked = [(i, row[g[0]]) for g in groups for i in sorted(g, key=lambda i: ties.priorities[i])][:k]
        numbers[line, : len(ranked)], values[line, : len(ranked)] = [i for i, _ in ranked], [s for _, s in ranked]
    return numbers, values


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 7, 31, 32, 33, 64, 90, 300]), st.integers(1, 150), st.booleans())
def test_tied_groups_are_those_of_a_literal_sort(seed: int, m: int, k: int, clustered: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(3, m)) * 10.0 ** rng.integers(-3, 3)
    if clustered:
        scores = np.round(scores) + rng.normal(size=scores.shape) * 1e-6
    scores = scores.astype(np.float32)
    scores[rng.random(scores.shape) < 0.2] = -np.inf
    tolerance = rng.choice(np.array([0, 1e-5, 1e-2, 0.3], dtype=np.float32), 3)
    ties = Ties(tolerance, popularity_ranks(rng.integers(0, 5, m)))
    for found, expected in zip(top_k(scores, min(k, m), ties=ties), literal(scores, min(k, m), ties), strict=True):
        assert np.array_equal(found, expected)


def test_popularity_ranks_are_by_likes_then_index() -> None:
    assert popularity_ranks(np.array([1, 5, 0, 5, 1])).tolist() == [2, 0, 4, 1, 3]


def test_equal_scores_are_tied_anywhere_and_different_scores_are_not() -> None:
    for score in np.random.default_rng(0).uniform(0.1, 10, 300).astype(np.float32):  # a grid would split some
        noisy = score + np.array([1, -1, 0, 2, -2], dtype=np.float32) * np.float32(ULP) * score
        ties = Ties.of_sizes(np.array([score]), np.arange(5, dtype=np.int32))
        assert top_k(noisy[None].astype(np.float32), 3, ties=ties)[0].tolist() == [[0, 1, 2]]
        apart = score * (1 + np.arange(5, dtype=np.float32) * np.float32(1e-5))
        assert top_k(apart[None], 3, ties=ties)[0].tolist() == [[4, 3, 2]]


def test_a_small_sum_of_large_terms_is_tied_by_the_size_of_its_terms() -> None:
    rng = np.random.default_rng(0)
    items = rng.normal(size=(40, 64)).astype(np.float32)
    far = np.linalg.svd(items.astype(float))[2][-1]  # at right angles to all items: every score is 0 on paper
    factors = Factors.without_bias((1000 * far[None]).astype(np.float32), items)
    scores = factors.products(factors.users, factors.user_bias)
    assert len(np.unique(scores)) > 5  # of rounding
    ties = Ties.of_sizes(factors.sizes(np.array([0])), np.arange(40, dtype=np.int32))
    assert top_k(scores, 10, ties=ties)[0].tolist() == [list(range(10))]


def test_the_size_of_a_row_is_its_largest_finite_value_without_sign() -> None:
    rows = np.array([[1, -3, -np.inf], [-np.inf, np.inf, -np.inf], [0, 0, 0], [2e-40, 0, -1e-40]], dtype=np.float32)
    assert sizes_of_rows(rows).tolist() == [3, 0, 0, np.float32(2e-40)]


def test_a_tied_group_that_crosses_the_end_of_the_list_contributes_its_first_items() -> None:
    rng = np.random.default_rng(0)
    scores = (1 + rng.integers(-2, 3, size=(5, 1000)) * ULP).astype(np.float32)
    scores[:, 700] = 2
    places = popularity_ranks(rng.integers(0, 3, 1000))
    numbers, values = top_k(scores, 10, ties=Ties.of_sizes(np.ones(5), places))
    expected = [700, *[i for i in np.argsort(places) if i != 700][:9]]
    assert (numbers == expected).all()
    assert (values[:, 1:] == values[:, 1:2]).all() and (values[:, 0] == 2).all()


def test_a_chain_of_close_scores_of_any_length_is_one_group() -> None:
    scores = np.linspace(0, 1, 20_000, dtype=np.float32)[None]  # neighbours differ by 5e-5
    ties = Ties(np.array([1e-4], dtype=np.float32), np.arange(20_000, dtype=np.int32))
    assert top_k(scores, 5, ties=ties)[0].tolist() == [[0, 1, 2, 3, 4]]


def test_a_hundred_thousand_tied_items_are_ranked_about_as_fast_as_untied_ones() -> None:
    rng = np.random.default_rng(0)
    places = popularity_ranks(rng.integers(0, 3, 100_000))
    ties = Ties.of_sizes(np.ones(20), places)
    different = rng.normal(size=(20, 100_000)).astype(np.float32)
    tied = np.ones_like(different) + rng.integers(-1, 2, size=different.shape).astype(np.float32) * np.float32(ULP)
    assert (top_k(tied, 10, ties=ties)[0] == np.argsort(places)[:10]).all()

    def seconds(scores: np.ndarray) -> float:
        top_k(scores, 10, ties=ties)
        started = time.thread_time()
        top_k(scores, 10, ties=ties)
        return time.thread_time() - started

    assert min(seconds(tied) for _ in range(3)) < 100 * min(seconds(different) for _ in range(3)) + 0.1


def test_tied_groups_never_span_two_rows() -> None:
    rows, scores = np.array([0, 0, 0, 2, 2]), np.array([3.0, 2.95, 1.0, 1.0, 1.0])
    assert groups_of_sorted(rows, scores, np.array([0.1, 0.1, 0.0])).tolist() == [1, 1, 2, 3, 3]
    assert groups_of_sorted(rows[:0], scores[:0], np.zeros(1)).tolist() == []


def test_cosines_that_differ_only_by_rounding_are_ordered_by_index() -> None:
    directions = np.random.default_rng(0).normal(size=(3, 50))
    lengths = np.random.default_rng(1).uniform(0.01, 100, size=(60, 1))  # other lengths, so other rounding
    vectors = (directions[np.arange(60) % 3] * lengths).astype(np.float32)
    numbers, _ = nearest_neighbours(vectors, 5)
    for node, row in enumerate(numbers.tolist()):
        assert row == [i for i in range(60) if i % 3 == node % 3 and i != node][:5]


@pytest.mark.parametrize("diversity", [0.0, 0.5])
def test_a_users_list_does_not_depend_on_block_size_threads_or_the_order_of_terms(diversity, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((40, 30)) < 0.2)
    model = ALS(embedding_dim=32).fit(Interactions.from_arrays(np.arange(40), np.arange(60), users, items))
    twins = np.concatenate([model.factors.items[:30]] * 2)  # items 30 … 59 are tied with 0 … 29
    model.factors = Factors.without_bias(model.factors.users, twins)
    everybody = np.arange(40)
    whole = model.recommend(everybody, 8, exclude_seen=False, diversity=diversity)[0]
    order = rng.permutation(32)
    model.factors = Factors.without_bias(model.factors.users[:, order], twins[:, order])
    monkeypatch.setattr(type(model), "score_block_cells", 7 * 60)
    assert np.array_equal(model.recommend(everybody, 8, exclude_seen=False, diversity=diversity)[0], whole)
    if not diversity:  # the more popular twin stands first, and its twin next to it
        assert (whole[:, 0] + 30 == whole[:, 1]).all()


def test_popularity_orders_equal_counts_by_index_and_never_ties_different_counts() -> None:
    counts = np.array([1_000_000, 1_000_001, 999_999, 1_000_001])
    model = Popularity().fit(
        Interactions.from_arrays(np.arange(1), np.arange(4), np.zeros(4, dtype=np.int64), np.arange(4))
    )
    model.likes_per_item = counts.astype(np.float32)
    assert model.recommend(np.array([0]), 4, exclude_seen=False)[0].tolist() == [[1, 3, 0, 2]]


def test_real_factors_are_ordered_by_their_scores() -> None:
    rng = np.random.default_rng(0)
    users, items = (rng.normal(size=(n, 64)).astype(np.float32) for n in (50, 5000))
    factors = Factors.without_bias(users, items)
    scores = users.astype(float) @ items.T.astype(float)
    ties = Ties.of_sizes(factors.sizes(np.arange(50)), np.arange(5000, dtype=np.int32))
    numbers, _ = top_k(factors.products(users, factors.user_bias), 10, ties=ties)
    assert (numbers == np.argsort(-scores, axis=1)[:, :10]).mean() > 0.995
    assert ties.tolerance.max() < 4 * ROUNDING * np.abs(scores).max()


def test_a_user_without_likes_gets_all_items_tied_in_order_of_popularity() -> None:
    likes = sparse.csr_matrix(np.array([[1, 0, 1], [0, 0, 1]], dtype=np.float32))
    model = ALS(embedding_dim=2).fit(Interactions.from_arrays(np.arange(3), np.arange(3), *likes.nonzero()))
    model.factors = Factors.without_bias(np.zeros((3, 2)), np.ones((3, 2)))
    assert model.recommend(np.array([2]), 3)[0].tolist() == [[2, 0, 1]]
