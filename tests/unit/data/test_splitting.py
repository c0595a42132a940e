"""Splits: no row is lost, fractions hold, sets are disjoint, and time goes forward."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.splitting import hash_keys
from kgplug.errors import DataError, UsageError

shares = st.sampled_from([(0.8, 0.2), (0.6, 0.2, 0.2), (0.25, 0.5, 0.25), (0.5, 0.5), (1.0, 0.0), (0.1, 0.1, 0.8)])
cells = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 12)), min_size=1, unique=True)


def _interactions(pairs: list[tuple[int, int]], times: bool = True) -> Interactions:
    users, items = np.array(pairs).T
    when = (users * 31 + items * 17) % 5 if times else None
    return Interactions.from_arrays(np.arange(7), np.arange(13), users, items, timestamps=when)


@given(cells, shares, st.sampled_from(["user", "row"]), st.sampled_from(["random", "time"]), st.integers(0, 9))
def test_every_row_is_in_exactly_one_set(pairs, fractions, by, order, seed) -> None:
    rows = _interactions(pairs)
    parts = rows.split(fractions, seed=seed, by=by, order=order)
    assert sorted(np.concatenate([part.pairs for part in parts])) == list(rows.pairs)


@given(cells, shares, st.sampled_from(["user", "row"]), st.integers(0, 9))
def test_each_group_is_within_one_row_of_its_fractions(pairs, fractions, by, seed) -> None:
    rows = _interactions(pairs)
    parts = rows.split(fractions, seed=seed, by=by)
    groups = [rows.users == user for user in range(7)] if by == "user" else [np.ones(len(rows), dtype=bool)]
    for group in groups:
        members = rows.pairs[group]
        for part, share in zip(parts, fractions, strict=True):
            assert abs(np.isin(part.pairs, members).sum() - share * len(members)) < 1


@given(cells, st.sampled_from(["user", "row"]))
def test_in_a_split_by_time_no_training_row_is_later_than_a_test_row(pairs, by) -> None:
    rows = _interactions(pairs)
    train, test = rows.split((0.5, 0.5), by=by, order="time")
    for user in range(7) if by == "user" else [None]:
        mine = [part.timestamps if user is None else part.timestamps[part.users == user] for part in (train, test)]
        if len(mine[0]) and len(mine[1]):
            assert mine[0].max() <= mine[1].min()


def test_a_seed_always_gives_the_same_split_and_another_seed_a_different_one() -> None:
    rows = _interactions([(u, i) for u in range(7) for i in range(13)])
    first, again, other = (rows.split((0.5, 0.5), seed=seed)[0].pairs for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_rows_of_equal_times_are_not_split_by_item_index() -> None:
    rows = Interactions.from_arrays(
        np.arange(1), np.arange(100), np.zeros(100, dtype=int), np.arange(100), timestamps=np.zeros(100)
    )
    train, _ = rows.split((0.5, 0.5), order="time")
    assert (train.items >= 50).any()


def test_sets_have_the_same_users_and_items_as_the_whole() -> None:
    rows = _interactions([(0, 0), (1, 1), (2, 2)])
    for part in rows.split((0.5, 0.5)):
        assert part.same_keys(rows.user_keys, rows.item_keys)


@pytest.mark.parametrize("fractions", [(0.5,), (0.5, 0.6), (1.5, -0.5), (float("nan"), 1.0)])
def test_fractions_that_do_not_add_up_to_1_are_refused(fractions) -> None:
    with pytest.raises(UsageError, match=r"add up to 1"):
        _interactions([(0, 0)]).split(fractions)


@pytest.mark.parametrize(
    "fractions", [(np.float32(0.9), np.float32(0.1)), (0.9, 1 - 0.9), ("0.9", "0.1"), (Decimal("0.9"), Decimal("0.1"))]
)
def test_equal_fractions_give_the_same_split_in_any_numeric_type(fractions) -> None:
    frame = pd.DataFrame([(user, item) for user in range(40) for item in range(7)], columns=["u", "i"])
    rows = Interactions.from_dataframe(frame, user="u", item="i")
    for plain, other in zip(rows.split((0.9, 0.1)), rows.split(fractions), strict=True):
        assert plain.pairs.tolist() == other.pairs.tolist()


def test_wrong_words_missing_times_and_wrong_seeds_are_refused() -> None:
    options = {"fractions": (0.5, 0.5), "seed": 0, "by": "user", "order": "random"}
    for wrong, error in (
        ({"by": "item"}, UsageError),
        ({"order": "size"}, UsageError),
        ({"order": "time"}, DataError),
        ({"seed": -1}, UsageError),
        ({"seed": 1.5}, UsageError),
        ({"seed": True}, UsageError),
        ({"seed": None}, UsageError),
        ({"method": "rows"}, UsageError),
        ({"fractions": ("most", "rest")}, UsageError),
        ({"fractions": 0.8}, UsageError),
        ({"fractions": ()}, UsageError),
    ):
        with pytest.raises(error):
            _interactions([(0, 0)], times=False).split(**{**options, **wrong})


def _of_size(rows_each: int, *, n_users: int = 2000, times: str = "") -> Interactions:
    """Return interactions in which all users have the same number of rows."""
    users, items = np.divmod(np.arange(n_users * rows_each), rows_each)
    when = {"": None, "equal": np.zeros(len(users)), "different": np.arange(len(users))}[times]
    return Interactions.from_arrays(np.arange(n_users), np.arange(rows_each), users, items, timestamps=when)


@pytest.mark.parametrize("rows_each", [1, 2, 3, 4, 5, 6, 7, 9, 13])
@pytest.mark.parametrize("times", ["", "equal", "different"])
def test_users_with_any_number_of_rows_get_their_fractions_on_average(rows_each: int, times: str) -> None:
    order = "time" if times else "random"
    fractions = (0.8, 0.05, 0.15)
    parts = _of_size(rows_each, times=times).split(fractions, seed=3, order=order)
    for part, share in zip(parts, fractions, strict=True):
        assert abs(len(part) / (2000 * rows_each) - share) < 0.025


@pytest.mark.parametrize("by", ["user", "row"])
@pytest.mark.parametrize("order", ["random", "time"])
def test_a_user_with_one_row_gets_the_fractions_on_average_over_seeds(by: str, order: str) -> None:
    rows = Interactions.from_arrays(*map(np.asarray, ([7], ["x"], [0], [0])), timestamps=np.array([5]))
    sizes = np.array([[len(part) for part in rows.split((0.7, 0.2, 0.1), seed=seed, by=by, order=order)]
                      for seed in range(1500)])  # fmt: skip
    assert np.abs(sizes.mean(axis=0) - (0.7, 0.2, 0.1)).max() < 0.04


def test_splitting_a_training_set_again_gives_small_users_their_fractions() -> None:
    train, _ = _of_size(2).split((0.8, 0.2))
    for by in ("user", "row"):
        _, valid = train.split((0.9, 0.1), by=by)
        assert abs(len(valid) / len(train) - 0.1) < 0.02
    many = _of_size(2)
    both = Interactions.from_arrays(
        np.arange(2100), np.arange(60), np.concatenate([many.users, np.repeat(np.arange(2000, 2100), 40)]),
        np.concatenate([many.items, np.tile(np.arange(40), 100)]),
    )  # fmt: skip
    train, _ = both.split((0.8, 0.2))
    _, valid = train.split((0.9, 0.1), by="row")
    assert abs((valid.users >= 2000).mean() - (train.users >= 2000).mean()) < 0.05


def _pairs(part: Interactions) -> set[tuple]:
    return set(zip(part.user_keys[part.users].tolist(), part.item_keys[part.items].tolist(), strict=True))


@settings(max_examples=40)
@given(st.data())
def test_an_additional_row_moves_at_most_one_other_row_across_each_cut(data) -> None:
    by, order = data.draw(st.sampled_from(["user", "row"])), data.draw(st.sampled_from(["random", "time"]))
    cells = data.draw(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=2, unique=True))
    frame = pd.DataFrame(cells, columns=["user", "item"])
    frame["time"] = frame["item"] % 3
    options = {"user": "user", "item": "item", "timestamp": "time"}
    old = Interactions.from_dataframe(frame[1:], **options).split((0.6, 0.2, 0.2), by=by, order=order)
    new = Interactions.from_dataframe(frame, **options).split((0.6, 0.2, 0.2), by=by, order=order)
    user = frame["user"][0]
    moved = [before - after for before, after in zip(map(_pairs, old), map(_pairs, new), strict=True)]
    assert len(moved[0]) <= 1 and len(moved[1]) <= 2 and len(moved[2]) <= 1
    if by == "user":
        assert {pair[0] for pairs in moved for pair in pairs} <= {user}


def test_a_row_stays_in_its_set_when_users_items_and_rows_are_reordered() -> None:
    frame = pd.DataFrame([(u, (u * 7 + 3 * k) % 60) for u in range(50) for k in range(12)], columns=["u", "i"])
    frame = frame.drop_duplicates()
    options = {"user": "u", "item": "i"}
    test = _pairs(Interactions.from_dataframe(frame, **options).split((0.8, 0.2))[1])
    mixed_up = frame.sample(frac=1, random_state=1)
    assert _pairs(Interactions.from_dataframe(mixed_up, **options).split((0.8, 0.2))[1]) == test
    more = Interactions.from_dataframe(mixed_up, items=range(-9, 0), **options)
    assert _pairs(more.split((0.8, 0.2))[1]) == test


def test_row_hashes_depend_only_on_the_keys() -> None:
    rows = Interactions.from_arrays(
        np.array([3, 2**70, "3", "a"], dtype=object), np.array([3, "3", "x\0", "\ud800"], dtype=object),
        np.repeat(np.arange(4), 4), np.tile(np.arange(4), 4),
    )  # fmt: skip
    assert rows.row_hashes.dtype == np.uint64 and len(set(rows.row_hashes.tolist())) == 16
    part = rows.take(np.arange(16) % 3 == 0)
    assert np.array_equal(part.row_hashes, rows.row_hashes[np.arange(16) % 3 == 0])
    other = rows.aligned_to(rows.user_keys[1:3], rows.item_keys[::2])
    assert set(other.row_hashes.tolist()) == set(rows.row_hashes.reshape(4, 4)[1:3, ::2].ravel().tolist())


def test_hashes_of_keys_are_the_same_on_every_machine() -> None:
    found = hash_keys(np.array([0, -1, 2**63, "0", "Zoë"], dtype=object))
    assert found.tolist() == [
        16294208416658607535, 16490336266968443936, 16105174764923818373, 8872142683093127234, 8751914635655007618,
    ]  # fmt: skip


def test_runs_of_earlier_versions_find_their_test_set() -> None:
    rows = _interactions([(u, i) for u in range(7) for i in range(13)])
    rng = np.random.default_rng(5).permutation(len(rows))
    first = np.array(
        [i for u in range(7) for i in np.flatnonzero(rows.users == u)[np.argsort(rng[rows.users == u])][:7]]
    )
    train, _ = rows.split((0.5, 0.5), seed=5, method="positions")
    assert train.pairs.tolist() == sorted(rows.pairs[first].tolist())


def test_triples_are_split_in_the_fractions_and_seeds_are_checked() -> None:
    frame = pd.DataFrame({"head": np.arange(5000), "relation": "IN", "tail": np.arange(5000) % 7})
    knowledge = KnowledgeGraph.from_dataframe(frame)
    parts = knowledge.split((0.8, 0.1, 0.1), seed=np.int64(2))
    assert all(abs(part.n_triples / 5000 - share) < 0.02 for part, share in zip(parts, (0.8, 0.1, 0.1), strict=True))
    assert [part.n_triples for part in knowledge.split((1.0, 0.0))] == [5000, 0]
    for seed in (-1, 0.5, True, "1"):
        with pytest.raises(UsageError, match=r"seed of a split: expected a whole number"):
            knowledge.split((0.8, 0.2), seed=seed)
