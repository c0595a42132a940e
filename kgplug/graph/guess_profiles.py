"""Look at a sample of every relationship type: which labels it joins, what it carries, which ends are shared."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from kgplug.graph.connection import Connection
from kgplug.graph.contents import Contents
from kgplug.graph.cypher import quote
from kgplug.graph.ownership import not_own

_SAMPLE = 1000
_SHARE = 0.95  # of the sampled ends that must have a label for it to be the end's label


@dataclass(frozen=True)
class TypeProfile:
    """What a sample shows of a relationship type.

    Attributes:
        name: of the type.
        n: number of relationships.
        heads, tails: the label of each end, None where the sampled ends share none.
        head_labels, tail_labels: the label sets that were met.
        shared_heads, shared_tails: share of the sampled starts and ends that have several relationships of the type.
        n_sampled: number of relationships looked at.
        properties: property → sampled values.
    """

    name: str
    n: int
    heads: str | None
    tails: str | None
    head_labels: list[tuple[str, ...]] = field(default_factory=list)
    tail_labels: list[tuple[str, ...]] = field(default_factory=list)
    shared_heads: float = 0.0
    shared_tails: float = 0.0
    n_sampled: int = 0
    properties: dict[str, list[Any]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"(:{self.heads or '…'})-[:{self.name}]->(:{self.tails or '…'})"


def profile_types(connection: Connection, contents: Contents) -> list[TypeProfile]:
    """Look at a sample of every relationship type that is not kgplug's own."""
    profiles = (_profile(connection, contents, name, n) for name, n in contents.types.items())
    return [profile for profile in profiles if profile is not None]


def _profile(connection: Connection, contents: Contents, name: str, n: int) -> TypeProfile | None:
    others = not_own(connection, name)
    where = f"WHERE {others} " if others else ""
    kind = quote(name)
    rows = connection.rows(
        f"MATCH (a)-[r:{kind}]->(b) {where}WITH a, r, b LIMIT $rows RETURN labels(a) AS heads, labels(b) AS tails, "
        f"properties(r) AS properties, COUNT {{ (a)-[:{kind}]->() }} > 1 AS shared_head, "
        f"COUNT {{ ()-[:{kind}]->(b) }} > 1 AS shared_tail",
        rows=_SAMPLE,
    )
    known = set(contents.labels)
    rows = [row for row in rows if known & set(row["heads"]) and known & set(row["tails"])]
    if not rows:
        return None
    properties: dict[str, list[Any]] = {}
    for row in rows:
        for key, value in row["properties"].items():
            properties.setdefault(key, []).append(value)
    return TypeProfile(
        name,
        n,
        _common_label(contents, [row["heads"] for row in rows]),
        _common_label(contents, [row["tails"] for row in rows]),
        sorted({tuple(sorted(row["heads"])) for row in rows}),
        sorted({tuple(sorted(row["tails"])) for row in rows}),
        sum(row["shared_head"] for row in rows) / len(rows),
        sum(row["shared_tail"] for row in rows) / len(rows),
        len(rows),
        properties,
    )


def _common_label(contents: Contents, ends: list[list[str]]) -> str | None:
    """Return the rarest label among those that nearly all ends have; of equally rare ones one with a unique key."""
    counts = Counter(label for labels in ends for label in labels if label in contents.labels)
    common = [label for label, n in counts.items() if n >= _SHARE * len(ends)]
    return min(common, key=lambda label: (contents.labels[label], label not in contents.unique, label), default=None)
