"""Dates that Neo4j can store but Python cannot represent: before the year 1, after 9999, or in an unknown time zone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import neo4j

_DAYS = b"D"  # the driver's tag for a date without a time


@dataclass(frozen=True, repr=False)
class FarTime:
    """A stand-in for a date that Python cannot represent. It has only the date's text, for messages.

    Attributes:
        text: the date in UTC, such as "-9999-12-31T00:00:00", or "a value that the driver cannot read (…)".
    """

    text: str

    @property
    def year(self) -> str:
        """The year, as text."""
        return self.text[:1] + self.text[1:].partition("-")[0]

    def iso_format(self) -> str:
        """Return the date as text."""
        return self.text

    def __repr__(self) -> str:
        return self.text


def data_of(result: neo4j.Result) -> list[dict[str, Any]]:
    """Return the rows of a result. Each date that Python cannot represent is replaced by a `FarTime`."""
    return [_data(record) for record in result]


def readable(value: Any) -> Any:
    """Return a value with each date that the driver could not read replaced by a `FarTime`, also in lists and maps."""
    if isinstance(value, list):
        return [readable(each) for each in value]
    if isinstance(value, dict):
        return {key: readable(each) for key, each in value.items()}
    raw = getattr(value, "raw_data", None)  # only the driver's stand-in for an unreadable value has this attribute
    return value if raw is None else FarTime(_text(raw.tag, raw.fields))


def _data(record: neo4j.Record) -> dict[str, Any]:
    from neo4j.exceptions import BrokenRecordError

    try:
        return record.data()
    except BrokenRecordError:
        return {key: readable(value) for key, value in zip(record.keys(), tuple.__iter__(record), strict=True)}


def _text(tag: bytes, fields: list[Any]) -> str:
    try:
        return str(np.datetime64(int(fields[0]), "D" if tag == _DAYS else "s"))
    except (IndexError, TypeError, ValueError, OverflowError):
        return f"a value that the driver cannot read ({', '.join(map(str, fields))})"
