"""Times keep the precision of their source, numbers of any type are read, and ambiguous values are refused."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from decimal import Decimal
from fractions import Fraction

import neo4j.time
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgplug.data.interactions import Interactions
from kgplug.data.values.columns import read_timestamps
from kgplug.data.values.times import times_from_parts
from kgplug.errors import DataError, UsageError

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def _times(column, **options) -> tuple[list[int], str]:
    found = read_timestamps(pd.Series(column), "t", **options)
    assert found.values.dtype == np.int64
    return found.values.tolist(), found.unit


@pytest.mark.parametrize(
    ("column", "times", "unit"),
    [
        (pd.to_datetime(["2001-09-09 01:46:40.040", "2001-09-09 01:46:40.000"]), [1_000_000_000_040, 1_000_000_000_000], "ms"),  # noqa: E501
        (pd.to_datetime(["2001-09-09T01:46:40.000000001"]), [1_000_000_000_000_000_001], "ns"),
        (pd.to_datetime(["2001-09-09 03:46:40.5+02:00"]), [1_000_000_000_500], "ms"),
        (np.array(["9999-12-31", "0001-01-01"], dtype="datetime64[s]"), [253402214400, -62135596800], "s"),
        (np.array(["2001-09-09"], dtype="datetime64[D]"), [999993600], "s"),
        ([dt.datetime(9999, 12, 31), dt.datetime(2001, 9, 9, 1, 46, 40, 5)], [253402214400000000, 1000000000000005], "us"),  # noqa: E501
        ([dt.datetime(2001, 9, 9, 3, 46, 40, tzinfo=BERLIN), dt.date(1970, 1, 2)], [1_000_000_000, 86_400], "s"),
        ([pd.Timestamp("2001-09-09T01:46:40.000000001"), dt.date(1970, 1, 1)], [1_000_000_000_000_000_001, 0], "ns"),
        ([np.datetime64("9999-12-31"), np.datetime64("1970-01-01T00:00:00.25")], [253402214400000, 250], "ms"),
        ([neo4j.time.DateTime(2001, 9, 9, 1, 46, 40, 7)], [1_000_000_000_000_000_007], "ns"),
        ([neo4j.time.DateTime(2001, 9, 9, 3, 46, 40, tzinfo=BERLIN), neo4j.time.Date(1970, 1, 2)], [10**9, 86_400], "s"),  # noqa: E501
        (pd.period_range("1970-01", periods=2, freq="M"), [0, 31 * 86_400], "s"),
        (pd.Series(["a", "b"]).map({"a": pd.Timestamp(0), "b": pd.Timestamp("1970-01-02")}).astype("category"), [0, 86_400], "s"),  # noqa: E501
        ([1_000_000_000.04, 1_000_000_000], [1_000_000_000_040, 1_000_000_000_000], "ms"),
        ([-0.5, 0.000001], [-500_000, 1], "us"),
        (["1600000000123456789", "1600000000123456788"], [1600000000123456789, 1600000000123456788], "ns"),
        (np.array([1, 2], dtype=np.uint64), [1, 2], "s"),
        (pd.array([5, 2_000_000_000], dtype="Int64"), [5, 2_000_000_000], "s"),
        ([1_600_000_000_000, 1_600_000_000_001, 0], [1_600_000_000_000, 1_600_000_000_001, 0], "ms"),
        ([1_600_000_000_000, 1_600_000_001_000], [1_600_000_000, 1_600_000_001], "s"),
        ([Decimal("1.5"), 2], [1500, 2000], "ms"),
    ],
)  # fmt: skip
def test_times_keep_the_precision_of_their_source(column, times: list[int], unit: str) -> None:
    assert _times(column) == (times, unit)


def test_decimals_of_nanoseconds_keep_their_order_and_too_large_ones_are_refused() -> None:
    moments = [1_600_000_000_000_000_000 + nanoseconds for nanoseconds in (3, 1, 2)]
    frame = pd.DataFrame({"u": 1, "i": [1, 2, 3], "t": [Decimal(moment) for moment in moments]})
    rows = Interactions.from_dataframe(frame, user="u", item="i", timestamp="t")
    assert (rows.timestamps.tolist(), rows.time_unit) == (moments, "ns")
    with pytest.raises(DataError, match=r"expected seconds since 1970 or a date in every row, found 10{78}… in row 0"):
        Interactions.from_dataframe(frame.assign(t=[10**400, 1, 2]), user="u", item="i", timestamp="t")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1_600_000_000, 1_600_000_000_000], r"1 in seconds, such as 1600000000"),
        ([1_600_000_000_000] * 400 + [253_402_214_400_000], r"400 in milliseconds, such as 1600000000000; 1 in microseconds, such as 253402214400000"),  # noqa: E501
        ([-1.0, 1_600_000_000_000.0], r"one unit of time"),
        (np.array([2**63], dtype=np.uint64), r"expected seconds since 1970 or a date"),
        ([str(2**64)], r"expected seconds since 1970 or a date"),
        (pd.to_timedelta([1, 2], unit="s"), r"found Timedelta"),
        ([np.timedelta64(1, "s")], r"found Timedelta"),
        ([True, False], r"found (np.)?True"),
        (pd.Series([True, 5], dtype=object), r"found True in row 0"),
        ([dt.datetime(2020, 1, 1), 5], r"expected a date in every row, found 5 in row 1"),
        ([dt.datetime(2020, 1, 1), None], r"expected a date in every row, found (NaT|None) in row 1"),
        (pd.PeriodIndex(["2020-01", None], freq="M"), r"expected a date in every row, found NaT in row 1"),
        (pd.array([1, None], dtype="Int64"), r"found <NA> in row 1"),
        (pd.Series([5, np.timedelta64(1, "s")], dtype=object), r"found np.timedelta64.* in row 1"),
        (["2020-01-01"], r"found '2020-01-01' in row 0"),
        ([dt.time(10)], r"found datetime.time"),
        ([1 + 2j], r"expected seconds since 1970"),
        ([float("nan")], r"found (np.float64\()?nan"),
        ([float("inf")], r"found (np.float64\()?inf"),
    ],
)  # fmt: skip
def test_invalid_times_and_mixed_units_are_refused_in_one_sentence(column, message: str) -> None:
    with pytest.raises(DataError, match=message):
        _times(column)


def test_a_given_unit_applies_to_all_numbers() -> None:
    frame = pd.DataFrame({"u": 1, "i": [1, 2], "t": [1_600_000_000_000, 5]})
    with pytest.raises(DataError, match=r"time_unit"):
        Interactions.from_dataframe(frame, user="u", item="i", timestamp="t")
    found = Interactions.from_dataframe(frame, user="u", item="i", timestamp="t", time_unit="ms")
    assert found.timestamps is not None
    assert (found.timestamps.tolist(), found.time_unit) == ([1_600_000_000_000, 5], "ms")
    with pytest.raises(UsageError, match=r"time_unit: expected one of s, ms, us, ns, found 'h'"):
        Interactions.from_dataframe(frame, user="u", item="i", timestamp="t", time_unit="h")  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(-(3 * 10**16), 3 * 10**16), st.integers(0, 10**9 - 1)), min_size=1))
def test_times_compare_as_in_their_source(parts: list[tuple[int, int]]) -> None:
    seconds, nanoseconds = np.array(parts, dtype=np.int64).T
    values = times_from_parts(seconds, nanoseconds).values
    order = np.argsort(values, kind="stable")
    assert [parts[place] for place in order] == sorted(parts)
    assert len(set(values.tolist())) == len(set(parts))


@given(st.lists(st.integers(-(10**18), 10**18), min_size=1))
def test_times_are_exact_and_in_the_coarsest_unit(instants: list[int]) -> None:
    seconds, nanoseconds = np.divmod(np.array(instants, dtype=np.int64), 10**9)
    found = times_from_parts(seconds, nanoseconds)
    size = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[found.unit]
    assert (found.values * size).tolist() == instants
    assert found.unit == "s" or any(instant % (size * 1000) for instant in instants)


def test_times_within_a_second_decide_a_split_and_which_of_two_rows_is_kept() -> None:
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(10) * 40, unit="ms")
    frame = pd.DataFrame({"u": 1, "i": np.arange(10), "at": at, "r": 1.0})
    again = pd.DataFrame({"u": 1, "i": [3], "at": at[3] - pd.Timedelta(1, unit="ns"), "r": [5.0]})
    options = {"user": "u", "item": "i", "timestamp": "at", "rating": "r"}
    rows = Interactions.from_dataframe(pd.concat([frame, again]), **options)
    assert rows.ratings is not None and rows.ratings.tolist() == [1.0] * 10
    _, test = rows.split((0.8, 0.2), order="time")
    assert test.item_keys[test.items].tolist() == [8, 9]


def test_the_fingerprint_includes_the_unit_and_is_unchanged_for_whole_seconds() -> None:
    frame = pd.DataFrame({"u": [1, 1], "i": [1, 2], "t": [7, 8]})
    prints = [
        Interactions.from_dataframe(frame, user="u", item="i", timestamp="t", time_unit=unit).fingerprint
        for unit in (None, "s", "ms", "us", "ns")
    ]
    assert prints[0] == prints[1] == "c13a149bf629253ea068d2801cf89816118bc2c37c2802a137192d99c80e593f"
    assert len(set(prints)) == 4


def test_a_dataframe_with_fractions_of_seconds_survives_a_round_trip() -> None:
    frame = pd.DataFrame({"u": [1, 1], "i": [1, 2], "t": [1.5, 8.0]})
    rows = Interactions.from_dataframe(frame, user="u", item="i", timestamp="t")
    again = Interactions.from_dataframe(
        rows.to_dataframe(), user="user", item="item", timestamp="timestamp", time_unit=rows.time_unit
    )
    assert again.fingerprint == rows.fingerprint


@pytest.mark.parametrize(
    "like_threshold",
    [
        4.1,
        np.float64(4.1),
        np.float32(4.1),
        Decimal("4.1"),
        Fraction(41, 10),
        "4.1",
        np.array(4.1),
        np.longdouble("4.1"),
    ],
)
@pytest.mark.parametrize("kind", [np.float64, np.float32, object, str, "string", "Float64", "category"])
def test_a_rating_equal_to_like_threshold_is_a_like_for_all_number_types(like_threshold, kind) -> None:
    frame = pd.DataFrame({"u": [1, 1, 1], "i": [1, 2, 3], "r": [4.1, 4.0999, 4.2]}).astype({"r": kind})
    rows = Interactions.from_dataframe(frame, user="u", item="i", rating="r", like_threshold=like_threshold)
    assert rows.is_like.tolist() == [True, False, True]
    assert rows.like_threshold == 4.1 and type(rows.like_threshold) is float
    assert rows.with_like_threshold(like_threshold).fingerprint == rows.with_like_threshold(4.1).fingerprint


def test_a_fraction_is_a_valid_rating_and_like_threshold() -> None:
    frame = pd.DataFrame({"u": [1, 1], "i": [1, 2], "r": [Fraction(41, 10), 4]})
    rows = Interactions.from_dataframe(frame, user="u", item="i", rating="r", like_threshold=Fraction(41, 10))
    assert rows.is_like.tolist() == [True, False]


def test_numpy_integers_are_valid_like_thresholds_and_float32_neighbours_differ() -> None:
    ratings = np.array([3, 4, 5], dtype=np.uint64)
    frame = pd.DataFrame({"u": 1, "i": [1, 2, 3], "r": ratings})
    for like_threshold in (4, np.int8(4), np.uint64(4), "4"):
        rows = Interactions.from_dataframe(frame, user="u", item="i", rating="r", like_threshold=like_threshold)
        assert rows.is_like.tolist() == [False, True, True]
    close = np.array([np.nextafter(np.float32(4.1), np.float32(0)), np.float32(4.1)])
    rows = Interactions.from_dataframe(frame[:2].assign(r=close), user="u", item="i", rating="r", like_threshold=4.1)
    assert rows.is_like.tolist() == [False, True]


def test_half_precision_ratings_are_the_decimals_that_they_print_as() -> None:
    stars = np.round(np.arange(1, 5.05, 0.1), 1)
    frame = pd.DataFrame({"u": 1, "i": np.arange(len(stars)), "r": stars.astype(np.float16)})
    for like_threshold in stars:
        rows = Interactions.from_dataframe(frame, user="u", item="i", rating="r", like_threshold=like_threshold)
        assert rows.is_like.tolist() == (stars >= like_threshold).tolist()


@pytest.mark.parametrize(
    "like_threshold",
    [
        float("nan"), np.float32("inf"), "four", True, np.True_, pd.NA, pd.NaT, [4], 4 + 0j, np.array([4.0]),
        dt.datetime(2020, 1, 1), np.timedelta64(4, "s"), pd.Timedelta(4), "4_0",
    ],
)  # fmt: skip
def test_an_invalid_like_threshold_is_refused(like_threshold) -> None:
    frame = pd.DataFrame({"u": [1], "i": [1], "r": [4]})
    with pytest.raises(UsageError, match=r"like_threshold: expected a number or None, found "):
        Interactions.from_dataframe(frame, user="u", item="i", rating="r", like_threshold=like_threshold)
    rows = Interactions.from_dataframe(frame, user="u", item="i", rating="r")
    with pytest.raises(UsageError, match=r"like_threshold: expected a number or None, found "):
        rows.with_like_threshold(like_threshold)


@pytest.mark.parametrize(
    "column",
    [
        [True, False],
        np.array([True, False]),
        pd.array([True, False], dtype="boolean"),
        pd.Series([True, False], dtype=object),
        ["true", "false"],
        pd.Series([" True", "FALSE"], dtype="string"),
        pd.Series(["true", "false"], dtype="category"),
    ],
)
def test_true_is_a_like_and_false_a_dislike(column) -> None:
    frame = pd.DataFrame({"u": [1, 1], "i": [1, 2], "r": column})
    rows = Interactions.from_dataframe(frame, user="u", item="i", rating="r")
    assert rows.is_like.tolist() == [True, False] and rows.like_threshold == 1
    arrays = Interactions.from_arrays(
        np.arange(1), np.arange(2), np.zeros(2, int), np.arange(2), ratings=np.asarray(column)
    )
    assert arrays.is_like.tolist() == [True, False]


@pytest.mark.parametrize(
    ("column", "found"),
    [
        ([4, dt.datetime(2020, 1, 1)], r"datetime.datetime\(2020, 1, 1, 0, 0\) in row 1"),
        (pd.to_datetime(["2020-01-01", "2020-01-02"]), r"Timestamp\('2020-01-01 00:00:00'\) in row 0"),
        (pd.to_timedelta([1, 2], unit="s"), r"Timedelta\(.* in row 0"),
        (pd.period_range("2020-01", periods=2, freq="M"), r"Period\('2020-01', 'M'\) in row 0"),
        (pd.Series([True, 4], dtype=object), r"True in row 0"),
        (pd.array([True, None], dtype="boolean"), r"<NA> in row 1"),
        (pd.Series([True, None], dtype=object), r"None in row 1"),
        (pd.array([4, None], dtype="Int64"), r"<NA> in row 1"),
        ([4, Decimal("NaN")], r"Decimal\('NaN'\) in row 1"),
        ([4 + 1j, 4], r"in row 0"),
        ([[4], 4], r"\[4\] in row 0"),
        (["true", "4"], r"'true' in row 0"),
        (["4", "true"], r"'true' in row 1"),
        (["4", "four"], r"'four' in row 1"),
        ([4, 1e39], r"1e\+39.* in row 1"),
        ([4, np.timedelta64(4, "s")], r"np.timedelta64\(4,'s'\) in row 1"),
        ([4, 10**400], r"10{78}… in row 1"),
        ([4, 10**5000], r"a number of type int with thousands of digits in row 1"),
    ],
)  # fmt: skip
def test_invalid_ratings_are_refused_with_their_row(column, found: str) -> None:
    frame = pd.DataFrame({"u": [1, 1], "i": [1, 2], "r": column})
    with pytest.raises(DataError, match=rf'Column "r": expected a number in every row, found .*{found}'):
        Interactions.from_dataframe(frame, user="u", item="i", rating="r")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"users": [0.5, 1.0]}, r"users as indices, found an array of float64"),
        ({"users": [0, 9]}, r"users from 0 to 1, found 0 to 9"),
        ({"items": [-1, 0]}, r"items from 0 to 1, found -1 to 0"),
        ({"items": [0]}, r"arrays of one length, found 2 users, 1 items"),
        ({"ratings": [1.0]}, r"arrays of one length"),
        ({"ratings": ["x", "y"]}, r"expected a number in every row"),
        ({"timestamps": [1]}, r"arrays of one length"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(arrays: dict, message: str) -> None:
    given_arrays = {"users": [0, 1], "items": [0, 1], **arrays}
    users, items = given_arrays.pop("users"), given_arrays.pop("items")
    more = {name: np.asarray(values) for name, values in given_arrays.items()}
    with pytest.raises(DataError, match=message):
        Interactions.from_arrays(np.arange(2), np.arange(2), np.asarray(users), np.asarray(items), **more)


def test_a_time_zone_never_receives_a_date_of_the_driver() -> None:
    """CPython's ZoneInfo takes any object for a datetime and reads past its memory, with a crash or a wrong offset."""

    class Zone(dt.tzinfo):
        def utcoffset(self, when):
            assert isinstance(when, dt.datetime)
            return dt.timedelta(hours=2)

    times, unit = _times([neo4j.time.DateTime(2001, 9, 9, 3, 46, 40, tzinfo=Zone())])
    assert (times, unit) == ([1_000_000_000], "s")
