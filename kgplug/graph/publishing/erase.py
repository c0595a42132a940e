"""Remove from the graph what kgplug wrote about one user."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass

from kgplug.graph import catalog
from kgplug.graph.connection import Connection
from kgplug.graph.cypher import quote
from kgplug.graph.publishing.lease import leased
from kgplug.graph.schema import GraphSchema

_EDGES = "|".join(catalog.OWN_RELATIONSHIPS)


@dataclass(frozen=True)
class EraseReport:
    """What was removed of a user.

    Attributes:
        user: key.
        edges: that led from or to the user.
        vectors: properties that held a vector of the user.
        proof: a query that returns zero edges and no vectors.
        found: what it returned, (edges, vectors).
    """

    user: int | str
    edges: int
    vectors: list[str]
    proof: str
    found: tuple[int, list[str]]


def erase_user(connection: Connection, schema: GraphSchema, user: int | str) -> EraseReport:
    """Remove a user's edges and vectors, those that serve and all others. The node and its feedback stay.

    Raises:
        GraphError: somebody is publishing a model, which may be about to write about this user.
    """
    match = f"MATCH (user:{quote(schema.user.label)}) WHERE user.{quote(schema.user.key)} = "
    with ExitStack() as stack:
        models = catalog.known_models(connection)
        for model in models:
            stack.enter_context(leased(connection, model))
        names = {name for model in models for run in catalog.runs_of(connection, model) for name in run.properties}
        there = f"{match}$user UNWIND [name IN keys(user) WHERE name IN $names] AS name RETURN DISTINCT name"
        vectors = sorted(row["name"] for row in connection.rows(there, user=user, names=sorted(names)))
        edges = connection.write(
            f"{match}$user MATCH (user)-[edge:{_EDGES}]-() WHERE edge.run IS NOT NULL WITH DISTINCT edge DELETE edge",
            user=user,
        )
        if vectors:
            removed = ", ".join(f"user.{quote(name)}" for name in vectors)
            connection.write(f"{match}$user REMOVE {removed}", user=user)
    proof = (
        f"{match}{json.dumps(user, ensure_ascii=False)}\n"
        f"RETURN COUNT {{ (user)-[edge:{_EDGES}]-() WHERE edge.run IS NOT NULL }} AS edges,\n"
        f"       [name IN keys(user) WHERE name STARTS WITH 'kgplug_'] AS vectors"
    )
    rows = connection.rows(proof)
    left = (sum(row["edges"] for row in rows), sorted({name for row in rows for name in row["vectors"]}))
    return EraseReport(user, edges["relationships_deleted"], vectors, proof, left)
