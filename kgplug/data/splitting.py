"""Assign feedback rows to training, validation and test parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from kgplug.errors import DataError, UsageError


def split_rows(
    users: np.ndarray,
    timestamps: np.ndarray | None,
    *,
    fractions: Sequence[float],
    seed: int,
    by: str,
    order: str,
) -> np.ndarray:
    """Return the part number of each row, int64 (n,).

    Within a group (a user, or all rows) the first f·n rows, rounded, in the chosen order go to
    part 0, and so on by cumulative shares; so the parts of one group differ from the exact
    shares by less than one row, and nobody's rows get lost. Equal times stand in random order.

    Raises:
        UsageError: fractions do not add up to 1, or a word is unknown.
        DataError: `order="time"` without timestamps.
    """
    check_fractions(fractions)
    shares = np.asarray(fractions, dtype=np.float64)
    if by not in ("user", "row"):
        raise UsageError(f'Split by "user" or "row", not "{by}".')
    if order not in ("random", "time"):
        raise UsageError(f'Split order is "random" or "time", not "{order}".')
    if order == "time" and timestamps is None:
        raise DataError("A split by time needs timestamps, and these interactions have none; use order='random'.")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise UsageError(f"The seed of a split is a whole number from 0 on; found {seed!r}.")
    rng = np.random.default_rng(seed)
    n = len(users)
    rank = rng.permutation(n)
    if order == "time":
        rank[np.lexsort((rank, np.asarray(timestamps)))] = np.arange(n)
    group = np.asarray(users, dtype=np.int64) if by == "user" else np.zeros(n, dtype=np.int64)
    sequence = np.argsort(group * np.int64(n) + rank)
    sizes = np.bincount(group, minlength=1) if n else np.zeros(1, dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    position = np.empty(n, dtype=np.int64)
    position[sequence] = np.arange(n) - starts[group[sequence]]
    # Halves go up: np.rint would let two cuts part by a whole row more than their share.
    cuts = np.floor(np.cumsum(shares)[:-1][:, None] * sizes[None, :] + 0.5).astype(np.int64)  # (parts - 1, groups)
    return (position[None, :] >= cuts[:, group]).sum(axis=0)


def check_fractions(fractions: Sequence[float]) -> None:
    """Raise UsageError unless there are two shares or more, none negative, that add up to 1."""
    shares = np.asarray(fractions, dtype=np.float64)
    if len(shares) < 2 or (shares < 0).any() or not np.isclose(shares.sum(), 1.0):
        found = ", ".join(f"{share:g}" for share in shares)
        raise UsageError(f"Split fractions must be at least two, not negative, and add up to 1; found {found}.")


def hashed(keys: np.ndarray) -> np.ndarray:
    """Return a number for each key or name that is the same on every machine: object (n,) → uint64 (n,)."""
    return pd.util.hash_array(np.asarray(keys).astype(str).astype(object))  # type: ignore[attr-defined]


def mixed(numbers: np.ndarray) -> np.ndarray:
    """Scatter numbers evenly, uint64 (n,) → uint64 (n,) (finaliser of SplitMix64: Steele et al., OOPSLA 2014)."""
    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
