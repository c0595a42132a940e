"""The contents of a database: labels, relationship types, their counts, unique keys, and samples of properties."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.bolt.far_times import readable
from kgplug.graph.catalog import OWN_LABELS
from kgplug.graph.counts import read_counts
from kgplug.graph.schema import GraphSchema

_SAMPLE_ROWS = 1000


@dataclass(frozen=True)
class Contents:
    """The contents of a database.

    Attributes:
        database: name of the database.
        labels: label → number of nodes, largest number first, without the labels of kgplug's catalogue.
        types: relationship type → number of relationships, largest number first, including those of kgplug's catalogue.
        unique: label → sorted properties that each have a uniqueness constraint, without labels of kgplug's catalogue.
        own: label → number of nodes, for the labels of kgplug's catalogue.
        ends: (type, label) → (number of relationships of the type that start at nodes of the label, number that end
            there), including those of kgplug's catalogue; None if this account may not read these numbers.
    """

    database: str
    labels: dict[str, int]
    types: dict[str, int]
    unique: dict[str, list[str]]
    own: dict[str, int] = field(default_factory=dict[str, int])
    ends: dict[tuple[str, str], tuple[int, int]] | None = None

    def at(self, name: str, label: str) -> tuple[int, int]:
        """Return how many relationships of a type start at nodes of a label, and how many end there.

        If `ends` is None, both numbers are only upper bounds: the number of all relationships of the type.
        """
        n = self.types.get(name, 0)
        if self.ends is None:
            return (n, n) if label in self.labels or label in self.own else (0, 0)
        return self.ends.get((name, label), (0, 0))


def read_contents(connection: Connection) -> Contents:
    """Read the contents of a database: counts (`kgplug.graph.counts`) and uniqueness constraints."""
    counts = read_counts(connection)
    return Contents(
        connection.database,
        _most_first({label: n for label, n in counts.labels.items() if label not in OWN_LABELS}),
        _most_first(counts.types),
        unique_properties(connection),
        {label: counts.labels[label] for label in OWN_LABELS if label in counts.labels},
        counts.ends,
    )


def label_keys(schema: GraphSchema, unique: dict[str, list[str]]) -> dict[str, str]:
    """Return label → key property for every label that has one, in order of precedence.

    A node with several labels is identified by the first one in this order: the item label, the user label, the labels
    under [knowledge.keys] in kgplug.toml, the labels in `unique` (see `Contents`). Within each of the last two groups,
    the order is alphabetical.
    """
    keys = {schema.item.label: schema.item.key}
    keys.setdefault(schema.user.label, schema.user.key)
    for source in (schema.knowledge.keys, {label: properties[0] for label, properties in unique.items()}):
        for label in sorted(source):
            keys.setdefault(label, source[label])
    return keys


def require_label(contents: Contents, label: str, *, setting: str) -> None:
    """Raise DataError if no node has a label; `setting` is the schema entry that names it, e.g. "[item] label"."""
    if contents.labels.get(label, 0) == 0:
        found = listed(contents.labels) or "none"
        raise DataError(
            f'No :{label} nodes in database "{contents.database}". Labels found: {found}.',
            advice=f"Set {setting} to one of them.",
        )


def require_type(contents: Contents, name: str, *, setting: str) -> None:
    """Raise DataError if a relationship type has no relationships; `setting` is as in `require_label`."""
    if contents.types.get(name, 0) == 0:
        found = listed(contents.types) or "none"
        raise DataError(
            f'No :{name} relationships in database "{contents.database}". Types found: {found}.',
            advice=f"Set {setting} to one of them.",
        )


def sample_properties(connection: Connection, pattern: str, *, rows: int = _SAMPLE_ROWS) -> dict[str, list[Any]]:
    """Return property → list of its values in the first `rows` matches of a pattern.

    In the pattern, the node or relationship whose properties are read has the variable `n`, as in "(n:Movie)".
    Properties whose names begin with "kgplug_" are left out, because published vectors take long to read.
    """
    found = connection.rows(
        f"MATCH {pattern} WITH n LIMIT $rows "
        "RETURN [name IN keys(n) WHERE NOT name STARTS WITH 'kgplug_' | [name, n[name]]] AS properties",
        rows=rows,
    )
    values: dict[str, list[Any]] = {}
    for row in readable(found):
        for name, value in row["properties"]:
            values.setdefault(name, []).append(value)
    return values


def listed(names: Iterable[str], *, most: int = 12) -> str:
    """Return names as text for a message: the first `most` names, then how many more there are."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _most_first(counts: dict[str, int]) -> dict[str, int]:
    return {name: n for name, n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])) if n}


def unique_properties(connection: Connection) -> dict[str, list[str]]:
    """Return label → sorted properties that each have a uniqueness constraint, without kgplug's own labels."""
    rows: Sequence[dict[str, Any]] = connection.rows(
        "SHOW CONSTRAINTS YIELD type, entityType, labelsOrTypes, properties "
        "WHERE entityType = 'NODE' AND type IN ['UNIQUENESS', 'NODE_PROPERTY_UNIQUENESS', 'NODE_KEY'] "
        "AND size(properties) = 1 RETURN labelsOrTypes[0] AS label, properties[0] AS property"
    )
    unique: dict[str, list[str]] = {}
    for row in rows:
        if row["label"] not in OWN_LABELS:
            unique.setdefault(row["label"], []).append(row["property"])
    return {label: sorted(properties) for label, properties in sorted(unique.items())}
