"""Combine several kinds of feedback, such as views and purchases, into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kgplug.data.interactions import Interactions
from kgplug.data.repeated import as_weights
from kgplug.data.values.columns import as_number
from kgplug.data.values.keys import distinct
from kgplug.data.values.times import Times, in_one_unit
from kgplug.errors import UsageError


def combine_kinds(kinds: Sequence[Interactions], strengths: Sequence[float]) -> Interactions:
    """Combine several kinds of feedback of the same users on the same items: one row per pair.

    The weight of a pair is Σ strength · weight, summed over the kinds that have the pair. A pair is a like if it is a
    like in any kind, and a dislike if all kinds that have it say so. If there are dislikes, the ratings are 1 for likes
    and 0 for dislikes, with `like_threshold` 1; otherwise there are no ratings. A pair's timestamp is the latest of all
    kinds, and its count the sum of the counts. There are timestamps only if all kinds have them.

    A single kind keeps its ratings; only its weights are multiplied by its strength.

    Args:
        kinds: at least one kind, with the same keys as the others. Labels and texts are those of the first kind.
        strengths: number above 0 for each kind. Only their ratios matter to models.

    Raises:
        UsageError: there is no kind, the kinds have different keys, or a strength is not a number above 0.
        DataError: a weight is too large for float32.
    """
    factors = _check(kinds, strengths)
    weights = [
        factor * (np.ones(len(kind)) if kind.weights is None else kind.weights.astype(np.float64))
        for kind, factor in zip(kinds, factors, strict=True)
    ]
    first = kinds[0]
    if len(kinds) == 1:
        return replace(first, weights=as_weights(weights[0]))
    every = np.concatenate([kind.pairs for kind in kinds])
    pairs = distinct(every)
    place = np.searchsorted(pairs, every)
    n = len(pairs)
    is_like = np.bincount(place, weights=np.concatenate([kind.is_like for kind in kinds]), minlength=n) > 0
    counts = np.bincount(
        place, weights=np.concatenate([np.ones(len(k)) if k.counts is None else k.counts for k in kinds]), minlength=n
    ).astype(np.int64)
    times = _latest(kinds, place, n)
    return replace(
        first,
        users=pairs // max(first.n_items, 1),
        items=pairs % max(first.n_items, 1),
        ratings=None if is_like.all() else is_like.astype(np.float32),
        like_threshold=None if is_like.all() else 1.0,
        timestamps=None if times is None else times.values,
        time_unit="s" if times is None else times.unit,
        counts=None if (counts == 1).all() else counts,
        ratings_are_counts=False,
        weights=as_weights(np.bincount(place, weights=np.concatenate(weights), minlength=n)),
    )


def _latest(kinds: Sequence[Interactions], place: np.ndarray, n: int) -> Times | None:
    """Return the latest time of each of n pairs; None if a kind has no times.

    Args:
        kinds: the kinds, with m rows together.
        place: int64 (m,), the pair of each row.
        n: number of pairs.
    """
    given = [Times(kind.timestamps, kind.time_unit) for kind in kinds if kind.timestamps is not None]
    if len(given) < len(kinds):
        return None
    times = in_one_unit(given)
    latest = np.full(n, np.iinfo(np.int64).min)
    np.maximum.at(latest, place, np.concatenate([each.values for each in times]))
    return Times(latest, times[0].unit)


def _check(kinds: Sequence[Interactions], strengths: Sequence[float]) -> list[float]:
    """Check the arguments of `combine_kinds`, and return the strengths as floats."""
    if not kinds or len(kinds) != len(strengths):
        raise UsageError(
            f"combine_kinds: expected at least one kind and a strength for each, found {len(kinds)} kinds and "
            f"{len(strengths)} strengths."
        )
    if not all(kind.same_keys(kinds[0].user_keys, kinds[0].item_keys) for kind in kinds[1:]):
        raise UsageError("combine_kinds: expected kinds with the same user and item keys, found different keys.")
    factors = list[float]()
    for strength in strengths:
        factor = as_number(strength)
        if factor is None or not 0 < factor < np.inf:
            raise UsageError(f"strength: expected a number above 0, found {strength!r}.")
        factors.append(factor)
    return factors
