"""Columns of a DataFrame as arrays of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kgplug.errors import DataError


def read_ratings(column: Any, name: str) -> np.ndarray:
    """Return a column of ratings, float32 (n,).

    Raises:
        DataError: a value is no finite number; its row is named.
    """
    values = _floats(column)
    with np.errstate(over="ignore"):
        ratings = values.astype(np.float32)
    _refuse(np.isfinite(ratings), column, name, "a number")
    return ratings


def read_timestamps(column: Any, name: str) -> np.ndarray:
    """Return a column of seconds since 1970 or of dates as seconds since 1970, int64 (n,).

    Dates without a time zone count as UTC. Fractions of a second are cut off.

    Raises:
        DataError: a value is neither a date nor a number of seconds; its row is named.
    """
    column = pd.Series(column)
    if pd.api.types.is_integer_dtype(column.dtype) and not column.isna().any():
        return column.to_numpy(dtype=np.int64)
    dates = _dates(column)
    if dates is not None:
        _refuse(dates.notna().to_numpy(), column, name, "a date")
        return (dates - pd.Timestamp(0, tz="UTC")).dt.floor("s").dt.total_seconds().to_numpy().astype(np.int64)
    values = _floats(column)
    _refuse(np.isfinite(values) & (np.abs(values) < 2**62), column, name, "seconds since 1970, or a date,")
    return np.floor(values).astype(np.int64)


def _dates(column: pd.Series) -> pd.Series | None:
    """Return dates in UTC, or None where the column does not hold dates."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return column.dt.tz_localize("UTC") if column.dt.tz is None else column.dt.tz_convert("UTC")
    if column.dtype == object and pd.api.types.infer_dtype(column) in ("datetime", "datetime64", "date"):
        return pd.Series(pd.to_datetime(column, utc=True, errors="coerce"))
    return None


def _floats(column: Any) -> np.ndarray:
    """Return values as float64 (n,), NaN where one is no number."""
    values: Any = pd.to_numeric(pd.Series(column), errors="coerce")
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def _refuse(good: np.ndarray, column: Any, name: str, expected: str) -> None:
    bad = np.flatnonzero(~good)
    if len(bad):
        found = pd.Series(column).iloc[bad[0]]
        raise DataError(f'Column "{name}": expected {expected} in every row, found {found!r} in row {bad[0]}.')
