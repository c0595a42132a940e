"""Several rows of feedback for one user and item: what becomes of them."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from kgplug.errors import DataError, UsageError

Repeated = Literal["last", "sum", "mean", "count"]  # what the rating of a pair with several rows is
REPEATED: tuple[Repeated, ...] = get_args(Repeated)


def last_of_each(pairs: np.ndarray, timestamps: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return (the latest row of each pair, how many rows it has), pairs ascending; counts are None if all are 1."""
    order = np.argsort(pairs)  # not stable, which matters to repeated pairs only
    last = np.ones(len(order), dtype=bool)
    last[:-1] = pairs[order][1:] != pairs[order][:-1]
    if last.all():
        return order, None
    repeated = ~last | np.concatenate([[False], ~last[:-1]])
    rows = order[repeated]
    when = np.zeros(len(rows)) if timestamps is None else np.asarray(timestamps)[rows]
    order[repeated] = rows[np.lexsort((rows, when, pairs[rows]))]  # of equal times the last row stays
    return order[last], np.diff(np.flatnonzero(last), prepend=-1)


def how_merged(repeated: Repeated | None, ratings: np.ndarray | None, counts: np.ndarray | None) -> Repeated | None:
    """Return how the ratings of repeated pairs are merged, None where each pair keeps what its last row has."""
    if repeated is not None and repeated not in REPEATED:
        raise UsageError(f"repeated: expected one of {', '.join(REPEATED)}, found {repeated!r}.")
    if repeated in ("sum", "mean") and ratings is None:
        raise UsageError(f'repeated="{repeated}" needs ratings. Give them, or use repeated="count".')
    if repeated is None and ratings is None and counts is not None:
        return "count"
    return None if repeated == "last" or (repeated in ("sum", "mean") and counts is None) else repeated


def merged_ratings(
    how: Repeated, pairs: np.ndarray, kept: np.ndarray, counts: np.ndarray | None, ratings: np.ndarray | None
) -> np.ndarray:
    """Return the ratings of pairs, float32 (n_pairs,).

    Args:
        how: "sum", "mean" or "count".
        pairs: int64 (n,), of all rows.
        kept: int64 (n_pairs,), ascending.
        counts: int64 (n_pairs,), or None if all are 1.
        ratings: float32 (n,), or None with "count".
    """
    if ratings is None or how == "count":
        return np.ones(len(kept), dtype=np.float32) if counts is None else counts.astype(np.float32)
    sums = np.bincount(np.searchsorted(kept, pairs), weights=ratings, minlength=len(kept))
    with np.errstate(over="ignore"):
        merged = (sums if how == "sum" or counts is None else sums / counts).astype(np.float32)
    if not np.isfinite(merged).all():
        raise DataError('Interactions: the sum of a pair\'s ratings is too large for float32. Use repeated="mean".')
    return merged
