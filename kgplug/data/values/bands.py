"""Names for ranges of numbers: bands with about equally many values, and decades of years."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

import numpy as np

_SLACK = 0.1  # an edge may be off by this share of a band, so that it can be a round number


def bands_of(values: np.ndarray, n: int) -> tuple[np.ndarray, list[str]]:
    """Divide numbers into about `n` bands that hold about equally many of them, and name each band by its range.

    The band "10–20" holds 10, but not 20. The lowest band is "below 10", the highest "20 or more". The edges are round
    numbers near the quantiles k / n, so they change little when numbers are added. Equal numbers are always in the same
    band. A number that alone would fill a band has one of its own, and a band of equal numbers has this number as its
    name. There are at most half as many bands as numbers.

    Args:
        values: float64 (m,), finite.
        n: number of bands, at least 1.

    Returns:
        (codes, names): int64 (m,), the index of each number's band in `names`; the names, in ascending order of the
        bands.
    """
    if len(values) == 0:
        return np.empty(0, dtype=np.int64), []
    ordered = np.sort(values)
    edges = _edges(ordered, min(n, max(1, len(values) // 2)))
    numbers = np.searchsorted(edges, values, side="right")  # (m,), with gaps if a band is empty
    used, codes = np.unique(numbers, return_inverse=True)
    first = np.searchsorted(ordered, edges)  # position of each edge among the numbers
    lowest = ordered[np.concatenate([[0], first])[used]]
    highest = ordered[np.concatenate([first, [len(ordered)]])[used] - 1]
    return codes.astype(np.int64), [
        _number(low) if low == high else _range(edges, int(band), float(low), float(high))
        for band, low, high in zip(used, lowest, highest, strict=True)
    ]


def decade_of(year: int) -> str:
    """Return the name of a year's decade: 1994 gives "1990s"."""
    return f"{year // 10 * 10}s"


def _edges(ordered: np.ndarray, n: int) -> np.ndarray:
    """Return the numbers between neighbouring bands, float64, ascending. Each is the lowest number of the upper band.

    Args:
        ordered: float64 (m,), ascending.
        n: number of bands.
    """
    m = len(ordered)
    starts = np.flatnonzero(np.diff(ordered, prepend=-np.inf))  # position of the first of each group of equal numbers
    sizes, distinct = np.diff(starts, append=m), ordered[starts]
    large = np.flatnonzero(n * sizes >= m)  # groups that fill a band of their own
    borders = {int(group) for group in (*large, *(large + 1)) if 0 < group < len(starts)}
    edges = {_roundest(distinct[group - 1], distinct[group]) for group in borders}
    for k in range(1, n):
        near = [int(m * (k + off) / n) for off in (-_SLACK, _SLACK)]  # positions around the quantile
        low, high = np.searchsorted(starts, near, side="right") - 1
        if low not in large and high not in large and high > 0:
            edges.add(_roundest(distinct[min(low, high - 1)], distinct[high]))
    return np.array(sorted(edges), dtype=np.float64)


def _roundest(low: float, high: float) -> float:
    """Return the number with the fewest digits that is above `low` and at most `high`; of several, the highest."""
    above, value = Decimal(repr(float(low))), Decimal(repr(float(high)))
    for exponent in range(max(above.adjusted(), value.adjusted()) + 1, -400, -1):
        found = value.quantize(Decimal((0, (1,), exponent)), rounding=ROUND_FLOOR)
        if found > above:
            return float(found)
    raise AssertionError("unreachable: `high` itself has fewer than 400 digits")


def _range(edges: np.ndarray, band: int, low: float, high: float) -> str:
    if len(edges) == 0:
        return f"{_number(low)}–{_number(high)}"
    if band == 0:
        return f"below {_number(edges[0])}"
    if band == len(edges):
        return f"{_number(edges[-1])} or more"
    return f"{_number(edges[band - 1])}–{_number(edges[band])}"


def _number(value: float) -> str:
    """Return a number as its shortest exact text: 10.0 gives "10"."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e16 else repr(float(value))
