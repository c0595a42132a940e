"""JSON that every parser reads. This module makes all JSON that kgplug prints, and all its JSON files.

Python's `json.dumps` writes NaN and Infinity, which are not JSON, and refuses numpy and pandas values.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, cast


def dumps(value: Any, *, ascii_only: bool = True, indent: int | None = None, sort_keys: bool = False) -> str:
    """Return a value as JSON text; `plain` converts each type.

    Args:
        value: a table, dict, list or report, nested in any way.
        ascii_only: write non-ASCII characters as `\\u` escapes, so that the text fits every encoding. A text that
            is not valid Unicode (a damaged file name) is always escaped.
        indent: spaces per level; None writes one line.
        sort_keys: sort the names in every object.
    """

    def write(value: Any, escape: bool) -> str:
        return json.dumps(value, ensure_ascii=escape, indent=indent, sort_keys=sort_keys, allow_nan=False)

    try:  # most values are plain already, and converting a long list of keys takes time
        text = write(value, ascii_only)
    except (TypeError, ValueError):
        value = plain(value)
        text = write(value, ascii_only)
    if ascii_only:
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return write(value, True)
    return text


def plain(value: Any) -> Any:
    """Convert a value to dicts, lists, texts, finite numbers, booleans and None.

    NaN, infinity and pandas' missing values become None. A DataFrame becomes a list of rows, with its index as the
    first column unless it is an unnamed range of row numbers. A Series becomes a dict. Arrays, tuples and sets
    become lists; data classes and pydantic models become dicts; times, paths and similar values become their `str`.

    Raises:
        TypeError: a value of this type has no text form.
    """
    if value is None or (isinstance(value, (bool, str)) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, float):  # numpy's float64 is also a float
        return float(value) if math.isfinite(value) else None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Mapping):
        return {_name(name): plain(part) for name, part in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [plain(part) for part in cast("Iterable[Any]", value)]
    return _plain_array(value)


def _plain_array(value: Any) -> Any:
    """Convert a value of numpy, pandas or pydantic, or a data class, without importing these packages.

    Any other value becomes its `str`.
    """
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if pandas is not None:
        if isinstance(value, pandas.DataFrame):
            return _rows(value)
        if isinstance(value, pandas.Series):
            return {_name(name): plain(part) for name, part in value.items()}
        if isinstance(value, (pandas.Index, pandas.api.extensions.ExtensionArray)):
            return [plain(part) for part in value]
        if value is pandas.NA or value is pandas.NaT:
            return None
    if numpy is not None:
        if isinstance(value, numpy.ndarray):
            return plain(value.item()) if value.ndim == 0 else [plain(part) for part in value]
        if isinstance(value, (numpy.datetime64, numpy.timedelta64)):
            return None if numpy.isnat(value) else str(value)
        if isinstance(value, numpy.generic):
            return plain(value.item()) if not isinstance(value, numpy.longdouble) else plain(float(value))
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    if hasattr(value, "model_dump"):
        return plain(value.model_dump())
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if type(value).__str__ is object.__str__ and type(value).__repr__ is object.__repr__:
        raise TypeError(f"Cannot write a value of type {type(value).__name__} as JSON: it has no text form.")
    return str(value)


def _rows(frame: Any) -> list[dict[str, Any]]:
    """Return each row of a DataFrame as a dict: column → plain value.

    The index also becomes a column, called "name" if it has no name. An unnamed range of row numbers is left out.
    """
    names = [_name(name) for name in frame.columns]
    columns = [frame.iloc[:, number] for number in range(len(names))]
    index = frame.index
    if not (type(index).__name__ == "RangeIndex" and index.name is None):
        for level in reversed(range(index.nlevels)):
            names.insert(0, _name(index.names[level]) if index.names[level] is not None else "name")
            columns.insert(0, index.get_level_values(level))
    names = list(_distinct(names))
    return [{name: plain(part) for name, part in zip(names, row, strict=True)} for row in zip(*columns, strict=True)]


def _distinct(names: Iterable[str]) -> Iterable[str]:
    """Yield names, adding a number to repeated ones, because a JSON object keeps one value per name."""
    given: set[str] = set()
    for name in names:
        number, distinct = 1, name
        while distinct in given:
            number += 1
            distinct = f"{name} {number}"
        given.add(distinct)
        yield distinct


def _name(value: Any) -> str:
    """Return the name of an object's member: a text unchanged, any other value as JSON writes it, such as null."""
    value = plain(value)
    return value if isinstance(value, str) else json.dumps(value)
