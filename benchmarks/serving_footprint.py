"""Measure how much disk and memory a server uses."""

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
    """Disk and memory of the server after a step.

    Attributes:
        step: Name of the step.
        seconds: Time that the step took.
        edges_per_s, vectors_per_s: Edges and vectors that the step wrote per second; 0 for none.
        store_bytes: Size of the database files, without transaction logs.
        index_bytes: Size of the indexes, a part of `store_bytes`.
        log_bytes: Size of the transaction logs.
        memory_bytes: Resident memory of the server's process.
        load: Load average of the machine over one minute.
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
    """Wait until the server has written all its data into its files, then measure."""
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
    """Wait for a checkpoint that begins after this call; the server's log shows it.

    Neo4j Community has no command that makes a checkpoint.
    """
    log = server.home / "logs" / "debug.log"
    seen = log.stat().st_size
    connection.write("MERGE (one:Checkpointed) SET one.at = timestamp()")  # new data, so that there is a checkpoint
    deadline = time.monotonic() + _CHECKPOINT_TIMEOUT_S
    while time.monotonic() < deadline:
        with log.open("rb") as file:
            file.seek(seen)
            ours = [line for line in file.read().splitlines() if f"[{connection.database}/".encode() in line]
        _, begun, rest = b"\n".join(ours).partition(b"checkpoint started")
        if begun and b"checkpoint completed" in rest:
            return
        time.sleep(_POLL_S)
    raise TimeoutError(f"Found no checkpoint within {_CHECKPOINT_TIMEOUT_S} s in {log}.")


def _bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder, without files that disappear meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.lstat().st_size if path.is_file() else 0
    return total
