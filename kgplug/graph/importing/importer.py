"""Import a folder of CSV files: create uniqueness constraints, then load the rows.

If this process can write files where the server can read them, the server loads the rows with LOAD CSV. Otherwise, the
rows are sent as query parameters.
"""

from __future__ import annotations

import csv
import errno
import os
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, cast

import psutil

from kgplug.data.sources.csv_check import CheckedTable, check_tables
from kgplug.data.sources.csv_folder import NODES, SEPARATOR, Column, Table, open_folder, read_blocks
from kgplug.data.sources.csv_values import as_sent
from kgplug.errors import GraphError, when_interrupted
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.bolt.server_errors import translated_errors
from kgplug.graph.importing.constraints import ensure_unique_keys
from kgplug.graph.importing.load_queries import LoadQuery, load_query
from kgplug.plain_text import counted
from kgplug.progress import Progress
from kgplug.progress import bar as progress_bar

if TYPE_CHECKING:
    from typing import LiteralString

    Counters = Counter[str]

FILE_ROWS = 50_000  # rows per LOAD CSV; this limits the disk space of the copy and the steps of the progress bar
BATCH_ROWS = 5_000  # rows per transaction when they are sent as parameters
_COUNTED = ("nodes_created", "relationships_created", "properties_set", "labels_added")
_ESCAPED_QUOTE = b'\\"'  # LOAD CSV reads this as a quote, unless the server is configured otherwise
_STAGING = "kgplug-import-"


@dataclass(frozen=True)
class FileReport:
    """The result of importing one file.

    Attributes:
        name: e.g. "nodes/Movie.csv".
        rows: rows in the file.
        created: number of new nodes or relationships.
        properties_set: number of properties written, including those of new nodes and relationships.
        labels_added: number of labels written, including those of new nodes.
        seconds: duration of the import of this file.
    """

    name: str
    rows: int
    created: int
    properties_set: int
    labels_added: int
    seconds: float


@dataclass(frozen=True)
class ImportReport:
    """The result of an import.

    Attributes:
        files: one entry per file, in the order of import.
        constraints: labels that got a new uniqueness constraint.
        transport: how the rows were sent to the server: "LOAD CSV" or "parameters".
        seconds: duration of the whole import, including the checks.
    """

    files: tuple[FileReport, ...]
    constraints: tuple[str, ...]
    transport: str
    seconds: float

    def __repr__(self) -> str:
        return (
            f"{counted(self.rows, 'row')} of {counted(len(self.files), 'file')} imported by {self.transport} in "
            f"{self.seconds:.1f} s: {counted(self.nodes_created, 'node')} and "
            f"{counted(self.relationships_created, 'relationship')} created"
        )

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def nodes_created(self) -> int:
        return sum(file.created for file in self.files if file.name.startswith(NODES))

    @property
    def relationships_created(self) -> int:
        return sum(file.created for file in self.files if not file.name.startswith(NODES))

    @property
    def changed(self) -> bool:
        """Whether the import changed the database."""
        return bool(self.constraints) or any(
            file.created or file.properties_set or file.labels_added for file in self.files
        )


def import_folder(
    connection: Connection,
    folder: str | Path,
    *,
    separator: str = ",",
    rejected: Path | None = None,
    progress: bool | None = None,
) -> ImportReport:
    """Import a folder in the layout of docs/import.md. Importing it again changes nothing.

    All rows of all files are checked before the first write. To complete an interrupted import, run it again.

    Args:
        connection: connection to the database.
        folder: a folder on this machine.
        separator: separator of the columns in all files: a character, or its name, such as "tab".
        rejected: path of a CSV file to write, with the file, line, column, problem and content of each bad row.
        progress: Whether to show progress bars. None: only on a terminal or in a notebook.

    Raises:
        UsageError: there is no such folder, it is a URL, or a name cannot be written in Cypher.
        DataError: a name, header or row is bad (the message names file, line and column), or nodes in
            the database share a key.
        GraphError: the server reports an error.
    """
    started = time.perf_counter()
    tables = open_folder(folder, separator=separator)
    key_of = {table.labels[0]: table.keys[0].name for table in tables if table.kind == NODES}
    with _bar("Checking", None, progress) as bar:
        checked = check_tables(tables, on_rows=bar.update, rejected=rejected)
    queries = [load_query(table, key_of) for table in checked]
    constraints = ensure_unique_keys(connection, key_of)
    files = []
    rest = "Run the same command again to complete the import."
    with when_interrupted(lambda: rest), _bar("Importing", sum(table.n_rows for table in checked), progress) as bar:
        for table, query in zip(checked, queries, strict=True):
            bar.show(table.table.name)
            files.append(_import_file(connection, table, query, bar))
    transport = "parameters" if connection.import_dir is None else "LOAD CSV"
    return ImportReport(tuple(files), tuple(constraints), transport, time.perf_counter() - started)


