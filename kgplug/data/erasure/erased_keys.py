"""Keys that replace those of erased people in a run."""

from __future__ import annotations

import re

import numpy as np

ERASED_USER, ERASED_ITEM = "(erased {})", "(erased item {})"
"""{} is the user or item index."""
_ERASED = re.compile(r"\(erased (item )?\d+\)")


def is_erased(key: object) -> bool:
    """Return whether a key replaces that of an erased person."""
    return isinstance(key, str) and _ERASED.fullmatch(key) is not None


def erased(keys: np.ndarray) -> np.ndarray:
    """Return which keys replace those of erased persons, bool (n,)."""
    return np.fromiter(map(is_erased, keys), dtype=bool, count=len(keys))
