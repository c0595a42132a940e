"""The state of the local Neo4j that kgplug manages: whether it is installed, whether it runs, and its address.

A process counts as the server only if its command line names a file in the home folder. The pid file only says which
process to check first, so another program that later gets the same pid is not mistaken for the server.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
from pydantic import SecretStr

from kgplug.errors import LocalServerError
from kgplug.graph.server import install
from kgplug.graph.server.config import arguments_file, password_file
from kgplug.graph.server.process import age_s, carries, executable, serves
from kgplug.graph.server.store import Store, store_in_use
from kgplug.graph.server.versions import NEWEST, Neo4jVersion, version_named
from kgplug.settings import Settings

State = Literal["not installed", "stopped", "starting", "running", "unhealthy"]
START_TIMEOUT_S = 300  # a start takes 20 s of CPU time, which can be minutes on a very busy machine


@dataclass(frozen=True)
class Endpoint:
    """The address and login of a running local server."""

    uri: str
    username: str
    password: SecretStr
    import_dir: Path  # folder that file:/// means in LOAD CSV


@dataclass(frozen=True)
class LocalStatus:
    """The result of `kgplug db status`; `pid`, `uri` and `java` are None if no server process runs."""

    state: State
    pid: int | None
    uri: str | None
    version: str
    java: Path | None
    home: Path
    log: Path
    data_bytes: int


class LocalHome:
    """A view of the local Neo4j that reads its state, but cannot start or stop it.

    Args:
        home: home folder of the server, with its configuration, data, logs and password file.
        jars: folder of the server's jars. Default: `home`/jars.
        version: version of Neo4j, such as "5.26". A home folder that has a store keeps the store's version, and
            refuses to start with another. Default: the store's version; for an empty home, KGPLUG_NEO4J_VERSION or the
            newest.

    Raises:
        UsageError: kgplug does not install this version.
    """

    def __init__(self, home: Path, *, jars: Path | None = None, version: str | None = None) -> None:
        self.home = home.expanduser().resolve()
        self._wanted = None if version is None else version_named(version)
        self.jars = jars or self.home / "jars"
        self.log = self.home / "logs" / "console.log"
        self._pid_file = self.home / "neo4j.pid"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.home)!r})"

    @property
    def store(self) -> Store:
        """The store that this home folder uses."""
        return store_in_use(self.home)

    @property
    def version(self) -> Neo4jVersion:
        """The version of Neo4j that serves this home folder, or will serve it if it is empty."""
        return self.store.version or self._wanted or _version_of_new_homes()

    def status(self) -> LocalStatus:
        """Return whether the server runs, with its address, Java and files."""
        process = self._process()
        return LocalStatus(
            state=self._state(process),
            pid=process.pid if process else None,
            uri=self._uri() if process else None,
            version=self.version.release,
            java=executable(process) if process else None,
            home=self.home,
            log=self.log,
            data_bytes=_size(self.store.folder),
        )

    def endpoint(self) -> Endpoint:
        """Return address and login of the running server.

        Raises:
            LocalServerError: the server is not running.
        """
        process = self._process()
        if process is None or not serves(process, self._port()):
            raise LocalServerError("The local Neo4j is not running. Start it: kgplug db start.")
        return self._endpoint()

    def address(self) -> str:
        """Return host:port of the server, even if it is stopped; "" before its first start."""
        port = self._port()
        return "" if port is None else f"127.0.0.1:{port}"

    def _state(self, process: psutil.Process | None) -> State:
        if process is None:
            return "stopped" if install.installed(self.jars, self.version) else "not installed"
        if serves(process, self._port()):
            return "running"
        return "starting" if age_s(process) < START_TIMEOUT_S else "unhealthy"

    def _process(self) -> psutil.Process | None:
        """Return the server process of this home folder; None if there is none.

        If the pid file does not name it, search all processes.
        """
        mark = f"@{arguments_file(self.home)}"
        try:
            recorded = psutil.Process(int(self._pid_file.read_text()))
        except (OSError, ValueError, psutil.Error):
            recorded = None
        if recorded is not None and carries(recorded, mark):
            return recorded
        return next((process for process in psutil.process_iter() if carries(process, mark)), None)

    def _endpoint(self) -> Endpoint:
        return Endpoint(self._uri(), "neo4j", self._endpoint_password(), self.home / "import")

    def _endpoint_password(self) -> SecretStr:
        path = password_file(self.home)
        try:
            return SecretStr(path.read_text(encoding="utf-8").strip())
        except FileNotFoundError:
            raise LocalServerError(
                f"The password file {path} is missing, so kgplug cannot log in to the local database. "
                f"Restore it, or delete {self.store.folder} to start with an empty database."
            ) from None

    def _uri(self) -> str:
        return f"bolt://127.0.0.1:{self._port()}"

    def _port(self) -> int | None:
        """Return the port in the server's configuration; None before the server's first start."""
        try:
            config = (self.home / "conf" / "neo4j.conf").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        match = re.search(r"^server\.bolt\.listen_address=127\.0\.0\.1:(\d+)$", config, re.MULTILINE)
        return int(match[1]) if match else None


def _version_of_new_homes() -> Neo4jVersion:
    chosen = Settings().kgplug_neo4j_version
    return version_named(chosen) if chosen else NEWEST


def _size(folder: Path) -> int:
    """Return the total size of a folder's files in bytes. Files may vanish while they are counted."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.lstat().st_size if path.is_file() else 0
    return total
