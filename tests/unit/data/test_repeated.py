"""Several rows for one user and item are merged: the last, their sum, mean, maximum, count, or a decayed sum."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgplug.data.interactions import Interactions
from kgplug.data.repeated import REPEATED, merge_rows
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
    [
        (None, [1, 5, 2]),
        ("last", [1, 5, 2]),
        ("sum", [9, 5, 2]),
        ("mean", [3, 5, 2]),
        ("max", [4, 5, 2]),
        ("count", [3, 1, 1]),
    ],
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


def _merged_literally(
    rows: list[tuple[int, int, float, float]], rule: str, half_life: float
) -> dict[int, tuple[float, float]]:
    """Return pair → (rating, weight), given rows of pair, day, rating and weight."""
    newest, found = max(day for _, day, _, _ in rows), {}
    for pair in {pair for pair, *_ in rows}:
        own = sorted((row for row in rows if row[0] == pair), key=lambda row: row[1])  # stable, so the last row wins
        ratings, weights = [row[2] for row in own], [row[3] for row in own]
        decayed = [weight * 0.5 ** ((newest - day) / half_life) for _, day, _, weight in own]
        found[pair] = {
            "last": (ratings[-1], weights[-1]),
            "sum": (sum(ratings), sum(weights)),
            "mean": (sum(ratings) / len(own), sum(weights) / len(own)),
            "max": (max(ratings), max(weights)),
            "count": (len(own), sum(weights)),
            "decay": (sum(r * w for r, w in zip(ratings, decayed, strict=True)) / sum(decayed), sum(decayed)),
        }[rule]
    return found


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(1, 5), st.integers(2, 8)), min_size=1),
    st.sampled_from(REPEATED),
    st.booleans(),
    st.booleans(),
)
def test_ratings_and_weights_are_merged_as_a_loop_merges_them(rows, rule, rated: bool, weighted: bool) -> None:
    pairs, days, ratings, weights = np.array(rows).T
    half_life = 2.5 if rule == "decay" else None
    needs_values = rule in ("sum", "mean", "max") and not (rated or weighted)
    merged = merge_rows(
        pairs,
        ratings.astype(np.float32) if rated or needs_values else None,
        weights.astype(np.float32) if weighted else None,
        days * 86_400_000, repeated=rule, half_life=half_life, time_unit="ms",
    )  # fmt: skip
    expected = _merged_literally(
        [(p, d, r, w if weighted else 1) for p, d, r, w in zip(pairs, days, ratings, weights, strict=True)], rule, 2.5
    )
    assert pairs[merged.rows].tolist() == sorted(expected)
    expected_ratings, expected_weights = zip(*(expected[pair] for pair in sorted(expected)), strict=True)
    if rated or needs_values or rule == "count":
        assert merged.ratings is not None and merged.ratings.dtype == np.float32
        assert np.allclose(merged.ratings, expected_ratings, rtol=1e-6)
    else:
        assert merged.ratings is None
    if weighted or rule == "decay":
        assert merged.weights is not None and merged.weights.dtype == np.float32
        assert np.allclose(merged.weights, expected_weights, rtol=1e-6)
    else:
        assert merged.weights is None
    assert merged.ratings_are_counts == (rule == "count")


def test_by_default_plays_are_counted_and_their_weights_added() -> None:
    rows = _read(PLAYS.assign(weight=0.5), weight="weight")
    assert rows.ratings is not None and rows.weights is not None
    assert (rows.ratings.tolist(), rows.weights.tolist()) == ([100, 1], [50, 0.5])
    once = _read(PLAYS.drop_duplicates().assign(weight=0.5), weight="weight")
    assert once.ratings is None and once.weights is not None and once.weights.tolist() == [0.5, 0.5]


def test_without_ratings_decay_gives_likes_of_which_old_ones_weigh_less() -> None:
    frame = pd.DataFrame({"user": ["ann", "ann", "bob"], "song": "x", "when": pd.to_datetime(
        ["2026-01-01", "2026-01-31", "2025-12-02"]
    )})  # fmt: skip
    rows = _read(frame, timestamp="when", repeated="decay", half_life=30, like_threshold=4)
    assert rows.ratings is None and rows.weights is not None and rows.is_like.all() and not rows.ratings_are_counts
    assert rows.weights.tolist() == [1.5, 0.25]
    ancient = _read(frame, timestamp="when", repeated="decay", half_life=1e-3)
    assert ancient.weights is not None and ancient.weights[0] == 1 and 0 < ancient.weights[1] < 1e-30


def test_weights_that_are_all_one_are_none_and_leave_the_fingerprint() -> None:
    plain = _read(rated=False)
    ones = _read(RATED.assign(weight=1), rated=False, weight="weight", repeated="max")
    assert ones.weights is None and plain.weights is None
    assert ones.confidence is None
    twos = _read(RATED.assign(weight=[2, 2, 2, 2, 1]), weight="weight")
    assert twos.weights is not None and twos.weights.tolist() == [2, 2, 1]
    assert twos.confidence is not None
    logs = np.log1p([1, 1, 0.5])
    assert np.allclose(twos.confidence, logs / logs.mean())
    assert twos.fingerprint != _read().fingerprint
    assert twos.take(np.array([2])).weights is None


def test_weights_follow_their_rows() -> None:
    frame = RATED.assign(weight=[1, 2, 3, 4, 5])
    rows = _read(frame, weight="weight", timestamp="time", like_threshold=2, users_are_items=True)
    assert rows.to_dataframe()["weight"].tolist() == [1, 4, 5]
    assert rows.likes().to_dataframe()["weight"].tolist() == [4, 5]
    assert rows.with_like_threshold(5).likes().to_dataframe()["weight"].tolist() == [4]
    other = rows.aligned_to(np.array(["bob", "cem"], dtype=object), rows.item_keys)
    assert other.to_dataframe()["weight"].tolist() == [5]
    parts = rows.split((0.5, 0.5), seed=1, by="row")
    assert sorted(weight for part in parts for weight in part.to_dataframe().get("weight", pd.Series([1.0]))) == [
        1,
        4,
        5,
    ]
    itself = pd.DataFrame({"user": ["a", "a"], "song": ["a", "b"], "weight": [7, 3]})
    assert _read(itself, weight="weight", users_are_items=True).to_dataframe()["weight"].tolist() == [3]


@pytest.mark.parametrize("wrong", [0, -1, np.nan, np.inf, 1e39, "much", True])
def test_a_weight_must_be_a_number_above_zero(wrong) -> None:
    frame = RATED.assign(weight=pd.Series([1, 2, wrong, 4, 5], dtype=object))
    with pytest.raises(DataError, match=r'Column "weight": expected a number above 0 in every row, found .* in row 2'):
        _read(frame, weight="weight")
    with pytest.raises(DataError, match=r"expected arrays of one length, found .*2 weights"):
        Interactions.from_arrays(
            np.array(["a"], dtype=object), np.array(["x"], dtype=object), np.array([0]), np.array([0]),
            weights=np.array([1, 2]),
        )  # fmt: skip


def test_a_weight_too_small_for_float32_stays_above_zero() -> None:
    rows = _read(RATED.assign(weight=[1, 1, 1, 1e-60, 1]), weight="weight")
    assert rows.weights is not None and (rows.weights > 0).all()


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(UsageError, match=r"repeated: expected one of last, sum, mean, max, count, decay, found 'min'"):
        _read(repeated="min")
    for repeated in ("sum", "mean", "max"):
        with pytest.raises(UsageError, match=r'needs ratings or weights. Give them, or use repeated="count"'):
            _read(rated=False, repeated=repeated)
    with pytest.raises(UsageError, match=r'"decay" needs timestamps'):
        _read(repeated="decay", half_life=1)
    with pytest.raises(UsageError, match=r'"decay" needs half_life, a number of days'):
        _read(timestamp="time", repeated="decay")
    with pytest.raises(UsageError, match=r"half_life is used only with repeated=\"decay\"; found repeated='sum'"):
        _read(timestamp="time", repeated="sum", half_life=1)
    for half_life in (0, -1, np.inf, "long"):
        with pytest.raises(UsageError, match=r"half_life: expected a number of days above 0, found"):
            _read(timestamp="time", repeated="decay", half_life=half_life)
    with pytest.raises(DataError, match=r"sum of a pair's weights is too large"):
        _read(RATED.assign(weight=3e38), repeated="sum", weight="weight")
    with pytest.raises(DataError, match=r"sum of a pair's ratings is too large"):
        _read(RATED.assign(stars=3e38), repeated="sum")
