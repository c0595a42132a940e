"""Read the timestamps of relationships exactly, with their unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kgplug.data.values.times import NAMES, SMALLEST, Times, TimeUnit, parts_of_numbers, the_unit, times_from_parts
from kgplug.errors import DataError

if TYPE_CHECKING:
    from kgplug.graph.bolt.connection import Connection

_NOT_A_NUMBER = "0.0 / 0.0"
_LATEST = 2.0**62  # limit for timestamps that are numbers, in any unit
_BILLION = 10**9
_EXACT = 2**53  # whole numbers up to here are exact as floats
_FAR_YEAR = 200_000_000  # Neo4j cannot count the milliseconds of years beyond about 292 million
_YEAR_S = 31_556_952  # average length of a year in the Gregorian calendar, in seconds
_PLAIN = -1  # second part of a timestamp that is a number and is exact in its first part alone


def timestamp_of(value: str) -> str:
    """Return the Cypher expression that reads a timestamp; `value` is the Cypher expression of the stored value.

    For a temporal value, it gives the seconds since 1970, rounded down. It gives a number unchanged, and NaN for
    anything else.
    """
    local = f"datetime({{datetime: {value}, timezone: 'Z'}})"
    day = f"datetime({{date: {value}, timezone: 'Z'}})"
    number = (
        f"toFloatOrNull(CASE WHEN {value} IS :: ZONED DATETIME THEN {_seconds(value)} "
        f"WHEN {value} IS :: LOCAL DATETIME THEN {_seconds(local)} "
        f"WHEN {value} IS :: DATE THEN {_near(day, f'{day}.epochSeconds')} ELSE {value} END)"
    )
    return f"CASE WHEN abs({number}) < {_LATEST!r} THEN {number} ELSE {_NOT_A_NUMBER} END"


def is_timestamp(value: str) -> str:
    """Return the Cypher condition that `timestamp_of` can read a value. It is null if the value is missing."""
    kinds = " OR ".join(f"{value} IS :: {kind} NOT NULL" for kind in ("ZONED DATETIME", "LOCAL DATETIME", "DATE"))
    return f"{kinds} OR abs(toFloatOrNull({value})) < {_LATEST!r}"


def _seconds(date: str) -> str:
    """Return the Cypher expression for a date's seconds since 1970, rounded down.

    Neo4j's `epochSeconds` rounds towards 1970. For earlier dates this is up, so 1 is subtracted there.
    """
    before = f"{date}.nanosecond >= 1000000 AND {date} < datetime({{epochSeconds: 0}})"
    return _near(date, f"{date}.epochSeconds - CASE WHEN {before} THEN 1 ELSE 0 END")


def _near(date: str, seconds: str) -> str:
    """Return a Cypher expression for the seconds from 1970 to a date. It also works for years beyond ±200 million.

    For those years, the seconds are estimated from the year, because Neo4j may fail to compute them.

    Args:
        date: Cypher expression of the date.
        seconds: Cypher expression that computes the seconds for all other years.
    """
    return f"CASE WHEN abs({date}.year) > {_FAR_YEAR} THEN ({date}.year - 1970) * {_YEAR_S} ELSE {seconds} END"


def time_parts_of(value: str) -> tuple[str, str]:
    """Return two Cypher expressions that give two numbers, from which `read_times` restores a timestamp exactly.

    `value` is the Cypher expression of the stored timestamp. One float would be too imprecise for nanoseconds and for
    large whole numbers.
    """
    # A temporal value becomes its seconds since 1970 and its nanoseconds. A number becomes itself and -1. A whole
    # number that is too large to be exact as a float is divided by a billion: it becomes the quotient, and -2 minus the
    # absolute value of the remainder.
    large = f"({value} IS :: INTEGER AND ({value} >= {_EXACT} OR {value} <= -{_EXACT}))"
    whole = f"toIntegerOrNull({value})"
    text = (
        f"({value} IS :: STRING AND NOT {value} CONTAINS '.' AND NOT toLower({value}) CONTAINS 'e' "
        f"AND ({whole} >= {_EXACT} OR {whole} <= -{_EXACT}))"
    )
    first = (
        f"CASE WHEN {large} THEN toFloat({value} / {_BILLION}) WHEN {text} THEN toFloat({whole} / {_BILLION}) "
        f"ELSE {timestamp_of(value)} END"
    )
    second = (
        f"coalesce(CASE WHEN {value} IS :: ZONED DATETIME OR {value} IS :: LOCAL DATETIME THEN {value}.nanosecond "
        f"WHEN {value} IS :: DATE THEN 0 WHEN {large} THEN -2 - abs({value} % {_BILLION}) "
        f"WHEN {text} THEN -2 - abs({whole} % {_BILLION}) END, {_PLAIN})"  # a missing value passes every type test
    )
    return first, second


def read_times(first: np.ndarray, second: np.ndarray, *, name: str, unit: TimeUnit | None) -> Times:
    """Decode timestamps, each from the two numbers that were read for it.

    Args:
        first, second: float64 (n,), finite values of the two expressions from `time_parts_of`.
        name: name of the property, for the message.
        unit: unit of timestamps that are numbers. None: guess it from their magnitude.

    Raises:
        DataError: the numbers seem to have different units.
    """
    temporal = second >= 0
    seconds, nanoseconds = first.astype(np.int64), np.where(temporal, second, 0).astype(np.int64)
    if not temporal.all():
        numbers = _numbers(first[~temporal], second[~temporal])
        seconds[~temporal], nanoseconds[~temporal] = parts_of_numbers(numbers, name=name, unit=unit)
    return times_from_parts(seconds, nanoseconds)


def _numbers(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Decode timestamps that are numbers. Return them as int64 (n,) if all are whole, otherwise as float64 (n,)."""
    if (np.floor(first) != first).any():
        return np.where(second == _PLAIN, first, first * _BILLION)
    whole = first.astype(np.int64)
    rest = np.where(second == _PLAIN, 0, -2 - second).astype(np.int64)
    return np.where(second == _PLAIN, whole, whole * _BILLION + np.sign(whole) * rest)


