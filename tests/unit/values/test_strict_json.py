"""JSON that a strict parser reads, for any values."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from neo4j.time import Date, DateTime
from pydantic import SecretStr

from kgplug.strict_json import dumps
from tests.unit.helpers.strictly import strictly


class Kind(StrEnum):
    good = "good"


@dataclass
class Report:
    rate: float
    path: Path


@pytest.mark.parametrize(
    "value",
    [
        *(math.nan, math.inf, -math.inf, np.nan, np.float32("inf"), np.float16("-inf"), np.array(np.nan)),
        *(pd.NA, pd.NaT, np.datetime64("NaT"), np.timedelta64("NaT", "s"), None),
    ],
    ids=repr,
)
def test_a_value_that_is_missing_or_not_finite_is_null_at_any_depth(value: object) -> None:
    assert strictly(dumps(value)) is None
    assert strictly(dumps({"a": [{"b": (value, 1)}]})) == {"a": [{"b": [None, 1]}]}
    assert strictly(dumps(pd.DataFrame({"a": [value, value]}, dtype=object))) == [{"a": None}, {"a": None}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(3), 3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (np.float32(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.array([[1.0, np.nan]]), [[1.0, None]]),
        (pd.Series([1.0, np.nan], index=["a", 2]), {"a": 1.0, "2": None}),
        (pd.Index([1, 2]), [1, 2]),
        (pd.array([1, None], dtype="Int64"), [1, None]),
        (pd.Categorical(["a", None]), ["a", None]),
        (dt.date(2024, 2, 29), "2024-02-29"),
        (Date(2024, 2, 29), "2024-02-29"),
        (DateTime(2024, 2, 29, 12), "2024-02-29T12:00:00.000000000"),
        (np.datetime64("2024-02-29T12:00:00.123456789"), "2024-02-29T12:00:00.123456789"),
        (Decimal("1.5"), "1.5"),
        (Path("a") / "b", str(Path("a") / "b")),
        ({1, 2}, [1, 2]),
        (range(2), [0, 1]),
        (Kind.good, "good"),
        (Report(math.nan, Path("x")), {"rate": None, "path": "x"}),
        ({1: "a", None: "b", Kind.good: "c"}, {"1": "a", "null": "b", "good": "c"}),
        (SecretStr("s3cret"), "**********"),
        (2**70, 2**70),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_of_every_library_become_json(value: object, expected: object) -> None:
    assert strictly(dumps(value)) == expected


def test_a_table_is_one_object_per_row_with_a_named_index_as_a_column() -> None:
    frame = pd.DataFrame({"AUC": [0.5, np.nan]}, index=pd.Index(["MKR", "KGCN"], name="run"))
    assert strictly(dumps(frame)) == [{"run": "MKR", "AUC": 0.5}, {"run": "KGCN", "AUC": None}]


def test_all_columns_with_the_same_name_are_kept() -> None:
    frame = pd.DataFrame([[1, 2]], columns=["a", "a"], index=pd.Index(["x"], name="a"))
    assert strictly(dumps(frame)) == [{"a": "x", "a 2": 1, "a 3": 2}]


def test_a_table_with_two_levels_of_names_keeps_both() -> None:
    frame = pd.DataFrame({"n": [1]}, index=pd.MultiIndex.from_tuples([("a", 2)], names=["x", None]))
    assert strictly(dumps(frame)) == [{"x": "a", "name": 2, "n": 1}]


@pytest.mark.parametrize("ascii_only", [True, False])
def test_text_that_is_not_valid_unicode_is_escaped(ascii_only: bool) -> None:
    text = dumps({"file": "caf\udce9", "title": "Amélie"}, ascii_only=ascii_only)
    assert text.encode("utf-8")
    assert strictly(text) == {"file": "caf\udce9", "title": "Amélie"}


def test_titles_are_readable_if_the_encoding_can_show_them() -> None:
    assert dumps({"title": "千と千尋"}, ascii_only=False) == '{"title": "千と千尋"}'
    assert dumps({"title": "é"}) == '{"title": "\\u00e9"}'


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.floats().map(np.float64)


@given(st.recursive(_scalars, lambda part: st.lists(part) | st.dictionaries(st.text() | st.floats(), part)))
def test_any_nested_value_parses_strictly(value: object) -> None:
    strictly(dumps(value))
    strictly(dumps(value, ascii_only=False))
