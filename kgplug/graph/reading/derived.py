"""Read the triples that no relationship of the graph stands for: those of patterns and of properties."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import Contents
from kgplug.graph.reading.bulk import BulkReader, Edges
from kgplug.graph.reading.entities import Entities
from kgplug.graph.reading.properties import PropertyValues, read_property
from kgplug.graph.reading.relations import read_relation
from kgplug.graph.reading.triples import TriplePlan
from kgplug.graph.schema import GraphSchema
from kgplug.progress import bar as progress_bar


@dataclass(frozen=True, eq=False)
class Derived:
    """The triples of patterns and properties.

    Attributes:
        relations: the triples of each pattern.
        properties: the values of each property.
        problems: an error for each pattern or property that cannot be used.
    """

    relations: list[Edges] = field(default_factory=list[Edges])
    properties: list[PropertyValues] = field(default_factory=list[PropertyValues])
    problems: list[DataError] = field(default_factory=list[DataError])

    @property
    def n(self) -> int:
        """Number of triples."""
        return sum(len(each.heads) for each in self.relations) + sum(len(each.nodes) for each in self.properties)

    @property
    def nodes(self) -> np.ndarray:
        """int64 (n,), ids of all nodes in the triples, ascending."""
        ends = [end for each in self.relations for end in (each.heads, each.tails)]
        return np.unique(
            np.concatenate([np.empty(0, dtype=np.int64), *ends, *(each.nodes for each in self.properties)])
        )

    def as_entities(self) -> tuple[list[Edges], Entities]:
        """Return all triples, and the properties' values as entities. Their ids are below 0, which no node has."""
        sizes = [len(each.keys) for each in self.properties]
        firsts = np.cumsum([0, *sizes])
        edges = [
            Edges([each.name], np.zeros_like(each.codes), each.nodes, -1 - (first + each.codes), _no_values(each.codes))
            for first, each in zip(firsts, self.properties, strict=False)
        ]
        names = np.array([each.name for each in self.properties], dtype=object)
        keys = np.concatenate([np.empty(0, dtype=object), *(each.keys for each in self.properties)])
        return [*self.relations, *edges], Entities(-1 - np.arange(firsts[-1]), keys, np.repeat(names, sizes))


def read_derived(
    connection: Connection,
    schema: GraphSchema,
    contents: Contents,
    plan: TriplePlan,
    bulk: BulkReader,
    *,
    progress: bool | None = None,
) -> Derived:
    """Read the triples of all patterns and properties in a plan. Those that cannot be used are `Derived.problems`."""
    derived = Derived()
    for name in plan.patterns:
        with progress_bar(None, what=f"Reading {name}", unit="triple", progress=progress) as bar, _noted(derived):
            derived.relations.append(
                read_relation(connection, schema, contents, name, bulk, types=plan.wanted.types, advance=bar.update)
            )
    for name in plan.properties:
        rule = schema.knowledge.properties[name]
        with progress_bar(None, what=f"Reading {name}", unit="value", progress=progress) as bar, _noted(derived):
            derived.properties.append(read_property(connection, schema, contents, name, rule, bulk, advance=bar.update))
    return derived


@contextmanager
def _noted(derived: Derived) -> Generator[None]:
    """Add a DataError of the `with` block to the problems."""
    try:
        yield
    except DataError as error:
        derived.problems.append(error)


def _no_values(rows: np.ndarray) -> np.ndarray:
    return np.empty((len(rows), 0))
