"""Merge several rows of feedback for one user and item."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from kgplug.errors import DataError, UsageError

Repeated = Literal["last", "sum", "mean", "count"]  # how the ratings of a pair's rows are merged
REPEATED: tuple[Repeated, ...] = get_args(Repeated)


def latest_rows(pairs: np.ndarray, timestamps: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the latest row of each pair, in ascending order of pairs.

    Args:
        pairs: int64 (n,), for each row a number that identifies its (user, item) pair.
        timestamps: (n,), or None. If times are equal or missing, the last row counts as the latest.

    Returns:
        (rows, counts), int64 (n_pairs,) each: position of the latest row of each pair, and number of rows of each
        pair. `counts` is None if all are 1.
    """
    order = np.argsort(pairs)  # not stable; rows of repeated pairs are sorted again below
    last = np.ones(len(order), dtype=bool)
    last[:-1] = pairs[order][1:] != pairs[order][:-1]
    if last.all():
        return order, None
    repeated = ~last | np.concatenate([[False], ~last[:-1]])
    rows = order[repeated]
    when = np.zeros(len(rows)) if timestamps is None else np.asarray(timestamps)[rows]
    order[repeated] = rows[np.lexsort((rows, when, pairs[rows]))]  # if times are equal, the last row stays
    return order[last], np.diff(np.flatnonzero(last), prepend=-1)


def merge_rule(repeated: Repeated | None, ratings: np.ndarray | None, counts: np.ndarray | None) -> Repeated | None:
    """Return how to merge the ratings of repeated pairs: "sum", "mean" or "count"; None if there is nothing to merge.

    There is nothing to merge if each pair keeps the rating of its latest row ("last"), or if the rule is "sum" or
    "mean" and no pair is repeated.

    Args:
        repeated: the caller's choice: "last", "sum", "mean" or "count". If the caller made none (None), the rule is
            "count" if there are no ratings and a pair is repeated, otherwise "last".
        ratings: ratings of the rows; None if there are none.
        counts: number of rows of each pair, from `latest_rows`; None if no pair is repeated.

    Raises:
        UsageError: `repeated` is another word, or is "sum" or "mean" without ratings.
    """
    if repeated is not None and repeated not in REPEATED:
        raise UsageError(f"repeated: expected one of {', '.join(REPEATED)}, found {repeated!r}.")
    if repeated in ("sum", "mean") and ratings is None:
        raise UsageError(f'repeated="{repeated}" needs ratings. Give them, or use repeated="count".')
    if repeated is None and ratings is None and counts is not None:
        return "count"
    return None if repeated == "last" or (repeated in ("sum", "mean") and counts is None) else repeated


def merge_ratings(
    how: Repeated, pairs: np.ndarray, kept: np.ndarray, counts: np.ndarray | None, ratings: np.ndarray | None
) -> np.ndarray:
    """Return the merged ratings of pairs, float32 (n_pairs,).

    Args:
        how: "sum", "mean" or "count".
        pairs: int64 (n,), the pair of each row.
        kept: int64 (n_pairs,), the distinct pairs, ascending.
        counts: int64 (n_pairs,), number of rows of each pair; None if all are 1.
        ratings: float32 (n,); ignored, and may be None, with "count".

    Raises:
        DataError: a sum is too large for float32.
    """
    if ratings is None or how == "count":
        return np.ones(len(kept), dtype=np.float32) if counts is None else counts.astype(np.float32)
    sums = np.bincount(np.searchsorted(kept, pairs), weights=ratings, minlength=len(kept))
    with np.errstate(over="ignore"):
        merged = (sums if how == "sum" or counts is None else sums / counts).astype(np.float32)
    if not np.isfinite(merged).all():
        raise DataError('Interactions: the sum of a pair\'s ratings is too large for float32. Use repeated="mean".')
    return merged