def _bar(what: str, total: int | None, progress: bool | None) -> Progress:
    return progress_bar(total, what=what, unit="rows", progress=progress, in_notebooks=True)


def _import_file(connection: Connection, checked: CheckedTable, query: LoadQuery, bar: Progress) -> FileReport:
    started = time.perf_counter()
    load = _load_parameters if connection.import_dir is None else _load_files
    total: Counters = Counter()
    for n_rows, counters in load(connection, checked.table, query):
        total.update(counters)
        bar.update(n_rows)
    return FileReport(
        checked.table.name,
        checked.n_rows,
        total["nodes_created"] + total["relationships_created"],
        total["properties_set"],
        total["labels_added"],
        time.perf_counter() - started,
    )


def _load_parameters(connection: Connection, table: Table, query: LoadQuery) -> Iterator[tuple[int, Counters]]:
    """Send the rows of a file as parameters; yield (number of rows, counters) for each transaction."""
    for rows in _blocks(table, BATCH_ROWS):
        yield len(rows), _load_rows(connection, table, query, rows)


def _load_rows(connection: Connection, table: Table, query: LoadQuery, rows: list[list[str]]) -> Counters:
    """Send rows in one transaction and return its counters."""
    headers = [column.header for column in table.columns]
    cells = [dict(zip(headers, (cell or None for cell in row), strict=True)) for row in rows]
    return Counter(connection.write(query.from_rows, rows=cells, **query.parameters))


def _load_files(connection: Connection, table: Table, query: LoadQuery) -> Iterator[tuple[int, Counters]]:
    """Copy a file in parts to the server's import folder, and load each; yield (number of rows, counters) per part.

    A part with a quote that LOAD CSV would misread is sent as parameters.
    """
    with _staging(cast("Path", connection.import_dir)) as folder:
        for number, rows in enumerate(_blocks(table, FILE_ROWS)):
            part = folder / f"part-{number}.csv"
            _write_part(part, table, rows)
            if _ESCAPED_QUOTE in part.read_bytes():
                counters: Counters = Counter()
                for start in range(0, len(rows), BATCH_ROWS):
                    counters.update(_load_rows(connection, table, query, rows[start : start + BATCH_ROWS]))
            else:
                counters = _load_csv(connection, query, f"file:///{folder.name}/{part.name}")
            part.unlink()
            yield len(rows), counters


def _write_part(part: Path, table: Table, rows: list[list[str]]) -> None:
    """Write rows of a table to the file `part`, for LOAD CSV."""
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)  # ends lines with \r\n, so it quotes cells that contain \r or \n
            writer.writerow([column.header for column in table.columns])
            writer.writerows(rows)
    except OSError as error:
        how = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "correct this"
        raise GraphError(
            f"A copy of {table.name} for the server could not be written to {part.parent.parent}: {error.strerror}. "
            f"The graph keeps what was imported. To complete the import, {how} and import again."
        ) from error


def _blocks(table: Table, block_rows: int) -> Iterator[list[list[str]]]:
    """Yield the rows of a file in blocks.

    In each block, relationships are sorted by their tail, which saves a third of the server's time. Rows with the same
    head and tail keep their order.
    """
    for block in read_blocks(table, block_rows):
        if table.kind != NODES:
            block.rows.sort(key=itemgetter(1))
        for position, column in enumerate(table.columns):
            if column.type == "point":
                for row in block.rows:
                    row[position] = _as_sent(column, row[position])
        yield block.rows


def _as_sent(column: Column, cell: str) -> str:
    parts = cell.split(SEPARATOR) if column.is_list else [cell]
    return SEPARATOR.join(as_sent(column.type, part) for part in parts)


def _load_csv(connection: Connection, query: LoadQuery, address: str) -> Counters:
    """Load the file at a file:/// address with LOAD CSV, which commits in several transactions; return the counters."""
    with translated_errors(connection.uri, connection.database), connection.session() as session:
        text = cast("LiteralString", query.from_file)
        counters = session.run(text, {"file": address, **query.parameters}).consume().counters
    return Counter({name: getattr(counters, name) for name in _COUNTED})


@contextmanager
def _staging(import_dir: Path) -> Generator[Path]:
    """Create a private folder in the server's import folder, and delete it afterwards.

    First, delete the folders of earlier imports that were killed.
    """
    for old in import_dir.glob(f"{_STAGING}*"):
        owner = old.name.removeprefix(_STAGING).split("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(old, ignore_errors=True)
    folder = import_dir / f"{_STAGING}{os.getpid()}-{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
