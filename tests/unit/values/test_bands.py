"""Bands of numbers and decades of years: about equally many numbers in each, and names that say the range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgplug.data.values.bands import bands_of, decade_of

NUMBERS = st.one_of(st.integers(-(10**6), 10**6).map(float), st.floats(allow_nan=False, allow_infinity=False, width=64))


def sizes(values: np.ndarray, n: int) -> dict[str, int]:
    codes, names = bands_of(values, n)
    return {name: int((codes == code).sum()) for code, name in enumerate(names)}


@pytest.mark.parametrize(
    ("values", "n", "expected"),
    [
        (np.arange(100.0), 4, {"below 25": 25, "25–50": 25, "50–75": 25, "75 or more": 25}),
        (np.arange(8.0), 2, {"below 4": 4, "4 or more": 4}),
        (np.repeat([1.0, 2.0, 3.0, 4.0, 5.0], 20), 10, {"1": 20, "2": 20, "3": 20, "4": 20, "5": 20}),
        (np.concatenate([np.zeros(50), np.arange(1.0, 51.0)]), 4, {"0": 50, "1–26": 25, "26 or more": 25}),
        (np.repeat([-5.0, -2.5, 7.0], 2), 3, {"-5": 2, "-2.5": 2, "7": 2}),
        (np.full(9, 3.0), 10, {"3": 9}),
        (np.array([1.0, 2.0, 3.0]), 10, {"1–3": 3}),
        (np.array([]), 5, {}),
    ],
)
def test_bands_hold_about_equally_many_numbers_and_say_their_range(
    values: np.ndarray, n: int, expected: dict[str, int]
) -> None:
    assert sizes(values, n) == expected


def test_edges_are_round_and_stay_when_a_few_numbers_are_added() -> None:
    rng = np.random.default_rng(0)
    budgets = rng.lognormal(17, 1.5, 4000)
    found, more = sizes(budgets, 5), sizes(np.concatenate([budgets, rng.lognormal(17, 1.5, 20)]), 5)
    names = ["below 7000000", "7000000–16000000", "16000000–35000000", "35000000–80000000", "80000000 or more"]
    assert list(found) == names
    assert list(more) == list(found)
    assert all(600 <= n <= 1000 for n in found.values())


def test_a_large_group_of_equal_numbers_has_its_own_band() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([np.full(300, 7.5), rng.uniform(0, 20, 700)])
    assert sizes(values, 10)["7.5"] == 300


def bounds(name: str) -> tuple[float, float]:
    """Return the range that a name says: the lowest number that it holds, and the number below which all are."""
    if name.startswith("below "):
        return -np.inf, float(name.removeprefix("below "))
    if name.endswith(" or more"):
        return float(name.removesuffix(" or more")), np.inf
    low, _, high = name.partition("–")
    return (float(low), float(high)) if high else (float(low), np.nextafter(float(low), np.inf))


@given(st.lists(NUMBERS, min_size=8, max_size=60), st.integers(2, 12))
def test_every_number_is_in_the_range_that_its_band_is_named_after(numbers: list[float], n: int) -> None:
    values = np.array(numbers)
    codes, names = bands_of(values, n)
    assert len(set(names)) == len(names)
    assert sorted(set(codes.tolist())) == list(range(len(names)))
    if len(names) == 1:
        return
    for value, code in zip(values, codes, strict=True):
        low, high = bounds(names[code])
        assert low <= value < high
    order = np.argsort(values, kind="stable")
    assert (np.diff(codes[order]) >= 0).all()
    assert all(len(set(codes[values == value])) == 1 for value in values)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 10**9).map(float), min_size=40, max_size=80, unique=True), st.integers(2, 5))
def test_different_numbers_are_divided_about_equally(numbers: list[float], n: int) -> None:
    counts = np.bincount(bands_of(np.array(numbers), n)[0])
    assert len(counts) == n
    assert (abs(counts - len(numbers) / n) <= 0.2 * len(numbers) / n + 2).all()


@pytest.mark.parametrize(
    ("year", "decade"), [(1990, "1990s"), (1999, "1990s"), (2000, "2000s"), (7, "0s"), (0, "0s"), (-44, "-50s")]
)
def test_a_year_belongs_to_the_decade_that_it_begins_with(year: int, decade: str) -> None:
    assert decade_of(year) == decade
