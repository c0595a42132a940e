"""Read ratings, which are all numbers or all booleans, and weights, which are numbers above 0."""

from __future__ import annotations

import numpy as np

from kgplug.graph.quoting import LARGEST_RATING, NOT_A_NUMBER, rating_of

__all__ = ["are_booleans", "is_rating", "is_weight", "marked_rating_of", "rating_of", "read_ratings", "weight_of"]

_FALSE, _TRUE = 1e300, 2e300  # codes for booleans while ratings are read; no usable rating is that large


def marked_rating_of(value: str) -> str:
    """Return the Cypher expression that reads a rating so that `read_ratings` can tell booleans from numbers.

    It gives a number unchanged, a special number for true and another for false, and NaN for anything else. `value` is
    the Cypher expression of the stored value.
    """
    number = f"toFloatOrNull({value})"
    boolean = f"CASE toBooleanOrNull({value}) WHEN true THEN {_TRUE!r} WHEN false THEN {_FALSE!r} END"
    return (
        f"CASE WHEN abs({number}) <= {LARGEST_RATING!r} THEN {number} "
        f"ELSE coalesce(CASE WHEN {number} IS NULL THEN {boolean} END, {NOT_A_NUMBER}) END"
    )


def read_ratings(values: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return ratings as numbers, and whether booleans are mixed with numbers other than 0 and 1.

    Args:
        values: float64 (n,), values of the expression from `marked_rating_of`.

    Returns:
        (ratings, mixed): float64 (n,) and bool. A rating is NaN if its value cannot be used; if `mixed`, this includes
        all booleans.
    """
    booleans = values >= _FALSE
    numbers = values[~booleans & ~np.isnan(values)]
    mixed = bool(booleans.any()) and not np.isin(numbers, (0, 1)).all()
    return np.where(booleans, np.nan if mixed else values == _TRUE, values), mixed


def are_booleans(values: np.ndarray) -> bool:
    """Return whether some ratings are booleans; `values` as in `read_ratings`."""
    return bool((values >= _FALSE).any())


def weight_of(value: str) -> str:
    """Return the Cypher expression that reads a weight: a number above 0, otherwise NaN.

    `value` is the Cypher expression of the stored value. Numbers written as text are accepted.
    """
    return f"CASE WHEN {is_weight(value)} THEN toFloatOrNull({value}) ELSE {NOT_A_NUMBER} END"


def is_weight(value: str) -> str:
    """Return the Cypher condition that a value is a usable weight. The condition is null if the value is missing."""
    return f"0 < toFloatOrNull({value}) <= {LARGEST_RATING!r}"


def is_rating(value: str, *, mixed: bool = False) -> str:
    """Return the Cypher condition that a value is a usable rating. The condition is null if the value is missing.

    Args:
        value: Cypher expression of the value.
        mixed: whether to refuse booleans, because the property also holds numbers.
    """
    number = f"abs(toFloatOrNull({value})) <= {LARGEST_RATING!r}"
    return number if mixed else f"{number} OR toBooleanOrNull({value}) IS NOT NULL"
