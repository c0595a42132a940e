"""Write each node's list as edges, whole in one transaction.

    (:User)-[:RECOMMENDS {model, run, rank, score}]->(:Item)
    (:Item)-[:SIMILAR_TO {model, run, rank, score}]->(:Item)

Edges of these types without both `model` and `run` are somebody else's and stay as they are. Whoever has a list is
a user here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from kgplug.data.publication import TopLists
from kgplug.graph.connection import Connection
from kgplug.graph.cypher import quote
from kgplug.graph.publishing.batches import run_batches
from kgplug.graph.publishing.nodes import NodeLookup

_BATCH_USERS = 1000
_BATCH_EDGES = 10_000
_OURS = "old.model = $model AND old.run IS NOT NULL"


class UserList(NamedTuple):
    """One user's list, best first."""

    items: list[int | str]
    scores: list[float]


@dataclass(frozen=True)
class ListCounts:
    """What became of the lists.

    Attributes:
        written, kept: users whose list was replaced, and whose list stood there already; empty ones included.
        edges: created.
        deleted: edges of earlier lists that were removed.
        missing_users, missing_items: keys without a node in the graph.
        vanished: edges not written because their user or item went meanwhile.
    """

    written: int = 0
    kept: int = 0
    edges: int = 0
    deleted: int = 0
    missing_users: list = field(default_factory=list)
    missing_items: list = field(default_factory=list)
    vanished: int = 0


def write_lists(
    connection: Connection,
    edge: str,
    model: str,
    run: str,
    lists: list[TopLists],
    lookups: dict[str, NodeLookup],
    *,
    compare: bool,
    progress: bool | None,
) -> list[ListCounts]:
    """Give every user of `lists` the new list, and every other node none; return one entry a label, then the rest's.

    Args:
        connection: to the database.
        edge: relationship type.
        model, run: what the edges carry.
        lists: one entry a label of users; none of it where the run has no lists.
        lookups: label → how its nodes are found.
        compare: read the lists in the graph first and write only those that differ.
        progress: show a bar; None shows it on a terminal.
    """
    counts, listed = [], []
    for one in lists:
        users, items = lookups[one.user_label], lookups[one.item_label]
        counts.append(ListWriter(connection, edge, model, run, users, items).write(one, compare, progress))
        listed.append((users, set(one.user_keys[users.present(one.user_keys)])))
    deleted = _remove_others(connection, edge, model, run, listed, look_at_all=compare or not lists)
    return [*counts, ListCounts(deleted=deleted)]


