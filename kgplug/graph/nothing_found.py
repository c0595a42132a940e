"""Why a published model has no list for a user, or nothing like an item: only what the graph can tell."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from kgplug.errors import UsageError
from kgplug.graph.queries import feedback_arrow, quote

if TYPE_CHECKING:
    from kgplug.graph.graph import Graph

_RUN_HAS_LISTS = """
MATCH (model:KgplugModel {name: $model}) WITH model.edition AS edition LIMIT 1
MATCH ()-[r:RECOMMENDS {model: $model, run: $run, edition: edition}]->() RETURN 1 AS found LIMIT 1
"""


def no_list(graph: Graph, run: dict, user: int | str) -> UsageError:
    """Return the error for a user without a list of a published run.

    Args:
        graph: with the schema of the run.
        run: as the catalogue knows it.
        user: key of a user who is there.
    """
    schema, name = graph.schema, run["model"]
    if not graph.connection.rows(_RUN_HAS_LISTS, model=name, run=run["id"]):
        return UsageError(f"{name} has no list for any user: it gives none, or its options left nothing to list.")
    about = f"{name} has no list for user {user!r}"
    if not _has_unseen_item(graph, user) and run["details"].get("lists", {}).get("seen", "all") == "all":
        return UsageError(f"{about}: the user has feedback on every :{schema.item.label}, and lists leave those out.")
    if _has_vector(graph, run, schema.user.label, schema.user.key, user):
        return UsageError(f"{about}: the options with which it was published left nothing to list.")
    live = shlex.join(["kgplug", "recommend", str(user), "--live", "--model", name])
    return UsageError(
        f"{about}: it was trained before the user came, the user was erased, or the options with which it was "
        f"published left nothing to list. Where the run is, `{live}` makes a list from what the user likes now."
    )


def no_neighbour(graph: Graph, run: dict, item: int | str) -> UsageError:
    """Return the error for an item without a vector, or without another one that has one; arguments as in `no_list`."""
    schema, name = graph.schema, run["model"]
    label, key = schema.item.label, schema.item.key
    if _has_vector(graph, run, label, key, item):
        return UsageError(f"{name} has no vector of another :{label} node, so nothing is similar to {item!r}.")
    about = f"{name} has no vector of {label} {item!r}"
    query = f"MATCH (n:{quote(label)}) WHERE n.{quote(key)} = $key RETURN COUNT {{ (n)--() }} AS n"
    if all(row["n"] == 0 for row in graph.connection.rows(query, key=item)):
        return UsageError(f"{about}: the node has no relationship from which one could be learnt.")
    return UsageError(f"{about}: run {run['id']} was trained before the node came, or learnt nothing of it.")


def _has_vector(graph: Graph, run: dict, label: str, key: str, value: int | str) -> bool:
    names = [name for its, name in zip(run["labels"], run["properties"], strict=True) if its == label]
    query = (
        f"MATCH (n:{quote(label)}) WHERE n.{quote(key)} = $key "
        "AND any(name IN $names WHERE n[name] IS NOT NULL) RETURN 1 LIMIT 1"
    )
    return bool(graph.connection.rows(query, key=value, names=names))


def _has_unseen_item(graph: Graph, user: int | str) -> bool:
    schema = graph.schema
    query = (
        f"MATCH (user:{quote(schema.user.label)}) WHERE user.{quote(schema.user.key)} = $user "
        f"MATCH (item:{quote(schema.item.label)}) WHERE item <> user "
        f"AND NOT EXISTS {{ (user){feedback_arrow(schema)}(item) }} RETURN 1 LIMIT 1"
    )
    return bool(graph.connection.rows(query, user=user))
