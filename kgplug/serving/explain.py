"""What the graph recommends, and why: the shipped queries with defaults, and every dead end in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kgplug.errors import UsageError
from kgplug.graph import catalog
from kgplug.graph.find_key import require_key
from kgplug.graph.lookups import models_with_list
from kgplug.graph.nothing_found import no_list, no_neighbour
from kgplug.graph.schema import GraphSchema

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
    if model is not None:
        graph = as_published(graph, published(graph, model))
    schema = graph.schema
    require_key(graph.connection, schema.user.label, schema.user.key, user)
    with_list = models_with_list(graph.connection, schema, user)
    run = published(graph, model, can_serve=lambda run: run["model"] in with_list, wanted="a list for that user")
    if run["model"] not in with_list:
        raise no_list(graph, run, user)
    graph = as_published(graph, run)
    frame = graph.cypher("recommend", user=user, model=run["model"], k=k).drop(columns="run")
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
    if model is not None:
        graph = with_vectors(graph, published(graph, model))
    schema = graph.schema
    label = schema.item.label
    require_key(graph.connection, label, schema.item.key, item)
    wanted = f"vectors of :{label} nodes"
    run = published(graph, model, can_serve=lambda run: has_vectors(run, label), wanted=wanted, any_subject=True)
    if not has_vectors(run, label):
        able = [each["model"] for each in catalog.published_models(graph.connection) if has_vectors(each, label)]
        others = f"Models that have: {', '.join(sorted(able))}." if able else "No published model has."
        raise UsageError(f"{run['model']} has no {wanted} in the graph. {others}")
    frame = graph.cypher("similar", item=item, model=run["model"], k=k)
    if frame.empty:
        raise no_neighbour(graph, run, item)
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


def schema_of(run: dict) -> GraphSchema | None:
    """Return the schema with which a published run was trained; None where the catalogue does not tell."""
    stored = run["details"].get("schema")
    return GraphSchema.model_validate(stored) if stored else None


def as_published(graph: Graph, run: dict) -> Graph:
    """Return a graph that is read with the schema of a published run.

    Where the graph's own schema recommends the same items to the same users by the same feedback it stays: it may have
    learnt of a title since.
    """
    stored = schema_of(run)
    if stored is None or (graph.known_schema is not None and graph.known_schema.subject == stored.subject):
        return graph
    return type(graph)(graph.connection).use(stored)


def has_vectors(run: dict, label: str) -> bool:
    """Return whether a published run has indexed vectors of the nodes of a label."""
    return any(run["indexes"][n] for n, its in enumerate(run["labels"]) if its == label)


def with_vectors(graph: Graph, run: dict) -> Graph:
    """Return a graph whose schema names items of which a published run has vectors: its own, else that of the run."""
    known = graph.known_schema
    return graph if known is not None and has_vectors(run, known.item.label) else as_published(graph, run)


def published(
    graph: Graph,
    model: str | None,
    *,
    can_serve: Callable[[dict], bool] | None = None,
    wanted: str = "",
    any_subject: bool = False,
) -> dict:
    """Return the run that a published model serves, as the catalogue knows it; without a model, the newest that can.

    Args:
        graph: where it is published.
        model: its name, case ignored; None for the newest of those that recommend what the graph's schema names.
        can_serve: tells whether a run has what is needed, where no model is named.
        wanted: what that is, for the message.
        any_subject: also of those that recommend other items, or to other users.

    Raises:
        UsageError: no such model is published, or none of them can.
    """
    serving = catalog.published_models(graph.connection)
    if not serving:
        raise UsageError("No model is published in this graph yet. `kgplug train MKR`, then `kgplug publish MKR`.")
    if model is None:
        schema = graph.schema
        fitting = [
            run for run in serving if any_subject or (schema_of(run) or schema).subject[:2] == schema.subject[:2]
        ]
        found = next((run for run in fitting if can_serve is None or can_serve(run)), None)
        if found is None and len(fitting) == 1:
            return fitting[0]
        if found is None:
            names = ", ".join(sorted(run["model"] for run in serving))
            of = f" for {schema.pattern}" if not fitting else ""
            raise UsageError(f"No published model has {wanted}{of}. Published: {names}.")
        return found
    by_lower = {run["model"].lower(): run for run in serving}
    if model.lower() not in by_lower:
        names = ", ".join(sorted(run["model"] for run in serving))
        raise UsageError(f'No published model is called "{model}". Published: {names}.')
    return by_lower[model.lower()]
