"""Keys, which identify users, items and entities in the data. Inside kgplug, each key is replaced by an index.

A key is a Python `int` or `str`. Keys are kept in canonical order: integers first, then strings, each ascending. So
equal data always gives equal arrays, whatever the order in which it was read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
import pandas as pd

from kgplug.errors import DataError

_EXACT = 2**53  # above this, neighbouring integers may be the same float


def as_keys(values: Iterable[object], *, what: str) -> np.ndarray:
    """Return values as keys, object (n,) of `int` and `str`.

    Integral floats become integers, because pandas reads an integer column with gaps as floats.

    Raises:
        DataError: a value is something else (null, boolean, date …). The message names `what` and the first bad row.
    """
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise DataError(f"{what}: expected several keys, such as [1, 2], found {values!r}.")
    return as_column(values, what=what).astype(object)


def as_column(values: Iterable[object], *, what: str) -> np.ndarray:
    """Return keys as `as_keys` does, but as an integer array if all are 64-bit integers, to save memory."""
    if not isinstance(values, (np.ndarray, pd.Series, pd.Index)):
        values = list(values)
        array = np.empty(len(values), dtype=object)
        array[:] = values
    else:
        array = np.asarray(values)
    if array.ndim != 1:
        raise DataError(f"{what}: expected one key per row, found an array of {array.ndim} dimensions.")
    if array.dtype.kind in "iu":
        return array
    if array.dtype.kind == "f" and bool((np.isfinite(array) & (array == np.rint(array)) & (abs(array) < _EXACT)).all()):
        return array.astype(np.int64)
    array = np.asarray(values, dtype=object)
    kind = pd.api.types.infer_dtype(array, skipna=False)
    if kind == "string":
        return array
    if kind == "integer":
        return _compact(array)
    return np.array([_as_key(value, row, what) for row, value in enumerate(array)], dtype=object)


def _as_key(value: object, row: int, what: str) -> int | str:
    if isinstance(value, (bool, np.bool_)):
        pass
    elif isinstance(value, str):
        return str(value)
    elif isinstance(value, (int, np.integer)) or _is_exact_integer(value):
        return int(value)
    found = "no value" if _is_missing(value) else f"{value!r} ({type(value).__name__})"
    raise DataError(f"{what}: expected an integer or text key in every row, found {found} in row {row}.")


def _is_missing(value: Any) -> bool:
    try:
        return value is None or pd.isna(value) is True
    except ArithmeticError:  # a Decimal that is a signalling NaN
        return False


def _is_exact_integer(value: object) -> TypeGuard[float]:
    return isinstance(value, (float, np.floating)) and float(value).is_integer() and abs(float(value)) < _EXACT


def _compact(integers: np.ndarray) -> np.ndarray:
    """Return Python integers as int64 (n,), or unchanged if one does not fit."""
    try:
        return integers.astype(np.int64)
    except OverflowError:
        return integers


def factorize(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the unique keys, and the index of each key among them.

    Args:
        keys: (n,), from `as_keys` or `as_column`.

    Returns:
        (indices, unique keys): int64 (n,), and object (n_unique,) in canonical order.
    """
    codes, unique = pd.factorize(keys)  # order of appearance
    unique = np.asarray(unique).astype(object)
    order = canonical_order(unique)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[codes], unique[order]


def distinct(numbers: np.ndarray) -> np.ndarray:
    """Return the distinct numbers of an integer array, ascending."""
    # np.unique hashes, and is 50 times slower.
    ordered = np.sort(numbers)
    first = np.ones(len(ordered), dtype=bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return ordered[first]


def canonical_order(keys: np.ndarray) -> np.ndarray:
    """Return the positions that sort keys into canonical order, int64 (n,)."""
    is_text = np.fromiter((isinstance(key, str) for key in keys), dtype=bool, count=len(keys))
    integers, texts = np.flatnonzero(~is_text), np.flatnonzero(is_text)
    integers = integers[np.argsort(_compact(keys[integers]), kind="stable")]
    texts = texts[np.argsort(keys[texts], kind="stable")]
    return np.concatenate([integers, texts]).astype(np.int64)


def fingerprint(*parts: np.ndarray | Sequence[object] | str) -> str:
    """Return the sha256 (hex) of arrays, lists of keys and texts: equal content gives equal hashes."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray) and part.dtype != object:
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            values = part if isinstance(part, str) else list(part)
            digest.update(json.dumps(values).encode())
        digest.update(b"\0")
    return digest.hexdigest()
