"""Remove from the graph what kgplug wrote about one user."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from kgplug.graph import catalog
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.find_key import require_user
from kgplug.graph.members import user_node
from kgplug.graph.ownership import OWN_TYPES, is_own, own_runs
from kgplug.graph.publishing.lease import leased
from kgplug.graph.queries import quote
from kgplug.graph.schema import GraphSchema


@dataclass(frozen=True)
class EraseReport:
    """The result of erasing a user.

    Attributes:
        user: key of the user.
        edges: number of removed edges from or to the user.
        vectors: names of the removed properties, each of which held a vector of the user.
        proof: Cypher query that shows what kgplug has written about the user; it now returns no edges and no vectors.
        found: result of the query after the removal: (number of edges, names of properties with vectors).
        before: result of the query before the removal.
    """

    user: int | str
    edges: int
    vectors: list[str]
    proof: str
    found: tuple[int, list[str]]
    before: tuple[int, list[str]] = (0, [])


def erase_user(connection: Connection, schema: GraphSchema, user: int | str, *, must_exist: bool = True) -> EraseReport:
    """Remove from the graph all edges that kgplug wrote from or to a user, and the user's vectors of all runs.

    The node, its feedback and its other relationships stay.

    Args:
        connection: connection to the database.
        schema: schema that names the users and their key.
        user: key of the user, with the same type as in the graph.
        must_exist: whether to raise an error if no user has this key. If False, such a key removes nothing.

    Raises:
        UsageError: no user has that key.
        GraphError: somebody is publishing a model, and may write edges of this user.
    """
    user = user.item() if isinstance(user, np.generic) else user
    if must_exist:
        require_user(connection, schema, user)
    match = f"MATCH {user_node(schema, 'user')} WHERE user.{quote(schema.user.key)} = "
    proof = (
        f"{match}{json.dumps(user, ensure_ascii=False)}\n"
        f"RETURN COUNT {{ (user)-[edge:{OWN_TYPES}]-() WHERE {is_own('edge')} }} AS edges,\n"
        "       [name IN keys(user) WHERE EXISTS { (run:KgplugRun) WHERE name IN run.properties }] AS vectors"
    )
    with ExitStack() as stack:
        models = catalog.known_models(connection)
        for model in models:
            stack.enter_context(leased(connection, model))
        before = _counted(connection, proof)
        # The schema's condition on users is the caller's own Cypher, so it runs only in queries that read.
        ids = [row["id"] for row in connection.rows(f"{match}$user RETURN elementId(user) AS id", user=user)]
        found = f"MATCH (user) WHERE elementId(user) IN $ids AND user.{quote(schema.user.key)} = $user"
        edges = connection.write(
            f"{found} MATCH (user)-[edge:{OWN_TYPES}]-() WHERE [edge.model, edge.run] IN $runs "
            "WITH DISTINCT edge DELETE edge",
            ids=ids,
            user=user,
            runs=[[*pair] for pair in own_runs(connection)],
        )
        if before[1]:
            removed = ", ".join(f"user.{quote(name)}" for name in before[1])
            connection.write(f"{found} REMOVE {removed}", ids=ids, user=user)
    return EraseReport(user, edges["relationships_deleted"], before[1], proof, _counted(connection, proof), before)


def _counted(connection: Connection, proof: str) -> tuple[int, list[str]]:
    """Run the query `proof`; return the number of edges and the names of the properties with vectors that it finds."""
    rows = connection.rows(proof)
    return sum(row["edges"] for row in rows), sorted({name for row in rows for name in row["vectors"]})
