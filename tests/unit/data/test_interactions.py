"""Interactions: rows in any order give the same arrays."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgplug.data.interactions import Interactions
from kgplug.errors import DataError

keys = st.one_of(st.integers(-5, 5), st.text(max_size=2))
few_keys = st.sampled_from([0, 1, "1"])
rows_of_feedback = st.lists(st.tuples(few_keys, few_keys, st.integers(1, 5), st.integers(0, 3)), min_size=1)


def _read(rows: list[tuple], **options) -> Interactions:
    frame = pd.DataFrame(rows, columns=["u", "i", "r", "t"]).astype({"u": object, "i": object})
    return Interactions.from_dataframe(frame, user="u", item="i", rating="r", timestamp="t", **options)


@settings(max_examples=30)
@given(st.data())
def test_shuffled_rows_give_equal_arrays_and_fingerprints(data) -> None:
    rows = data.draw(st.lists(st.tuples(keys, keys), min_size=1, unique_by=lambda row: tuple(map(repr, row))))
    rows = [(*row, 1 + number % 5, number) for number, row in enumerate(rows)]
    first, second = _read(rows, like_threshold=3), _read(data.draw(st.permutations(rows)), like_threshold=3)
    for name in ("user_keys", "item_keys", "users", "items", "ratings", "timestamps"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
    assert first.fingerprint == second.fingerprint


@settings(max_examples=30)
@given(rows_of_feedback)
def test_the_latest_of_several_rows_for_a_pair_is_kept_and_the_last_of_equal_times(rows) -> None:
    expected: dict = {}
    for user, item, rating, time in rows:
        pair = (type(user), user, type(item), item)
        if pair not in expected or time >= expected[pair][3]:
            expected[pair] = (user, item, rating, time)
    found = _read(rows)
    pairs = found.user_keys[found.users], found.item_keys[found.items], found.ratings, found.timestamps
    assert sorted(zip(*pairs, strict=True), key=repr) == sorted(
        [(u, i, np.float32(r), np.int64(t)) for u, i, r, t in expected.values()], key=repr
    )


def test_a_later_row_with_an_earlier_time_is_dropped() -> None:
    assert _read([("a", "x", 5, 9), ("a", "x", 1, 2), ("a", "y", 3, 0)]).ratings.tolist() == [5, 3]
    assert _read([("a", "x", 5, 9), ("a", "x", 1, 9), ("a", "y", 3, 0)]).ratings.tolist() == [1, 3]


def test_rows_are_sorted_by_user_and_item() -> None:
    found = _read([("b", 2, 1, 0), ("a", 9, 1, 0), ("a", 10, 1, 0), ("b", 1, 1, 0)])
    assert (np.diff(found.pairs) > 0).all()
    assert list(found.item_keys) == [1, 2, 9, 10]


def test_data_has_the_fingerprint_that_runs_of_version_0_1_have_stored() -> None:
    frame = pd.DataFrame({"u": [1, 1, 2], "i": [1, 2, 1], "r": [5, 3, 4]})
    with pytest.warns(DeprecationWarning, match="threshold is now called like_threshold"):
        rows = Interactions.from_dataframe(frame, user="u", item="i", rating="r", threshold=4)  # type: ignore[call-arg]
    assert rows.fingerprint == "6c880e379bc5ea7390f27dbdaffc18beb2b463d1ff27dc84116a45d97f861692"


def test_a_like_is_a_rating_of_at_least_like_threshold() -> None:
    rows = _read([(1, 1, 3, 0), (1, 2, 4, 0), (1, 3, 5, 0)], like_threshold=4)
    assert list(rows.is_like) == [False, True, True]
    assert len(rows.likes()) == 2 and rows.likes().n_items == 3
    assert rows.with_like_threshold(None).is_like.all()


def test_like_threshold_is_part_of_the_fingerprint_and_4_is_4_0() -> None:
    rows = _read([(1, 1, 3, 0)])
    assert rows.with_like_threshold(4).fingerprint == rows.with_like_threshold(4.0).fingerprint
    assert rows.with_like_threshold(4).fingerprint != rows.with_like_threshold(3).fingerprint


@pytest.mark.parametrize(
    "times",
    [
        [1_000_000_000, 1_000_000_060],
        [1_000_000_000.0, 1_000_000_060.0],
        pd.to_datetime(["2001-09-09 01:46:40", "2001-09-09 01:47:40"]),
        pd.to_datetime(["2001-09-09 01:46:40", "2001-09-09 01:47:40"]).astype("datetime64[s]"),
        pd.to_datetime(["2001-09-09 03:46:40+02:00", "2001-09-09 03:47:40+02:00"]),
        [dt.datetime(2001, 9, 9, 1, 46, 40), dt.datetime(2001, 9, 9, 1, 47, 40)],
        ["1000000000", "1000000060"],
    ],
)
def test_whole_seconds_in_any_form_are_seconds_since_1970(times) -> None:
    frame = pd.DataFrame({"u": [1, 1], "i": [1, 2], "t": times})
    found = Interactions.from_dataframe(frame, user="u", item="i", timestamp="t")
    assert list(found.timestamps) == [1_000_000_000, 1_000_000_060]


def test_python_dates_in_object_columns_are_read() -> None:
    column = pd.Series([dt.date(1970, 1, 2), dt.date(1969, 12, 31)], dtype=object)
    frame = pd.DataFrame({"u": [1, 1], "i": [1, 2], "t": column})
    found = Interactions.from_dataframe(frame, user="u", item="i", timestamp="t")
    assert list(found.timestamps) == [86_400, -86_400]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("r", "good", "\"r\": expected a number in every row, found 'good' in row 1"),
        ("r", None, '"r": expected a number in every row'),
        ("r", float("inf"), '"r": expected a number'),
        ("r", 1e39, '"r": expected a number'),
        ("t", "yesterday", "\"t\": expected seconds since 1970 or a date in every row, found 'yesterday' in row 1"),
        ("t", 1e300, '"t": expected seconds since 1970'),
        ("u", None, 'column "u": expected an integer or text key in every row, found no value in row 1'),
    ],
)
def test_bad_values_are_refused_with_column_and_row(column: str, value, message: str) -> None:
    frame = pd.DataFrame({"u": [1, 2], "i": [1, 2], "r": [4, 5], "t": [1, 2]}).astype(object)
    frame.loc[1, column] = value
    with pytest.raises(DataError) as error:
        Interactions.from_dataframe(frame, user="u", item="i", rating="r", timestamp="t")
    assert message in str(error.value)


def test_missing_dates_are_refused() -> None:
    frame = pd.DataFrame({"u": [1, 2], "i": [1, 2], "t": pd.to_datetime(["2020-01-01", None])})
    with pytest.raises(DataError, match=r"expected a date in every row, found NaT in row 1"):
        Interactions.from_dataframe(frame, user="u", item="i", timestamp="t")


def test_missing_columns_repeated_columns_and_empty_frames_are_refused() -> None:
    frame = pd.DataFrame({"u": [1], "i": [1]})
    with pytest.raises(DataError, match=r"no column user. Columns found: u, i"):
        Interactions.from_dataframe(frame, user="user", item="i")
    with pytest.raises(DataError, match=r"at least one row"):
        Interactions.from_dataframe(frame[:0], user="u", item="i")
    with pytest.raises(DataError, match=r"several columns are named u"):
        Interactions.from_dataframe(pd.concat([frame, frame[["u"]]], axis=1), user="u", item="i")


def test_rows_are_matched_by_key_after_the_catalogue_has_grown() -> None:
    old, new = (
        _read([("b", "y", 4, 0), ("b", "x", 5, 0)]),
        _read([("a", "x", 1, 0), ("b", "y", 2, 0), ("b", "z", 3, 0)]),
    )
    known = new.aligned_to(old.user_keys, old.item_keys)
    assert list(zip(old.user_keys[known.users], old.item_keys[known.items], strict=True)) == [("b", "y")]
    assert old.aligned_to(old.user_keys, old.item_keys) is old


def test_the_matrix_holds_a_one_for_every_row() -> None:
    rows = _read([("a", "x", 1, 0), ("a", "y", 5, 0), ("b", "y", 2, 0)])
    assert rows.matrix().toarray().tolist() == [[1, 1], [0, 1]]


def test_a_dataframe_survives_a_round_trip() -> None:
    rows = _read([("a", 1, 1, 7), ("b", "y", 5, 8)])
    again = Interactions.from_dataframe(
        rows.to_dataframe(), user="user", item="item", rating="rating", timestamp="timestamp"
    )
    assert again.fingerprint == rows.fingerprint


def test_items_without_feedback_join_the_catalogue() -> None:
    frame = pd.DataFrame({"user": [1, 1, 2], "item": ["b", "d", "b"]})
    plain = Interactions.from_dataframe(frame, user="user", item="item")
    more = Interactions.from_dataframe(frame, user="user", item="item", items=["c", "a", "b"])
    assert plain.item_keys.tolist() == ["b", "d"] and more.item_keys.tolist() == ["a", "b", "c", "d"]
    assert more.item_keys[more.items].tolist() == plain.item_keys[plain.items].tolist()
    numbers = Interactions.from_dataframe(frame.assign(item=[5, 9, 5]), user="user", item="item", items=[7, 5])
    assert numbers.item_keys.tolist() == [5, 7, 9] and len(numbers) == 3
    with pytest.raises(DataError, match=r"items: expected an integer or text key in every row, found no value"):
        Interactions.from_dataframe(frame, user="user", item="item", items=["a", None])  # type: ignore[list-item]
