"""The local Neo4j that kgplug manages: install, start and stop it.

There is one server per home folder. It listens on loopback only, on a free port from 17000 to 26999. It keeps running
after the command that started it has ended.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from kgplug.errors import GraphError, KgplugError, LocalServerError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.bolt.server_errors import has_failed
from kgplug.graph.server import install
from kgplug.graph.server.config import command_line, set_first_password, write_config
from kgplug.graph.server.home import START_TIMEOUT_S, Endpoint, LocalHome
from kgplug.graph.server.java import find_java
from kgplug.graph.server.lock import locked
from kgplug.graph.server.process import dying_with_parent, last_telling_line, serves
from kgplug.graph.server.store import new_store, trial_copy, trial_home, use_store
from kgplug.progress import bar as progress_bar
from kgplug.settings import child_environment

_log = logging.getLogger(__name__)
_PORTS = range(17_000, 27_000)  # below the ports that the operating system chooses for outgoing connections
_PORT_ATTEMPTS = 50
_LAUNCH_ATTEMPTS = 3
_STOP_TIMEOUT_S = 60
_POLL_S = 0.1
_PORT_TAKEN = "Address already in use"


class LocalNeo4j(LocalHome):
    """The local Neo4j of one home folder, which can be started and stopped.

    Args:
        home: home folder of the server, with its configuration, data, logs and password file.
        jars: folder of the server's jars. Default: `home`/jars. Several home folders may share one.
        version: see `LocalHome`.
        config: further settings for neo4j.conf, name → value, used from the next start. They must not disable bolt://.
    """

    def __init__(
        self,
        home: Path,
        *,
        jars: Path | None = None,
        version: str | None = None,
        config: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(home, jars=jars, version=version)
        self._config = dict(config or {})
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, *, progress: bool | None = None, die_with_parent: bool = False) -> Endpoint:
        """Start the server unless it is running; install it first if needed.

        Args:
            progress: show a bar while downloading and a clock while the server starts. None: both on a terminal, only
                the bar in a notebook, otherwise nothing.
            die_with_parent: kill the server when the calling process ends (Linux; for tests).

        Returns:
            Address and login of the server, which already answers queries.

        Raises:
            LocalServerError: a problem with network, disk, permissions or Java; or the server ended or does not answer;
                or the store belongs to another version than the one that was asked for.
        """
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self.home / "lock"):
                self._check_version()
                process = self._process()
                if process is None:
                    self.discard_trial()
                    self._install_and_launch(progress, die_with_parent)
                elif not serves(process, self._port()):
                    self._wait(progress)
                return self._endpoint()
        except OSError as error:
            raise install.disk_error(self.home, error) from error

    def stop(self) -> bool:
        """Stop the server cleanly. Kill it only if it does not stop or if its database has failed.

        Returns:
            Whether the server was running.
        """
        if not self.home.is_dir():
            return False
        with locked(self.home / "lock"):
            return self._stop()

    @contextmanager
    def while_stopped(self, *, progress: bool | None = None) -> Generator[None]:
        """Stop the server for the time of a `with` block, in which no other process can start it.

        If it ran, it is started again afterwards, also after an error. If this fails after an error, a warning says so,
        and the first error is raised.
        """
        with locked(self.home / "lock"):
            ran = self._stop()
            try:
                yield
            except BaseException:
                if ran:
                    self._try_to_launch(progress)
                raise
            if ran:
                self._install_and_launch(progress, die_with_parent=False)

    def discard_trial(self) -> None:
        """Delete the copy of the store that an upgrade has left because it failed or was killed. Keep its log.

        The caller holds the lock, so no upgrade is running.
        """
        copy = trial_copy(self.home)
        if copy.exists() and self.store.folder != copy:
            LocalNeo4j(trial_home(self.home)).kill()
            shutil.rmtree(copy, ignore_errors=True)

    def _stop(self) -> bool:
        """Stop the server as `stop` does. The caller holds the lock."""
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
                "Neo4j did not stop within %d s and was killed. It recovers at its next start.", _STOP_TIMEOUT_S
            )
            process.kill()
            process.wait(_STOP_TIMEOUT_S)
        self._pid_file.unlink(missing_ok=True)
        self._child = None
        return True

    def _has_failed(self, process: psutil.Process) -> bool:
        """Return whether the database has stopped after an error, such as a full disk.

        In this state, a clean shutdown of Neo4j 5.26 damages its transaction log, so that it cannot start again. After
        a kill, it recovers everything that was committed.
        """
        if not serves(process, self._port()):
            return False
        try:
            self._log_in()
        except GraphError as error:
            return has_failed(error)
        return False

    def kill(self) -> None:
        """Kill the server without a clean shutdown. No committed data is lost.

        This method is meant for callers that delete the data afterwards.
        """
        process = self._process()
        if process is not None:
            with suppress(psutil.NoSuchProcess):  # it was about to end
                process.kill()
            process.wait(_STOP_TIMEOUT_S)

    def _install_and_launch(self, progress: bool | None, die_with_parent: bool) -> None:
        """Install what is missing, start the server, and wait until it answers. The server must not be running."""
        version, store = self.version, self.store
        java = find_java(version)
        jars = install.install(self.jars, version, progress=progress)
        if not store.exists:
            store = new_store(self.home, version)
            use_store(self.home, store)
            set_first_password(self.home, store.folder)
        self._endpoint_password()
        for attempt in range(_LAUNCH_ATTEMPTS):
            write_config(self.home, self._choose_port(retry=attempt > 0), data=store.folder, further=self._config)
            self._launch(command_line(self.home, version, java, jars), die_with_parent)
            try:
                return self._wait(progress)
            except LocalServerError:
                if _PORT_TAKEN not in self.log.read_text(encoding="utf-8", errors="replace"):
                    raise
        raise LocalServerError(
            f"Another program took the port of the local Neo4j {_LAUNCH_ATTEMPTS} times while it started. "
            "Start it again: kgplug db start."
        )

    def _try_to_launch(self, progress: bool | None) -> None:
        """Start the server as `_install_and_launch` does; log a warning if this fails."""
        try:
            self._install_and_launch(progress, die_with_parent=False)
        except (KgplugError, OSError) as error:
            _log.warning("The local Neo4j could not be started again: %s Start it: kgplug db start.", error)

    def _check_version(self) -> None:
        """Raise LocalServerError if this home has a store that belongs to another version than the one asked for."""
        owner = self.store.version
        if owner is not None and self._wanted not in (None, owner):
            raise LocalServerError(
                f"The store in {self.home} belongs to {owner}, so it cannot be started with {self._wanted}. To move it "
                f"to another version, use `kgplug db upgrade`."
            )

    def _launch(self, command: list[str], die_with_parent: bool) -> None:
        """Start the server's process in a session of its own, so that Ctrl-C does not reach it."""
        self.log.parent.mkdir(exist_ok=True)
        with self.log.open("wb") as log:
            self._child = subprocess.Popen(
                command,
                cwd=self.home,
                env=child_environment(LC_ALL="C.UTF-8"),  # otherwise Java cannot open a path with an accent
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=dying_with_parent() if die_with_parent else None,
            )
        self._pid_file.write_text(f"{self._child.pid}\n")

    def _wait(self, progress: bool | None) -> None:
        """Wait until the server answers a query; raise LocalServerError with the reason if it does not."""
        deadline = time.monotonic() + START_TIMEOUT_S
        clock = "{desc} {elapsed} (usually 15 to 40 s)"
        looks = {"bar_format": clock, "leave": False, "mininterval": 0}
        with progress_bar(None, what="Waiting for Neo4j", unit="", progress=progress, **looks) as bar:
            while (process := self._process()) is None or not serves(process, self._port()):
                if process is None and self._has_ended():
                    raise LocalServerError(
                        f"The local Neo4j ended while it started: {self._why_it_ended()} Its log: {self.log}"
                    )
                if time.monotonic() > deadline:
                    raise LocalServerError(
                        f"The local Neo4j runs but did not answer within {START_TIMEOUT_S} s. Its log: {self.log}. "
                        "Stop it (kgplug db stop), then start it again."
                    )
                time.sleep(_POLL_S)
                bar.update()
            self._log_in()

    def _why_it_ended(self) -> str:
        killed = self._child is not None and self._child.returncode == -signal.SIGKILL
        return "it was killed, perhaps for lack of memory." if killed else last_telling_line(self.log)

    def _has_ended(self) -> bool:
        """Return whether the process that this object launched has ended; also true if it launched none.

        `_process` cannot answer this: right after the launch, the child process does not yet have the command line by
        which `_process` finds a server.
        """
        return self._child is None or self._child.poll() is not None

    def _log_in(self) -> None:
        """Log in and run one query, with retries, because the database may be ready a little after the port."""
        endpoint = self._endpoint()
        with Connection.open(endpoint.uri, username=endpoint.username, password=endpoint.password) as connection:
            connection.rows("RETURN 1")

    def _choose_port(self, *, retry: bool) -> int:
        """Return the port of the last start if it is free, otherwise another one. With `retry`, always another one."""
        last = self._port()
        if last is not None and not retry and _is_free(last):
            return last
        for _ in range(_PORT_ATTEMPTS):
            port = secrets.choice(_PORTS)
            if _is_free(port):
                if last is not None:
                    _log.warning("Another program uses port %d, so the local Neo4j now listens on port %d.", last, port)
                return port
        raise LocalServerError(f"No port between {_PORTS.start} and {_PORTS.stop - 1} is free for the local Neo4j.")


def _is_free(port: int) -> bool:
    """Return whether a server could listen on a loopback port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
