"""Times since 1970 as integers in one unit, as precise as their source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from kgplug.errors import DataError, UsageError

TimeUnit = Literal["s", "ms", "us", "ns"]
UNITS: tuple[TimeUnit, ...] = get_args(TimeUnit)  # coarsest first
NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_TO_NANOSECONDS: dict[TimeUnit, int] = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
# Each unit and the smallest number in it. A number is in the unit of the first entry whose minimum it reaches.
SMALLEST: tuple[tuple[TimeUnit, float], ...] = (("ns", 1e17), ("us", 1e14), ("ms", 1e11), ("s", 0.0))
_BILLION = 10**9
_EXACT = 2.0**53  # from here on, all floats are whole numbers


@dataclass(frozen=True, eq=False)
class Times:
    """Times since the start of 1970 in UTC.

    Attributes:
        values: int64 (n,), in `unit`.
        unit: "s", "ms", "us" or "ns".
    """

    values: np.ndarray
    unit: TimeUnit

    @property
    def dates(self) -> np.ndarray:
        """The times as datetime64 (n,) in `unit`."""
        return self.values.view(f"datetime64[{self.unit}]")

    def range(self) -> str:
        """Return the first and the last time as text, such as "2001-09-09T01:46:40 to 2020-01-01T00:00:00"."""
        return f"{self.dates.min()} to {self.dates.max()}" if len(self.values) else "none"


def check_unit(unit: object) -> TimeUnit:
    """Return a valid unit unchanged.

    Raises:
        UsageError: the unit is not one of UNITS.
    """
    if not isinstance(unit, str) or unit not in UNITS:
        raise UsageError(f"time_unit: expected one of {', '.join(UNITS)}, found {unit!r}.")
    return unit


def per_day(unit: TimeUnit) -> float:
    """Return the number of units in a day."""
    return 86_400 * _BILLION / _TO_NANOSECONDS[unit]


def in_one_unit(several: Sequence[Times]) -> list[Times]:
    """Return several arrays of times (at least one) in the finest of their units.

    A time that is too early or too late for 64 bits in this unit is moved to the end of the range.
    """
    unit: TimeUnit = next(unit for unit in reversed(UNITS) if any(times.unit == unit for times in several))
    converted: list[Times] = []
    for times in several:
        factor = _TO_NANOSECONDS[times.unit] // _TO_NANOSECONDS[unit]
        limit = (2**63 - 1) // factor
        converted.append(Times(np.clip(times.values, -limit, limit) * np.int64(factor), unit))
    return converted


def times_from_unit(values: np.ndarray, unit: TimeUnit) -> Times:
    """Return times in the coarsest unit in which all of them are whole numbers.

    Args:
        values: int64 (n,).
        unit: unit of the values.
    """
    for coarser in UNITS[: UNITS.index(unit)]:
        factor = _TO_NANOSECONDS[coarser] // _TO_NANOSECONDS[unit]
        if not (values % factor).any():
            return Times(values // factor, coarser)
    return Times(values, unit)


def times_from_parts(seconds: np.ndarray, nanoseconds: np.ndarray) -> Times:
    """Return times in the coarsest unit in which all of them are whole numbers.

    Nanoseconds in 64 bits cover the years 1677 to 2262. If any time needs nanoseconds, each time outside this range is
    replaced by a time near the end of the range. The order of the times does not change.

    Args:
        seconds: int64 (n,), since 1970, rounded down.
        nanoseconds: int64 (n,), from 0 to 999,999,999.
    """
    unit: TimeUnit = next(unit for unit in UNITS if not (nanoseconds % _TO_NANOSECONDS[unit]).any())
    per_second = _BILLION // _TO_NANOSECONDS[unit]
    limit = (2**63 - 1) // per_second - 1
    fits = (seconds >= -limit) & (seconds <= limit)
    values = np.where(fits, seconds, 0) * np.int64(per_second) + nanoseconds // _TO_NANOSECONDS[unit]
    for far, end in ((seconds > limit, 2**63 - 1), (seconds < -limit, -(2**63) + 1)):
        if far.any():
            order = np.lexsort((nanoseconds[far], seconds[far]))
            pairs = np.stack([seconds[far][order], nanoseconds[far][order]])
            rank = np.empty(len(order), dtype=np.int64)
            rank[order] = np.concatenate([[0], np.cumsum((pairs[:, 1:] != pairs[:, :-1]).any(axis=0))])
            values[far] = end - (rank.max() - rank if end > 0 else -rank)
    return Times(values, unit)


def parts_of_numbers(numbers: np.ndarray, *, name: str, unit: TimeUnit | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Convert Unix times to (seconds, nanoseconds) since 1970, each int64 (n,), for `times_from_parts`.

    Without `unit`, the unit is derived from the size of the numbers: seconds up to 1e11 (the year 5138), milliseconds
    up to 1e14, microseconds up to 1e17, nanoseconds above. All numbers of a column must have the same unit.

    Args:
        numbers: int64 or float64 (n,), finite, of an absolute value below 2^63.
        name: name of the column or property, for error messages.
        unit: unit of the numbers; None: derived from their sizes.

    Raises:
        DataError: the numbers' sizes belong to several units.
    """
    unit = _unit_of(numbers, name) if unit is None else unit
    size = _TO_NANOSECONDS[unit]
    per_second = _BILLION // size
    if numbers.dtype.kind == "i":
        seconds, left = np.divmod(numbers, np.int64(per_second))
        return seconds, left * size
    floors = np.floor(numbers)
    seconds, left = np.divmod(floors.astype(np.int64), np.int64(per_second))
    fraction = numbers - floors  # float precision: a quarter of a microsecond for today's time in seconds
    step = 1 if float(np.abs(numbers).max(initial=0.0)) * size < _EXACT else 1000  # nanoseconds
    nanoseconds = left * size + np.rint(fraction * size / step).astype(np.int64) * step
    return seconds + nanoseconds // _BILLION, nanoseconds % _BILLION


