"""Start a Neo4j that is used only by one benchmark."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kgplug.graph.bolt.connection import Connection
from kgplug.graph.server.local import LocalNeo4j
from kgplug.settings import Settings


class _Checkpointing(LocalNeo4j):
    """A local Neo4j that can checkpoint often, so that its data is soon in its files."""

    checkpoint_s: int | None = None

    def _launch(self, command: list[str], die_with_parent: bool) -> None:
        if self.checkpoint_s is not None:
            with (self.home / "conf" / "neo4j.conf").open("a", encoding="utf-8") as config:
                config.write(f"db.checkpoint.interval.time={self.checkpoint_s}s\n")
        super()._launch(command, die_with_parent)


@contextmanager
def own_server() -> Iterator[Connection]:
    """Start a Neo4j in a temporary folder and connect to it."""
    with own_neo4j() as server, connected(server) as connection:
        yield connection


@contextmanager
def own_neo4j(*, checkpoint_s: int | None = None) -> Iterator[LocalNeo4j]:
    """Start a Neo4j in a temporary folder. The server and the folder are removed at the end of the `with` block.

    Args:
        checkpoint_s: Seconds between two checkpoints, which write all data into files. None: Neo4j's 15 minutes.
    """
    home = Path(tempfile.mkdtemp(prefix="kgplug-bench-"))
    server = _Checkpointing(home, jars=Settings().neo4j_dir / "jars")
    server.checkpoint_s = checkpoint_s
    try:
        server.start(die_with_parent=True)
        yield server
    finally:
        server.kill()
        shutil.rmtree(home, ignore_errors=True)


def connected(server: LocalNeo4j) -> Connection:
    """Return a connection to a running server."""
    endpoint = server.endpoint()
    return Connection.open(endpoint.uri, username=endpoint.username, password=endpoint.password)