def kinds_of(first: np.ndarray, second: np.ndarray, *, unit: TimeUnit | None) -> str:
    """Return in words how many timestamps are dates or numbers, and in which unit; arguments as in `read_times`."""
    dated = int(np.count_nonzero(second >= 0))
    rest = len(second) - dated
    if rest and unit is None:
        size = float(np.abs(first * np.where(second < _PLAIN, _BILLION, 1))[second < 0].max())
        unit = next(each for each, smallest in SMALLEST if size >= smallest)
    kinds = ([f"{dated:,} dates"] if dated else []) + ([f"{rest:,} numbers of {NAMES[unit or 's']}"] if rest else [])
    return " and ".join(kinds)


@dataclass(frozen=True)
class FoundTimes:
    """The unit and range of the timestamps of relationships, as text.

    Attributes:
        unit: how many timestamps are dates or numbers, and in which unit, such as "1,000 numbers of seconds".
        range: the first and the last time in UTC; "none" if there are none or they cannot be used.
        problem: why the timestamps cannot be used; None if they can.
    """

    unit: str
    range: str
    problem: str | None = None

    def __str__(self) -> str:
        return self.problem or f"{self.unit}, from {self.range}"


def find_times(connection: Connection, match: str, value: str, *, name: str, unit: TimeUnit | None) -> FoundTimes:
    """Return the unit and range of the timestamps in the database. One query computes them on the server.

    The rules are those of `read_times`.

    Args:
        connection: connection to the database.
        match: pattern of the relationships, followed by its WHERE clause if there is one.
        value: Cypher expression of the property, such as r.`timestamp`.
        name: name of the property, for the message.
        unit: unit of timestamps that are numbers. None: guess it from their magnitude.
    """
    first, second = time_parts_of(value)
    size = f"abs(first) * CASE WHEN second < {_PLAIN} THEN {_BILLION}.0 ELSE 1.0 END"
    sizes = " ".join(f"WHEN {size} >= {smallest!r} THEN '{each}'" for each, smallest in SMALLEST)
    rows = connection.rows(
        f"MATCH {match} WITH {first} AS first, {second} AS second WHERE NOT isNaN(first) "
        f"WITH first, second, CASE WHEN second >= 0 THEN 'date' WHEN first = 0 THEN '' {sizes} END AS kind "
        "RETURN kind, count(*) AS n, min([first, second]) AS earliest, max([first, second]) AS latest"
    )
    ends = np.array([row[end] for row in rows for end in ("earliest", "latest")], dtype=np.float64).reshape(-1, 2)
    numbers: dict[TimeUnit, tuple[int, float]] = {
        row["kind"]: (row["n"], _size(row["latest"])) for row in rows if row["kind"] not in ("date", "")
    }
    if not rows:
        return FoundTimes("no times", "none")
    try:
        used = unit or the_unit(numbers, name)
        times = read_times(ends[:, 0], ends[:, 1], name=name, unit=used)
    except DataError as error:
        return FoundTimes("several units", "none", str(error))
    dated = sum(row["n"] for row in rows if row["kind"] == "date")
    n = sum(row["n"] for row in rows)
    kinds = ([f"{dated:,} dates"] if dated else []) + ([f"{n - dated:,} numbers of {NAMES[used]}"] if n > dated else [])
    return FoundTimes(" and ".join(kinds), times.range())


def _size(parts: list[float]) -> int | float:
    first, second = np.array([parts], dtype=np.float64).T
    return _numbers(first, second)[0].item()
