"""The folder of CSV files that `kgplug import FOLDER` takes: names, headers, rows. See docs/import.md.

    nodes/<Label>.csv                        first column: the key of the label
    relationships/<Head>-<TYPE>-<Tail>.csv   first two columns: the keys of the head and the tail

A file is read in blocks of rows, so its size does not matter. `csv_values.py` defines the valid values of cells.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, TextIO
from urllib.parse import quote, unquote

import pandas as pd

from kgplug.data.sources.csv_header import as_separator, check_encoding, likely_separator, read_header, shown_separator
from kgplug.data.sources.csv_values import OTHER_NAMES, TYPES, point_text
from kgplug.errors import DataError, UsageError

NODES, RELATIONSHIPS = "nodes", "relationships"
LABELS = ":LABEL"
SEPARATOR = ";"  # between several values in one cell
BLOCK_ROWS = 20_000
LINE_END = "\r\n"  # Python's csv writer quotes a cell that contains \r or \n only if the line end has that character

_HEADER = re.compile(r"(?P<name>[^:\0]*[^:\0\s][^:\0]*)(:\s*(?P<type>\w+)(?P<list>\[\])?)?")


@dataclass(frozen=True)
class Column:
    """One column of a file.

    Attributes:
        header: Text at the top of the column, e.g. "genres:string[]", without blanks around it.
        name: Property name, e.g. "genres"; for ":LABEL" the header itself.
        type: One of `csv_values.TYPES`.
        is_list: Whether a cell can have several values, separated by ";".
    """

    header: str
    name: str
    type: str = "string"
    is_list: bool = False


@dataclass(frozen=True)
class Table:
    """One file: its path, and the facts in its name and header.

    Attributes:
        path: The file.
        kind: "nodes" or "relationships".
        labels: (label,) of a node file; (head label, tail label) of a relationship file.
        type: Relationship type, "" for nodes.
        columns: All columns in file order. The first one (nodes) or two (relationships) hold keys.
        separator: Separator of the columns.
    """

    path: Path
    kind: Literal["nodes", "relationships"]
    labels: tuple[str, ...]
    type: str
    columns: tuple[Column, ...]
    separator: str = ","

    @property
    def name(self) -> str:
        """The name of the file in messages, e.g. "nodes/Movie.csv"."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def keys(self) -> tuple[Column, ...]:
        return self.columns[: len(self.labels)]

    @property
    def properties(self) -> tuple[Column, ...]:
        """The columns that become properties: all except the keys and ":LABEL"."""
        return tuple(column for column in self.columns[len(self.labels) :] if column.header != LABELS)

    @cached_property
    def label_column(self) -> int | None:
        """Position of the column ":LABEL"; None if the file has no such column."""
        return next((n for n, column in enumerate(self.columns) if column.header == LABELS), None)


@dataclass(frozen=True)
class Problem:
    """A row that cannot be imported.

    Attributes:
        line: Physical line on which the row begins.
        column: Header of the bad column; None if the problem is not in one column.
        text: Description of the problem.
        row: Cells of the row.
    """

    line: int
    column: str | None
    text: str
    row: Sequence[str] = ()


@dataclass
class Block:
    """Consecutive rows of a file.

    Attributes:
        rows: Cells as text, one list per row, with as many cells as the header.
        lines: Physical line on which each row begins; the header is line 1.
        problems: Rows left out because they have a wrong number of cells or broken quoting.
    """

    rows: list[list[str]] = field(default_factory=list[list[str]])
    lines: list[int] = field(default_factory=list[int])
    problems: list[Problem] = field(default_factory=list[Problem])


