"""Readers of recommendations, in a process of their own. They check each answer."""

from __future__ import annotations

import multiprocessing
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from typing import Any

import neo4j
import numpy as np
from pydantic import SecretStr
from serving_answers import FAILED, Answer, K, judge

FIRST_ITEM = 1_000_000  # key of the first item: so large that no item has the key of a user, or its own index

_spawn = multiprocessing.get_context("spawn")  # spawn, because a driver's threads do not survive a fork


@dataclass(frozen=True)
class Task:
    """What readers do.

    Attributes:
        uri, username, password, database: Server and login.
        query: Query to send, with the parameters $user, $model and $k.
        model: Name of the published model.
        n_users, n_items: Numbers of users and items. With a run's id, they determine the correct lists (`lists_of`).
        rate: Requests per second; None: without pause.
        threads: Maximum number of requests at once.
        seed: Seed of the choice of users.
    """

    uri: str
    username: str
    password: SecretStr
    database: str
    query: str
    model: str
    n_users: int
    n_items: int
    rate: float | None
    threads: int
    seed: int = 0


def lists_of(run: str, users: np.ndarray, n_items: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the lists of some users, which depend only on the run's id and the size of the catalogue.

    A user's list takes items from the catalogue at equal distances, so no item occurs twice.

    Args:
        run: Id of the run.
        users: int64 (n,), user indices.
        n_items: Number of items in the catalogue, at least 2 * K.

    Returns:
        Item indices, int64 (n, K), and scores, float32 (n, K), descending.
    """
    noise = _mixed(_mixed(np.asarray(users, dtype=np.uint64)) + np.uint64(zlib.crc32(run.encode())))  # (n,)
    first = noise % np.uint64(n_items)
    step = 1 + (noise >> np.uint64(32)) % np.uint64(n_items // K - 1)
    items = (first[:, None] + step[:, None] * np.arange(K, dtype=np.uint64)) % np.uint64(n_items)  # (n, K)
    share = (noise >> np.uint64(40)).astype(np.float64) / 2**24  # (n,)
    scores = 1 - (np.arange(K) + share[:, None]) / (K + 1)  # (n, K)
    return items.astype(np.int64), scores.astype(np.float32)


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Return a pseudo-random uint64 for each number, by splitmix64 (Steele et al. 2014, fig. 16)."""
    with np.errstate(over="ignore"):
        mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


class Readers:
    """Readers that send requests until `stop` is called. Made by `reading`."""

    def __init__(self, task: Task) -> None:
        ours, theirs = _spawn.Pipe()
        self._pipe, self._process = ours, _spawn.Process(target=_read, args=(task, theirs), daemon=True)
        self._process.start()
        theirs.close()
        assert self._pipe.recv() == "ready"
        self.began = time.monotonic()

    def stop(self) -> list[Answer]:
        """Stop the readers, and return all answers in the order in which their requests were due."""
        self._pipe.send("stop")
        answers = self._pipe.recv()
        self._process.join()
        return sorted(Answer(*answer) for answer in answers)

    def end(self) -> None:
        """Kill the readers' process."""
        self._process.kill()
        self._process.join()


@contextmanager
def reading(task: Task) -> Iterator[Readers]:
    """Let readers send requests during the `with` block. `Readers.stop` returns their answers."""
    readers = Readers(task)
    try:
        yield readers
    finally:
        readers.end()


def _read(task: Task, pipe: Pipe) -> None:
    """Send requests until the parent process says "stop" or has ended. The readers' process runs this."""
    auth = (task.username, task.password.get_secret_value())
    with neo4j.GraphDatabase.driver(task.uri, auth=auth, notifications_min_severity="OFF") as driver:
        asking = _Asking(task, driver)
        for user in range(10 * task.threads):  # opens the connections and compiles the query
            asking.ask(user)
        threads = [threading.Thread(target=asking.go_on, args=(number,)) for number in range(task.threads)]
        pipe.send("ready")
        asking.first_due = time.monotonic()
        for thread in threads:
            thread.start()
        try:
            pipe.recv()
        except EOFError:
            pipe = None
        asking.stopped.set()
        for thread in threads:
            thread.join()
    if pipe is not None:
        pipe.send([tuple(answer) for answer in asking.answers])


class _Asking:
    """State that the readers' threads share.

    Each thread takes the next request that is due, so a slow request delays no other.
    """

    def __init__(self, task: Task, driver: neo4j.Driver) -> None:
        self.task, self.driver = task, driver
        self.stopped = threading.Event()
        self.first_due = 0.0
        self.answers: list[Answer] = []
        self._lock, self._taken = threading.Lock(), 0

    def go_on(self, thread: int) -> None:
        rng = np.random.default_rng((self.task.seed, thread))
        while not self.stopped.is_set():
            due = self._next_due()
            if self.stopped.wait(max(0.0, due - time.monotonic())):
                return
            user = int(rng.integers(self.task.n_users))
            began = time.monotonic()
            try:
                rows = self.ask(user)
            except (neo4j.exceptions.DriverError, neo4j.exceptions.Neo4jError):
                self.answers.append(Answer(due, began, time.monotonic(), "", FAILED))
                continue
            done = time.monotonic()
            run, verdict = judge(rows, lambda run, user=user: self._expected(run, user))
            self.answers.append(Answer(due, began, done, run, verdict))

    def ask(self, user: int) -> list[dict[str, Any]]:
        """Send the query for one user, and return its rows. The limit is twice a list's length, to see surplus rows."""
        records, _, _ = self.driver.execute_query(
            self.task.query,  # type: ignore[arg-type]
            {"user": user, "model": self.task.model, "k": 2 * K},
            routing_=neo4j.RoutingControl.READ,
            database_=self.task.database,
        )
        return [record.data() for record in records]

    def _expected(self, run: str, user: int) -> list[int]:
        items, _ = lists_of(run, np.array([user]), self.task.n_items)
        return (FIRST_ITEM + items[0]).tolist()

    def _next_due(self) -> float:
        if self.task.rate is None:
            return time.monotonic()
        with self._lock:
            self._taken += 1
            return self.first_due + (self._taken - 1) / self.task.rate
