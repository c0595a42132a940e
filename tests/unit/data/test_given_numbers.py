"""Numbers from a caller: numpy numbers and single numbers work, and wrong ones are refused in one sentence."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import kgplug
from kgplug import models
from kgplug.data.interactions import Interactions
from kgplug.data.ranking.neighbours import similar_lists
from kgplug.errors import DataError, UsageError
from kgplug.evaluation.ranking import check_lengths, evaluate_ranking
from kgplug.jobs.data import Split

pytestmark = pytest.mark.training


def _rows() -> Interactions:
    frame = pd.DataFrame([(user, item) for user in range(12) for item in range(user % 3, 9, 2)], columns=["u", "i"])
    return Interactions.from_dataframe(frame, user="u", item="i")


@pytest.fixture(scope="module", params=["Popularity", "EASE", "UserKNN", "MF"])
def model(request: pytest.FixtureRequest):
    settings = {"epochs": 1, "embedding_dim": 4} if request.param == "MF" else {}
    return kgplug.create(request.param, **settings).fit(_rows(), seed=np.int64(3), progress=False)


def test_a_bare_number_is_one_user(model) -> None:
    expected = model.recommend(np.array([2]), 3)
    for user in (
        2,
        np.int64(2),
        np.uint8(2),
        np.array(2),
        [2],
        (2,),
        pd.Series([2]),
        range(2, 3),
        np.array([2], object),
    ):
        for found, right in zip(model.recommend(user, 3), expected, strict=True):
            assert np.array_equal(found, right)
    items, scores = model.recommend([], 3)
    assert items.shape == scores.shape == (0, 3)


def test_a_bare_pair_is_scored_and_one_user_can_be_paired_with_many_items(model) -> None:
    expected = model.score(np.array([1, 1, 1]), np.array([0, 4, 8]))
    assert np.array_equal(model.score(1, [0, 4, 8]), expected)
    assert np.array_equal(model.score(1, np.int64(4)), expected[1:2])
    assert np.array_equal(model.score([1, 2], 4), model.score([1, 2], [4, 4]))
    with pytest.raises(UsageError, match=r"as many users as items, found 2 and 3"):
        model.score([1, 2], [1, 2, 3])


@pytest.mark.parametrize(
    "users", ["ann", ["ann"], 0.5, [0.5], np.array([1.0]), True, [True, False], None, [None], [[0, 1]], 1 + 0j, np.timedelta64(1, "s")]  # noqa: E501
)  # fmt: skip
def test_values_that_are_not_indices_are_refused_with_the_call_that_returns_one(model, users) -> None:
    with pytest.raises(UsageError, match=r"users: expected indices from 0 to 11, found .*model.user_index\(key\)"):
        model.recommend(users)
    with pytest.raises(UsageError, match=r"items: expected indices from 0 to 8, found .*model.item_index\(key\)"):
        model.score([0], users)


@pytest.mark.parametrize(
    ("users", "found"), [(12, "12"), (-1, "-1"), ([0, 12], "0 to 12"), (np.uint64(2**63), "9223372036854775808")]
)
def test_indices_out_of_range_are_refused(model, users, found: str) -> None:
    with pytest.raises(UsageError, match=rf"users: expected indices from 0 to 11, found {found}\."):
        model.recommend(users)


def test_a_bare_item_is_a_like_of_a_new_user(model) -> None:
    for found, right in zip(model.recommend_for(4, 3), model.recommend_for([4], 3), strict=True):
        assert np.array_equal(found, right)


@pytest.mark.parametrize("k", [0, -1, 2.5, "3", True, None, [3], np.float64(3), np.timedelta64(3, "s")])
def test_invalid_lengths_are_refused(model, k) -> None:
    with pytest.raises(UsageError, match=r"k must be at least 1; found "):
        model.recommend([0], k)
    with pytest.raises(UsageError, match=r"k must be at least 1; found "):
        model.recommend_for([0], k)
    with pytest.raises(UsageError, match=r"expected the length of each node's list"):
        similar_lists([], k)


def test_numpy_lengths_and_diversities_work() -> None:
    model = kgplug.create("MF", epochs=1, embedding_dim=4).fit(_rows(), progress=False)
    for k in (np.int8(3), np.uint64(3)):
        assert model.recommend([0], k)[0].shape == (1, 3)
    for diversity in (np.float32(0.5), np.float64(0.5), np.int64(1), Decimal("0.5")):
        assert model.recommend([0], 3, diversity=diversity)[0].shape == (1, 3)
    for diversity in (np.float32("nan"), -1, 2, "0.5", True, None, 1j, np.timedelta64(1, "s"), [0.5]):
        with pytest.raises(UsageError, match=r"diversity: expected a number from 0 .* found "):
            model.recommend([0], 3, diversity=diversity)


def test_numpy_seeds_and_settings_give_the_same_run_as_pythons(tmp_path: Path) -> None:
    runs = [
        kgplug.create("MF", embedding_dim=dim, epochs=epochs, learning_rate=rate).fit(_rows(), seed=seed, progress=False)  # noqa: E501
        for dim, epochs, rate, seed in (
            (4, 2, 0.1, 7), (np.int64(4), np.uint8(2), np.float32(0.1), np.int32(7)), (np.array(4), 2, np.float64(0.1), 7),  # noqa: E501
        )
    ]  # fmt: skip
    assert runs[0].config == runs[1].config == runs[2].config
    assert np.array_equal(runs[0].recommend([0, 1])[1], runs[1].recommend([0, 1])[1])
    runs[1].save(tmp_path / "run")
    assert models.load(tmp_path / "run").seed == 7


@pytest.mark.parametrize("seed", [-1, 0.5, True, "1", None, np.timedelta64(1, "s")])
def test_invalid_seeds_are_refused(seed) -> None:
    with pytest.raises(UsageError, match=r"seed: expected a whole number of at least 0, found "):
        kgplug.create("Popularity").fit(_rows(), seed=seed)
    with pytest.raises(UsageError, match=r"seed of a split: expected a whole number of at least 0, found "):
        Split(seed=seed)


@pytest.mark.parametrize(
    "setting", [{"epochs": True}, {"learning_rate": np.True_}, {"epochs": 2.5}, {"l2": np.float32("nan")}]
)
def test_invalid_settings_are_refused(setting: dict) -> None:
    with pytest.raises(UsageError, match=r"MF: (epochs|learning_rate|l2)="):
        kgplug.create("MF", **setting)


def test_a_split_keeps_plain_numbers_whatever_it_is_given() -> None:
    split = Split(fractions=tuple(np.float32([0.5, 0.25, 0.25])), seed=np.int64(3))  # type: ignore[arg-type]
    assert (split.fractions, split.seed) == ((0.5, 0.25, 0.25), 3) and type(split.seed) is int


@pytest.mark.parametrize("column", [9, 2.5, ("a", "b"), None])
def test_a_missing_column_is_named_whatever_its_type(column) -> None:
    frame = pd.DataFrame([[1, 2], [1, 3]])
    if column is None:
        column = float("nan")
    with pytest.raises(kgplug.errors.DataError, match=r"no column .*Columns found: 0, 1"):
        Interactions.from_dataframe(frame, user=0, item=column)
    assert len(Interactions.from_dataframe(frame, user=0, item=np.int64(1))) == 2


@pytest.mark.parametrize(
    ("user", "found"),
    [
        (None, "no column None. Columns found: 0, 1."),
        ("0", "no column '0'. Columns found: 0, 1."),
        ([0], r"expected the name of one column, found \[0\]."),
    ],
)
def test_invalid_column_names_are_refused_in_one_sentence(user, found: str) -> None:
    with pytest.raises(kgplug.errors.DataError, match=f"Interactions: {found}"):
        Interactions.from_dataframe(pd.DataFrame([[1, 2], [1, 3]]), user=user, item=1)
    with pytest.raises(kgplug.errors.DataError, match=r"Triples"):
        kgplug.KnowledgeGraph.from_dataframe(pd.DataFrame([[1, 2, 3]]), head=user, relation=1, tail=2)


@pytest.mark.parametrize("frame", [{"u": [1], "i": [2]}, np.array([[1, 2]]), pd.Series([1, 2]), None])
def test_anything_but_a_dataframe_is_refused_in_one_sentence(frame) -> None:
    with pytest.raises(kgplug.errors.DataError, match=r"Interactions: expected a pandas DataFrame, found a value of"):
        Interactions.from_dataframe(frame, user="u", item="i")
    with pytest.raises(kgplug.errors.DataError, match=r"Triples: expected a pandas DataFrame, found a value of type"):
        kgplug.KnowledgeGraph.from_dataframe(frame)


@pytest.mark.parametrize("items", ["ab", 5, None, {"a": 1}])
def test_one_key_instead_of_several_is_refused(items) -> None:
    with pytest.raises(kgplug.errors.DataError, match=r"items: expected several keys, such as \[1, 2\], found "):
        Interactions.from_dataframe(pd.DataFrame([[1, 2]]), user=0, item=1, items=items)


@pytest.mark.parametrize("k", [None, 2.5, "10"])
def test_invalid_lists_of_lengths_are_refused(k) -> None:
    with pytest.raises(UsageError, match=r"k: expected whole numbers from 1 on"):
        check_lengths(k)


def test_a_seed_beyond_64_bits_is_refused() -> None:
    rows = Interactions.from_dataframe(pd.DataFrame([[1, 2], [1, 3]]), user=0, item=1)
    with pytest.raises(UsageError, match=r"seed: expected a whole number below 2\^63, found 18446744073709551616"):
        kgplug.create("MF", epochs=1).fit(rows, seed=2**64)


@pytest.mark.parametrize("key", [True, [1], None, (1,), np.array([1])])
def test_only_a_number_or_text_is_a_key(key) -> None:
    rows = Interactions.from_dataframe(pd.DataFrame([[1, 2], [1, 3]]), user=0, item=1)
    with pytest.raises(UsageError, match=r"Popularity does not know user "):
        kgplug.create("Popularity").fit(rows).user_index(key)


def test_missing_columns_of_triples_are_named_whatever_their_type() -> None:
    frame = pd.DataFrame([[1, "A", 2]])
    with pytest.raises(kgplug.errors.DataError, match=r"columns 0, 1, 9; missing: 9"):
        kgplug.KnowledgeGraph.from_dataframe(frame, head=0, relation=1, tail=9)  # type: ignore[arg-type]
    assert kgplug.KnowledgeGraph.from_dataframe(frame, head=0, relation=1, tail=2).n_triples == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("signal", [Decimal("sNaN"), Decimal("-sNaN7")])
def test_a_signalling_nan_anywhere_is_refused_with_its_row(signal: Decimal) -> None:
    good = pd.Series([Decimal("3"), Decimal("4"), signal], dtype=object)
    frame = pd.DataFrame({"u": [1, 1, 2], "i": [1, 2, 1], "bad": good})
    with pytest.raises(DataError, match=r'Column "bad": expected a number .* found Decimal.* in row 2'):
        Interactions.from_dataframe(frame, user="u", item="i", rating="bad")
    with pytest.raises(DataError, match=r'Column "bad": expected seconds since 1970.* found Decimal.* in row 2'):
        Interactions.from_dataframe(frame, user="u", item="i", timestamp="bad")
    keys = frame.assign(bad=pd.Series([3, 4, signal], dtype=object))
    with pytest.raises(DataError, match=r'column "bad": expected an integer or text key .* found Decimal.* in row 2'):
        Interactions.from_dataframe(keys, user="u", item="bad")
    with pytest.raises(DataError, match=r'column "bad": expected an integer or text key .* found Decimal.* in row 2'):
        kgplug.KnowledgeGraph.from_dataframe(keys, head="u", relation="i", tail="bad")


@pytest.mark.parametrize("k", [10**9, 10**23])
def test_a_list_longer_than_the_catalogue_is_measured_like_the_whole_catalogue(k: int) -> None:
    train, _, test = _rows().split((0.7, 0.0, 0.3), seed=0)
    model = kgplug.create("ItemKNN").fit(train)
    whole, longer = (evaluate_ranking(model, train, test, k=length).metrics for length in (train.n_items, k))
    for name in ("recall", "NDCG", "hit", "MRR", "coverage"):
        assert longer[f"{name}@{k}"] == pytest.approx(whole[f"{name}@{train.n_items}"])