def open_folder(folder: str | Path, *, separator: str = ",") -> list[Table]:
    """Read the names and headers of a folder's files; return the files, node files first.

    Args:
        folder: A folder on this machine.
        separator: Separator of the columns in all files: the character or its name.

    Raises:
        UsageError: the folder is a URL, does not exist or has no node file, or the separator is not valid.
        DataError: a name or a header does not follow the layout.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(folder)):
        raise UsageError(f'"{folder}" is an address; import takes a folder on this machine. Download the files first.')
    folder, separator = Path(folder), as_separator(separator)
    if not _is_folder(folder):
        raise UsageError(f"There is no folder {folder}. Expected a folder with nodes/<Label>.csv (see docs/import.md).")
    tables = [_open_table(path, separator) for part in (NODES, RELATIONSHIPS) for path in _csv_files(folder / part)]
    _check_names(tables)
    known = {table.labels[0]: table for table in tables if table.kind == NODES}
    if not known:
        raise UsageError(f"{folder} has no nodes/<Label>.csv, so there is nothing to import (see docs/import.md).")
    for table in tables:
        if table.kind == RELATIONSHIPS:
            _check_ends(table, known)
    return tables


def _check_names(tables: list[Table]) -> None:
    """Raise DataError if two files have the same name, such as Movie.csv and Movie.CSV."""
    seen: dict[tuple[str, ...], Table] = {}
    for table in tables:
        other = seen.setdefault((*table.labels, table.type), table)
        if other is not table:
            raise DataError(f"{table.name} and {other.name} have the same name; put their rows into one file.")


def _is_folder(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:  # a name too long for any folder
        return False


def _csv_files(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
    for path in paths:
        if path.suffix.lower() != ".csv" or not path.is_file():
            raise DataError(
                f"{folder.name}/{path.name} is not a .csv file; unpack it, convert it, or move it out of the folder."
            )
    return paths


def _open_table(path: Path, separator: str) -> Table:
    kind = NODES if path.parent.name == NODES else RELATIONSHIPS
    where = f"{kind}/{path.name}"
    try:
        words = tuple(unquote(word, errors="strict") for word in path.stem.split("-"))
    except UnicodeDecodeError:
        raise DataError(f"{where}: a % in its name is not followed by UTF-8; write % itself as %25.") from None
    expected = 1 if kind == NODES else 3
    if len(words) != expected or not all(words):
        form = "<Label>.csv" if kind == NODES else "<Head>-<TYPE>-<Tail>.csv"
        raise DataError(f"{where}: expected a name like {form}; write a hyphen inside a name as %2D.")
    columns = tuple(_read_columns(path, where, separator))
    labels, type_ = ((words[0],), "") if kind == NODES else ((words[0], words[2]), words[1])
    if len(columns) < len(labels) or LABELS in [column.header for column in columns[: len(labels)]]:
        raise DataError(f"{where}, line 1: expected the first {len(labels)} column(s) to hold the key(s).")
    for key in columns[: len(labels)]:
        if key.is_list or key.type not in ("string", "int"):
            raise DataError(f'{where}, line 1: key column "{key.header}" must be text or int.')
    if kind == RELATIONSHIPS and LABELS in [column.header for column in columns]:
        raise DataError(f"{where}, line 1: {LABELS} belongs in node files.")
    return Table(path, kind, labels, type_, columns, separator)


def _read_columns(path: Path, where: str, separator: str) -> Iterator[Column]:
    check_encoding(path, where)
    with _open_text(path) as file:
        cells = read_header(file, where, separator)
    seen = set()
    for number, cell in enumerate(cells):
        match = _HEADER.fullmatch(cell)
        if _is_bad_utf8(cell) or (cell != LABELS and match is None):
            index = ""
            if not cell and number == 0:
                index = " If it is pandas' index, write the file with index=False."
            raise DataError(f"{where}, line 1: {shown(cell)} is not a column name; expected name or name:type.{index}")
        column = Column(cell, cell) if match is None else _column(match, where)
        if column.name in seen:
            raise DataError(f'{where}, line 1: two columns are called "{column.name}".')
        seen.add(column.name)
        yield column


def _column(match: re.Match[str], where: str) -> Column:
    type_ = match["type"] or "string"
    type_ = OTHER_NAMES.get(type_, type_)
    if type_ not in TYPES:
        raise DataError(
            f'{where}, line 1: column "{match[0]}" has the unknown type "{type_}". '
            f"Valid types: {', '.join(TYPES)}, each also with [] for several values."
        )
    return Column(match[0], match["name"].strip(), type_, match["list"] is not None)


def _check_ends(table: Table, known: Mapping[str, Table]) -> None:
    for label, column in zip(table.labels, table.keys, strict=True):
        if label not in known:
            raise DataError(f"{table.name}: there is no nodes/{file_name(label)} for its label {label}.")
        key = known[label].keys[0]
        if column.type != key.type:
            raise DataError(
                f'{table.name}, line 1: column "{column.header}" is {column.type}, '
                f'but the key "{key.header}" of {known[label].name} is {key.type}; make them equal.'
            )


def read_blocks(table: Table, block_rows: int = BLOCK_ROWS) -> Iterator[Block]:
    """Read a file in blocks. Blank lines are left out; rows with a wrong number of cells are listed as problems.

    A cell longer than 131,072 characters, or broken quoting, ends the reading with a problem, because the cells that
    follow cannot be separated.
    """
    width = len(table.columns)
    with _open_text(table.path) as file:
        reader = csv.reader(file, delimiter=table.separator, strict=True)
        next(reader)
        block, line = Block(), reader.line_num
        while True:
            line = reader.line_num + 1
            try:
                row = next(reader, None)
            except csv.Error as error:
                wrong = f"the quoting is broken ({error})"
                if "field limit" in str(error):
                    wrong = f"a cell has more than {csv.field_size_limit():,} characters, or a quote is not closed"
                block.problems.append(Problem(line, None, f"{wrong}; reading ended here"))
                row = None
            if row is None:
                break
            if len(row) == width:
                block.rows.append(row)
                block.lines.append(line)
            elif row:
                other = likely_separator(row, width, table.separator)
                hint = "" if other is None else f"; its cells seem to be separated by {shown_separator(other)}"
                block.problems.append(Problem(line, None, f"expected {width} cells, found {len(row)}{hint}", row))
            if len(block.rows) + len(block.problems) >= block_rows:
                yield block
                block = Block()
    if block.rows or block.problems:
        yield block


def _open_text(path: Path) -> TextIO:
    """Open a CSV file. Bytes that are not UTF-8 become lone surrogates, so that the row with them can be reported."""
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _is_bad_utf8(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def shown(text: str, limit: int = 60) -> str:
    """Return a cell as text for a message: quoted, shortened, printable."""
    safe = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return repr(safe if len(safe) <= limit else safe[: limit - 1] + "…")


def file_name(*names: str) -> str:
    """Return the file name of a label, or of a head label, type and tail label."""
    return "-".join(quote(name, safe=" &',;=@^~()[]{}!$+#").replace("-", "%2D") for name in names) + ".csv"


def write_folder(
    folder: Path, *, nodes: Mapping[str, pd.DataFrame], relationships: Mapping[tuple[str, str, str], pd.DataFrame]
) -> None:
    """Write frames as the CSV files of a folder that `kgplug import` takes. Column names become the headers.

    Points of the Neo4j driver are written as the import reads them, with their reference system.

    Args:
        folder: Folder to write, created if missing.
        nodes: Label → frame.
        relationships: (head label, type, tail label) → frame.
    """
    for part in (NODES, RELATIONSHIPS):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for label, frame in nodes.items():
        _as_written(frame).to_csv(folder / NODES / file_name(label), index=False, lineterminator=LINE_END)
    for names, frame in relationships.items():
        _as_written(frame).to_csv(folder / RELATIONSHIPS / file_name(*names), index=False, lineterminator=LINE_END)


def _as_written(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with points as text. Other values are unchanged: pandas writes them as the import reads them."""
    points = {name: frame[name].map(point_text) for name in frame.columns if str(name).endswith(":point")}
    return frame.assign(**points) if points else frame
