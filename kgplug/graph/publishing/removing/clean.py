"""Delete runs from the graph, in batches. After an interruption, each function can be called again."""

from __future__ import annotations

import time
from collections.abc import Collection

from kgplug.graph import catalog
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.catalog import RunRecord
from kgplug.graph.ownership import own_runs
from kgplug.graph.queries import quote

GRACE_S = 5.0
"""Seconds between the moment when lists stop serving and their deletion.

A query that has already read the edition number of the lists can still finish in this time.
"""

_BATCH_NODES = 10_000


def let_readers_finish() -> None:
    """Wait `GRACE_S` seconds, so that queries that still read old lists can finish before these are deleted."""
    time.sleep(GRACE_S)


def drop_superseded(connection: Connection, model: str, *, keep_previous: bool = True) -> list[str]:
    """Delete every run of a model except the serving and the previous one; return the ids of deleted runs.

    Without `keep_previous`, the previous run is also deleted. Unfinished runs are always deleted. The caller must hold
    the model's lease, so that no other process is writing them.
    """
    serving = catalog.serving_run(connection, model)
    previous = catalog.previous_run(connection, model) if keep_previous else None
    kept = [run for run in (serving, previous) if run is not None]
    dropped = [run for run in catalog.runs_of(connection, model) if run.id not in {one.id for one in kept}]
    drop_editions(connection, model, keep=[run.edition for run in kept if run.edition is not None])
    for run in dropped:
        drop_run(connection, run)
    return [run.id for run in dropped]


def drop_editions(connection: Connection, model: str, *, keep: Collection[int]) -> None:
    """Delete all lists of a model except those of the editions in `keep`."""
    for edge in (catalog.RECOMMENDS, catalog.SIMILAR_TO):
        connection.autocommit(
            f"MATCH ()-[edge:{edge}]->() WHERE edge.model = $model AND edge.run IN $runs "
            "AND (edge.edition IS NULL OR NOT edge.edition IN $keep) "
            f"CALL (edge) {{ DELETE edge }} IN TRANSACTIONS OF {_BATCH_NODES} ROWS",
            model=model,
            runs=_runs(connection, model),
            keep=list(keep),
        )


def drop_run(connection: Connection, run: RunRecord) -> None:
    """Delete a run's indexes, vectors, PREDICTED edges and catalogue node, but not its lists (see `drop_editions`)."""
    catalog.mark(connection, run.id, catalog.DROPPING)
    drop_predictions(connection, run.model, run=run.id)
    for index, label, property_name in zip(run.indexes, run.labels, run.properties, strict=True):
        if index and _is_own(connection, index, label, property_name):
            connection.autocommit(f"DROP INDEX {quote(index)} IF EXISTS")
        name = quote(property_name)
        connection.autocommit(
            f"MATCH (node:{quote(label)}) WHERE node.{name} IS NOT NULL "
            f"CALL (node) {{ REMOVE node.{name} }} IN TRANSACTIONS OF {_BATCH_NODES} ROWS"
        )
    catalog.forget(connection, run.id)


def drop_predictions(connection: Connection, model: str, *, run: str | None = None) -> None:
    """Delete the PREDICTED edges of one run of a model, or of all its runs if `run` is None."""
    connection.autocommit(
        f"MATCH ()-[edge:{catalog.PREDICTED}]->() WHERE edge.model = $model AND edge.run IN $runs "
        f"CALL (edge) {{ DELETE edge }} IN TRANSACTIONS OF {_BATCH_NODES} ROWS",
        model=model,
        runs=_runs(connection, model) if run is None else [run],
    )
    catalog.forget_predictions(connection, model, run=run)


def _runs(connection: Connection, model: str) -> list[str]:
    """Return the ids of a model's runs that may have edges."""
    return [run for _, run in own_runs(connection, model)]


def _is_own(connection: Connection, index: str, label: str, property_name: str) -> bool:
    """Return whether the index named `index` is a vector index on the label and property.

    Only such an index is kgplug's own and may be deleted.
    """
    return bool(
        connection.rows(
            "SHOW INDEXES YIELD name, type, labelsOrTypes, properties "
            "WHERE name = $name AND type = 'VECTOR' AND labelsOrTypes = [$label] AND properties = [$property] RETURN 1",
            name=index,
            label=label,
            property=property_name,
        )
    )
