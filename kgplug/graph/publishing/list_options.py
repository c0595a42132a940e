"""Which items of the graph may be recommended: labels, and a Cypher predicate that the graph's own server evaluates.

The predicate is the user's own text, run with the user's own rights in a transaction that can only read. The film
is called `item` in it: `item.year > 1990`, `EXISTS { (item)-[:IN_GENRE]->(:Genre {name: 'Comedy'}) }`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from kgplug.data.ranking.choice import check_diversity
from kgplug.errors import GraphError, UsageError, unknown_name
from kgplug.graph.connection import Connection
from kgplug.graph.contents import read_contents
from kgplug.graph.queries import quote
from kgplug.graph.schema import GraphSchema

SEEN = ("all", "train", "none")


class Lists(Protocol):
    """What the options need of a recommender."""

    item_keys: np.ndarray
    item_label: str

    def item_numbers(self, keys: Iterable[int | str], *, skip_unknown: bool = False) -> np.ndarray:
        """Return the row numbers of item keys, int64 (n,)."""
        ...


class Embedding(Protocol):
    """What the options need of an embedding."""

    run: str

    def vectors_of(self, keys: np.ndarray, *, label: str = "") -> np.ndarray:
        """Return the vectors of nodes, float32 (n, d), zeros where one is unknown."""
        ...


@dataclass(frozen=True)
class ListOptions:
    """How lists of recommendations are made.

    Attributes:
        seen: what a user is not recommended again: "all", what the user has feedback on in the graph now, thus the
            training, validation and test part and whatever came since; "train", the training part only, as is
            right for lists that a test part shall be compared with; "none", nothing is left out.
        where: Cypher predicate over `item`; only items for which it is true are recommended.
        labels: only items with one of these labels are recommended.
        diversity: from 0 to 1; see `Recommender.recommend`.
        diverse_by: an embedding by whose vectors items are alike; by the recommender's own, if not given.
    """

    seen: Literal["all", "train", "none"] = "all"
    where: str | None = None
    labels: tuple[str, ...] = ()
    diversity: float = 0.0
    diverse_by: Embedding | None = None

    def __post_init__(self) -> None:
        if self.seen not in SEEN:
            raise UsageError(f'seen: expected "all", "train" or "none", found {self.seen!r}.')
        if self.where is not None and not self.where.strip():
            raise UsageError('where: expected a Cypher predicate over item, such as "item.year > 1990"; found nothing.')
        if check_diversity(self.diversity) == 0 and self.diverse_by is not None:
            raise UsageError(
                "diverse_by tells by which vectors lists are to be diverse; give diversity, too, such as 0.3."
            )

        if self.diverse_by is not None and not hasattr(self.diverse_by, "vectors_of"):
            found = getattr(self.diverse_by, "name", repr(self.diverse_by))
            raise UsageError(f"diverse_by: expected an embedding, such as a trained TransE; found {found}.")

    @property
    def are_filtered(self) -> bool:
        """Whether some items may not be recommended to anybody."""
        return self.where is not None or bool(self.labels)

    def to_dict(self) -> dict:
        """Return the options as JSON-able facts."""
        return {
            "seen": self.seen,
            "where": self.where,
            "labels": list(self.labels),
            "diversity": self.diversity,
            "diverse_by": None if self.diverse_by is None else self.diverse_by.run,
        }


def recommend_options(
    connection: Connection, schema: GraphSchema, model: Lists, options: ListOptions
) -> dict[str, Any]:
    """Return the arguments of `Recommender.recommend` that the options come to, what is seen left aside.

    Raises:
        UsageError: as `matching_items`.
        DataError: the embedding that items shall differ by knows none of them.
    """
    found: dict[str, Any] = {"diversity": options.diversity}
    if options.are_filtered:
        found["only"] = model.item_numbers(matching_items(connection, schema, options), skip_unknown=True)
    if options.diverse_by is not None:
        found["vectors"] = options.diverse_by.vectors_of(model.item_keys, label=model.item_label)
    return found


def matching_items(connection: Connection, schema: GraphSchema, options: ListOptions) -> list[int | str]:
    """Return the keys of the items that the labels and the predicate let through.

    Raises:
        UsageError: an unknown label, a predicate that the server does not take, or no item passes.
    """
    label = schema.item.label
    if options.labels:
        _check_labels(connection, options.labels)
    tests = [" OR ".join(f"item:{quote(each)}" for each in options.labels)] if options.labels else []
    tests += [options.where] if options.where is not None else []
    # A line of its own, so that a comment at the end of a predicate ends there.
    condition = " AND ".join(f"(\n{test}\n)" for test in tests) or "true"
    query = f"MATCH (item:{quote(label)}) WHERE {condition}\nRETURN item.{quote(schema.item.key)} AS key"
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
    """Return what to say of a predicate that the server does not take; None where something else is wrong."""
    code = getattr(error.__cause__, "code", None) or ""
    if options.where is None or not code.startswith("Neo.ClientError.Statement."):
        return None
    if code.endswith("AccessMode"):
        return UsageError(f"{options.where!r} writes to the graph; expected a predicate over item, which only reads.")
    reason = str(error).partition(": ")[2]  # the sentence of Neo4j, without its address
    return UsageError(
        f'{options.where!r} is no Cypher predicate over item, such as "item.year > 1990". Neo4j says: {reason}'
    )


def _said(options: ListOptions) -> str:
    labels = "/".join(options.labels)
    return " and ".join(
        [*([f"the label {labels}"] if labels else []), *([repr(options.where)] if options.where is not None else [])]
    )


def _properties(connection: Connection, label: str) -> str:
    """Return a sentence on what items have, as a name that is not there is null to Cypher, not an error."""
    query = (
        f"MATCH (item:{quote(label)}) WITH item LIMIT 100 UNWIND keys(item) AS name WITH DISTINCT name "
        "WHERE NOT EXISTS { (run:KgplugRun) WHERE name IN run.properties } RETURN name"
    )
    names = sorted(row["name"] for row in connection.rows(query))
    return f" Properties of {label} nodes: {', '.join(names)}." if names else ""
