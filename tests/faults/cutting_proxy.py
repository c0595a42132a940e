"""A TCP proxy before a Bolt server, which cuts a connection at a COMMIT."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit

COMMIT = b"\x00\x02\xb0\x12\x00\x00"  # the whole message, as the driver sends it
_TIME_TO_COMMIT_S = 1.0


class CuttingProxy:
    """Forwards bytes both ways.

    Attributes:
        uri: where it listens.
        commits: seen so far.
        cuts: connections cut so far.
    """

    def __init__(self, uri: str) -> None:
        target = urlsplit(uri)
        assert target.hostname is not None
        assert target.port is not None
        self._target = (target.hostname, target.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"bolt://127.0.0.1:{self._listener.getsockname()[1]}"
        self.commits, self.cuts = 0, 0
        self._cut_at: set[int] = set()
        self._answers_only = True
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, *commits: int, answers_only: bool) -> None:
        """Cut the connections over which these COMMITs come, counted from now on.

        Args:
            commits: 1 for the next one.
            answers_only: the server gets the COMMIT and does it, and only its answer is lost; else neither arrives.
        """
        with self._lock:
            self._cut_at = {self.commits + number for number in commits}
            self._answers_only = answers_only

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            silent = threading.Event()
            threading.Thread(target=self._to_server, args=(client, server, silent), daemon=True).start()
            threading.Thread(target=self._to_client, args=(client, server, silent), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket, silent: threading.Event) -> None:
        while data := _receive(client):
            if COMMIT in data and self._is_to_be_cut():
                silent.set()
                if self._answers_only:
                    server.sendall(data)
                    threading.Event().wait(_TIME_TO_COMMIT_S)
                break
            with suppress(OSError):
                server.sendall(data)
        _end(client, server)

    def _is_to_be_cut(self) -> bool:
        with self._lock:
            self.commits += 1
            self.cuts += self.commits in self._cut_at
            return self.commits in self._cut_at

    def _to_client(self, client: socket.socket, server: socket.socket, silent: threading.Event) -> None:
        while data := _receive(server):
            if not silent.is_set():
                with suppress(OSError):
                    client.sendall(data)
        _end(client, server)


def _receive(source: socket.socket) -> bytes:
    try:
        return source.recv(65536)
    except OSError:
        return b""


def _end(*sockets: socket.socket) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
