"""Explain from the graph why a published model has no list for a user, or no items similar to an item."""

from __future__ import annotations

import shlex
from typing import Any

from kgplug.errors import UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.feedback_match import has_feedback, schema_rows
from kgplug.graph.members import condition_on, item_node, user_node
from kgplug.graph.queries import quote
from kgplug.graph.schema import GraphSchema, ItemSchema, UserSchema

_RUN_HAS_LISTS = """
MATCH (model:KgplugModel {name: $model}) WITH model.edition AS edition LIMIT 1
MATCH ()-[r:RECOMMENDS {model: $model, run: $run, edition: edition}]->() RETURN 1 AS found LIMIT 1
"""


def no_list(connection: Connection, schema: GraphSchema, run: dict[str, Any], user: int | str) -> UsageError:
    """Return the error to raise when a published run has no list for a user. Its message explains why.

    Args:
        connection: connection to the database.
        schema: schema of the run.
        run: the run's entry in the catalogue.
        user: key of an existing user.
    """
    name = run["model"]
    if not connection.rows(_RUN_HAS_LISTS, model=name, run=run["id"]):
        return UsageError(
            f"{name} has no list for any user: it makes no lists, or the options of its publish excluded every item."
        )
    about = f"{name} has no list for user {user!r}"
    if not _has_unseen_item(connection, schema, user) and run["details"].get("lists", {}).get("seen", "all") == "all":
        return UsageError(
            f"{about}: the user has feedback on every :{schema.item.label}, and lists exclude items with feedback."
        )
    if _has_vector(connection, run, schema.user, user):
        return UsageError(f"{about}: the options of its publish excluded every item.")
    return UsageError(
        f"{about}: it was trained before the user was added, the user was erased, or the options of its publish "
        f"excluded every item.{live_list_of(user, name)}"
    )


def live_list_of(user: int | str, model: str | None = None) -> str:
    """Return a sentence with the command that computes a list from the user's current likes; for error messages."""
    live = shlex.join(["kgplug", "recommend", str(user), "--live", *([] if model is None else ["--model", model])])
    return f" On a machine that has the run, `{live}` makes a list from the user's current likes."


def no_neighbour(connection: Connection, schema: GraphSchema, run: dict[str, Any], item: int | str) -> UsageError:
    """Return the error to raise when a published run has no items similar to an item. Its message explains why.

    `item` is the item's key; the other arguments are as in `no_list`.
    """
    name, label, key = run["model"], schema.item.label, schema.item.key
    if _has_vector(connection, run, schema.item, item):
        return UsageError(f"{name} has no vector of any other :{label} node, so nothing is similar to {item!r}.")
    about = f"{name} has no vector of {label} {item!r}"
    query = f"MATCH {item_node(schema, 'n')} WHERE n.{quote(key)} = $key RETURN COUNT {{ (n)--() }} AS n"
    if all(row["n"] == 0 for row in connection.rows(query, key=item)):
        return UsageError(f"{about}: the node has no relationships to learn one from.")
    return UsageError(f"{about}: run {run['id']} was trained before the node was added, or learnt nothing about it.")


def _has_vector(connection: Connection, run: dict[str, Any], part: UserSchema | ItemSchema, value: int | str) -> bool:
    names = [name for its, name in zip(run["labels"], run["properties"], strict=True) if its == part.label]
    query = (
        f"MATCH (n:{quote(part.label)}) WHERE n.{quote(part.key)} = $key AND {condition_on(part, 'n') or 'true'} "
        "AND any(name IN $names WHERE n[name] IS NOT NULL) RETURN 1 LIMIT 1"
    )
    return bool(connection.rows(query, key=value, names=names))


def _has_unseen_item(connection: Connection, schema: GraphSchema, user: int | str) -> bool:
    query = (
        f"MATCH {user_node(schema, 'user')} WHERE user.{quote(schema.user.key)} = $user "
        f"MATCH {item_node(schema, 'item')} WHERE item <> user "
        f"AND NOT {has_feedback(schema, item='item')} RETURN 1 LIMIT 1"
    )
    return bool(schema_rows(connection, schema, query, user=user))
