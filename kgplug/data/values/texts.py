"""Texts of items, such as titles, from the values of a property or column."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real

import numpy as np


def as_text(value: object) -> str:
    """Return a value as text: numbers as printed (4.0 as 4), lists joined by spaces, "" for bytes or no value."""
    if isinstance(value, str):
        return value.strip()
    if value is None or value is np.ma.masked or (isinstance(value, Real) and value != value):  # NaN
        return ""
    if isinstance(value, (list, tuple, np.ndarray)):
        return " ".join(filter(None, map(as_text, value)))
    if isinstance(value, (bytes, bytearray)):
        return ""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    text = str(value)
    return "" if text in ("NaT", "<NA>") else text


def as_texts(values: Iterable[object]) -> np.ndarray:
    """Return values as an array of texts, object (n,)."""
    texts = [as_text(value) for value in values]
    found = np.empty(len(texts), dtype=object)
    found[:] = texts
    return found
