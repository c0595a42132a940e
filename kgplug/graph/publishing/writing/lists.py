"""Write each node's list as edges. The lists that serve now stay unchanged next to the new ones.

    (:User)-[:RECOMMENDS {model, run, edition, rank, score}]->(:Item)
    (:Item)-[:SIMILAR_TO {model, run, edition, rank, score}]->(:Item)

The edges of all lists that serve together have the same edition number. An edition serves only once it is complete
(`kgplug.graph.catalog`). Edges of these types whose run is not in the catalogue are not kgplug's and are never changed.
In this module, any node that has a list is called a user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from kgplug.data.publication import TopLists
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.publishing.writing.batches import run_batches
from kgplug.graph.publishing.writing.nodes import NodeLookup
from kgplug.graph.queries import quote

_BATCH_USERS = 1000
_BATCH_EDGES = 10_000
_OURS = "old.model = $model AND old.edition = $edition AND old.run = $run"


class UserList(NamedTuple):
    """One user's list of items, best first."""

    items: list[int | str]
    scores: list[float]


@dataclass(frozen=True)
class ListCounts:
    """The result of writing lists.

    Attributes:
        written, kept: number of lists written, and number of lists that were already there. Empty lists are counted.
        edges: number of edges created.
        expected: number of edges that these lists must now have in the graph, unless nodes were deleted since.
        missing_users, missing_items: keys without a node in the graph.
        vanished: number of edges not written because their user or item was deleted during the publish.
    """

    written: int = 0
    kept: int = 0
    edges: int = 0
    expected: int = 0
    missing_users: list[int | str] = field(default_factory=list[int | str])
    missing_items: list[int | str] = field(default_factory=list[int | str])
    vanished: int = 0


