"""Which items of the graph may be recommended: labels, and a Cypher predicate that the graph's own server evaluates.

The predicate is the user's own text, run with the user's own rights in a transaction that can only read. The film
is called `item` in it: `item.year > 1990`, `EXISTS { (item)-[:IN_GENRE]->(:Genre {name: 'Comedy'}) }`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from kgplug.errors import GraphError, UsageError, unknown_name
from kgplug.graph.connection import Connection
from kgplug.graph.contents import read_contents
from kgplug.graph.cypher import quote
from kgplug.graph.schema import GraphSchema
from kgplug.recommenders.choice import check_diversity

SEEN = ("all", "train", "none")


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
    """

    seen: Literal["all", "train", "none"] = "all"
    where: str | None = None
    labels: tuple[str, ...] = ()
    diversity: float = 0.0

    def __post_init__(self) -> None:
        if self.seen not in SEEN:
            raise UsageError(f'seen: expected "all", "train" or "none", found {self.seen!r}.')
        if self.where is not None and not self.where.strip():
            raise UsageError('where: expected a Cypher predicate over item, such as "item.year > 1990"; found nothing.')
        check_diversity(self.diversity)

    @property
    def are_filtered(self) -> bool:
        """Whether some items may not be recommended to anybody."""
        return self.where is not None or bool(self.labels)

    def to_dict(self) -> dict:
        """Return the options as JSON-able facts."""
        return {**asdict(self), "labels": list(self.labels)}


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
    query = f"MATCH (item:{quote(label)}) WITH item LIMIT 100 UNWIND keys(item) AS name RETURN DISTINCT name"
    names = sorted(row["name"] for row in connection.rows(query) if not row["name"].startswith("kgplug_"))
    return f" Properties of {label} nodes: {', '.join(names)}." if names else ""
