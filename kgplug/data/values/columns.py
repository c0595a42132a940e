"""Read columns of a DataFrame, and single values, as numbers."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Hashable, Iterable
from decimal import Decimal
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from kgplug.data.values.times import Times, TimeUnit, check_unit, times_from_numbers, times_from_parts, times_from_unit
from kgplug.errors import DataError, UsageError

_EPOCH = dt.date(1970, 1, 1).toordinal()
_DAY = 86_400
_LATEST = 2.0**63
_DATES = "seconds since 1970 or a date"
_WEIGHT = "a number above 0"
_SHOWN = 80  # maximum characters of a value in a message
_BOOLEANS = {"true": 1.0, "false": 0.0}
_NUMBERS = (Real, Decimal, str)
_NO_NUMBERS = (bool, np.bool_, np.timedelta64)


def read_ratings(column: Any, name: str) -> tuple[np.ndarray, bool]:
    """Return (ratings, whether they were booleans): float32 (n,), with 1 for true and 0 for false; and a bool.

    Numbers and booleans may also be written as text.

    Raises:
        DataError: a value is not a finite number, or booleans and numbers are mixed. The message names the
            column and a row.
    """
    column = _without_signals(pd.Series(column), name, "a number")
    if column.dtype == np.float16:
        column = _as_printed(column)
    values, booleans = _floats(column, booleans=True)
    with np.errstate(over="ignore"):
        ratings = values.astype(np.float32)
    _refuse(np.isfinite(ratings), column, name, "a number")
    return ratings, booleans


def read_weights(column: Any, name: str) -> np.ndarray:
    """Return weights as float32 (n,). A positive weight too small for float32 becomes the smallest positive one.

    Raises:
        DataError: a value is not a number above 0, or too large for float32. The message names the column and a row.
    """
    column = _without_signals(pd.Series(column), name, _WEIGHT)
    values, _ = _floats(column, booleans=False)
    with np.errstate(over="ignore", under="ignore"):
        weights = values.astype(np.float32)
    _refuse((values > 0) & np.isfinite(weights), column, name, _WEIGHT)
    return np.maximum(weights, np.finfo(np.float32).tiny)


def as_like_threshold(value: object, *, what: str = "like_threshold") -> float | None:
    """Return a like threshold as a Python float; None stays None.

    The value may be a number of any type, or text. A numpy float is read as it prints, so np.float32(4.1) is 4.1.

    Raises:
        UsageError: the value is not a finite number. The message starts with `what`.
    """
    if value is None:
        return None
    found = as_number(value)
    if found is None or not np.isfinite(found):
        raise UsageError(f"{what}: expected a number or None, found {_shown(value)}.")
    return found


def as_number(value: object) -> float | None:
    """Return a number of any type, or a text that spells one, as a Python float; None for anything else.

    A boolean does not count as a number.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if not isinstance(value, _NUMBERS) or isinstance(value, _NO_NUMBERS):
        return None
    text = str(value) if isinstance(value, (np.floating, str)) else None
    try:
        return float(value) if text is None else float(text.replace("_", "x"))  # type: ignore[arg-type]
    except (ValueError, OverflowError, TypeError):
        return None


def read_timestamps(column: Any, name: str, *, unit: TimeUnit | None = None) -> Times:
    """Return dates or Unix times (numbers) as `Times`, in the coarsest unit in which all of them are whole numbers.

    Dates may come from pandas, numpy, Python or Neo4j. Dates without a time zone are UTC. A pandas Period is
    converted to its start time.

    Args:
        column: dates or Unix times (n,).
        name: name of the column, for error messages.
        unit: unit of Unix times; None: derived from their sizes (`kgplug.data.values.times.parts_of_numbers`).

    Raises:
        DataError: a value is neither a date nor a number, or the numbers seem to be in several units.
    """
    column = _without_signals(pd.Series(column), name, _DATES)
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    dates = _dates(column, name)
    if dates is not None:
        return dates
    if pd.api.types.is_integer_dtype(column.dtype) and not column.isna().any():
        numbers = column.to_numpy()
    else:
        numbers, _ = _floats(column, booleans=False)
        exact = _integers(column) if np.isfinite(numbers).all() else None
        numbers = numbers if exact is None else exact
    good = np.isfinite(numbers) & (np.abs(numbers.astype(np.float64)) < _LATEST)
    _refuse(good, column, name, _DATES)
    return times_from_numbers(
        numbers.astype(np.int64 if numbers.dtype.kind in "iu" else np.float64), name=name, unit=unit
    )


def check_columns(frame: pd.DataFrame, columns: list[Hashable]) -> None:
    """Raise a DataError if a frame has no rows, or does not have each of these columns exactly once."""
    missing = missing_columns(frame, columns, what="Interactions")
    if missing:
        named, found = named_columns(missing, frame.columns)
        raise DataError(f"Interactions: no column {named}. Columns found: {found}.")
    if len(frame) == 0:
        raise DataError("Interactions: expected at least one row, found none.")
    names: list[Hashable] = list(frame.columns)
    repeated = [column for column in columns if names.count(column) > 1]
    if repeated:
        raise DataError(f"Interactions: several columns are named {repeated[0]}. Rename all but one.")


