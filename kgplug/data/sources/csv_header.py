"""The first line of a CSV file, and signs of another format: other separators, other encodings."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from kgplug.errors import DataError, UsageError

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
_WRITTEN = {"\\t": "\t", **{name: character for character, name in SEPARATORS.items()}}
_MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_EXCEL = re.compile(r'"?sep=(?P<separator>.)"?[\r\n]*', re.IGNORECASE)
_BEGINNING = 4096  # number of bytes read to detect the encoding


def as_separator(text: str) -> str:
    r"""Return the separator that a user typed: the character, a name such as "tab", or "\t".

    Raises:
        UsageError: the text is not a valid separator.
    """
    character = _WRITTEN.get(text.lower(), text)
    if character not in SEPARATORS:
        valid = ", ".join(f"{shown_separator(each)}" for each in SEPARATORS)
        raise UsageError(f"{text!r} is not a separator. Valid separators: {valid}.")
    return character


def shown_separator(character: str) -> str:
    """Return a separator for a message, e.g. `";" (semicolon)`."""
    written = "\\t" if character == "\t" else character
    return f'"{written}" ({SEPARATORS[character]})'


def check_encoding(path: Path, where: str) -> None:
    """Raise DataError if the beginning of a file looks like UTF-16 or UTF-32, or has NUL bytes."""
    with path.open("rb") as file:
        beginning = file.read(_BEGINNING)
    found = next((name for mark, name in _MARKS if beginning.startswith(mark)), None)
    if found is None and b"\0" in beginning:
        wide = any(half.count(0) > len(half) / 4 for half in (beginning[::2], beginning[1::2]))
        if not wide:
            raise DataError(f"{where} holds NUL bytes; expected text in UTF-8.")
        found = "UTF-16"
    if found is not None:
        raise DataError(f"{where} is {found} text; expected UTF-8. Save it as UTF-8 and import again.")


def read_header(text: TextIO, where: str, separator: str) -> list[str]:
    """Return the names of the columns, without blanks around them.

    Args:
        text: The open file.
        where: Name of the file in messages.
        separator: Separator of the columns.

    Raises:
        DataError: the header is missing or not valid CSV, or another character separates its columns.
    """
    lines = iter(text.readline, "")
    first = next(lines, "")
    if match := _EXCEL.fullmatch(first):
        raise DataError(
            f"{where}, line 1: {first.strip()!r} is Excel's line for the separator, not a header. Remove the line"
            + ("." if match["separator"] == separator else f" and import with {_option(match['separator'])}.")
        )
    if not first:
        raise DataError(f"{where} is empty; expected a header line that names the columns.")
    if not first.strip():
        raise DataError(f"{where}, line 1: the line is blank; expected a header line that names the columns.")
    cells, broken = list[str](), ""
    try:
        cells = next(csv.reader(_chain(first, lines), delimiter=separator, strict=True))
    except csv.Error as error:  # such as quoted names with another separator between them
        broken = str(error)
    counts = {other: _n_columns(first, other) for other in SEPARATORS if other != separator}
    likely = max(counts, key=lambda other: counts[other])
    if counts[likely] > max(len(cells), 1):
        raise DataError(
            f"{where}, line 1: the columns are separated by {shown_separator(likely)}, but "
            f"{shown_separator(separator)} was expected. Import with {_option(likely)}, or save all files with "
            f"{shown_separator(separator)}."
        )
    if broken:
        raise DataError(f"{where}, line 1: the header is not valid CSV ({broken}).")
    return [cell.strip(" \t\u00a0\ufeff") for cell in cells]


def likely_separator(row: list[str], width: int, separator: str) -> str | None:
    """Return the separator that would split a row of one cell into `width` cells; None if no separator does."""
    if len(row) != 1:
        return None
    others = (other for other in SEPARATORS if other != separator)
    return next((other for other in others if _n_columns(row[0], other) == width), None)


def _chain(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines


def _option(separator: str) -> str:
    written = "tab" if separator == "\t" else separator
    return f"--separator '{written}'"


def _n_columns(line: str, separator: str) -> int:
    """Return the number of cells of a line split at a separator; 1 if a cell would be blank or quoting is broken."""
    try:
        cells = next(csv.reader([line], delimiter=separator, strict=True), [])
    except csv.Error:
        return 1
    return len(cells) if all(cell.strip() for cell in cells) else 1
