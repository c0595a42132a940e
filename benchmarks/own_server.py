"""A Neo4j of a benchmark's own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kgplug.graph.connection import Connection
from kgplug.graph.local import LocalNeo4j
from kgplug.settings import Settings


@contextmanager
def own_server() -> Iterator[Connection]:
    """Start a Neo4j in a temporary folder and connect to it."""
    home = Path(tempfile.mkdtemp(prefix="kgplug-bench-"))
    server = LocalNeo4j(home, jars=Settings().neo4j_dir / "jars")
    try:
        endpoint = server.start(die_with_parent=True)
        with Connection.open(endpoint.uri, username=endpoint.username, password=endpoint.password) as connection:
            yield connection
    finally:
        server.kill()
        shutil.rmtree(home, ignore_errors=True)
