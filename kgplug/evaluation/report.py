"""Tables of results, as text for people and as JSON for programs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Any, TypeAlias, cast

import numpy as np
import pandas as pd
from rich.table import Table
from rich.text import Text

from kgplug.evaluation.metrics import catalogue
from kgplug.evaluation.metrics.metric import Better
from kgplug.plain_text import encodable, printable
from kgplug.strict_json import dumps

Marks: TypeAlias = AbstractSet[tuple[str, str]]
_WIDE = 9  # maximum number of columns after the names; a wider table is transposed


def to_table(
    frame: pd.DataFrame, *, title: str | None = None, encoding: str = "utf-8", marks: Marks = frozenset()
) -> Table:
    """Return a table for the terminal. The best value of each metric is bold.

    A table with one row per model and too many columns is transposed: one row per metric.

    Args:
        frame: Table. Its index holds the names of the rows, or is a plain range, which is not shown.
        title: Title above the table.
        encoding: Encoding of the output. Characters that it lacks are replaced before columns are aligned.
        marks: (row, column) of each value that gets a star.
    """
    names = [str(name) for name in frame.columns]
    cells = {name: _marked(frame.iloc[:, number], marks, encoding) for number, name in enumerate(names)}
    best = {name: _best(name, frame.iloc[:, number]) for number, name in enumerate(names)}
    labels = None if _plain(frame.index) else [encodable(_text(value), encoding) for value in frame.index]
    table = Table(title=title, title_justify="left")
    if labels is not None and len(names) > _WIDE and len(labels) < len(names):
        table.add_column("")
        for label in labels:
            table.add_column(Text(label), justify="right")
        for name in names:
            table.add_row(Text(name), *[_bold(cell, row in best[name]) for row, cell in enumerate(cells[name])])
        return table
    if labels is not None:
        table.add_column(Text(str(frame.index.name or "")), no_wrap=True)  # because people retype them
    for number, name in enumerate(names):
        justify = "right" if _is_numeric(frame.iloc[:, number]) else "left"
        table.add_column(Text(name), justify=justify, no_wrap=name == "run", overflow="fold")  # people copy run ids
    for row in range(len(frame)):
        head = [] if labels is None else [Text(labels[row])]
        table.add_row(*head, *[_bold(cells[name][row], row in best[name]) for name in names])
    return table


def to_blocks(frame: pd.DataFrame, *, marks: Marks = frozenset()) -> str:
    """Return a table as one block per row, for a narrow terminal: each line is "name: value".

    Args:
        frame, marks: As in `to_table`.
    """
    names = [printable(str(name)) for name in frame.columns]
    columns = [[cell.rstrip() for cell in _marked(frame.iloc[:, number], marks)] for number in range(len(names))]
    if not _plain(frame.index):
        names.insert(0, printable(str(frame.index.name or "name")))
        columns.insert(0, [_text(value) for value in frame.index])
    rows = zip(*columns, strict=True)
    return "\n\n".join("\n".join(f"{name}: {cell}" for name, cell in zip(names, row, strict=True)) for row in rows)


def to_json(frame: pd.DataFrame) -> str:
    """Return rows as a JSON list of objects. An index of names becomes a column; NaN, infinity and NA become null."""
    return dumps(frame, ascii_only=False, indent=2)


def _plain(index: pd.Index) -> bool:
    return isinstance(index, pd.RangeIndex) and index.name is None


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _marked(column: pd.Series, marks: Marks, encoding: str = "utf-8") -> list[str]:
    """Return the values as texts, with a star after the marked ones.

    If a column has stars, its other values end in a space, so that the digits stay aligned.
    """
    cells = _cells(column, encoding)
    starred = [(str(row), str(column.name)) in marks for row in column.index]
    if not any(starred):
        return cells
    return [f"{cell}*" if star else f"{cell} " for cell, star in zip(cells, starred, strict=True)]


def _cells(column: pd.Series, encoding: str = "utf-8") -> list[str]:
    """Return the values as texts, numbers with the same number of decimals."""
    if not _is_numeric(column):
        return [encodable(_text(value), encoding) for value in column]
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    known = values[np.isfinite(values)]
    if (known == np.rint(known)).all() and not pd.api.types.is_float_dtype(column):
        return [_text(value) if isinstance(value, str) else _integer(value) for value in column]
    digits = 4 if "seconds" not in str(column.name) and (len(known) == 0 or np.abs(known).max() < 10) else 1
    return [f"{value:,.{digits}f}" if math.isfinite(value) else _text(value) for value in values]


def _integer(value: Any) -> str:
    return "–" if pd.isna(value) else str(int(value))


def _text(value: Any) -> str:
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, (list, tuple, np.ndarray)):
        return ", ".join(_text(part) for part in cast("Iterable[Any]", value))
    return printable(str(value))


def _best(name: str, column: pd.Series) -> set[int]:
    """Return the positions of the rows with the best value of a metric; none if there is nothing to compare."""
    direction = catalogue.better(name)
    if direction == Better.NEITHER or len(column) < 2 or not _is_numeric(column):
        return set()
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isfinite(values).sum() < 2:
        return set()
    best = np.nanmax(values) if direction == Better.HIGHER else np.nanmin(values)
    return set(np.flatnonzero(values == best).tolist())


def _bold(text: str, bold: bool) -> Text:
    return Text(text, style="bold" if bold else "")