@dataclass(frozen=True, eq=False)
class ListWriter:
    """Gives users the lists of one run.

    Attributes:
        connection: to the database.
        edge: relationship type.
        model, run: what the edges carry.
        users, items: find the nodes.
    """

    connection: Connection
    edge: str
    model: str
    run: str
    users: NodeLookup
    items: NodeLookup

    def write(self, lists: TopLists, compare: bool, progress: bool | None) -> ListCounts:
        """Give every user of `lists` the new list; see `write_lists`."""
        known_user, known_item = self.users.present(lists.user_keys), self.items.present(lists.item_keys)
        users, used = np.flatnonzero(known_user), np.unique(lists.items[lists.items >= 0])

        def replace(batch: slice) -> tuple[int, int, int, int]:
            keys: list[int | str] = lists.user_keys[users[batch]].tolist()
            new = (_list_of(lists, row, known_item) for row in users[batch])
            wanted = dict(zip(keys, new, strict=True))
            return self._replace(self._differing(wanted) if compare else wanted)

        batch_rows = max(1, min(_BATCH_USERS, _BATCH_EDGES // max(1, lists.items.shape[1])))
        words = f"{self.users.label} lists" if self.users.label == self.items.label else "Lists"
        done = run_batches(replace, len(users), batch_rows, description=words, unit="node", progress=progress)
        written, edges, deleted, vanished = np.array(done, dtype=np.int64).reshape(-1, 4).sum(axis=0).tolist()
        return ListCounts(
            written=written,
            kept=len(users) - written,
            edges=edges,
            deleted=deleted,
            missing_users=list(lists.user_keys[~known_user]),
            missing_items=list(lists.item_keys[used[~known_item[used]]]),
            vanished=vanished,
        )

    def _differing(self, wanted: dict[int | str, UserList]) -> dict[int | str, UserList]:
        """Return those of the lists that are not in the graph as they should be."""
        query = f"""
        UNWIND range(0, size($users) - 1) AS row
        {self.users.match("user", "$users[row]")}
        OPTIONAL MATCH {_old(self.edge)}(item) WHERE {_OURS}
        WITH row, old, item ORDER BY row, old.rank
        RETURN row, collect(item.{quote(self.items.key)}) AS items, collect(old.score) AS scores,
               collect(old.rank) AS ranks, collect(DISTINCT old.run) AS runs
        """
        keys = list(wanted)
        rows = self.connection.rows(query, users=self._user_handles(keys), model=self.model)
        found = {keys[row["row"]]: row for row in rows}
        return {key: new for key, new in wanted.items() if not (key in found and self._is_same(found[key], new))}

    def _is_same(self, found: dict[str, Any], wanted: UserList) -> bool:
        n = len(wanted.items)
        return (
            found["items"] == wanted.items
            and found["scores"] == wanted.scores
            and found["ranks"] == list(range(1, n + 1))
            and found["runs"] == [self.run][:n]
        )

    def _replace(self, wanted: dict[int | str, UserList]) -> tuple[int, int, int, int]:
        """Replace lists in one transaction; return how many lists, edges made, edges removed, edges not made."""
        if not wanted:
            return 0, 0, 0, 0
        # Collecting the old edges before the first new one is made keeps the two apart.
        query = f"""
        UNWIND range(0, size($users) - 1) AS row
        {self.users.match("user", "$users[row]")}
        OPTIONAL MATCH {_old(self.edge)}() WHERE {_OURS}
        WITH row, user, collect(old) AS outdated
        FOREACH (old IN outdated | DELETE old)
        WITH user, $items[row] AS items, $scores[row] AS scores
        UNWIND range(0, size(items) - 1) AS place
        {self.items.match("item", "items[place]")}
        CREATE (user)-[:{self.edge} {{model: $model, run: $run, rank: place + 1, score: scores[place]}}]->(item)
        """
        counters = self.connection.write(
            query,
            users=self._user_handles(wanted),
            items=[[self.items.handles[key] for key in new.items] for new in wanted.values()],
            scores=[new.scores for new in wanted.values()],
            model=self.model,
            run=self.run,
        )
        created = counters["relationships_created"]
        expected = sum(len(new.items) for new in wanted.values())
        return len(wanted), created, counters["relationships_deleted"], expected - created

    def _user_handles(self, keys: Collection[int | str]) -> list[Any]:
        return [self.users.handles[key] for key in keys]


def _remove_others(
    connection: Connection, edge: str, model: str, run: str, listed: list[tuple[NodeLookup, set]], *, look_at_all: bool
) -> int:
    """Remove the lists of nodes that are not listed; return the number of edges.

    Args:
        connection: to the database.
        edge: relationship type.
        model, run: whose lists; those of the run are passed over unless `look_at_all`.
        listed: for each label of users the keys of those that keep their lists.
        look_at_all: look at the lists of this run, too.
    """
    keys = (f"CASE WHEN user:{quote(users.label)} THEN user.{quote(users.key)} END" for users, _ in listed)
    owners = connection.rows(
        f"MATCH {_old(edge)}() WHERE {_OURS} AND ($look_at_all OR old.run <> $run) "
        f"RETURN DISTINCT elementId(user) AS id, [{', '.join(keys)}] AS keys",
        model=model,
        run=run,
        look_at_all=look_at_all,
    )
    kept = [keys for _, keys in listed]
    ids = [owner["id"] for owner in owners if not any(map(_is_among, owner["keys"], kept))]
    query = f"MATCH {_old(edge)}() WHERE elementId(user) IN $ids AND {_OURS} DELETE old"
    batches = [ids[start : start + _BATCH_USERS] for start in range(0, len(ids), _BATCH_USERS)]
    return sum(connection.write(query, ids=batch, model=model)["relationships_deleted"] for batch in batches)


def _old(edge: str) -> str:
    return f"(user)-[old:{edge}]->"


def _list_of(lists: TopLists, row: int, known_item: np.ndarray) -> UserList:
    """Return a user's list without padding and without items that have no node."""
    items = lists.items[row]  # (k,)
    kept = (items >= 0) & known_item[items]
    return UserList(lists.item_keys[items[kept]].tolist(), lists.scores[row][kept].tolist())


def _is_among(key: object, keys: set) -> bool:
    return isinstance(key, int | str | float) and key in keys
