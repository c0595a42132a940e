"""Keys: any integers and texts, in one canonical order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgplug.data.values.keys import as_column, as_keys, canonical_order, distinct, factorize, fingerprint
from kgplug.errors import DataError

any_text = st.text(st.characters(), max_size=5)  # lone surrogates and control characters included
any_key = st.one_of(st.integers(), st.integers(-3, 3), any_text, st.sampled_from(["1", "0", "é", "é", "a\0", "a"]))


@given(st.lists(any_key, min_size=1))
def test_keys_survive_a_round_trip(keys: list[int | str]) -> None:
    codes, unique = factorize(as_keys(keys, what="keys"))
    assert [unique[code] for code in codes] == keys
    assert {type(key) for key in unique} <= {int, str}


@given(st.lists(any_key, min_size=1), st.randoms(use_true_random=False))
def test_the_order_of_reading_does_not_matter(keys: list[int | str], random) -> None:
    shuffled = list(keys)
    random.shuffle(shuffled)
    assert list(factorize(as_keys(keys, what="a"))[1]) == list(factorize(as_keys(shuffled, what="b"))[1])


@given(st.lists(any_key, min_size=1, unique_by=lambda key: (isinstance(key, str), key)))
def test_integers_come_before_texts_and_each_ascend(keys: list[int | str]) -> None:
    array = as_keys(keys, what="keys")
    ordered = list(array[canonical_order(array)])
    assert ordered == sorted(k for k in keys if isinstance(k, int)) + sorted(k for k in keys if isinstance(k, str))


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3],
        np.array([1, 2, 3], dtype=np.int8),
        np.array([1.0, 2.0, 3.0]),
        pd.Series([1, 2, 3], dtype="Int64"),
        pd.Series([1, 2, 3]).astype("category"),
        np.array([1, np.int64(2), 3.0], dtype=object),
        (number for number in (1, 2, 3)),
    ],
)
def test_integers_of_every_kind_are_the_same_keys(values) -> None:
    keys = as_keys(values, what="keys")
    assert list(keys) == [1, 2, 3] and {type(key) for key in keys} == {int}


@pytest.mark.parametrize("big", [2**63 - 1, 2**63, 2**64 - 1, 2**100, -(2**63), -(2**90)])
def test_huge_integers_are_kept_exactly(big: int) -> None:
    assert list(factorize(as_keys([big, 1, big - 1], what="keys"))[1]) == sorted([big, 1, big - 1])


def test_integer_columns_create_no_python_object_per_row() -> None:
    assert as_column(pd.Series([5, 7]), what="keys").dtype == np.int64
    assert as_column(pd.Series([5.0, 7.0]), what="keys").dtype == np.int64


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([1, None], "no value in row 1"),
        ([1.0, float("nan")], "no value in row 1"),
        (pd.Series([1, pd.NA], dtype="Int64"), "no value in row 1"),
        (["a", float("nan")], "no value in row 1"),
        ([True, False], "True (bool) in row 0"),
        (np.array([True]), "True (bool) in row 0"),
        ([1, 1.5], "1.5 (float) in row 1"),
        ([float("inf")], "inf (float) in row 0"),
        ([2.0**53], "9007199254740992.0 (float) in row 0"),
        (pd.Series(pd.to_datetime(["2020-01-01"])), "(Timestamp) in row 0"),
        ([b"x"], "b'x' (bytes) in row 0"),
    ],
)
def test_values_that_cannot_be_keys_are_refused_with_their_row(values, found: str) -> None:
    with pytest.raises(DataError, match=r"^users: expected an integer or text key") as error:
        as_keys(values, what="users")
    assert found in str(error.value)


def test_two_dimensional_keys_are_refused() -> None:
    with pytest.raises(DataError, match=r"2 dimensions"):
        as_keys(np.zeros((2, 2), dtype=int), what="users")


@given(st.lists(st.integers(-(2**62), 2**62)))
def test_distinct_is_the_sorted_set(numbers: list[int]) -> None:
    assert list(distinct(np.array(numbers, dtype=np.int64))) == sorted(set(numbers))


@given(st.lists(any_key), st.lists(any_key))
def test_fingerprints_are_equal_exactly_if_the_content_is(left: list, right: list) -> None:
    same = [(type(key), key) for key in left] == [(type(key), key) for key in right]
    assert (fingerprint(left, "x") == fingerprint(right, "x")) == same
    assert fingerprint(left, right) != fingerprint(left + right)


def test_fingerprints_differ_by_type_and_shape_of_arrays() -> None:
    numbers = np.arange(4)
    assert fingerprint(numbers) != fingerprint(numbers.astype(np.int32))
    assert fingerprint(numbers) != fingerprint(numbers.reshape(2, 2))
    assert fingerprint(numbers) != fingerprint(numbers[::-1])
