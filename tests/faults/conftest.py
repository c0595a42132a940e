"""Servers that a test may kill or stop, and disks that a test may fill."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kgplug.graph.bolt.connection import Connection
from kgplug.graph.server.home import Endpoint
from kgplug.graph.server.local import LocalNeo4j


@pytest.fixture
def start_server(neo4j_jars: Path, quick_java: None) -> Iterator[Callable]:
    """Return what starts a server of the test's own: (home, settings of neo4j.conf) → (server, endpoint)."""
    servers: list[LocalNeo4j] = []

    def start(home: Path, **settings: str) -> tuple[LocalNeo4j, Endpoint]:
        config = {name.replace("__", "."): value for name, value in settings.items()}
        servers.append(LocalNeo4j(home, jars=neo4j_jars, config=config))
        return servers[-1], servers[-1].start(die_with_parent=True)

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], Path]]:
    """Return what mounts a disk of so many MB and gives its folder; skipped where this user may not mount."""
    with contextlib.ExitStack() as stack:

        def mount(megabytes: int) -> Path:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kgplug-disk-")))
            command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
            if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
                pytest.skip("this user may not mount a small disk")
            stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
            return folder

        yield mount


def fill(folder: Path, *, leaving_kb: int = 0) -> Path:
    """Fill the disk of a folder but for so many KB; return the file that does it."""
    block, file = b"\0" * 1024, folder / "filling"
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as stream:
        while stream.write(block):
            pass
    with file.open("r+b") as stream:
        stream.truncate(max(0, file.stat().st_size - leaving_kb * 1024))
    return file


def opened(endpoint: Endpoint, uri: str | None = None) -> Connection:
    """Connect to a server, by way of another address if one is given."""
    return Connection.open(
        uri or endpoint.uri, username=endpoint.username, password=endpoint.password, import_dir=endpoint.import_dir
    )
