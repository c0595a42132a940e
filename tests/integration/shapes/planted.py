"""What the shapes share: users whose choices depend on a group, so that a model has something to learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgplug.graph.bolt.connection import Connection

GROUPS = 4
_LOYAL = 0.85  # share of a user's choices that are items of the user's own group


@dataclass(frozen=True)
class Shape:
    """A graph to build, and what a good guess of its schema says.

    Attributes:
        build: builds the graph in an empty database.
        user, item: labels that `kgplug init` must pick; user is None for a graph without feedback.
        feedback: type or pattern of each kind of feedback that it must pick, in the order of the file.
        model: a quick model to train, and its settings.
    """

    build: Any
    user: str | None
    item: str
    feedback: tuple[str, ...] = ()
    model: tuple[str, ...] = ("MF", "-s", "embedding_dim=8", "-s", "epochs=3", "-s", "settings=defaults")


def group(number: int) -> int:
    """Return the group of the user or item with this number."""
    return number % GROUPS


def choices(
    rng: np.random.Generator, n_users: int, n_items: int, per_user: float, *, repeated: bool = False
) -> list[tuple[int, int]]:
    """Return (user, item) pairs, mostly of one group. Each user has about `per_user`, and at least three.

    Args:
        rng: source of the choices.
        n_users, n_items: users and items are numbered from 0.
        per_user: mean number of choices per user.
        repeated: whether a user may choose an item several times.
    """
    pairs = []
    popularity = 1 / (np.arange(n_items) // GROUPS + 2)
    for user in range(n_users):
        own = np.array([group(item) == group(user) for item in range(n_items)])
        weights = popularity * np.where(own, _LOYAL / own.mean(), (1 - _LOYAL) / (1 - own.mean()))
        n = min(max(3, rng.poisson(per_user)), n_items // 2)
        chosen = rng.choice(n_items, size=n, replace=repeated, p=weights / weights.sum())
        pairs += [(user, int(item)) for item in chosen]
    return pairs


def few(rng: np.random.Generator, n: int, n_others: int, *, most: int = 2) -> list[tuple[int, int]]:
    """Return (node, other) pairs that give each node one to `most` others, the first one of the node's group."""
    pairs = []
    for node in range(n):
        first = GROUPS * int(rng.integers(n_others // GROUPS)) + group(node) if n_others >= GROUPS else 0
        more = rng.choice(n_others, size=int(rng.integers(most)), replace=False)
        pairs += [(node, other) for other in dict.fromkeys([first, *map(int, more)])]
    return pairs


def create(connection: Connection, label: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Create one node per row, with the row as its properties. The label may be several, such as "Actor:Person"."""
    connection.write(f"UNWIND $rows AS row CREATE (n:{label}) SET n = row", rows=list(rows))


def join(
    connection: Connection,
    head: str,
    kind: str,
    tail: str,
    pairs: Sequence[tuple[Any, Any]],
    properties: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Create one relationship per pair of keys.

    Args:
        connection: connection to the database.
        head, tail: label and key property of the ends, such as "User.id".
        kind: relationship type.
        pairs: keys of head and tail.
        properties: properties of each relationship; None for none.
    """
    (from_label, from_key), (to_label, to_key) = head.split("."), tail.split(".")
    rows = [
        {"head": a, "tail": b, "properties": {} if properties is None else properties[number]}
        for number, (a, b) in enumerate(pairs)
    ]
    connection.write(
        f"UNWIND $rows AS row MATCH (a:{from_label} {{{from_key}: row.head}}), (b:{to_label} {{{to_key}: row.tail}}) "
        f"CREATE (a)-[r:{kind}]->(b) SET r = row.properties",
        rows=rows,
    )


def unique(connection: Connection, **keys: str) -> None:
    """Create a uniqueness constraint per label."""
    for label, key in keys.items():
        connection.autocommit(f"CREATE CONSTRAINT FOR (n:{label}) REQUIRE n.{key} IS UNIQUE")
