"""The lease on a model: a lock with a time limit, so that only one process at a time changes what the model serves.

    (:KgplugModel {name, lease_token, lease_since, lease_until, …})

The lease is stored in the model's catalogue node. The process that holds it keeps renewing it, and the server's clock
decides when it ends. If the holder dies, the lease runs out. A process on the same machine need not wait for this,
because it can see that the holder is dead. A lease on one model does not delay changes of other models.
"""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from kgplug.errors import GraphError
from kgplug.graph import catalog
from kgplug.graph.bolt.connection import Connection

LEASE_MS = 60_000
_RENEWALS = 4  # number of renewals within the duration of a lease
_held: set[str] = set()  # tokens of the leases that this process holds
# The first SET locks the node, so that nobody else can change what is read afterwards.
_TAKE = """
MERGE (model:KgplugModel {name: $model})
SET model.lease_asked = timestamp()
WITH model, model.lease_token IS NULL OR model.lease_until < timestamp() OR model.lease_token = $dead AS free
FOREACH (_ IN CASE WHEN free THEN [1] ELSE [] END |
    SET model.lease_token = $token, model.lease_since = datetime(), model.lease_until = timestamp() + $lease_ms)
SET model.lease_asked = null
RETURN free, model.lease_token AS token, toString(model.lease_since) AS since,
       model.lease_until - timestamp() AS left_ms
"""
_RENEW = """
MATCH (model:KgplugModel {name: $model}) WHERE model.lease_token = $token
SET model.lease_until = timestamp() + $lease_ms RETURN 1
"""
_RETURN = """
MATCH (model:KgplugModel {name: $model}) WHERE model.lease_token = $token
SET model.lease_token = null, model.lease_since = null, model.lease_until = null
"""
_FORGET_EMPTY = """
MATCH (model:KgplugModel {name: $model})
WHERE model.lease_token IS NULL AND model.serves IS NULL AND model.predicted IS NULL
    AND NOT EXISTS { MATCH (:KgplugRun {model: $model}) }
DETACH DELETE model
"""


@dataclass(eq=False)
class Lease:
    """A lease that this process holds.

    Attributes:
        model: name of the model.
        token: text that identifies this holder: user, machine, process id and a random part.
        renewed: time of the last renewal, by this process's monotonic clock, in seconds; -1 if the lease is lost.
    """

    model: str
    token: str
    renewed: float = field(default_factory=time.monotonic)
    _ended: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raise GraphError if this process may have lost the lease, so that another process may hold it by now."""
        if self.renewed < 0 or time.monotonic() - self.renewed > LEASE_MS / 1000:
            raise catalog.lease_lost(self.model)

    def keep(self, connection: Connection) -> None:
        """Renew the lease again and again until `end` is called. Run it in a thread of its own."""
        while not self._ended.wait(LEASE_MS / 1000 / _RENEWALS):
            with suppress(GraphError):  # an outage: the next renewal may succeed, or `check` stops the holder
                asked = time.monotonic()
                rows = connection.write_rows(_RENEW, model=self.model, token=self.token, lease_ms=LEASE_MS)
                self.renewed = asked if rows else -1.0

    def end(self) -> None:
        """Make `keep` return."""
        self._ended.set()


@contextmanager
def leased(connection: Connection, model: str) -> Generator[Lease]:
    """Hold the lease on a model inside a `with` block.

    Raises:
        GraphError: another process holds the lease. The message says which user and machine, and since when.
    """
    lease = _take(connection, model)
    _held.add(lease.token)
    renewing = threading.Thread(target=lease.keep, args=(connection,), daemon=True, name=f"kgplug lease on {model}")
    renewing.start()
    try:
        yield lease
    finally:
        lease.end()
        _held.discard(lease.token)
        with suppress(GraphError):  # no connection: the lease runs out by itself
            connection.write(_RETURN, model=model, token=lease.token)
            connection.write(_FORGET_EMPTY, model=model)


def _take(connection: Connection, model: str) -> Lease:
    token = f"{_user()}@{_machine()}/{os.getpid()}/{secrets.token_hex(4)}"
    dead: str | None = None
    while True:
        asked = time.monotonic()
        parameters = {"model": model, "token": token, "dead": dead, "lease_ms": LEASE_MS}
        (found,) = connection.write_rows(_TAKE, **parameters)
        if found["free"] or found["token"] == token:
            return Lease(model, token, asked)
        if dead == found["token"] or not _is_dead(found["token"]):
            raise GraphError(
                f"{model} is being published by {_who(found['token'])}, since {found['since'][:19].replace('T', ' ')} "
                f"UTC. Wait for it to finish. If it has died, its lease ends in {found['left_ms'] / 1000:.0f} s."
            )
        dead = found["token"]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"user {os.getuid()}"


def _machine() -> str:
    """Return a name for the scope in which process ids are unique: the host and, on Linux, the pid namespace."""
    namespace = Path("/proc/self/ns/pid")
    number = f".{namespace.stat().st_ino}" if namespace.exists() else ""
    return f"{socket.gethostname()}{number}"


def _is_dead(token: str) -> bool:
    """Return whether this process can see that the holder of a lease is gone.

    A holder on this machine is gone if its process has ended. If the holder was this process itself, it is gone if this
    process no longer holds that lease.
    """
    holder, process, _ = token.rsplit("/", 2)
    if holder.rpartition("@")[2] != _machine():
        return False
    return token not in _held if int(process) == os.getpid() else not psutil.pid_exists(int(process))


def _who(token: str) -> str:
    holder, process, _ = token.rsplit("/", 2)
    user, _, machine = holder.rpartition("@")
    return f"{user} on {machine.rpartition('.')[0] or machine} (process {process})"
