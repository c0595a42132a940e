"""Shared by the tests of publishing: a numbered graph, its contents after a publish, a publish that is cut off."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from kgplug.data.publication import NodeVectors, Publication
from kgplug.graph import catalog
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.queries import quote
from kgplug.graph.schema import GraphSchema
from tests.integration.helpers.publishing import N_ITEMS, N_USERS, K, publication

SCHEMA = GraphSchema()


NUMBERED_KEYS = pytest.mark.keys("User", "Movie")  # for tests that begin with `numbered_graph`


def numbered_graph(connection: Connection) -> Connection:
    """Give an empty database users 1 … 60 and films 1 … 30."""
    connection.autocommit("CREATE CONSTRAINT IF NOT EXISTS FOR (n:User) REQUIRE n.id IS UNIQUE")
    connection.autocommit("CREATE CONSTRAINT IF NOT EXISTS FOR (n:Movie) REQUIRE n.id IS UNIQUE")
    connection.write("UNWIND range(1, $n) AS id CREATE (:User {id: id})", n=N_USERS)
    connection.write("UNWIND range(1, $n) AS id CREATE (:Movie {id: id})", n=N_ITEMS)
    return connection


def edges(connection: Connection, model: str = "MKR") -> list[tuple]:
    """The lists that serve, through the pointer."""
    rows = connection.rows(
        "MATCH (model:KgplugModel {name: $model}) WITH model.edition AS edition LIMIT 1 "
        "MATCH (u:User)-[r:RECOMMENDS {model: $model, edition: edition}]->(m) RETURN u.id AS user, r.run AS run, "
        "r.rank AS rank, m.id AS item, r.score AS score ORDER BY user, rank",
        model=model,
    )
    return [tuple(row.values()) for row in rows]


def count_edges(connection: Connection) -> int:
    """All edges of ours, of whatever run."""
    query = "MATCH ()-[r:RECOMMENDS|SIMILAR_TO]->() WHERE r.run IS NOT NULL RETURN count(r) AS n"
    return connection.rows(query)[0]["n"]


def expected_edges(wanted: Publication) -> list[tuple]:
    lists = wanted.lists
    assert lists is not None
    return [
        (user, wanted.run, rank + 1, lists.item_keys[item], float(score))
        for user, items, scores in zip(lists.user_keys, lists.items, lists.scores, strict=True)
        for rank, (item, score) in enumerate(zip(items, scores, strict=True))
    ]


def vectors(connection: Connection, nodes: NodeVectors, name: str, key: str = "id") -> dict:
    rows = connection.rows(
        f"MATCH (n:{quote(nodes.label)}) WHERE n[$name] IS NOT NULL RETURN n[$key] AS key, n[$name] AS vector",
        name=name,
        key=key,
    )
    return {row["key"]: np.array(row["vector"], dtype=np.float32).tolist() for row in rows}


def everything(connection: Connection) -> tuple[list, list, list]:
    """All nodes, edges and indexes with their ids and properties. Waits first until all indexes are filled."""
    connection.rows("CALL db.awaitIndexes(60)")
    return (
        connection.rows("MATCH (n) RETURN elementId(n) AS id, labels(n) AS l, properties(n) AS p ORDER BY id"),
        connection.rows("MATCH ()-[r]->() RETURN elementId(r) AS id, properties(r) AS p ORDER BY id"),
        connection.rows("SHOW INDEXES YIELD name, labelsOrTypes, properties, state ORDER BY name"),
    )


def vector_indexes(connection: Connection) -> list[str]:
    return [row["name"] for row in connection.rows("SHOW INDEXES YIELD name, type WHERE type = 'VECTOR' RETURN name")]


class Died(BaseException):
    """Stands for the end of the publishing process."""


@contextmanager
def dying_after(monkeypatch: pytest.MonkeyPatch, n_calls: int) -> Iterator[list[int]]:
    """Let the n-th turn to the server, and every later one, raise; yields [turns taken so far]."""
    taken, lock = [0], threading.Lock()

    def counted(original):
        def call(*arguments, **named):
            with lock:
                taken[0] += 1
            if taken[0] > n_calls:
                raise Died
            return original(*arguments, **named)

        return call

    with monkeypatch.context() as patch:
        for name in ("_managed", "autocommit"):
            patch.setattr(Connection, name, counted(getattr(Connection, name)))
        yield taken


def whole_lists(connection: Connection, runs: set[str], *, shortened: bool = False) -> list[dict]:
    """Return the users whose list, read through the pointer, is not whole: of the run of all lists, ranks 1 … n."""
    rows = connection.rows(
        "MATCH (model:KgplugModel {name: 'MKR'}) WITH model.edition AS edition LIMIT 1 "
        "MATCH (u:User)-[r:RECOMMENDS {model: 'MKR', edition: edition}]->() "
        "RETURN u.id AS user, collect(r.rank) AS ranks, collect(DISTINCT r.run) AS runs"
    )
    if len({run for row in rows for run in row["runs"]}) != 1 or (len(rows) != N_USERS and not shortened):
        return rows or [{"nothing": "is served"}]
    return [
        row
        for row in rows
        if len(row["runs"]) != 1
        or row["runs"][0] not in runs
        or sorted(row["ranks"]) != list(range(1, len(row["ranks"]) + 1))
        or (len(row["ranks"]) != K and not shortened)
    ]


def check_served(connection: Connection, runs: tuple[str, ...]) -> None:
    """The pointer leads to a run that is whole: all its vectors, its index online."""
    run = catalog.serving(connection, "MKR")
    assert run is not None
    assert run["id"] in runs
    assert run["status"] == "serving"
    for nodes, name in zip(publication(run["id"]).vectors, run["properties"], strict=True):
        assert len(vectors(connection, nodes, name)) == len(nodes.keys)
    state = connection.rows("SHOW INDEXES YIELD name, state WHERE name = $name", name=run["indexes"][1])
    assert state[0]["state"] == "ONLINE"


def check_complete(connection: Connection, wanted: Publication, previous: str) -> None:
    """One run serves, one stands behind it, and nothing else of ours is left."""
    assert edges(connection) == expected_edges(wanted)
    check_served(connection, (wanted.run,))
    runs = connection.rows("MATCH (run:KgplugRun) RETURN run.id AS id, run.status AS status ORDER BY status")
    assert [tuple(row.values()) for row in runs] == [(previous, "previous"), (wanted.run, "serving")]
    names = connection.rows("MATCH (n:User|Movie) UNWIND keys(n) AS name RETURN DISTINCT name ORDER BY name")
    ours = {catalog.property_name("MKR", run) for run in (wanted.run, previous)}
    assert {row["name"] for row in names} == {"id", *ours}
    assert len(vector_indexes(connection)) == 2
    assert count_edges(connection) == 2 * N_USERS * K
    (model,) = connection.rows("MATCH (model:KgplugModel) RETURN keys(model) AS names")
    assert sorted(model["names"]) == ["counter", "edition", "name", "previous", "serves"]
