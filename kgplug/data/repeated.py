"""Merge several rows of feedback for one user and item."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from kgplug.data.values.columns import as_number
from kgplug.data.values.times import TimeUnit, per_day
from kgplug.errors import DataError, UsageError

Repeated = Literal["last", "sum", "mean", "max", "count", "decay"]  # how a pair's rows are merged
REPEATED: tuple[Repeated, ...] = get_args(Repeated)
_LEAST_WEIGHT = float(np.finfo(np.float32).tiny)  # smaller weights are raised to this


@dataclass(frozen=True, eq=False)
class Merged:
    """One row per pair, in ascending order of pairs.

    Attributes:
        rows: int64 (n_pairs,), position of the latest source row of each pair.
        counts: int64 (n_pairs,), number of source rows of each pair; None if all are 1.
        ratings: float32 (n_pairs,), or None.
        weights: float32 (n_pairs,), or None if all are 1.
        ratings_are_counts: whether each rating is the number of source rows.
    """

    rows: np.ndarray
    counts: np.ndarray | None
    ratings: np.ndarray | None
    weights: np.ndarray | None
    ratings_are_counts: bool


def merge_rows(
    pairs: np.ndarray,
    ratings: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    timestamps: np.ndarray | None = None,
    *,
    repeated: Repeated | None = None,
    half_life: float | None = None,
    time_unit: TimeUnit = "s",
) -> Merged:
    """Merge the rows of each pair into one row, as `Interactions.from_arrays` describes.

    Args:
        pairs: int64 (n,), for each row a number that identifies its (user, item) pair.
        ratings: float32 (n,), or None.
        weights: float32 (n,), or None if all are 1.
        timestamps: number (n,), or None.
        repeated: the rule; None: "last" if there are ratings, otherwise "count" if a pair is repeated.
        half_life: in days, for the rule "decay".
        time_unit: unit of the timestamps.

    Raises:
        UsageError: the rule is unknown, or lacks the ratings, weights, timestamps or half-life that it needs.
        DataError: a sum is too large for float32.
    """
    half_life = _check(repeated, half_life, ratings, weights, timestamps)
    rows, counts = latest_rows(pairs, timestamps)
    rule = repeated or ("count" if ratings is None and counts is not None else "last")
    groups = _Groups(pairs, rows, counts)
    if rule == "decay":
        assert half_life is not None and timestamps is not None
        ages = _ages(timestamps) / (half_life * per_day(time_unit))  # in half-lives
        merged = groups.decayed(ratings, weights, ages)
    else:
        of_weights = "sum" if rule == "count" else rule
        merged = groups.merged(rule, ratings, "ratings"), groups.merged(of_weights, weights, "weights")
    return Merged(rows, counts, *merged, ratings_are_counts=rule == "count")


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


class _Groups:
    """The rows of each pair.

    Args:
        pairs: int64 (n,), the pair of each row.
        rows, counts: as `latest_rows` returns them.
    """

    def __init__(self, pairs: np.ndarray, rows: np.ndarray, counts: np.ndarray | None) -> None:
        self._pairs, self._rows, self._counts = pairs, rows, counts

    @cached_property
    def _group(self) -> np.ndarray:
        """Position of each row's pair among the distinct pairs, int64 (n,)."""
        return np.searchsorted(self._pairs[self._rows], self._pairs)

    def merged(self, rule: Repeated, values: np.ndarray | None, what: str) -> np.ndarray | None:
        """Return the merged values of pairs, float32 (n_pairs,); None without values, except with "count".

        `what` names the values in error messages.
        """
        if rule == "count":
            return np.ones(len(self._rows), np.float32) if self._counts is None else self._counts.astype(np.float32)
        if values is None or rule == "last" or self._counts is None:
            return None if values is None else values[self._rows]
        if rule == "max":
            order = np.argsort(self._group, kind="stable")
            return np.maximum.reduceat(values[order], np.cumsum(self._counts) - self._counts)
        sums = self._sum(values)
        return _as_float32(sums if rule == "sum" else sums / self._counts, what)

    def decayed(
        self, ratings: np.ndarray | None, weights: np.ndarray | None, ages: np.ndarray
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """Return the decayed mean of the ratings, and the decayed sum of the weights, float32 (n_pairs,) each.

        Args:
            ratings, weights: float32 (n,), or None.
            ages: float64 (n,), age of each row in half-lives.
        """
        latest = ages[self._rows]  # (n_pairs,)
        shares = np.exp2(latest[self._group] - ages) * (1.0 if weights is None else weights.astype(np.float64))
        sums = self._sum(shares)  # positive, because the latest row of a pair does not decay
        means = None if ratings is None else _as_float32(self._sum(shares * ratings) / sums, "ratings")
        return means, as_weights(sums * np.exp2(-latest))

    def _sum(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self._group, weights=values, minlength=len(self._rows))


def _check(
    repeated: Repeated | None,
    half_life: float | None,
    ratings: np.ndarray | None,
    weights: np.ndarray | None,
    timestamps: np.ndarray | None,
) -> float | None:
    """Check that the rule has what it needs, and return the half-life as a float."""
    if repeated is not None and repeated not in REPEATED:
        raise UsageError(f"repeated: expected one of {', '.join(REPEATED)}, found {repeated!r}.")
    if repeated in ("sum", "mean", "max") and ratings is None and weights is None:
        raise UsageError(f'repeated="{repeated}" needs ratings or weights. Give them, or use repeated="count".')
    if repeated == "decay" and timestamps is None:
        raise UsageError('repeated="decay" needs timestamps. Give them, or use repeated="sum".')
    if (repeated == "decay") != (half_life is not None):
        raise UsageError(
            'repeated="decay" needs half_life, a number of days.'
            if half_life is None
            else f'half_life is used only with repeated="decay"; found repeated={repeated!r}.'
        )
    if half_life is None:
        return None
    days = as_number(half_life)
    if days is None or not 0 < days < np.inf:
        raise UsageError(f"half_life: expected a number of days above 0, found {half_life!r}.")
    return days


def _ages(timestamps: np.ndarray) -> np.ndarray:
    """Return the time from each row to the newest row, float64 (n,)."""
    times = timestamps.astype(np.float64)
    return times.max(initial=-np.inf) - times


def as_weights(merged: np.ndarray) -> np.ndarray:
    """Return positive numbers as weights, float32 (n,). Those too small for float32 become its smallest normal number.

    Raises:
        DataError: a number is too large for float32.
    """
    return _as_float32(np.maximum(merged, _LEAST_WEIGHT), "weights")


def _as_float32(merged: np.ndarray, what: str) -> np.ndarray:
    """Return merged values of pairs as float32 (n_pairs,); `what` names them in the message.

    Raises:
        DataError: a value is too large for float32.
    """
    with np.errstate(over="ignore"):
        values = merged.astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError(f'Interactions: the sum of a pair\'s {what} is too large for float32. Use repeated="mean".')
    return values