def missing_columns(frame: object, columns: list[Hashable], *, what: str) -> list[Hashable]:
    """Return those of the given columns that a frame lacks.

    Args:
        frame: the DataFrame.
        columns: names of the columns that it should have.
        what: name of the data in the frame, for error messages.

    Raises:
        DataError: `frame` is not a DataFrame, or a name is a list or another value that cannot name a column.
    """
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"{what}: expected a pandas DataFrame, found a value of type {type(frame).__name__}.")
    unfit = [column for column in columns if not isinstance(column, Hashable)]
    if unfit:
        raise DataError(f"{what}: expected the name of one column, found {_shown(unfit[0])}.")
    return [column for column in columns if column not in frame.columns]


def named_columns(*several: Iterable[Hashable]) -> list[str]:
    """Return each list of column names as one text, such as "user, item", for messages; "none" for an empty list.

    If some names are texts and others are not, the texts are quoted, so that 0 and '0' differ.
    """
    lists = [list(columns) for columns in several]
    kinds = {isinstance(column, str) for columns in lists for column in columns}
    write = repr if len(kinds) > 1 else str
    plain = [[c.item() if isinstance(c, np.generic) else c for c in columns] for columns in lists]
    return [", ".join(map(write, columns)) or "none" for columns in plain]


def read_indices(numbers: np.ndarray, keys: np.ndarray, name: str) -> np.ndarray:
    """Check that numbers are indices into `keys`, and return them as int64 (n,). Error messages use `name`.

    Raises:
        DataError: the numbers are not integers, or one is out of range.
    """
    numbers = np.asarray(numbers)
    if numbers.ndim != 1 or (numbers.dtype.kind not in "iu" and len(numbers)):
        raise DataError(f"Interactions: expected {name} as indices, found an array of {numbers.dtype}.")
    if len(numbers) and (int(numbers.min()) < 0 or int(numbers.max()) >= len(keys)):
        raise DataError(
            f"Interactions: expected {name} from 0 to {len(keys) - 1}, found {numbers.min()} to {numbers.max()}."
        )
    return numbers.astype(np.int64, copy=False)


def check_lengths(**arrays: np.ndarray | None) -> None:
    """Raise a DataError if the arrays differ in length; None is ignored."""
    lengths = {name: len(array) for name, array in arrays.items() if array is not None}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{n:,} {name}" for name, n in lengths.items())
        raise DataError(f"Interactions: expected arrays of one length, found {found}.")


def _dates(column: pd.Series, name: str) -> Times | None:
    """Return a column of dates as times in UTC; None if it holds no dates."""
    if isinstance(column.dtype, pd.PeriodDtype):
        _refuse(column.notna().to_numpy(), column, name, "a date")
        try:
            column = column.dt.to_timestamp()
        except (ValueError, OverflowError):  # periods before 1677 or after 2262
            column = pd.Series([period.start_time for period in column.astype(object)], dtype=object)
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        _refuse(column.notna().to_numpy(), column, name, "a date")
        utc = column if column.dt.tz is None else column.dt.tz_convert("UTC").dt.tz_localize(None)
        values = utc.to_numpy()
        return times_from_unit(values.view(np.int64), check_unit(np.datetime_data(values.dtype)[0]))
    if column.dtype != object:
        return None
    values = column.to_numpy()
    dated = np.fromiter(map(_is_date, values), dtype=bool, count=len(values))
    if not dated.any():
        return None
    _refuse(dated & column.notna().to_numpy(), column, name, "a date")
    parts = np.array([_parts_of_date(value) for value in values], dtype=np.int64).reshape(-1, 2)
    return times_from_parts(parts[:, 0], parts[:, 1])


def _is_date(value: object) -> bool:
    return isinstance(value, (dt.date, np.datetime64, pd.Period)) or (
        hasattr(value, "iso_format") and hasattr(value, "year_month_day")  # neo4j.time.Date and DateTime
    )


def _parts_of_date(value: Any) -> tuple[int, int]:
    """Return a date of Python, pandas, numpy or Neo4j as (seconds, nanoseconds) since 1970 in UTC."""
    if isinstance(value, pd.Period):
        value = value.start_time
    if isinstance(value, np.datetime64):
        unit = np.datetime_data(value.dtype)[0]
        fine = unit in ("ns", "ps", "fs", "as")
        whole = value.astype("datetime64[ns]" if fine else "datetime64[us]").astype(np.int64)
        seconds, left = divmod(int(whole), 10**9 if fine else 10**6)
        return seconds, left * (1 if fine else 1000)
    seconds, nanoseconds = (value.toordinal() - _EPOCH) * _DAY, 0
    if hasattr(value, "hour"):
        seconds += value.hour * 3600 + value.minute * 60 + int(value.second)
        nanoseconds = value.microsecond * 1000 if hasattr(value, "microsecond") else 0
        nanoseconds += getattr(value, "nanosecond", 0)
        # Avoid utcoffset() of a neo4j DateTime: it passes itself to ZoneInfo, which then reads invalid memory.
        offset = (value.to_native() if hasattr(value, "to_native") else value).utcoffset()
        seconds -= 0 if offset is None else round(offset.total_seconds())
    return seconds, nanoseconds


