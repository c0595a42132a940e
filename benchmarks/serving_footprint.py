"""What a server holds on disk and in memory."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from kgplug.graph.bolt.connection import Connection
from kgplug.graph.server.local import LocalNeo4j

_CHECKPOINT_TIMEOUT_S = 300
_POLL_S = 0.2


@dataclass(frozen=True)
class Footprint:
    """The server after a step.

    Attributes:
        step: its name.
        seconds: that it took.
        edges_per_s, vectors_per_s: that it wrote; 0 for none.
        store_bytes: database files, without transaction logs.
        index_bytes: what of these belongs to indexes.
        log_bytes: transaction logs.
        memory_bytes: resident, of the server's process.
        load: of the machine, over one minute.
    """

    step: str
    seconds: float
    edges_per_s: float
    vectors_per_s: float
    store_bytes: int
    index_bytes: int
    log_bytes: int
    memory_bytes: int
    load: float


def measure_footprint(
    server: LocalNeo4j,
    connection: Connection,
    step: str,
    seconds: float,
    *,
    edges_per_s: float = 0.0,
    vectors_per_s: float = 0.0,
) -> Footprint:
    """Wait until the server has written all it holds into its files, then measure."""
    _wait_for_checkpoint(server, connection)
    store = server.home / "data" / "databases" / connection.database
    pid = server.status().pid
    return Footprint(
        step,
        seconds,
        edges_per_s,
        vectors_per_s,
        store_bytes=_bytes(store),
        index_bytes=_bytes(store / "schema"),
        log_bytes=_bytes(server.home / "data" / "transactions" / connection.database),
        memory_bytes=psutil.Process(pid).memory_info().rss,
        load=os.getloadavg()[0],
    )


def _wait_for_checkpoint(server: LocalNeo4j, connection: Connection) -> None:
    """Wait for a checkpoint that begins now or later; Community has no command for one, so its log tells."""
    log = server.home / "logs" / "debug.log"
    seen = log.stat().st_size
    connection.write("MERGE (one:Checkpointed) SET one.at = timestamp()")  # where nothing is new, none is made
    deadline = time.monotonic() + _CHECKPOINT_TIMEOUT_S
    while time.monotonic() < deadline:
        with log.open("rb") as file:
            file.seek(seen)
            ours = [line for line in file.read().splitlines() if f"[{connection.database}/".encode() in line]
        _, begun, rest = b"\n".join(ours).partition(b"checkpoint started")
        if begun and b"checkpoint completed" in rest:
            return
        time.sleep(_POLL_S)
    raise TimeoutError(f"No checkpoint in {_CHECKPOINT_TIMEOUT_S} s, as {log} tells.")


def _bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder; some may go meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.lstat().st_size if path.is_file() else 0
    return total
