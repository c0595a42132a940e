"""Beyond accuracy: every figure is what its definition gives, written out in plain loops."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import kgplug
from kgplug.data.interactions import Interactions
from kgplug.errors import DataError, UsageError
from kgplug.evaluation.beyond_accuracy import evaluate_beyond, gini, intra_list_diversity, mean_popularity, novelty
from kgplug.evaluation.ctr import auc, label_pairs
from kgplug.evaluation.metrics import list_contents
from kgplug.evaluation.report import to_table
from kgplug.recommenders.models.item_knn import ItemKNN
from kgplug.recommenders.models.popularity import Popularity
from tests.unit.helpers.planted import two_tastes

N_ITEMS, N_USERS = 12, 9


@pytest.fixture(scope="module")
def lists() -> np.ndarray:
    rng = np.random.default_rng(1)
    items = np.stack([rng.permutation(N_ITEMS)[:5] for _ in range(7)])
    items[2, 3:], items[4, 1:], items[5] = -1, -1, -1  # a short list, a list of one, an empty one
    return items


@pytest.fixture(scope="module")
def likes() -> np.ndarray:
    return np.array([0, 1, 2, 3, 9, 4, 1, 0, 7, 2, 2, 5])


def _same(found: np.ndarray, expected: list[float]) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_novelty_is_the_mean_self_information(lists: np.ndarray, likes: np.ndarray) -> None:
    expected = []
    for row in lists:
        bits = [math.log2(N_USERS / max(1, likes[item])) for item in row if item >= 0]
        expected.append(sum(bits) / len(bits) if bits else math.nan)
    _same(novelty(lists, likes, N_USERS), expected)


def test_popularity_is_the_mean_number_of_likes(lists: np.ndarray, likes: np.ndarray) -> None:
    listed = [[int(likes[item]) for item in row if item >= 0] for row in lists]
    _same(mean_popularity(lists, likes), [sum(row) / len(row) if row else math.nan for row in listed])


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_diversity_is_the_mean_distance_of_the_pairs_of_a_list(
    lists: np.ndarray, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(N_ITEMS, 4)) * (rng.random((N_ITEMS, 4)) < 0.7)
    features[3] = 0

    def distance(one: int, other: int) -> float:
        lengths = np.linalg.norm(features[one]) * np.linalg.norm(features[other])
        return 1 - (features[one] @ features[other] / lengths if lengths else 0.0)

    expected = []
    for row in lists:
        pairs = list(combinations([item for item in row if item >= 0], 2))
        expected.append(sum(distance(*pair) for pair in pairs) / len(pairs) if pairs else math.nan)
    monkeypatch.setattr(list_contents, "_BLOCK_CELLS", 8)  # blocks of two lists
    _same(intra_list_diversity(lists, features if kind == "dense" else sparse.csr_matrix(features)), expected)


@given(st.lists(st.integers(0, 20), min_size=2, max_size=12))
def test_gini_is_the_sum_of_the_handbook(counts: list[int]) -> None:
    """G = 1 / (n - 1) Σ_j (2 j - n - 1) p(i_j), items ordered by ascending p."""
    n, found = len(counts), gini(np.array(counts))
    if sum(counts) == 0:
        assert math.isnan(found)
        return
    shares = sorted(count / sum(counts) for count in counts)
    assert found == pytest.approx(sum((2 * j - n - 1) * share for j, share in enumerate(shares, 1)) / (n - 1))
    assert -1e-12 <= found <= 1 + 1e-12


def test_gini_runs_from_all_alike_to_one_alone() -> None:
    assert gini(np.array([3, 3, 3, 3])) == 0
    assert gini(np.array([0, 0, 7, 0])) == 1
    assert math.isnan(gini(np.array([4])))


@pytest.fixture(scope="module")
def parts() -> tuple[Interactions, Interactions, Interactions]:
    train, valid, test = two_tastes().split((0.6, 0.2, 0.2), seed=1)
    return train, valid, test


def test_the_figures_of_a_model_are_those_of_its_lists_and_groups(parts) -> None:
    train, valid, test = parts
    model, k, cold = ItemKNN().fit(train), 5, 7
    pairs = label_pairs(test, [train, valid, test], np.random.default_rng(0))
    scores = model.score(pairs.users, pairs.items)
    found = evaluate_beyond(model, train, test, valid=valid, k=(3, k), cold=cold, pairs=pairs, scores=scores)
    right, liked = test.likes(), train.likes()
    users = np.unique(right.users)
    seen = Interactions.from_arrays(
        train.user_keys, train.item_keys, np.append(train.users, valid.users), np.append(train.items, valid.items)
    )
    items, _ = model.recommend(users, k, also_seen=seen)
    item_likes = np.array([(liked.items == item).sum() for item in range(train.n_items)])
    user_likes = np.array([(liked.users == user).sum() for user in range(train.n_users)])
    vectors = liked.matrix().T.toarray()
    assert found[f"novelty@{k}"] == pytest.approx(np.nanmean(novelty(items, item_likes, train.n_users)))
    assert found[f"diversity@{k}"] == pytest.approx(np.nanmean(intra_list_diversity(items, vectors)))
    assert found[f"popularity@{k}"] == pytest.approx(np.nanmean(mean_popularity(items, item_likes)))
    counts = np.array([(items == item).sum() for item in range(train.n_items)])
    assert found[f"Gini@{k}"] == pytest.approx(gini(counts)) and found[f"coverage@{k}"] == (counts > 0).mean()
    assert found["cold items"] == (item_likes < cold).sum() > 5
    assert found["cold users"] == (user_likes[users] < cold).sum() > 5

    relevant = {(int(user), int(item)) for user, item in zip(right.users, right.items, strict=True)}
    for group, user_in, item_in in (
        ("hot users", user_likes >= cold, item_likes >= 0),
        ("cold users", user_likes < cold, item_likes >= 0),
        ("hot items", user_likes >= 0, item_likes >= cold),
        ("cold items", user_likes >= 0, item_likes < cold),
    ):
        recalls, ndcgs = [], []
        for user, row in zip(users.tolist(), items.tolist(), strict=True):
            wanted = {item for one, item in relevant if one == user and item_in[item]}
            if not user_in[user] or not wanted:
                continue
            hits = [item in wanted for item in row]
            recalls.append(sum(hits) / len(wanted))
            gained = sum(hit / math.log2(place + 2) for place, hit in enumerate(hits))
            ndcgs.append(gained / sum(1 / math.log2(place + 2) for place in range(min(k, len(wanted)))))
        assert found[f"recall@{k} {group}"] == pytest.approx(sum(recalls) / len(recalls))
        assert found[f"NDCG@{k} {group}"] == pytest.approx(sum(ndcgs) / len(ndcgs))
        member = user_in[pairs.users] & item_in[pairs.items]
        assert found[f"AUC {group}"] == auc(pairs.labels[member], scores[member])


def test_an_empty_group_has_no_figure_and_wrong_arguments_are_one_sentence(parts) -> None:
    train, _, test = parts
    model = Popularity().fit(train)
    found = evaluate_beyond(model, train, test, k=5, cold=10_000)
    assert math.isnan(found["NDCG@5 hot users"]) and math.isnan(found["recall@5 hot items"])
    assert found["cold items"] == train.n_items and "AUC cold items" not in found
    for wrong in (0, 2.5, True):
        with pytest.raises(UsageError, match="cold: expected a number of training likes"):
            evaluate_beyond(model, train, test, cold=wrong)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="Ranking needs a relevant test row"):
        evaluate_beyond(model, train, test.take(~test.is_like))


def test_evaluate_shows_them_when_asked_and_else_its_table_is_as_ever(parts) -> None:
    train, valid, test = parts
    models = {"pop": Popularity().fit(train), "knn": ItemKNN().fit(train)}
    plain = kgplug.evaluate(models, train, test, valid=valid, k=(5,))
    table = kgplug.evaluate(models, train, test, valid=valid, k=(5,), beyond=True)
    assert table[plain.columns].equals(plain) and list(table.columns[: len(plain.columns)]) == list(plain.columns)
    further = list(table.columns[len(plain.columns) :])
    assert further[:4] == ["novelty@5", "diversity@5", "popularity@5", "Gini@5"]
    assert (
        "AUC cold items" in further and "NDCG@5 cold users" in further and further[-2:] == ["cold users", "cold items"]
    )
    assert table.loc["pop", "popularity@5"] > table.loc["knn", "popularity@5"]
    assert table.loc["pop", "Gini@5"] > table.loc["knn", "Gini@5"]
    assert table.loc["knn", "novelty@5"] > table.loc["pop", "novelty@5"]
    assert to_table(table.loc[:, further]).row_count == len(further)  # turned: one row a figure
