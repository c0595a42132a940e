"""Which cells of a CSV folder are valid for the type in their header, and how they are sent to Neo4j.

Numbers, booleans and times are accepted as pandas writes them: `1995.0` for a whole number in a column with gaps,
`True`, `2024-01-31 10:00:00+01:00`. The Cypher that converts them is in `kgplug.graph.importing.load_queries`.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import zoneinfo
from collections.abc import Callable

TYPES = ("string", "int", "float", "boolean", "date", "datetime", "localdatetime", "point")
OTHER_NAMES = {"long": "int", "short": "int", "byte": "int", "double": "float", "char": "string"}  # neo4j-admin's names
EXPECTED = {
    "string": "text",
    "int": "a 64-bit integer",
    "float": "a number",
    "boolean": "true or false",
    "date": "a date such as 2024-01-31",
    "datetime": "a date and time such as 2024-01-31T10:00:00+01:00",
    "localdatetime": "a date and time without a zone, such as 2024-01-31T10:00:00",
    "point": "a point such as {latitude: 52.5, longitude: 13.4} or {x: 1, y: 2}",
}
BOOLEANS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}

_INT = re.compile(r"(?P<digits>-?[0-9]{1,19})(?P<fraction>\.0*)?")
_FLOAT = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_INT64 = range(-(2**63), 2**63)
_EXACT = 2**53  # above this, a whole number that was once a float may have changed
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[0-9]{2}:[0-9]{2}(:[0-9]{2})?"
_LOCAL = re.compile(rf"(?P<date>{_DATE})([T ](?P<clock>{_CLOCK})(\.[0-9]{{1,9}})?)?")
_ZONED = re.compile(
    rf"(?P<date>{_DATE})([T ](?P<clock>{_CLOCK})(\.[0-9]{{1,9}})?"
    r"(?P<offset>Z|[+-][0-9]{2}(:?[0-9]{2})?)?(\[(?P<zone>[A-Za-z0-9_+\-/]+)\])?)?"
)
_LARGEST_OFFSET = dt.timedelta(hours=18)
_WKT = re.compile(r"POINT( Z)? ?\((?P<numbers>[-0-9.eE ]*)\)", re.IGNORECASE)
_CRS = {"cartesian": 7203, "cartesian-3d": 9157, "wgs-84": 4326, "wgs-84-3d": 4979}
_CRS_OF = {frozenset("xy"): 7203, frozenset("xyz"): 9157}
_GEOGRAPHIC = (4326, 4979)
_OTHER_COORDINATES = {"longitude": "x", "latitude": "y", "height": "z"}


def is_valid(type_: str, cell: str) -> bool:
    """Return whether a non-empty cell, or one value of a list, is valid for a type."""
    return type_ == "string" or _IS_VALID[type_](cell)


def as_int(cell: str) -> int:
    """Return a valid cell as a whole number; "1995.0" is 1995."""
    return int(cell.partition(".")[0])


def as_sent(type_: str, cell: str) -> str:
    """Return a valid cell as the loading queries expect it: points as "srid x y z", other values unchanged."""
    return " ".join(map(str, _point(cell) or ())) if type_ == "point" and cell else cell


def point_text(value: object) -> object:
    """Return a point of the Neo4j driver as text with its reference system; other values unchanged."""
    srid, numbers = getattr(value, "srid", None), tuple(value) if isinstance(value, tuple) else ()
    if srid is None or not numbers:
        return value
    coordinates = ", ".join(f"{name}: {number}" for name, number in zip("xyz", numbers, strict=False))
    return f"{{{coordinates}, srid: {srid}}}"


def _is_int(cell: str) -> bool:
    match = _INT.fullmatch(cell)
    if match is None or int(match["digits"]) not in _INT64:
        return False
    return match["fraction"] is None or abs(int(match["digits"])) <= _EXACT


def _is_float(cell: str) -> bool:
    return _FLOAT.fullmatch(cell) is not None and math.isfinite(float(cell))


def _is_date(cell: str) -> bool:
    match = _LOCAL.fullmatch(cell)
    return match is not None and match["clock"] is None and _at(match) is not None


def _is_local(cell: str) -> bool:
    match = _LOCAL.fullmatch(cell)
    return match is not None and _at(match) is not None


def _is_zoned(cell: str) -> bool:
    match = _ZONED.fullmatch(cell)
    at = None if match is None else _at(match)
    if match is None or at is None:
        return False
    offset = None if match["offset"] is None else _offset(match["offset"])
    if match["offset"] is not None and offset is None:
        return False
    if match["zone"] is None:
        return True
    try:
        expected = at.replace(tzinfo=zoneinfo.ZoneInfo(match["zone"])).utcoffset()
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError, OverflowError):
        return False
    return match["offset"] is None or offset == expected


def _at(match: re.Match[str]) -> dt.datetime | None:
    """Return the date and time of a cell; None if there is no such date, as with 30 February."""
    try:
        return dt.datetime.fromisoformat(f"{match['date']}T{match['clock'] or '00:00'}")
    except ValueError:
        return None


def _offset(text: str) -> dt.timedelta | None:
    if text == "Z":
        return dt.timedelta(0)
    digits = text[1:].replace(":", "")
    minutes = int(digits[2:] or 0)
    offset = dt.timedelta(hours=int(digits[:2]), minutes=minutes)
    return None if minutes > 59 or offset > _LARGEST_OFFSET else (-offset if text[0] == "-" else offset)


def _point(cell: str) -> tuple[int, ...] | tuple[int | float, ...] | None:
    """Return (srid, x, y) or (srid, x, y, z) of a point in Cypher, neo4j-admin, JSON or WKT syntax; None if invalid."""
    if match := _WKT.fullmatch(cell.strip()):
        numbers = match["numbers"].split()
        parts = dict(zip("xyz", numbers, strict=False)) if len(numbers) in (2, 3) else {}
    else:
        parts = _map(cell)
    crs, srid = parts.pop("crs", None), parts.pop("srid", None)
    known = {name.lower() for name in parts} & set(_OTHER_COORDINATES)
    numbers = {_OTHER_COORDINATES.get(name, name): value for name, value in parts.items()}
    if len(numbers) < len(parts) or not all(map(_is_float, numbers.values())):
        return None
    found = _CRS_OF.get(frozenset(numbers))
    if found is not None and known:
        found = _GEOGRAPHIC[len(numbers) - 2]
    if crs is not None:
        named = _CRS.get(crs.lower())
    elif srid is not None:
        named = int(srid) if srid.isdecimal() and int(srid) in _CRS.values() else None
    else:
        named = found
    if found is None or named is None or (known and named != found) or len(numbers) != 2 + (named in (9157, 4979)):
        return None
    values = tuple(float(numbers[name]) for name in "xyz" if name in numbers)
    if named in _GEOGRAPHIC and (abs(values[0]) > 180 or abs(values[1]) > 90):
        return None
    return named, *values


def _map(cell: str) -> dict[str, str]:
    """Return the entries of a map in braces; {} if the cell is not a map."""
    text = cell.strip()
    if text.lower().startswith("point(") and text.endswith(")"):
        text = text[len("point(") : -1].strip()
    if not (text.startswith("{") and text.endswith("}")):
        return {}
    pairs = [part.partition(":") for part in text[1:-1].split(",")]
    entries = {name.strip(" \"'`"): value.strip(" \"'") for name, colon, value in pairs if colon}
    return entries if len(entries) == len(pairs) else {}


_IS_VALID: dict[str, Callable[[str], bool]] = {
    "int": _is_int,
    "float": _is_float,
    "boolean": lambda cell: cell.lower() in BOOLEANS,
    "date": _is_date,
    "datetime": _is_zoned,
    "localdatetime": _is_local,
    "point": lambda cell: _point(cell) is not None,
}
