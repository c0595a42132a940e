"""Check whole numbers and indices, of any integer type, that a caller passes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kgplug.errors import UsageError


def whole_number(value: object, what: str, *, least: int = 0) -> int:
    """Return a whole number as a Python int.

    Args:
        value: number of any integer type.
        what: name of the argument, for error messages.
        least: the smallest number allowed.

    Raises:
        UsageError: the value is not a whole number (a boolean is not), is too small, or exceeds 64 bits.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if is_whole(value) and int(value) >= least:  # type: ignore[call-overload]
        if int(value) >= 2**63:  # type: ignore[call-overload]
            raise UsageError(f"{what}: expected a whole number below 2^63, found {value}.")
        return int(value)  # type: ignore[call-overload]
    raise UsageError(f"{what}: expected a whole number of at least {least}, found {value!r}.")


def is_whole(value: object) -> bool:
    """Return whether a value is an integer of Python or numpy; booleans and durations do not count."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.timedelta64))


def as_indices(given: object, n: int, what: str) -> np.ndarray:
    """Return indices of users or items as int64 (m,). A single number becomes an array of one.

    Args:
        given: whole numbers from 0 to n − 1: an array, a list, or one number.
        n: number of users or items.
        what: "users" or "items", for error messages.

    Raises:
        UsageError: the values are keys, a mask or fractions, or an index is out of range.
    """
    rows = given if isinstance(given, np.ndarray) else np.asarray(_as_list(given), dtype=object)
    if rows.dtype == object and all(map(is_whole, rows.ravel())):
        large = max(map(int, rows.ravel()), key=abs, default=0)
        if abs(large) >= 2**63:
            raise UsageError(f"{what}: expected indices from 0 to {n - 1}, found {large}.")
        rows = rows.astype(np.int64)
    if rows.size == 0:
        return np.empty(0, dtype=np.int64)
    if rows.dtype.kind not in "iu" or rows.ndim > 1:
        raise UsageError(
            f"{what}: expected indices from 0 to {n - 1}, found {_shown(rows)}. "
            f"model.{what.removesuffix('s')}_index(key) returns the index of a key."
        )
    rows = rows.reshape(-1)
    if int(rows.min()) < 0 or int(rows.max()) >= n:
        found = f"{rows[0]}" if len(rows) == 1 else f"{rows.min()} to {rows.max()}"
        raise UsageError(f"{what}: expected indices from 0 to {n - 1}, found {found}.")
    return rows.astype(np.int64, copy=False)


def _as_list(given: object) -> object:
    return list(given) if isinstance(given, Iterable) and not isinstance(given, (str, bytes)) else given


def _shown(rows: np.ndarray) -> str:
    if rows.ndim > 1:
        return f"an array of {rows.ndim} dimensions"
    first = rows.reshape(-1)[0]
    return f"{first!r}" if rows.ndim == 0 else f"an array of {rows.dtype} that begins with {first!r}"
