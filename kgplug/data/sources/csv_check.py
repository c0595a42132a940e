"""Check every row of a CSV folder before anything is imported.

This needs memory for one block of rows, plus 8 bytes per node key.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import cast

import numpy as np
import pandas.util

from kgplug.data.sources.csv_export import CsvExport
from kgplug.data.sources.csv_folder import (
    BLOCK_ROWS,
    LINE_END,
    NODES,
    SEPARATOR,
    Block,
    Column,
    Problem,
    Table,
    read_blocks,
    shown,
)
from kgplug.data.sources.csv_values import EXPECTED, as_int, is_valid
from kgplug.errors import DataError

REJECTED_HEADER = ("file", "line", "column", "problem", "row")


@dataclass(frozen=True)
class CheckedTable:
    """A file whose rows are all valid.

    Attributes:
        table: The file.
        n_rows: Number of rows without the header.
        more_labels: Labels in its column ":LABEL" other than the label in the file name, sorted.
    """

    table: Table
    n_rows: int
    more_labels: tuple[str, ...] = ()


@dataclass
class _Findings:
    """Number of bad rows in one file, and the first problem. All problems are also written to `rejected`, if given."""

    table: Table
    rejected: CsvExport | None = None
    n_bad: int = 0
    first: Problem | None = None

    def add(self, problems: list[Problem]) -> None:
        self.n_bad += len({problem.line for problem in problems})
        for problem in sorted(problems, key=attrgetter("line")):
            if self.first is None or problem.line < self.first.line:
                self.first = problem
            if self.rejected is not None:
                self.rejected.write((self.table.name, problem.line, problem.column, problem.text, _as_csv(problem.row)))


def _raise_if_any(found: list[_Findings], rejected: CsvExport | None) -> None:
    """If any row is bad, finish the file of rejected rows and raise an error for the first bad file's first bad row."""
    bad = [findings for findings in found if findings.first is not None]
    if not bad:
        return
    worst, first = bad[0], cast("Problem", bad[0].first)
    column = "" if first.column is None else f', column "{first.column}"'
    rows = "1 bad row" if worst.n_bad == 1 else f"{worst.n_bad:,} bad rows"
    others = sum(findings.n_bad for findings in bad[1:])
    elsewhere = f" Other files have {others:,} more." if others else ""
    path = None if rejected is None else rejected.finish()
    listed = "" if path is None else f" All bad rows: {path}."
    raise DataError(
        f"{worst.table.name}, line {first.line}{column}: {first.text} ({rows} in this file).{elsewhere} "
        f"Nothing was imported; correct the file and import again.{listed}"
    )


def _as_csv(row: Sequence[str]) -> str:
    """Return a row as a CSV line without its line end."""
    text = io.StringIO()
    csv.writer(text, lineterminator=LINE_END).writerow(row)
    return text.getvalue().removesuffix(LINE_END)


@dataclass
class _Keys:
    """The keys of one label as 64-bit codes: an integer key is its own code; the code of a text key is its hash."""

    column: Column
    parts: list[np.ndarray] = field(default_factory=list[np.ndarray])
    sorted: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.uint64))

    def codes(self, cells: list[str]) -> np.ndarray:
        """Return the code of each key, uint64 (n,): the integer itself, or the hash of a text."""
        if self.column.type == "int":
            return np.array([as_int(cell) for cell in cells], dtype=np.int64).view(np.uint64)
        return pandas.util.hash_array(np.array(cells, dtype=object), categorize=False)  # pyright: ignore[reportCallIssue]

    def close(self) -> np.ndarray:
        """Sort all codes collected so far; return the codes that occur more than once."""
        self.sorted = np.sort(np.concatenate([self.sorted, *self.parts]))
        self.parts = []
        return np.unique(self.sorted[1:][self.sorted[1:] == self.sorted[:-1]])

    def has(self, cells: list[str]) -> np.ndarray:
        """Return whether each key is in the label's node file: bool (n,)."""
        codes = self.codes(cells)
        if len(self.sorted) == 0:
            return np.zeros(len(codes), dtype=bool)
        place = np.searchsorted(self.sorted, codes)
        return self.sorted[np.minimum(place, len(self.sorted) - 1)] == codes


def check_tables(
    tables: list[Table],
    *,
    on_rows: Callable[[int], object],
    rejected: Path | None = None,
    block_rows: int = BLOCK_ROWS,
) -> list[CheckedTable]:
    """Read every file to its end and check each row.

    Args:
        tables: Files from `open_folder`, node files first.
        on_rows: Function called after each block with the number of rows just read.
        rejected: CSV file to write if there are bad rows, with file, line, column, problem and cells of each.
        block_rows: Number of rows read at a time.

    Raises:
        DataError: a row has a wrong number of cells, bad UTF-8, a value of another type, a missing or repeated key, or
            is a relationship to or from a node that is not in the folder. The message names the first bad row of the
            first bad file.
    """
    keys: dict[str, _Keys] = {}
    with nullcontext() if rejected is None else CsvExport(rejected, REJECTED_HEADER) as export:
        found = [_Findings(table, export) for table in tables]
        checked = [_check_table(findings, keys, on_rows, block_rows) for findings in found]
        _raise_if_any(found, export)
    return checked


