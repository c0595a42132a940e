"""Several kinds of feedback, such as views and purchases, are combined into one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgplug.data.interactions import Interactions
from kgplug.data.kinds_of_feedback import combine_kinds
from kgplug.errors import DataError, UsageError

USERS, ITEMS = np.array(["ann", "bob"], dtype=object), np.array(["x", "y", "z"], dtype=object)


def _kind(cells: list[tuple[int, int, float, float, int]], *, threshold: float | None, **options) -> Interactions:
    """Return one kind, given rows of user, item, rating, weight and time."""
    users, items, ratings, weights, times = np.array(cells, dtype=np.float64).reshape(-1, 5).T
    return Interactions.from_arrays(
        USERS, ITEMS, users.astype(int), items.astype(int), ratings=ratings, weights=weights,
        timestamps=times.astype(int), like_threshold=threshold, **options,
    )  # fmt: skip


CELLS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(1, 5), st.integers(1, 4), st.integers(0, 9)), max_size=8
)
KINDS = st.lists(st.tuples(CELLS, st.sampled_from([None, 3.0]), st.integers(1, 5)), min_size=2, max_size=4)


@given(KINDS)
def test_kinds_are_combined_as_a_loop_over_their_rows_combines_them(given_kinds) -> None:
    kinds = [_kind(cells, threshold=threshold) for cells, threshold, _ in given_kinds]
    strengths = [strength for *_, strength in given_kinds]
    weight, like, time, count = {}, {}, {}, {}
    for kind, strength in zip(kinds, strengths, strict=True):
        for row in range(len(kind)):
            pair = (kind.users[row], kind.items[row])
            own = 1.0 if kind.weights is None else float(kind.weights[row])
            weight[pair] = weight.get(pair, 0.0) + strength * own
            assert kind.ratings is not None and kind.timestamps is not None
            likes_it = kind.like_threshold is None or kind.ratings[row] >= kind.like_threshold
            like[pair] = like.get(pair, False) or likes_it
            time[pair] = max(time.get(pair, 0), kind.timestamps[row])
            count[pair] = count.get(pair, 0) + (1 if kind.counts is None else kind.counts[row])
    combined = combine_kinds(kinds, strengths)
    pairs = sorted(weight)
    assert list(zip(combined.users, combined.items, strict=True)) == pairs
    assert combined.is_like.tolist() == [like[pair] for pair in pairs]
    assert combined.timestamps is not None
    assert combined.timestamps.tolist() == [time[pair] for pair in pairs]
    found = np.ones(len(combined)) if combined.weights is None else combined.weights
    assert np.allclose(found, [weight[pair] for pair in pairs], rtol=1e-6)
    assert (np.ones(len(combined)) if combined.counts is None else combined.counts).tolist() == [
        count[pair] for pair in pairs
    ]
    if all(like.values()):
        assert combined.ratings is None and combined.like_threshold is None
    else:
        assert combined.ratings is not None and combined.ratings.tolist() == [float(like[pair]) for pair in pairs]
        assert combined.like_threshold == 1


def test_views_and_purchases_become_weighted_likes() -> None:
    viewed = pd.DataFrame([("ann", "x"), ("ann", "y"), ("bob", "y")], columns=["user", "item"])
    bought = pd.DataFrame([("ann", "x", 2), ("bob", "x", 1)], columns=["user", "item", "n"])
    views = Interactions.from_dataframe(viewed, user="user", item="item")
    purchases = Interactions.from_dataframe(bought, user="user", item="item", weight="n", items=["y"])
    rows = combine_kinds([views, purchases], [1, 5])
    assert rows.to_dataframe().to_numpy().tolist() == [
        ["ann", "x", 11], ["ann", "y", 1], ["bob", "x", 5], ["bob", "y", 1]
    ]  # fmt: skip
    assert rows.timestamps is None and rows.ratings is None and rows.is_like.all()


def test_one_kind_of_strength_one_stays_as_it_is() -> None:
    kind = _kind([(0, 0, 5, 1, 3), (1, 2, 2, 1, 4)], threshold=3)
    assert combine_kinds([kind], [1]).fingerprint == kind.fingerprint
    stronger = combine_kinds([kind], [5])
    assert stronger.weights is not None and stronger.weights.tolist() == [5, 5]
    assert stronger.ratings is not None and stronger.ratings.tolist() == [5, 2]


def test_times_of_different_units_are_compared_in_the_finest() -> None:
    early, late = (_kind([(0, 0, 1, 1, time)], threshold=None) for time in (5, 7))
    late = replace(late, timestamps=np.array([5001]), time_unit="ms")
    both = combine_kinds([early, late], [1, 1])
    assert both.timestamps is not None and (both.timestamps.tolist(), both.time_unit) == ([5001], "ms")
    untimed = replace(late, timestamps=None)
    assert combine_kinds([early, untimed], [1, 1]).timestamps is None
    far = replace(early, timestamps=np.array([2**62]))
    both = combine_kinds([far, late], [1, 1])
    assert both.timestamps is not None and both.timestamps[0] > 2**61


def test_wrong_arguments_are_refused() -> None:
    kind = _kind([(0, 0, 5, 1, 3)], threshold=3)
    for strength in (0, -1, np.nan, np.inf, "5 times", True):
        with pytest.raises(UsageError, match="strength: expected a number above 0, found"):
            combine_kinds([kind, kind], [1, strength])  # type: ignore[list-item]
    for kinds, strengths in (([], []), ([kind], [1, 2])):
        with pytest.raises(UsageError, match="at least one kind and a strength for each"):
            combine_kinds(kinds, strengths)
    other = replace(kind, item_keys=np.array(["x", "y", "w"], dtype=object))
    with pytest.raises(UsageError, match="same user and item keys"):
        combine_kinds([kind, other], [1, 1])
    with pytest.raises(DataError, match="weights is too large"):
        combine_kinds([kind, kind], [3e38, 3e38])