@dataclass(frozen=True)
class Edition:
    """An edition: the lists that serve together, because their edges have the same model, run and edition number.

    Attributes:
        model, run: name of the model and id of the run, which all edges of the edition have as properties.
        number: number of the edition, which these edges also have.
        check: function that is called before each batch is written. It raises an error if the work must stop.
    """

    model: str
    run: str
    number: int
    check: Callable[[], None] = lambda: None

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters $model, $run and $edition for a query that finds the edges of the edition."""
        return {"model": self.model, "run": self.run, "edition": self.number}


def write_lists(
    connection: Connection,
    edge: str,
    edition: Edition,
    lists: list[TopLists],
    lookups: dict[str, NodeLookup],
    *,
    compare: bool,
    progress: bool | None,
) -> list[ListCounts]:
    """Write the lists of an edition; return one `ListCounts` per entry of `lists`.

    Args:
        connection: connection to the database.
        edge: relationship type, RECOMMENDS or SIMILAR_TO.
        edition: edition of the lists.
        lists: one entry per label of the nodes that have lists; empty if the run has no lists.
        lookups: label → lookup, which finds the nodes of the label by their keys.
        compare: first read the lists that the edition already has in the graph. Write only lists that differ from
            these, and delete the lists of nodes that have no list in `lists`.
        progress: Whether to show a progress bar. None: only on a terminal.
    """
    counts: list[ListCounts] = []
    listed: list[tuple[NodeLookup, set[Any]]] = []
    for one in lists:
        users, items = lookups[one.user_label], lookups[one.item_label]
        counts.append(ListWriter(connection, edge, edition, users, items).write(one, compare, progress))
        listed.append((users, set(one.user_keys[users.present(one.user_keys)])))
    if compare:
        _remove_others(connection, edge, edition, listed)
    return counts


def count_edges(connection: Connection, edge: str, edition: Edition) -> int:
    """Return how many edges of an edition the graph holds."""
    query = f"MATCH ()-[old:{edge}]->() WHERE {_OURS} RETURN count(old) AS n"
    return connection.rows(query, **edition.parameters)[0]["n"]


def read_lists(connection: Connection, edge: str, edition: Edition, users: NodeLookup, items: NodeLookup) -> TopLists:
    """Read all lists of an edition whose users and items have the labels of the two lookups."""
    match = f"MATCH (user:{quote(users.label)})-[old:{edge}]->(item:{quote(items.label)}) WHERE {_OURS}"
    owners = connection.rows(
        f"{match} RETURN elementId(user) AS id, user.{quote(users.key)} AS key, max(old.rank) AS n",
        **edition.parameters,
    )
    shape = (len(owners), max((owner["n"] for owner in owners), default=0))
    indices, scores = np.full(shape, -1, dtype=np.int64), np.zeros(shape, dtype=np.float32)
    index_of: dict[int | str, int] = {}
    query = f"""
    {match} AND elementId(user) IN $ids
    RETURN elementId(user) AS id, collect(item.{quote(items.key)}) AS items, collect(old.rank) AS ranks,
           collect(old.score) AS scores
    """
    row_of = {owner["id"]: row for row, owner in enumerate(owners)}
    for start in range(0, len(owners), _BATCH_USERS):
        ids = [owner["id"] for owner in owners[start : start + _BATCH_USERS]]
        for found in connection.rows(query, ids=ids, **edition.parameters):
            row, ranks = row_of[found["id"]], np.array(found["ranks"], dtype=np.int64) - 1
            indices[row, ranks] = [index_of.setdefault(key, len(index_of)) for key in found["items"]]
            scores[row, ranks] = found["scores"]
    user_keys, item_keys = np.empty(len(owners), dtype=object), np.empty(len(index_of), dtype=object)
    user_keys[:], item_keys[:] = [owner["key"] for owner in owners], list(index_of)
    return TopLists(users.label, items.label, user_keys, item_keys, indices, scores)


@dataclass(frozen=True, eq=False)
class ListWriter:
    """A writer for the lists of one edition, for users of one label.

    Attributes:
        connection: connection to the database.
        edge: relationship type.
        edition: edition of the lists.
        users, items: lookups of the nodes.
    """

    connection: Connection
    edge: str
    edition: Edition
    users: NodeLookup
    items: NodeLookup

    def write(self, lists: TopLists, compare: bool, progress: bool | None) -> ListCounts:
        """Write the list of every user in `lists` who has a node; `compare` and `progress` are as in `write_lists`."""
        known_user, known_item = self.users.present(lists.user_keys), self.items.present(lists.item_keys)
        users, used = np.flatnonzero(known_user), np.unique(lists.items[lists.items >= 0])

        def write(batch: slice) -> tuple[int, int, int, int]:
            self.edition.check()
            keys: list[int | str] = lists.user_keys[users[batch]].tolist()
            new = (_list_of(lists, row, known_item) for row in users[batch])
            wanted = dict(zip(keys, new, strict=True))
            n_edges = sum(len(one.items) for one in wanted.values())
            differing = self._differing(wanted) if compare else wanted
            made = self._replace(differing)
            vanished = sum(len(one.items) for one in differing.values()) - made
            return len(differing), made, n_edges - vanished, vanished

        batch_rows = max(1, min(_BATCH_USERS, _BATCH_EDGES // max(1, lists.items.shape[1])))
        words = f"{self.users.label} lists" if self.users.label == self.items.label else "Lists"
        done = run_batches(write, len(users), batch_rows, description=words, unit="node", progress=progress)
        written, edges, expected, vanished = np.array(done, dtype=np.int64).reshape(-1, 4).sum(axis=0).tolist()
        return ListCounts(
            written=written,
            kept=len(users) - written,
            edges=edges,
            expected=expected,
            missing_users=list(lists.user_keys[~known_user]),
            missing_items=list(lists.item_keys[used[~known_item[used]]]),
            vanished=vanished,
        )

    def _differing(self, wanted: dict[int | str, UserList]) -> dict[int | str, UserList]:
        """Return the lists in `wanted`, user key → list, that are missing in the graph or differ there."""
        query = f"""
        UNWIND range(0, size($users) - 1) AS row
        {self.users.match("user", "$users[row]")}
        OPTIONAL MATCH {_old(self.edge)}(item) WHERE {_OURS}
        WITH row, old, item ORDER BY row, old.rank
        RETURN row, collect(item.{quote(self.items.key)}) AS items, collect(old.score) AS scores,
               collect(old.rank) AS ranks, collect(DISTINCT old.run) AS runs
        """
        keys: list[int | str] = list(wanted)
        rows = self.connection.rows(query, users=self._user_handles(keys), **self.edition.parameters)
        found: dict[int | str, dict[str, Any]] = {keys[row["row"]]: row for row in rows}
        return {key: new for key, new in wanted.items() if not (key in found and self._is_same(found[key], new))}

    def _is_same(self, found: dict[str, Any], wanted: UserList) -> bool:
        n = len(wanted.items)
        return (
            found["items"] == wanted.items
            and found["scores"] == wanted.scores
            and found["ranks"] == list(range(1, n + 1))
            and found["runs"] == [self.edition.run][:n]
        )

    def _replace(self, wanted: dict[int | str, UserList]) -> int:
        """Replace the lists of some users in one transaction; return the number of edges created.

        `wanted` maps each user's key to the new list. The query can safely run twice, as `Connection.write` requires.
        """
        if not wanted:
            return 0
        # The old edges are collected before the first new edge is created, so that no new edge is deleted.
        query = f"""
        UNWIND range(0, size($users) - 1) AS row
        {self.users.match("user", "$users[row]")}
        OPTIONAL MATCH {_old(self.edge)}() WHERE {_OURS}
        WITH row, user, collect(old) AS outdated
        FOREACH (old IN outdated | DELETE old)
        WITH user, $items[row] AS items, $scores[row] AS scores
        UNWIND range(0, size(items) - 1) AS place
        {self.items.match("item", "items[place]")}
        CREATE (user)-[:{self.edge} {{model: $model, run: $run, edition: $edition, rank: place + 1,
                                      score: scores[place]}}]->(item)
        """
        counters = self.connection.write(
            query,
            users=self._user_handles(wanted),
            items=[[self.items.handles[key] for key in new.items] for new in wanted.values()],
            scores=[new.scores for new in wanted.values()],
            **self.edition.parameters,
        )
        return counters["relationships_created"]

    def _user_handles(self, keys: Iterable[int | str]) -> list[Any]:
        return [self.users.handles[key] for key in keys]


def _remove_others(
    connection: Connection, edge: str, edition: Edition, listed: list[tuple[NodeLookup, set[Any]]]
) -> None:
    """Delete the lists of an edition that belong to nodes without a planned list.

    Args:
        connection: connection to the database.
        edge: relationship type.
        edition: edition of the lists.
        listed: one pair per label of the nodes that have lists: lookup of these nodes, and keys of those that keep
            their lists.
    """
    keys = (f"CASE WHEN user:{quote(users.label)} THEN user.{quote(users.key)} END" for users, _ in listed)
    owners = connection.rows(
        f"MATCH {_old(edge)}() WHERE {_OURS} RETURN DISTINCT elementId(user) AS id, [{', '.join(keys)}] AS keys",
        **edition.parameters,
    )
    kept = [keys for _, keys in listed]
    ids = [owner["id"] for owner in owners if not any(map(_is_among, owner["keys"], kept))]
    query = f"MATCH {_old(edge)}() WHERE elementId(user) IN $ids AND {_OURS} DELETE old"
    for start in range(0, len(ids), _BATCH_USERS):
        batch = ids[start : start + _BATCH_USERS]
        connection.write(query, ids=batch, **edition.parameters)


def _old(edge: str) -> str:
    return f"(user)-[old:{edge}]->"


def _list_of(lists: TopLists, row: int, known_item: np.ndarray) -> UserList:
    """Return the list in a row of `lists`, without gaps (item -1) and without items that have no node.

    `known_item`, bool (n_items,), marks the items with a node.
    """
    items = lists.items[row]  # (k,)
    kept = (items >= 0) & known_item[items]
    return UserList(lists.item_keys[items[kept]].tolist(), lists.scores[row][kept].tolist())


def _is_among(key: object, keys: set[Any]) -> bool:
    return isinstance(key, int | str | float) and key in keys
