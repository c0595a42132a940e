"""Choose the items that lists may contain, by label and by a Cypher predicate.

The predicate is text from the caller. The server evaluates it with the privileges of the caller's account, in a
read-only transaction. In the predicate, the variable `item` is the item, as in `item.year > 1990` or
`EXISTS { (item)-[:IN_GENRE]->(:Genre {name: 'Comedy'}) }`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from kgplug.errors import GraphError, UsageError, unknown_name
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import read_contents
from kgplug.graph.members import item_node
from kgplug.graph.publishing.options import ListOptions
from kgplug.graph.queries import quote
from kgplug.graph.schema import GraphSchema


class KnowsItems(Protocol):
    """The attributes and methods of a recommender that this module uses."""

    item_keys: np.ndarray
    item_label: str

    def item_indices(self, keys: Iterable[int | str], *, skip_unknown: bool = False) -> np.ndarray:
        """Return the item index of each key, int64 (n,); `skip_unknown` leaves out keys that are not in the model."""
        ...


def recommend_options(
    connection: Connection, schema: GraphSchema, model: KnowsItems, options: ListOptions
) -> dict[str, Any]:
    """Return the options, except `seen`, as keyword arguments of `Recommender.recommend`.

    Raises:
        UsageError: as in `matching_items`.
        DataError: the embedding in `options.diverse_by` has no vector for any of the items.
    """
    found: dict[str, Any] = {"diversity": options.diversity}
    if options.are_filtered:
        found["only"] = model.item_indices(matching_items(connection, schema, options), skip_unknown=True)
    if options.diverse_by is not None:
        found["vectors"] = options.diverse_by.vectors_of(model.item_keys, label=model.item_label)
    return found


def matching_items(connection: Connection, schema: GraphSchema, options: ListOptions) -> list[int | str]:
    """Return the keys of the items that have one of `options.labels` and for which `options.where` is true.

    Raises:
        UsageError: a label is unknown, the server refuses the predicate, or no item fulfils the conditions.
    """
    label = schema.item.label
    if options.labels:
        _check_labels(connection, options.labels)
    tests = [" OR ".join(f"item:{quote(each)}" for each in options.labels)] if options.labels else []
    tests += [options.where] if options.where is not None else []
    # Each test ends with a line break, so that a comment at the end of a predicate does not hide the next test.
    condition = " AND ".join(f"(\n{test}\n)" for test in tests) or "true"
    query = f"MATCH {item_node(schema, 'item')} WHERE {condition}\nRETURN item.{quote(schema.item.key)} AS key"
    try:
        keys = [row["key"] for row in connection.rows(query)]
    except GraphError as error:
        raise _refused(options, error) or error from error
    if not keys:
        raise UsageError(f"No {label} passes {_said(options)}.{_properties(connection, label)}")
    return keys


def _check_labels(connection: Connection, labels: tuple[str, ...]) -> None:
    known = read_contents(connection).labels
    for label in labels:
        if label not in known:
            raise unknown_name("label", label, known)


def _refused(options: ListOptions, error: GraphError) -> UsageError | None:
    """Return the error to raise if the server refused the predicate; None if `error` has another cause."""
    code = getattr(error.__cause__, "code", None) or ""
    if options.where is None or not code.startswith("Neo.ClientError.Statement."):
        return None
    if code.endswith("AccessMode"):
        return UsageError(f"{options.where!r} writes to the graph; expected a predicate on item, which only reads.")
    reason = str(error).partition(": ")[2]  # Neo4j's sentence, without the server's address
    return UsageError(
        f'{options.where!r} is not a valid Cypher predicate on item, such as "item.year > 1990". Neo4j says: {reason}'
    )


def _said(options: ListOptions) -> str:
    labels = "/".join(options.labels)
    return " and ".join(
        [*([f"the label {labels}"] if labels else []), *([repr(options.where)] if options.where is not None else [])]
    )


def _properties(connection: Connection, label: str) -> str:
    """Return a sentence that lists the properties of items, as a hint.

    A misspelt property may be the reason why no item was found, because Cypher does not report it as an error.
    """
    query = (
        f"MATCH (item:{quote(label)}) WITH item LIMIT 100 UNWIND keys(item) AS name WITH DISTINCT name "
        "WHERE NOT EXISTS { (run:KgplugRun) WHERE name IN run.properties } RETURN name"
    )
    names = sorted(row["name"] for row in connection.rows(query))
    return f" Properties of {label} nodes: {', '.join(names)}." if names else ""