def _check_table(
    findings: _Findings, keys: dict[str, _Keys], on_rows: Callable[[int], object], block_rows: int
) -> CheckedTable:
    table, n_rows, more_labels = findings.table, 0, set()
    if table.kind == NODES:
        keys[table.labels[0]] = _Keys(table.keys[0])
    for block in read_blocks(table, block_rows):
        n_rows += len(block.rows)
        columns = list(zip(*block.rows, strict=True)) if block.rows else [()] * len(table.columns)
        problems = block.problems + list(_cell_problems(table, block, columns))
        counted = problems if table.kind != NODES else [one for one in problems if one.column == table.keys[0].header]
        bad = {problem.line for problem in counted}  # a row of nodes with other bad cells still has a valid key
        good = [at for at, line in enumerate(block.lines) if line not in bad] if bad else range(len(block.rows))
        for position, label in enumerate(table.labels):
            cells = [columns[position][at] for at in good]
            if table.kind == NODES:
                keys[label].parts.append(keys[label].codes(cells))
            else:
                problems += _missing_ends(table, position, keys[label], cells, block, good)
        if table.label_column is not None:
            for cell in set(columns[table.label_column]):
                more_labels.update(cell.split(SEPARATOR))
        findings.add(problems)
        on_rows(len(block.rows))
    if table.kind == NODES:
        again = keys[table.labels[0]].close()
        if len(again):
            findings.add(list(_duplicates(table, keys[table.labels[0]], again)))
    return CheckedTable(table, n_rows, tuple(sorted(more_labels - {"", *table.labels})))


def _cell_problems(table: Table, block: Block, columns: list[tuple[str, ...]]) -> Iterator[Problem]:
    """Yield a problem for each bad cell of a block: bad bytes, a missing key, or a value not of its column's type."""
    for position, (column, cells) in enumerate(zip(table.columns, columns, strict=True)):
        is_key = position < len(table.labels)
        if not is_key and column.type == "string" and _is_text(cells):
            continue
        for line, row, cell in zip(block.lines, block.rows, cells, strict=True):
            if "\0" in cell:
                yield Problem(line, column.header, "the cell holds a NUL byte", row)
            elif not cell.isascii() and not _is_text((cell,)):
                yield Problem(line, column.header, f"the bytes {shown(cell)} are not UTF-8", row)
            elif not cell:
                if is_key:
                    yield Problem(line, column.header, "the key is missing", row)
            elif column.type != "string":
                parts = cell.split(SEPARATOR) if column.is_list else (cell,)
                if not all(is_valid(column.type, part) for part in parts):
                    yield Problem(line, column.header, f"expected {EXPECTED[column.type]}, found {shown(cell)}", row)


def _is_text(cells: tuple[str, ...]) -> bool:
    """Return whether cells are valid UTF-8 without a NUL byte."""
    text = "".join(cells)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _missing_ends(
    table: Table, position: int, keys: _Keys, cells: list[str], block: Block, good: Sequence[int]
) -> Iterator[Problem]:
    """Yield a problem for each relationship in a block whose head (or tail) is not a node of the folder.

    Args:
        table: The file.
        position: 0 to check the heads, 1 to check the tails.
        keys: All keys of the head's or tail's label.
        cells: Keys of the heads or tails in the good rows of the block.
        block: The block.
        good: Positions of the good rows in the block.
    """
    label, header = table.labels[position], table.columns[position].header
    for at in np.flatnonzero(~keys.has(cells)).tolist() if cells else []:
        text = f"there is no {label} node with the key {shown(cells[at])}"
        yield Problem(block.lines[good[at]], header, text, block.rows[good[at]])


def _duplicates(table: Table, keys: _Keys, codes: np.ndarray) -> Iterator[Problem]:
    """Read a file again and yield a problem for each row that repeats the key of an earlier row.

    Args:
        table: The file.
        keys: Object that converts keys to codes.
        codes: Codes that occur more than once.
    """
    first: dict[object, int] = {}
    header = table.keys[0].header
    for block in read_blocks(table):
        rows = [row for row, line in enumerate(block.rows) if line[0] and _is_text((line[0],))]
        if keys.column.type == "int":
            rows = [row for row in rows if is_valid("int", block.rows[row][0])]
        cells = [block.rows[row][0] for row in rows]
        for at in np.flatnonzero(np.isin(keys.codes(cells), codes)).tolist():
            key = as_int(cells[at]) if keys.column.type == "int" else cells[at]
            line, row = block.lines[rows[at]], block.rows[rows[at]]
            if key in first:
                yield Problem(line, header, f"the key {shown(cells[at])} was already on line {first[key]}", row)
            else:
                first[key] = line
