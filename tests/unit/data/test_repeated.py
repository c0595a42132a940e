"""Several rows for one user and item are merged: the last, their sum, mean or count."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgplug.data.interactions import Interactions
from kgplug.errors import DataError, UsageError
from kgplug.evaluation.protocol import divide

PLAYS = pd.DataFrame({"user": ["ann"] * 100 + ["bob"], "song": ["x"] * 100 + ["y"]})
RATED = pd.DataFrame(
    [("ann", "x", 1.0, 30), ("ann", "x", 4.0, 20), ("ann", "x", 4.0, 10), ("ann", "y", 5.0, 0), ("bob", "y", 2.0, 7)],
    columns=["user", "song", "stars", "time"],
)
NAMES = {"user": "user", "item": "song"}


def _read(frame: pd.DataFrame = RATED, **options) -> Interactions:
    if "stars" in frame and options.pop("rated", True):
        options["rating"] = "stars"
    return Interactions.from_dataframe(frame, **NAMES, **options)


def test_a_hundred_plays_are_one_row_with_a_rating_of_a_hundred() -> None:
    rows = _read(PLAYS)
    assert rows.ratings is not None and rows.counts is not None
    assert (len(rows), rows.ratings.tolist(), rows.counts.tolist()) == (2, [100, 1], [100, 1])
    assert rows.is_like.all() and rows.ratings_are_counts


def test_without_repeated_rows_and_ratings_there_are_no_ratings() -> None:
    rows = _read(PLAYS.drop_duplicates(), like_threshold=4)
    assert rows.ratings is None and rows.counts is None and rows.is_like.all()


@pytest.mark.parametrize(
    ("repeated", "ratings"),
    [(None, [1, 5, 2]), ("last", [1, 5, 2]), ("sum", [9, 5, 2]), ("mean", [3, 5, 2]), ("count", [3, 1, 1])],
)
def test_a_setting_decides_how_ratings_of_one_pair_are_merged(repeated, ratings: list[float]) -> None:
    rows = _read(timestamp="time", repeated=repeated)
    assert rows.ratings is not None and rows.timestamps is not None and rows.counts is not None
    assert rows.ratings.tolist() == ratings and rows.ratings.dtype == np.float32
    assert rows.timestamps.tolist() == [30, 0, 7]  # the latest
    assert rows.counts.tolist() == [3, 1, 1]


@pytest.mark.parametrize(("repeated", "likes"), [("last", [False, True, False]), ("sum", [True, True, False])])
def test_the_threshold_is_compared_with_what_came_of_several_ratings(repeated, likes: list[bool]) -> None:
    assert _read(timestamp="time", repeated=repeated, like_threshold=4).is_like.tolist() == likes


def test_a_threshold_of_plays_needs_the_setting_that_counts_them() -> None:
    assert _read(PLAYS, like_threshold=2).is_like.tolist() == [True, True]
    assert _read(PLAYS, like_threshold=2, repeated="count").is_like.tolist() == [True, False]
    ones = _read(PLAYS.drop_duplicates(), like_threshold=2, repeated="count")
    assert ones.ratings is not None and ones.ratings.tolist() == [1, 1]
    assert not ones.is_like.any()


def test_without_a_like_threshold_every_row_of_plays_is_a_positive_in_an_evaluation() -> None:
    frame = pd.DataFrame(
        [(user, song) for user in range(20) for song in range(user % 7, 20, 2)], columns=["user", "song"]
    )
    rows = _read(pd.concat([frame, frame[:9]]))
    parts = divide(rows, (0.6, 0.2, 0.2), like_threshold=4, protocol="honest", seed=0)
    assert abs(len(parts.train) - 0.6 * len(frame)) < 1


def test_sets_of_a_split_and_rows_found_by_key_keep_their_counts() -> None:
    rows = _read(PLAYS)
    part = rows.take(np.array([0]))
    assert part.counts is not None and part.counts.tolist() == [100]
    other = rows.aligned_to(np.array(["bob", "cem"], dtype=object), rows.item_keys)
    assert other.counts is not None and other.counts.tolist() == [1]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 5)), min_size=1))
def test_sums_means_and_counts_are_those_of_pandas(cells: list[tuple[int, int, int]]) -> None:
    frame = pd.DataFrame(cells, columns=["user", "song", "stars"])
    groups = frame.groupby(["user", "song"])["stars"]
    for repeated, expected in (("sum", groups.sum()), ("mean", groups.mean()), ("count", groups.count())):
        rows = _read(frame, repeated=repeated)
        assert rows.ratings is not None
        assert np.allclose(rows.ratings, expected.to_numpy())


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(UsageError, match=r"repeated: expected one of last, sum, mean, count, found 'max'"):
        _read(repeated="max")
    for repeated in ("sum", "mean"):
        with pytest.raises(UsageError, match=r'needs ratings. Give them, or use repeated="count"'):
            _read(rated=False, repeated=repeated)
    with pytest.raises(DataError, match=r"sum of a pair's ratings is too large"):
        _read(RATED.assign(stars=3e38), repeated="sum")
