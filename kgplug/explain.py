"""What the graph recommends, and why: the shipped queries with defaults, and every dead end in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kgplug.errors import UsageError
from kgplug.graph import catalog
from kgplug.graph.cypher import quote

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from kgplug.graph.graph import Graph


def recommendations(
    graph: Graph, user: int | str, *, model: str | None = None, k: int = 10, reasons: bool = True
) -> pd.DataFrame:
    """Return the list that the graph holds for a user.

    Args:
        graph: with a schema (`graph.use(schema)`).
        user: key.
        model: a published model; the one published last that gives lists, if not given.
        k: at most so many.
        reasons: look up why, one path an item.

    Returns:
        One row an item, best first: rank, id, title, score and, with reasons, because ("" where
        nothing the user liked shares anything with the item).

    Raises:
        UsageError: unknown user or model, or a user for whom nothing was published.
    """
    schema = graph.schema
    check_exists(graph, schema.user.label, schema.user.key, user)
    query = (
        "MATCH (model:KgplugModel) WITH model.name AS name, model.edition AS edition "
        f"MATCH (user:{quote(schema.user.label)}) WHERE user.{quote(schema.user.key)} = $user "
        "AND EXISTS { (user)-[:RECOMMENDS {model: name, edition: edition}]->() } RETURN name AS model"
    )
    with_list = {row["model"] for row in graph.connection.rows(query, user=user)}
    name = published(graph, model, can_serve=lambda run: run["model"] in with_list)["model"]
    frame = graph.cypher("recommend", user=user, model=name, k=k).drop(columns="run")
    if frame.empty:
        raise UsageError(
            f"{name} has no list for user {user!r}: the user is newer than its run. Train and publish again, or let "
            f"the run make a list from what the user likes: `kgplug recommend {user} --live`."
        )
    return with_reasons(graph, user, frame) if reasons else frame


def with_reasons(graph: Graph, user: int | str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return a list of items with a further column, because: one path an item, "" where there is none."""
    return frame.assign(because=[_reason(paths(graph, user, item, k=1)) for item in frame["id"]])


def similar_items(graph: Graph, item: int | str, *, model: str | None = None, k: int = 10) -> pd.DataFrame:
    """Return the items nearest to one by the vectors of a published model: rank, id, title, similarity.

    Args:
        graph: with a schema (`graph.use(schema)`).
        item: key.
        model: a published model; the one published last that gives vectors, if not given.
        k: at most so many.

    Raises:
        UsageError: unknown item or model, or an item without a vector.
    """
    schema = graph.schema
    check_exists(graph, schema.item.label, schema.item.key, item)
    name = published(graph, model, can_serve=lambda run: schema.item.label in run["labels"])["model"]
    frame = graph.cypher("similar", item=item, model=name, k=k)
    if frame.empty:
        raise UsageError(
            f"{name} has no indexed vector for {schema.item.label} {item!r}: the node is newer than its run, or has no "
            "triples. Train and publish again."
        )
    return frame


def paths(graph: Graph, user: int | str, item: int | str, *, k: int = 5) -> pd.DataFrame:
    """Return the paths from liked items, through something shared, to an item; the rarest shared thing first."""
    return graph.cypher("explain", user=user, item=item, k=k)


def _reason(found: pd.DataFrame) -> str:
    if found.empty:
        return ""
    path = found.iloc[0]
    how = path["via"] if path["via"] == path["to"] else f"{path['via']}, {path['to']}"
    shared = f" {path['shared']}" if path["shared"] == path["shared"] and path["shared"] is not None else ""
    return f"{path['liked']} — {how} — {path['shared_label']}{shared}"


def check_exists(graph: Graph, label: str, key: str, value: int | str) -> None:
    """Raise `UsageError` where no node of a label has that key."""
    query = f"MATCH (n:{quote(label)}) WHERE n.{quote(key)} = $value RETURN 1 AS found LIMIT 1"
    if not graph.connection.rows(query, value=value):
        examples = graph.connection.rows(f"MATCH (n:{quote(label)}) RETURN n.{quote(key)} AS key LIMIT 3")
        shown = ", ".join(repr(row["key"]) for row in examples) or "none, as there is no such node"
        raise UsageError(f"No {label} has {key} = {value!r}. Some that are there: {shown}.")


def published(graph: Graph, model: str | None, *, can_serve: Callable[[dict], bool]) -> dict:
    """Return the run that a published model serves, as the catalogue knows it; without a model, the newest that can.

    Raises:
        UsageError: no such model is published.
    """
    serving = catalog.published_models(graph.connection)
    if not serving:
        raise UsageError("No model is published in this graph yet. `kgplug train MKR`, then `kgplug publish MKR`.")
    if model is None:
        return next((run for run in serving if can_serve(run)), serving[0])
    by_lower = {run["model"].lower(): run for run in serving}
    if model.lower() not in by_lower:
        names = ", ".join(sorted(run["model"] for run in serving))
        raise UsageError(f'No published model is called "{model}". Published: {names}.')
    return by_lower[model.lower()]
