"""What fuzzing feeds to kgplug's readers, from a generator of random choices: hypothesis here, atheris in fuzz/."""

from __future__ import annotations

import tempfile
from pathlib import Path

from kgplug.data.sources.csv_check import check_tables
from kgplug.data.sources.csv_folder import NODES, RELATIONSHIPS, open_folder
from kgplug.errors import KgplugError
from kgplug.graph.importing.load_queries import load_query
from kgplug.graph.schema import GraphSchema


def read_csv_folder(files: dict[str, bytes], *, block_rows: int = 3) -> str:
    """Read a folder of these files as `kgplug import` does before it asks the database; return what a user is told.

    Any exception but a KgplugError comes out.
    """
    with tempfile.TemporaryDirectory(prefix="kgplug-fuzz-") as folder:
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        try:
            tables = open_folder(folder)
            checked = check_tables(tables, on_rows=lambda n: None, block_rows=block_rows)
            keys = {table.labels[0]: table.keys[0].name for table in tables if table.kind == NODES}
            for table in checked:
                load_query(table, keys)
        except KgplugError as error:
            return str(error)
    return ""


def read_schema(content: bytes) -> str:
    """Read kgplug.toml with this content; return what a user is told, "" where it is a schema."""
    with tempfile.TemporaryDirectory(prefix="kgplug-fuzz-") as folder:
        path = Path(folder, "kgplug.toml")
        path.write_bytes(content)
        try:
            GraphSchema.load(path)
        except KgplugError as error:
            return str(error)
    return ""


def csv_files(nodes: bytes, relationships: bytes, *, label: str = "A") -> dict[str, bytes]:
    """Return a folder with one node file and one relationship file."""
    return {f"{NODES}/{label}.csv": nodes, f"{RELATIONSHIPS}/{label}-R-{label}.csv": relationships}
