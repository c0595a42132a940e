"""Splits: no row is lost, shares hold, parts are disjoint, time goes forward."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgplug.data.interactions import Interactions
from kgplug.data.splitting import split_rows
from kgplug.errors import DataError, UsageError

shares = st.sampled_from([(0.8, 0.2), (0.6, 0.2, 0.2), (0.25, 0.5, 0.25), (0.5, 0.5), (1.0, 0.0), (0.1, 0.1, 0.8)])
cells = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 12)), min_size=1, unique=True)


def _interactions(pairs: list[tuple[int, int]], times: bool = True) -> Interactions:
    users, items = np.array(pairs).T
    when = (users * 31 + items * 17) % 5 if times else None
    return Interactions.from_arrays(np.arange(7), np.arange(13), users, items, timestamps=when)


@given(cells, shares, st.sampled_from(["user", "row"]), st.sampled_from(["random", "time"]), st.integers(0, 9))
def test_every_row_is_in_exactly_one_part(pairs, fractions, by, order, seed) -> None:
    rows = _interactions(pairs)
    parts = rows.split(fractions, seed=seed, by=by, order=order)
    assert sorted(np.concatenate([part.pairs for part in parts])) == list(rows.pairs)


@given(cells, shares, st.sampled_from(["user", "row"]), st.integers(0, 9))
def test_each_group_differs_from_its_share_by_less_than_one_row(pairs, fractions, by, seed) -> None:
    rows = _interactions(pairs)
    parts = rows.split(fractions, seed=seed, by=by)
    groups = [rows.users == user for user in range(7)] if by == "user" else [np.ones(len(rows), dtype=bool)]
    for group in groups:
        members = rows.pairs[group]
        for part, share in zip(parts, fractions, strict=True):
            assert abs(np.isin(part.pairs, members).sum() - share * len(members)) < 1


@given(cells, st.sampled_from(["user", "row"]))
def test_by_time_no_training_row_is_later_than_a_test_row(pairs, by) -> None:
    rows = _interactions(pairs)
    train, test = rows.split((0.5, 0.5), by=by, order="time")
    for user in range(7) if by == "user" else [None]:
        mine = [part.timestamps if user is None else part.timestamps[part.users == user] for part in (train, test)]
        if len(mine[0]) and len(mine[1]):
            assert mine[0].max() <= mine[1].min()


def test_a_seed_gives_one_split_and_another_seed_another() -> None:
    rows = _interactions([(u, i) for u in range(7) for i in range(13)])
    first, again, other = (rows.split((0.5, 0.5), seed=seed)[0].pairs for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_equal_times_are_not_split_by_item_number() -> None:
    rows = Interactions.from_arrays(
        np.arange(1), np.arange(100), np.zeros(100, dtype=int), np.arange(100), timestamps=np.zeros(100)
    )
    train, _ = rows.split((0.5, 0.5), order="time")
    assert (train.items >= 50).any()


def test_parts_share_users_and_items_with_the_whole() -> None:
    rows = _interactions([(0, 0), (1, 1), (2, 2)])
    for part in rows.split((0.5, 0.5)):
        assert part.same_keys(rows.user_keys, rows.item_keys)


@pytest.mark.parametrize("fractions", [(0.5,), (0.5, 0.6), (1.5, -0.5), (float("nan"), 1.0)])
def test_shares_that_do_not_add_up_are_refused(fractions) -> None:
    with pytest.raises(UsageError, match=r"add up to 1"):
        _interactions([(0, 0)]).split(fractions)


def test_wrong_words_missing_times_and_wrong_seeds_are_refused() -> None:
    users = np.zeros(1, dtype=int)
    options = {"fractions": (0.5, 0.5), "seed": 0, "by": "user", "order": "random"}
    for wrong, error in (
        ({"by": "item"}, UsageError),
        ({"order": "size"}, UsageError),
        ({"order": "time"}, DataError),
        ({"seed": -1}, UsageError),
    ):
        with pytest.raises(error):
            split_rows(users, None, **{**options, **wrong})


def test_a_users_only_row_goes_to_the_greatest_share() -> None:
    rows = _interactions([(user, user) for user in range(7)])
    assert [len(part) for part in rows.split((0.8, 0.2))] == [7, 0]
    assert [len(part) for part in rows.split((0.5, 0.5))] == [7, 0]
    assert [len(part) for part in rows.split((0.2, 0.8))] == [0, 7]
