"""Readers of recommendations in a process of their own, who check each answer."""

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

FIRST_ITEM = 1_000_000  # key of the first item: no key of an item is one of a user, or a row number

_spawn = multiprocessing.get_context("spawn")  # a driver's threads do not survive a fork


@dataclass(frozen=True)
class Task:
    """What readers do.

    Attributes:
        uri, username, password, database: server and login.
        query: query to send, with the parameters $user, $model and $k.
        model: the published model.
        n_users, n_items: numbers of users and items. The correct lists follow from them and a run's id (`lists_of`).
        rate: requests per second; None: without pause.
        threads: maximum number of requests at once.
        seed: seed of the choice of users.
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
    """Return the lists of some users, which a run's id alone decides.

    A list goes through the catalogue in steps of its own, so no item comes twice.

    Args:
        run: id.
        users: int64 (n,), row numbers.
        n_items: in the catalogue, at least 2 * K.

    Returns:
        Items int64 (n, K) and scores float32 (n, K), falling.
    """
    noise = _mixed(_mixed(np.asarray(users, dtype=np.uint64)) + np.uint64(zlib.crc32(run.encode())))  # (n,)
    first = noise % np.uint64(n_items)
    step = 1 + (noise >> np.uint64(32)) % np.uint64(n_items // K - 1)
    items = (first[:, None] + step[:, None] * np.arange(K, dtype=np.uint64)) % np.uint64(n_items)  # (n, K)
    share = (noise >> np.uint64(40)).astype(np.float64) / 2**24  # (n,)
    scores = 1 - (np.arange(K) + share[:, None]) / (K + 1)  # (n, K)
    return items.astype(np.int64), scores.astype(np.float32)


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Return uint64 that look drawn at random, one for each: splitmix64 (Steele et al. 2014, fig. 16)."""
    with np.errstate(over="ignore"):
        mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


class Readers:
    """Ask until they are told to stop; begun by `reading`."""

    def __init__(self, task: Task) -> None:
        ours, theirs = _spawn.Pipe()
        self._pipe, self._process = ours, _spawn.Process(target=_read, args=(task, theirs), daemon=True)
        self._process.start()
        theirs.close()
        assert self._pipe.recv() == "ready"
        self.began = time.monotonic()

    def stop(self) -> list[Answer]:
        """Return all answers, in the order in which they were due."""
        self._pipe.send("stop")
        answers = self._pipe.recv()
        self._process.join()
        return sorted(Answer(*answer) for answer in answers)

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.join()


@contextmanager
def reading(task: Task) -> Iterator[Readers]:
    """Let readers ask meanwhile; `Readers.stop` gives their answers."""
    readers = Readers(task)
    try:
        yield readers
    finally:
        readers.end()


def _read(task: Task, pipe: Pipe) -> None:
    """Be the readers' process: ask until told to stop, or until nobody is there to tell."""
    auth = (task.username, task.password.get_secret_value())
    with neo4j.GraphDatabase.driver(task.uri, auth=auth, notifications_min_severity="OFF") as driver:
        asking = _Asking(task, driver)
        for user in range(10 * task.threads):  # connections are made, the query is compiled
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
    """What the threads share. Each takes the next request that is due, so one that is slow delays no other."""

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
        """Return the rows of one user; twice as many would be shown as there should be."""
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
