"""The placeholders that replace the keys of erased people in a run."""

from __future__ import annotations

import re

import numpy as np

ERASED_USER, ERASED_ITEM = "(erased {})", "(erased item {})"
"""{} is the user or item index."""
_ERASED = re.compile(r"\(erased (item )?\d+\)")


def is_erased(key: object) -> bool:
    """Return whether a key is a placeholder for an erased person's key."""
    return isinstance(key, str) and _ERASED.fullmatch(key) is not None


def erased(keys: np.ndarray) -> np.ndarray:
    """Return for each key whether it is a placeholder, bool (n,); see `is_erased`."""
    return np.fromiter(map(is_erased, keys), dtype=bool, count=len(keys))
