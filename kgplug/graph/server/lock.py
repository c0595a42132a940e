"""A lock that only one process holds at a time."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from kgplug.errors import LocalServerError


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold an exclusive lock on a file inside a `with` block. Wait while another process holds it.

    The kernel releases the lock when its holder ends for any reason.

    Raises:
        LocalServerError: this machine runs Windows, where kgplug does not manage a local Neo4j.
    """
    if sys.platform == "win32":
        raise LocalServerError(
            "kgplug manages a local Neo4j on Linux and macOS only. Set NEO4J_URI to a server of your own."
        )
    with FileLock(path):
        yield
