"""Ranking figures: against torchmetrics, by hand, and by their properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.retrieval import (
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_precision,
    retrieval_recall,
    retrieval_reciprocal_rank,
)

from kgplug.data.interactions import Interactions
from kgplug.errors import DataError, UsageError
from kgplug.evaluation import ranking
from kgplug.evaluation.metrics.ranked_lists import METRICS
from kgplug.evaluation.ranking import check_lengths, evaluate_ranking, measure_lists
from kgplug.recommenders.models.popularity import Popularity

pytestmark = pytest.mark.training

N_ITEMS = 8


def _rows(pairs: list[tuple[int, int]], n_users: int = 4, **options) -> Interactions:
    users, items = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Interactions.from_arrays(np.arange(n_users), np.arange(N_ITEMS), users, items, **options)


def _measure(ranked: list[int], relevant: list[int], k: tuple[int, ...]) -> np.ndarray:
    return measure_lists(np.array([ranked]), _rows([(2, item) for item in relevant]), np.array([2]), k)[:, :, 0]


def _by_name(ranked: list[int], relevant: list[int], k: int) -> dict[str, float]:
    """Return the metrics of a list: "precision@k" and so on → value."""
    names = [metric.name for metric in METRICS]
    return dict(zip(names, _measure(ranked, relevant, (k,))[0].tolist(), strict=True))


rankings = st.permutations(range(N_ITEMS))
some_items = st.sets(st.integers(0, N_ITEMS - 1), min_size=1).map(sorted)


@settings(max_examples=50)
@given(rankings, some_items, st.integers(1, N_ITEMS))
def test_figures_are_those_of_torchmetrics(ranked, relevant, k) -> None:
    scores = torch.empty(N_ITEMS)
    scores[ranked] = torch.linspace(2, 1, N_ITEMS)
    target = torch.zeros(N_ITEMS, dtype=torch.int64)
    target[relevant] = 1
    found = _by_name(ranked, relevant, k)
    for name, theirs in (
        ("precision@k", retrieval_precision), ("recall@k", retrieval_recall), ("NDCG@k", retrieval_normalized_dcg),
        ("hit@k", retrieval_hit_rate), ("MRR@k", retrieval_reciprocal_rank),
    ):  # fmt: skip
        assert found[name] == pytest.approx(float(theirs(scores, target, top_k=k)), abs=1e-6)
    precision, recall = found["precision@k"], found["recall@k"]
    assert found["F1@k"] == pytest.approx(0 if recall == 0 else 2 * precision * recall / (precision + recall))


@given(rankings, some_items)
def test_figures_lie_between_0_and_1_and_some_grow_with_k(ranked, relevant) -> None:
    figures = _measure(ranked, relevant, tuple(range(1, N_ITEMS + 3)))
    assert ((figures >= 0) & (figures <= 1 + 1e-12)).all()
    for number, metric in enumerate(METRICS):
        if metric.name in ("recall@k", "hit@k", "MRR@k"):
            assert (np.diff(figures[:, number]) >= 0).all()


@given(some_items, st.integers(1, N_ITEMS + 2))
def test_a_perfect_ranking_has_the_best_figures(relevant, k) -> None:
    ranked = relevant + [item for item in range(N_ITEMS) if item not in relevant]
    found = _by_name(ranked, relevant, k)
    assert (found["NDCG@k"], found["hit@k"], found["MRR@k"]) == (pytest.approx(1), 1, 1)
    assert found["precision@k"] == min(len(relevant), k) / k
    assert found["recall@k"] == min(k, len(relevant)) / len(relevant)


@given(rankings, some_items, st.permutations(range(N_ITEMS)))
def test_the_names_of_items_do_not_matter(ranked, relevant, names) -> None:
    renamed = _measure([names[item] for item in ranked], [names[item] for item in relevant], (3, 5))
    assert np.allclose(renamed, _measure(ranked, relevant, (3, 5)))


def test_a_list_that_is_shorter_than_k_divides_by_k_and_its_padding_is_no_hit() -> None:
    found = _by_name([7, -1, -1], [7, 0], 10)
    assert (found["precision@k"], found["recall@k"], found["hit@k"]) == (0.1, 0.5, 1)
    assert found["NDCG@k"] == pytest.approx(1 / (1 + 1 / np.log2(3)))
    # -1 of user 1 must not read as the last item of user 0
    rows = _rows([(0, N_ITEMS - 1), (1, 0)])
    assert measure_lists(np.array([[-1, -1]]), rows, np.array([1]), (2,)).sum() == 0


def test_by_hand() -> None:
    found = _by_name([5, 1, 6, 2, 0, 3, 4, 7], [1, 2, 7], 4)
    assert (found["precision@k"], found["hit@k"], found["MRR@k"]) == (0.5, 1, 0.5)
    assert found["recall@k"] == pytest.approx(2 / 3)
    assert found["F1@k"] == pytest.approx(4 / 7)
    assert found["NDCG@k"] == pytest.approx((1 / np.log2(3) + 1 / np.log2(5)) / (1 + 1 / np.log2(3) + 0.5))


def _popular(train: Interactions) -> Popularity:
    return Popularity().fit(train)


def test_seen_items_are_left_out_of_the_lists_and_users_without_a_relevant_row_out_of_the_mean() -> None:
    ratings = np.array([5.0, 5.0, 5.0, 5.0])
    train = _rows([(0, 0), (1, 0), (1, 1), (2, 0)], ratings=ratings, like_threshold=4)
    valid = _rows([(0, 1)], ratings=ratings[:1], like_threshold=4)
    test = _rows([(0, 2), (1, 2), (2, 3)], ratings=np.array([5.0, 4.0, 1.0]), like_threshold=4)
    result = evaluate_ranking(_popular(train), train, test, valid=valid, k=1)
    # user 0 has seen 0 and 1, user 1 has seen 0 and 1: both get 2; user 2 likes nothing in test
    assert (result.users, result.left_out) == (2, 1)
    assert result.metrics["precision@1"] == result.metrics["hit@1"] == 1.0
    assert result.metrics["coverage@1"] == 1 / N_ITEMS
    without = evaluate_ranking(_popular(train), train, test, k=1)
    assert without.metrics["precision@1"] == 0.5  # user 0 is offered item 1 again
    every = evaluate_ranking(_popular(train), train, test, valid=valid, k=(1, 3), relevant="all")
    assert (every.users, every.left_out) == (3, 0)
    assert every.metrics["recall@3"] == 1.0


@settings(max_examples=20)
@given(st.sets(st.tuples(st.integers(0, 3), st.integers(0, N_ITEMS - 1)), min_size=2), st.integers(1, 3))
def test_blocks_of_users_change_nothing(pairs, block) -> None:
    rows = _rows(sorted(pairs))
    train, test = rows.split((0.5, 0.5), by="row")
    model = _popular(train)
    whole = evaluate_ranking(model, train, test, k=(1, 3, 20))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "BLOCK_USERS", block)
        assert evaluate_ranking(model, train, test, k=(20, 3, 1)).metrics == pytest.approx(whole.metrics)


def test_a_user_who_has_seen_all_gets_an_empty_list_and_no_hit() -> None:
    train = _rows([(0, item) for item in range(N_ITEMS - 1)] + [(1, 0)])
    test = _rows([(0, N_ITEMS - 1), (1, 1)])
    result = evaluate_ranking(_popular(train), train, test, k=(1, 50))
    assert result.metrics["hit@50"] == 1.0 and result.metrics["precision@50"] == 1 / 50


def test_wrong_lengths_and_words_are_refused() -> None:
    for wrong in (0, (), (10, -1), (1.5,), ("10",), (True,)):
        with pytest.raises(UsageError, match=r"whole numbers from 1 on"):
            check_lengths(wrong)
    assert check_lengths((20, 10, 10)) == (10, 20) and check_lengths(5) == (5,)
    train, test = _rows([(0, 0)]), _rows([(0, 1)], ratings=np.array([1.0]), like_threshold=4)
    with pytest.raises(UsageError, match=r'"likes" or "all"'):
        evaluate_ranking(_popular(train), train, test, relevant="some")
    with pytest.raises(DataError, match=r"none of the 1 rows is a like"):
        evaluate_ranking(_popular(train), train, test)