def times_from_numbers(numbers: np.ndarray, *, name: str, unit: TimeUnit | None = None) -> Times:
    """Return Unix times (numbers since 1970) as `Times`. For the arguments see `parts_of_numbers`."""
    return times_from_parts(*parts_of_numbers(numbers, name=name, unit=unit))


def _unit_of(numbers: np.ndarray, name: str) -> TimeUnit:
    """Return the one unit that the sizes of all numbers suggest; a zero fits any unit. For errors see `the_unit`."""
    sizes = np.abs(numbers.astype(np.float64))
    left = sizes > 0
    found: dict[TimeUnit, tuple[int, float]] = {}
    for unit, smallest in SMALLEST:
        rows = np.flatnonzero(left & (sizes >= smallest))
        if len(rows):
            found[unit] = (len(rows), numbers[rows[0]].item())
            left[rows] = False
    return the_unit(found, name)


def _whole(number: float) -> str:
    """Return a number as text without its fraction; integers exactly, even if they are too large for a float."""
    return str(number) if isinstance(number, int) else f"{number:.0f}"


def the_unit(found: dict[TimeUnit, tuple[int, float]], name: str) -> TimeUnit:
    """Return the only unit that was found; seconds if none was.

    Args:
        found: unit → (number of values of that unit, one of the values).
        name: name of the column or property.

    Raises:
        DataError: several units were found.
    """
    if len(found) > 1:
        units = sorted(found, key=UNITS.index)
        each = "; ".join(f"{found[unit][0]:,} in {NAMES[unit]}, such as {_whole(found[unit][1])}" for unit in units)
        raise DataError(
            f'"{name}": expected numbers in one unit of time, found {each}. Correct them, store dates instead of '
            'numbers, or set time_unit = "s", "ms", "us" or "ns".'
        )
    units: list[TimeUnit] = [*found, "s"]
    return units[0]
