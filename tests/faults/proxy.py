"""A TCP proxy between the tests and a server: it counts connections, cuts them, or falls silent."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit


class Proxy:
    """Forwards a port of its own to a server.

    Attributes:
        uri: where to connect in the place of the server.
        n_talks: connections over which a client has sent anything.
        silent: keep what comes, without a word to either side, as a machine does that hangs.
    """

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"bolt://127.0.0.1:{self._listener.getsockname()[1]}"
        self.n_talks, self.silent = 0, False
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break all connections that are open now; new ones are served."""
        while self._open:
            _shut(self._open.pop())

    def close(self) -> None:
        """Break all connections and take no more."""
        _shut(self._listener)
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._open += [client, server]
                threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self.n_talks, counts = self.n_talks + counts, False
                if not self.silent:
                    target.sendall(data)
        _shut(source)
        _shut(target)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextlib.contextmanager
def proxied(uri: str) -> Iterator[Proxy]:
    """Yield a proxy to a server and close it afterwards."""
    proxy = Proxy(uri)
    try:
        yield proxy
    finally:
        proxy.close()
