"""Tables that the command line prints: what the graph recommends, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kgplug.graph.answering import answers
from kgplug.graph.answering.answers import schema_of

if TYPE_CHECKING:
    import pandas as pd

    from kgplug.graph.graph import Graph

__all__ = [
    "as_published",
    "paths",
    "published",
    "recommendations",
    "schema_of",
    "similar_items",
    "with_reasons",
    "with_vectors",
]


def recommendations(
    graph: Graph, user: int | str, *, model: str | None = None, k: int = 10, reasons: bool = True
) -> pd.DataFrame:
    """Return the published list of a user as a table; arguments and errors as in `Graph.recommend`.

    Returns:
        One row per item, best first, with the columns "rank", "id", "title", "score" and, with `reasons`, "because":
        one path as text, "" if no item that the user likes shares a node with the item.
    """
    found = graph.recommend(user, k, model=model, reasons=reasons).rename(columns={"item": "id"})
    return found.reindex(columns=["rank", "id", "title", "score", *(["because"] if reasons else [])])


def with_reasons(graph: Graph, user: int | str, frame: pd.DataFrame) -> pd.DataFrame:
    """Add the column `because` to a table of items: one path per item from the user's likes, "" if there is none."""
    return frame.assign(because=answers.reasons_for(graph.connection, graph.schema, user, frame["id"].tolist()))


def similar_items(graph: Graph, item: int | str, *, model: str | None = None, k: int = 10) -> pd.DataFrame:
    """Return the items nearest to an item as a table: rank, id, title, similarity; see `Graph.similar`."""
    found = graph.similar(item, k, model=model).rename(columns={"item": "id", "score": "similarity"})
    return found.reindex(columns=["rank", "id", "title", "similarity"])


def paths(graph: Graph, user: int | str, item: int | str, *, k: int = 5) -> pd.DataFrame:
    """Return the paths from items that a user likes, through a shared node, to an item; see `Graph.explain`."""
    return graph.explain(user, item, k)


def as_published(graph: Graph, run: dict[str, Any]) -> Graph:
    """Return the graph with a schema that fits a run.

    This is the graph's own schema if it has the users, items and feedback of the run, otherwise the run's schema.
    """
    return _with(graph, answers.schema_for(graph.known_schema, run))


def with_vectors(graph: Graph, run: dict[str, Any]) -> Graph:
    """Return the graph with its own schema if the run has vectors of that schema's items.

    Otherwise, return the same as `as_published`.
    """
    return _with(graph, answers.schema_with_vectors(graph.known_schema, run))


def published(
    graph: Graph, model: str | None, *, can_serve: Callable[[dict[str, Any]], bool] | None = None, wanted: str = ""
) -> dict[str, Any]:
    """Return the graph's catalogue entry for the run that a published model serves.

    Args:
        graph: graph in which the model is published.
        model: name of the model. None: the most recently published one that can serve the schema's users and items.
        can_serve: function that returns whether a run has the lists or vectors that the caller needs. It is called only
            if `model` is None.
        wanted: what the caller needs, in words, for the error message.

    Raises:
        UsageError: the named model is not published. Without `model`: no suitable model is published.
    """
    known = graph.schema if model is None else graph.known_schema
    return answers.published(graph.connection, known, model, can_serve=can_serve, wanted=wanted)


def _with(graph: Graph, schema: answers.GraphSchema | None) -> Graph:
    if schema is None or schema == graph.known_schema:
        return graph
    return type(graph)(graph.connection).use(schema)