def _floats(column: Any, *, booleans: bool) -> tuple[np.ndarray, bool]:
    """Return (values, whether they were booleans): float64 (n,), NaN where a value is not a number; and a bool.

    Booleans become 1 and 0 if `booleans` is true, otherwise NaN.
    """
    column = pd.Series(column)
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype if column.notna().all() else object)
    nothing = np.full(len(column), np.nan)
    if booleans and (said := _booleans_as_text(column)) is not None:
        return said, True
    if pd.api.types.is_bool_dtype(column.dtype):
        return (column.to_numpy(dtype=np.float64, na_value=np.nan), True) if booleans else (nothing, False)
    if column.dtype == object:
        values = column.to_numpy()
        kinds = set(map(type, values[column.notna().to_numpy()]))
        if booleans and kinds and all(issubclass(kind, (bool, np.bool_)) for kind in kinds):
            return column.astype("boolean").to_numpy(dtype=np.float64, na_value=np.nan), True
        if not all(issubclass(kind, _NUMBERS) and not issubclass(kind, _NO_NUMBERS) for kind in kinds):
            good = [isinstance(value, _NUMBERS) and not isinstance(value, _NO_NUMBERS) for value in values]
            column = column.where(np.array(good, dtype=bool), None)
        if any(issubclass(kind, Fraction) for kind in kinds):
            column = column.map(lambda value: as_number(value) if isinstance(value, Fraction) else value)
    elif pd.api.types.is_complex_dtype(column.dtype) or not (
        pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_string_dtype(column.dtype)
    ):
        return nothing, False
    numbers: Any = _as_numbers(column)
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan), False


def _booleans_as_text(column: pd.Series) -> np.ndarray | None:
    """Return 1 for "true" and 0 for "false", ignoring case, as float64 (n,); None if any value is something else."""
    first = column.iloc[0] if len(column) else None
    if not isinstance(first, str) or first.strip().lower() not in _BOOLEANS:
        return None
    values = column.map(lambda value: _BOOLEANS.get(value.strip().lower()) if isinstance(value, str) else None)
    return None if values.isna().any() else values.to_numpy(dtype=np.float64)


def _as_numbers(column: pd.Series) -> Any:
    """Return a column as numbers; texts are parsed.

    Values that are not numbers become missing, and so do integers too large for a float.
    """
    try:
        return pd.to_numeric(column, errors="coerce")
    except (ArithmeticError, ValueError):  # an integer of hundreds of digits, a signalling NaN
        numbers = [math.nan if (number := as_number(value)) is None else number for value in column]
        return pd.Series(numbers)


def _as_printed(column: pd.Series) -> pd.Series:
    """Return float16 values as their shortest decimals: 4.2, which float16 stores as 4.1992."""
    values, rows = np.unique(column.to_numpy(), return_inverse=True)
    return pd.Series(np.array([float(str(value)) for value in values])[rows])


def _integers(column: pd.Series) -> np.ndarray | None:
    """Return whole numbers, or texts of them, as int64 (n,); None for floats, or if any value is something else."""
    if pd.api.types.is_float_dtype(column.dtype):
        return None
    if column.dtype == object and any(isinstance(value, Decimal) for value in column):  # SQL's NUMERIC
        column = column.map(lambda value: int(value) if isinstance(value, Decimal) and value % 1 == 0 else value)
    numbers: Any = _as_numbers(column)
    return numbers.to_numpy() if isinstance(numbers.dtype, np.dtype) and numbers.dtype.kind == "i" else None


def is_signal(value: object) -> bool:
    """Return whether a value is a signalling NaN: a Decimal for which most functions raise an error."""
    return isinstance(value, Decimal) and value.is_snan()


def _without_signals(column: pd.Series, name: str, expected: str) -> pd.Series:
    """Return a column unchanged. If it has a signalling NaN, raise a DataError that names the first one."""
    if column.dtype == object:
        try:
            column.isna()
        except ArithmeticError:
            _refuse(np.array([not is_signal(value) for value in column], dtype=bool), column, name, expected)
    return column


def _refuse(good: np.ndarray, column: Any, name: str, expected: str) -> None:
    """If `good`, bool (n,), is false in any row, raise a DataError that names the first such row."""
    bad = np.flatnonzero(~good)
    if len(bad):
        found = pd.Series(column).iloc[bad[0]]
        if isinstance(found, (np.number, np.bool_)) and not isinstance(found, np.timedelta64):
            found = found.item()
        raise DataError(f'Column "{name}": expected {expected} in every row, found {_shown(found)} in row {bad[0]}.')


def _shown(value: object) -> str:
    """Return a value as text for a message, cut after 80 characters."""
    try:
        text = repr(value)
    except ValueError:  # Python does not convert integers of thousands of digits to text
        text = f"a number of type {type(value).__name__} with thousands of digits"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
