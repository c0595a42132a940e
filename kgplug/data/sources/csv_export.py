"""CSV for people: files that a spreadsheet can open without running a cell as a formula.

Files for a database (from `csv_folder.write_folder` or the importer) do not use this module: their cells stay as they
are.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

RISKY = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
)  # a spreadsheet reads text that begins with these as a formula (OWASP, CSV injection)


def inert(cell: object) -> object:
    """Return a cell that no spreadsheet runs as a formula: text that looks like one gets a leading apostrophe."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(RISKY) else cell


class CsvExport:
    """A CSV file that appears under its name only when it is complete. Without rows, no file is written.

    Bytes that were not UTF-8 when they were read are written as \\xNN.

    Args:
        path: Path of the file. An existing file is replaced.
        header: Names of the columns.
    """

    def __init__(self, path: Path, header: tuple[str, ...]) -> None:
        self.path, self.n_rows = Path(path), 0
        self._header, self._building = header, self.path.with_name(f".{self.path.name}.{os.getpid()}")
        self._file: IO[str] | None = None
        self._writer: Any = None

    def write(self, row: tuple[object, ...]) -> None:
        """Write one row, with texts made safe by `inert`."""
        if self._file is None:
            self._file = self._building.open("w", encoding="utf-8", errors="backslashreplace", newline="")
            self._writer = csv.writer(self._file)
            self._writer.writerow(self._header)
        self._writer.writerow([inert(cell) for cell in row])
        self.n_rows += 1

    def finish(self) -> Path | None:
        """Move the file to its path and return the path; None if no row was written."""
        if self._file is None:
            return None
        self._file.close()
        self._file = None
        return self._building.replace(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()
            self._building.unlink(missing_ok=True)
