"""Publications for the tests of the publisher; run as a script, publishes one and may kill itself on the way."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import SecretStr

from kgplug.data.publication import NodeVectors, Publication, TopLists
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.publishing.publisher import publish
from kgplug.graph.publishing.writing import lists as list_writing
from kgplug.graph.publishing.writing import vectors as vector_writing
from kgplug.graph.schema import GraphSchema

N_USERS, N_ITEMS, K, DIMENSIONS = 60, 30, 5, 8


def keys(*values: object) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def publication(run: str, *, model: str = "MKR", seed: int = 0, k: int = K, n_users: int = N_USERS) -> Publication:
    """Vectors and lists for users 1 … n_users and items 1 … 30; equal seeds give equal arrays."""
    rng = np.random.default_rng(seed)
    users, items = keys(*range(1, n_users + 1)), keys(*range(1, N_ITEMS + 1))
    chosen = np.argsort(rng.random((n_users, N_ITEMS)), axis=1)[:, :k]
    scores = -np.sort(-rng.random((n_users, k)), axis=1).astype(np.float32)
    vectors = [
        NodeVectors("User", users, rng.normal(size=(n_users, DIMENSIONS)).astype(np.float32), indexed=False),
        NodeVectors("Movie", items, rng.normal(size=(N_ITEMS, DIMENSIONS)).astype(np.float32)),
    ]
    lists = TopLists("User", "Movie", users, items, chosen, scores)
    return Publication(model, run, vectors, lists, {"settings": {"embedding_dim": DIMENSIONS}})


def unindexed(run: str, **options: Any) -> Publication:
    """Return a publication without vector indexes, which is published in a third of the time.

    After a new index, Neo4j plans all queries again. Tests that publish only such publications follow each other.
    """
    whole = publication(run, **options)
    return replace(whole, vectors=[replace(nodes, indexed=False) for nodes in whole.vectors])


class Dying(Connection):
    """A connection whose holder dies when it turns to the server once too often."""

    calls_left = 0

    def _managed(self, *arguments, **named):
        self._count()
        return super()._managed(*arguments, **named)

    def autocommit(self, query, /, **parameters):
        self._count()
        return super().autocommit(query, **parameters)

    def _count(self) -> None:
        self.calls_left -= 1
        if self.calls_left < 0:
            self.die()

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def small_batches() -> None:
    """Make a few users several batches."""
    list_writing._BATCH_USERS = 10
    vector_writing._BATCH_ROWS = 10


def main() -> None:
    uri, username, run, seed, calls = sys.argv[1:]
    small_batches()
    with Dying.open(uri, username=username, password=SecretStr(sys.stdin.readline().strip())) as connection:
        assert isinstance(connection, Dying)
        connection.calls_left = int(calls)
        publish(connection, GraphSchema(), publication(run, seed=int(seed)), progress=False)


if __name__ == "__main__":
    main()
