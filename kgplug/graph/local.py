"""The managed local Neo4j: install, start, stop and look at a server that belongs to kgplug.

One server a home folder. It listens on loopback at a port of its own, so that it never meets a Neo4j that is
already there, and lives on after the command that started it. Which process it is follows from the pid file and
from that process's command line, which names this home: a pid that another program has now is not mistaken for it.
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
from pydantic import SecretStr

from kgplug.errors import GraphError, LocalServerError
from kgplug.graph import install, local_config
from kgplug.graph.java import find_java
from kgplug.graph.lock import locked
from kgplug.graph.process import age_s, carries, dying_with_parent, executable, last_telling_line, serves
from kgplug.graph.server_errors import has_failed
from kgplug.progress import bar as progress_bar
from kgplug.settings import child_environment

State = Literal["not installed", "stopped", "starting", "running", "unhealthy"]

_log = logging.getLogger(__name__)
_PORTS = range(17_000, 27_000)  # below the ports that systems give to outgoing connections
_PORT_ATTEMPTS = 50
_LAUNCH_ATTEMPTS = 3
_START_TIMEOUT_S = 300  # a boot takes 20 s of processor time: minutes on a very busy machine
_STOP_TIMEOUT_S = 60
_POLL_S = 0.1
_PORT_TAKEN = "Address already in use"


@dataclass(frozen=True)
class Endpoint:
    """Where a running local server is, and how to log in."""

    uri: str
    username: str
    password: SecretStr
    import_dir: Path  # where LOAD CSV's file:/// points


@dataclass(frozen=True)
class LocalStatus:
    """What `kgplug db status` shows."""

    state: State
    pid: int | None
    uri: str | None
    version: str
    java: Path | None
    home: Path
    log: Path
    data_bytes: int


class LocalNeo4j:
    """The Neo4j of one home folder.

    Args:
        home: folder of configuration, data, logs and the password file.
        jars: folder of the server's jars; `home`/jars if not given. Several homes may share one.
        config: further settings of neo4j.conf, from the next start on. The server must go on answering bolt://.
    """

    def __init__(self, home: Path, *, jars: Path | None = None, config: Mapping[str, str] | None = None) -> None:
        self.home = home.expanduser().resolve()
        self.jars = jars or self.home / "jars"
        self.log = self.home / "logs" / "console.log"
        self._config = dict(config or {})
        self._pid_file = self.home / "neo4j.pid"
        self._child: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"LocalNeo4j({str(self.home)!r})"

    def start(self, *, progress: bool | None = None, die_with_parent: bool = False) -> Endpoint:
        """Start the server unless it runs, installing it first when needed.

        Args:
            progress: show a bar while downloading and a clock while it starts; None shows it on a terminal only.
            die_with_parent: the server is killed when the calling process ends (Linux; for tests).

        Returns:
            Where the server is. It answers queries by then.

        Raises:
            LocalServerError: what is missing (network, disk, permission, Java), or why the server died.
        """
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self.home / "lock"):
                process = self._process()
                if process is None:
                    self._install_and_launch(progress, die_with_parent)
                elif not serves(process, self._port()):
                    self._wait(progress)
                return self._endpoint()
        except OSError as error:
            raise install.disk_error(self.home, error) from error

    def stop(self) -> bool:
        """Stop the server cleanly, killing it only if it does not end by itself or its database has failed.

        Returns:
            False when it was not running.
        """
        if not self.home.is_dir():
            return False
        with locked(self.home / "lock"):
            process = self._process()
            if process is None:
                return False
            if self._has_failed(process):
                process.kill()
            else:
                process.terminate()
            try:
                process.wait(_STOP_TIMEOUT_S)
            except psutil.TimeoutExpired:
                _log.warning(
                    "Neo4j did not stop within %d s and was killed; it recovers at its next start.", _STOP_TIMEOUT_S
                )
                process.kill()
                process.wait(_STOP_TIMEOUT_S)
            self._pid_file.unlink(missing_ok=True)
            self._child = None
            return True

    def _has_failed(self, process: psutil.Process) -> bool:
        """Tell whether the database has given up over an error, such as a full disk.

        Neo4j 5.26 then spoils its transaction log while it shuts down in order, and does not start again; after a
        kill it recovers all that was committed.
        """
        if not serves(process, self._port()):
            return False
        try:
            self._log_in()
        except GraphError as error:
            return has_failed(error)
        return False

    def kill(self) -> None:
        """End the server at once, for those who throw its data away; committed data would survive."""
        process = self._process()
        if process is not None:
            process.kill()
            process.wait(_STOP_TIMEOUT_S)

    def status(self) -> LocalStatus:
        """Look at the server without changing anything."""
        process = self._process()
        return LocalStatus(
            state=self._state(process),
            pid=process.pid if process else None,
            uri=self._uri() if process else None,
            version=install.NEO4J_VERSION,
            java=executable(process) if process else None,
            home=self.home,
            log=self.log,
            data_bytes=_size(self.home / "data"),
        )

    def endpoint(self) -> Endpoint:
        """Return where the running server is.

        Raises:
            LocalServerError: it does not run.
        """
        process = self._process()
        if process is None or not serves(process, self._port()):
            raise LocalServerError("The local Neo4j is not running. Start it: kgplug db start.")
        return self._endpoint()

    def address(self) -> str:
        """Return host:port of the server, running or not; "" before its first start."""
        port = self._port()
        return "" if port is None else f"127.0.0.1:{port}"

    def _state(self, process: psutil.Process | None) -> State:
        if process is None:
            return "stopped" if install.installed(self.jars) else "not installed"
        if serves(process, self._port()):
            return "running"
        return "starting" if age_s(process) < _START_TIMEOUT_S else "unhealthy"

    def _process(self) -> psutil.Process | None:
        """Return the process that serves this home: the pid file's, else one whose start was cut off."""
        mark = f"@{local_config.arguments_file(self.home)}"
        try:
            recorded = psutil.Process(int(self._pid_file.read_text()))
        except (OSError, ValueError, psutil.Error):
            recorded = None
        if recorded is not None and carries(recorded, mark):
            return recorded
        return next((process for process in psutil.process_iter() if carries(process, mark)), None)

    def _install_and_launch(self, progress: bool | None, die_with_parent: bool) -> None:
        """Bring up a server that does not run."""
        java = find_java()
        jars = install.install(self.jars, progress=progress)
        if not (self.home / "data" / "databases" / "system").exists():
            local_config.set_first_password(self.home)
        self._endpoint_password()
        for attempt in range(_LAUNCH_ATTEMPTS):
            local_config.write_config(self.home, self._choose_port(retry=attempt > 0), self._config)
            self._launch(local_config.command_line(self.home, java, jars), die_with_parent)
            try:
                return self._wait(progress)
            except LocalServerError:
                if _PORT_TAKEN not in self.log.read_text(encoding="utf-8", errors="replace"):
                    raise
        raise LocalServerError(
            f"The port of the local Neo4j was taken by another program {_LAUNCH_ATTEMPTS} times while it started. "
            "Start it again: kgplug db start."
        )

    def _launch(self, command: list[str], die_with_parent: bool) -> None:
        """Start the process in a session of its own, so that no Ctrl-C reaches it."""
        self.log.parent.mkdir(exist_ok=True)
        with self.log.open("wb") as log:
            self._child = subprocess.Popen(
                command,
                cwd=self.home,
                env=child_environment(LC_ALL="C.UTF-8"),  # or Java cannot open a path with an accent
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=dying_with_parent() if die_with_parent else None,
            )
        self._pid_file.write_text(f"{self._child.pid}\n")

    def _wait(self, progress: bool | None) -> None:
        """Wait until the server answers a query, or raise with the reason why it does not."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        clock = "{desc} {elapsed} (15 to 40 s as a rule)"
        looks = {"bar_format": clock, "leave": False, "mininterval": 0}
        with progress_bar(None, what="Waiting for Neo4j", unit="", progress=progress, **looks) as bar:
            while (process := self._process()) is None or not serves(process, self._port()):
                if process is None and self._has_ended():
                    raise LocalServerError(
                        f"The local Neo4j ended while it started: {self._why_it_ended()} Its log: {self.log}"
                    )
                if time.monotonic() > deadline:
                    raise LocalServerError(
                        f"The local Neo4j runs but does not answer within {_START_TIMEOUT_S} s. Its log: {self.log}. "
                        "Stop it (kgplug db stop), then start it again."
                    )
                time.sleep(_POLL_S)
                bar.update()
            self._log_in()

    def _why_it_ended(self) -> str:
        killed = self._child is not None and self._child.returncode == -signal.SIGKILL
        return "something killed it, perhaps for want of memory." if killed else last_telling_line(self.log)

    def _has_ended(self) -> bool:
        """Tell whether no server comes any more; a child is asked, for its command line shows a moment late."""
        return self._child is None or self._child.poll() is not None

    def _log_in(self) -> None:
        """Run one query on the default database, which may come up a little later than the port."""
        from kgplug.graph.connection import Connection

        endpoint = self._endpoint()
        with Connection.open(endpoint.uri, username=endpoint.username, password=endpoint.password) as connection:
            connection.rows("RETURN 1")

    def _endpoint(self) -> Endpoint:
        return Endpoint(self._uri(), "neo4j", self._endpoint_password(), self.home / "import")

    def _endpoint_password(self) -> SecretStr:
        path = local_config.password_file(self.home)
        try:
            return SecretStr(path.read_text(encoding="utf-8").strip())
        except FileNotFoundError:
            raise LocalServerError(
                f"The password file {path} is missing, so nobody can log in to the data beside it. "
                f"Put it back, or remove {self.home / 'data'} to start with an empty database."
            ) from None

    def _uri(self) -> str:
        return f"bolt://127.0.0.1:{self._port()}"

    def _port(self) -> int | None:
        """Return the port in the server's configuration, None before its first start."""
        try:
            config = (self.home / "conf" / "neo4j.conf").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        match = re.search(r"^server\.bolt\.listen_address=127\.0\.0\.1:(\d+)$", config, re.MULTILINE)
        return int(match[1]) if match else None

    def _choose_port(self, *, retry: bool) -> int:
        """Return the port of the last start if it is free, else another one."""
        last = self._port()
        if last is not None and not retry and _is_free(last):
            return last
        for _ in range(_PORT_ATTEMPTS):
            port = secrets.choice(_PORTS)
            if _is_free(port):
                if last is not None:
                    _log.warning(
                        "Port %d is taken by another program: the local Neo4j now listens on port %d.", last, port
                    )
                return port
        raise LocalServerError(f"No port between {_PORTS.start} and {_PORTS.stop - 1} is free for the local Neo4j.")


def _is_free(port: int) -> bool:
    """Tell whether a server could listen on a loopback port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _size(folder: Path) -> int:
    """Return the bytes of all files in a folder, which may change meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.lstat().st_size if path.is_file() else 0
    return total
