"""Write vectors as node properties and build the vector indexes over them.

A vector is sent as text, which the server parses. If it were sent as a list, the driver would pack it number by number
in Python, which is four times slower (`benchmarks/neo4j_io.py`). Each number is written with nine digits, enough to
restore any float32 exactly.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgplug.data.publication import NodeVectors, usable_rows
from kgplug.errors import GraphError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.catalog import RunRecord
from kgplug.graph.publishing.writing.batches import run_batches
from kgplug.graph.publishing.writing.nodes import NodeLookup
from kgplug.graph.queries import quote
from kgplug.progress import bar as progress_bar

MAX_DIMENSIONS = 4096  # maximum of a Neo4j vector index

_BATCH_ROWS = 5000
_BATCH_NUMBERS = 320_000  # about 4 MB of text
_QUANTIZATION_SINCE = (5, 18)
_POLL_S = 0.25
_INDEXES = """
SHOW INDEXES YIELD name, type, state, populationPercent, labelsOrTypes, properties WHERE name IN $names
RETURN name, type, state, populationPercent AS percent, labelsOrTypes AS labels, properties
"""


@dataclass(frozen=True, eq=False)
class VectorCounts:
    """The result of writing the vectors of one label.

    Attributes:
        written: number of vectors set by this publish.
        kept: number of vectors that were already there.
        skipped_keys: keys of nodes whose vectors were not written because they are zero or not finite.
        missing_keys: keys without a node in the graph.
        vanished: number of nodes that were deleted while the vectors were written.
    """

    written: int
    kept: int
    skipped_keys: list[int | str]
    missing_keys: list[int | str]
    vanished: int


def write_vectors(
    connection: Connection,
    nodes: NodeVectors,
    lookup: NodeLookup,
    property_name: str,
    *,
    only_missing: bool,
    progress: bool | None,
) -> VectorCounts:
    """Store vectors in the graph: set a property of each node to its vector.

    Args:
        connection: connection to the database.
        nodes: keys and vectors of one label.
        lookup: lookup of these nodes.
        property_name: property to set.
        only_missing: skip nodes that already have the property.
        progress: Whether to show a progress bar. None: only on a terminal.
    """
    usable, present = usable_rows(nodes.vectors), lookup.present(nodes.keys)
    rows = np.flatnonzero(usable & present)
    to_write = _rows_without(connection, nodes, lookup, property_name, rows) if only_missing else rows
    dimension = nodes.vectors.shape[1]
    query = f"""
    UNWIND range(0, size($handles) - 1) AS row
    {lookup.match("node", "$handles[row]")}
    SET node.{quote(property_name)} = toFloatList(split($vectors[row], ' '))
    """

    def write(batch: slice) -> int:
        chosen = to_write[batch]
        handles = [lookup.handles[key] for key in nodes.keys[chosen]]
        return connection.write(query, handles=handles, vectors=vector_texts(nodes.vectors[chosen]))["properties_set"]

    batch_rows = max(1, min(_BATCH_ROWS, _BATCH_NUMBERS // dimension))
    written = run_batches(
        write, len(to_write), batch_rows, description=f"{nodes.label} vectors", unit="vector", progress=progress
    )
    return VectorCounts(
        written=sum(written),
        kept=len(rows) - len(to_write),
        skipped_keys=list(nodes.keys[~usable]),
        missing_keys=list(nodes.keys[usable & ~present]),
        vanished=len(to_write) - sum(written),
    )


def vector_texts(vectors: np.ndarray) -> list[str]:
    """Return each row of `vectors`, float32 (n, d), as text: d numbers separated by spaces."""
    template = " ".join(["%.9g"] * vectors.shape[1])
    return [template % tuple(vector) for vector in vectors.tolist()]


def _rows_without(
    connection: Connection, nodes: NodeVectors, lookup: NodeLookup, property_name: str, rows: np.ndarray
) -> np.ndarray:
    """Return the row numbers in `rows` whose nodes do not have the property, int64, ascending.

    `rows`, int64, are row numbers of the arrays in `nodes`.
    """
    match = lookup.match("node", "$handles[row]", "node[$name] IS NULL")
    query = f"UNWIND range(0, size($handles) - 1) AS row {match} RETURN collect(row) AS rows"

    def find(batch: slice) -> np.ndarray:
        handles = [lookup.handles[key] for key in nodes.keys[rows[batch]]]
        return rows[batch][connection.rows(query, handles=handles, name=property_name)[0]["rows"]]

    found = run_batches(find, len(rows), 4 * _BATCH_ROWS, description="Vectors there", unit="", progress=False)
    return np.sort(np.concatenate([rows[:0], *found]))


def check_index_names(connection: Connection, record: RunRecord) -> None:
    """Raise GraphError if an index that is not kgplug's has the name of one of the run's indexes."""
    wanted = _wanted(record)
    for row in connection.rows(_INDEXES, names=list(wanted)):
        label, name = wanted[row["name"]][:2]
        if (row["type"], row["labels"], row["properties"]) != ("VECTOR", [label], [name]):
            raise GraphError(
                f"The database has an index {row['name']} that kgplug did not make, on {row['labels'] or 'nothing'} "
                f"{row['properties'] or ''}. Rename it, or train again: a new run gets names of its own."
            )


def create_indexes(connection: Connection, record: RunRecord) -> list[str]:
    """Create the missing vector indexes of a run, and replace failed ones; return the names of all its indexes."""
    wanted = _wanted(record)
    states = {row["name"]: row["state"] for row in connection.rows(_INDEXES, names=list(wanted))}
    config = "`vector.dimensions`: $dimension, `vector.similarity_function`: 'cosine'"
    if _version(connection) >= _QUANTIZATION_SINCE:
        config += ", `vector.quantization.enabled`: false"  # quantization costs recall and build time
    for name, (label, property_name, dimension) in wanted.items():
        if states.get(name) == "FAILED":
            connection.autocommit(f"DROP INDEX {quote(name)} IF EXISTS")
        connection.autocommit(
            f"CREATE VECTOR INDEX {quote(name)} IF NOT EXISTS FOR (node:{quote(label)}) "
            f"ON (node.{quote(property_name)}) OPTIONS {{indexConfig: {{{config}}}}}",
            dimension=dimension,
        )
    return list(wanted)


def wait_for_indexes(connection: Connection, names: list[str], *, timeout_s: float, progress: bool | None) -> None:
    """Wait until indexes are online, so that queries can use them.

    Args:
        connection: connection to the database.
        names: names of the indexes.
        timeout_s: maximum time without progress, in seconds.
        progress: Whether to show a progress bar. None: only on a terminal.

    Raises:
        GraphError: an index failed, is gone, or makes no progress.
    """
    moved_at, done = time.monotonic(), -1.0
    with progress_bar(100 if names else 0, what="Vector indexes", unit="%", progress=progress) as bar:
        while names:
            rows = connection.rows(_INDEXES, names=names)
            _check_states(rows, names)
            percent = sum(100.0 if row["state"] == "ONLINE" else row["percent"] for row in rows) / len(rows)
            bar.update(max(0, int(percent) - bar.n))
            if all(row["state"] == "ONLINE" for row in rows):
                return
            if percent > done:
                moved_at, done = time.monotonic(), percent
            if time.monotonic() - moved_at > timeout_s:
                waiting = next(row for row in rows if row["state"] != "ONLINE")
                raise GraphError(
                    f"The vector index {waiting['name']} has stayed at {waiting['percent']:.0f} % for {timeout_s:g} s. "
                    "What served before still serves. Publish again to go on waiting."
                )
            time.sleep(_POLL_S)


def _check_states(rows: list[dict[str, Any]], names: list[str]) -> None:
    failed = [row["name"] for row in rows if row["state"] == "FAILED"]
    gone = sorted(set(names) - {row["name"] for row in rows})
    if failed or gone:
        what = f"{failed[0]} could not be built by the server" if failed else f"{gone[0]} was dropped meanwhile"
        raise GraphError(f"The vector index {what}. What served before still serves. Publish again.")


def _wanted(record: RunRecord) -> dict[str, tuple[str, str, int]]:
    """Return name → (label, property, dimension) of a run's indexes."""
    each = zip(record.indexes, record.labels, record.properties, record.dimensions, strict=True)
    return {index: (label, name, dimension) for index, label, name, dimension in each if index}


def _version(connection: Connection) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", connection.server_version)[:2])
