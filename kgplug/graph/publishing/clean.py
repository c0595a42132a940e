"""Remove what runs have left in the graph, in batches."""

from __future__ import annotations

from kgplug.graph import catalog
from kgplug.graph.catalog import RunRecord
from kgplug.graph.connection import Connection
from kgplug.graph.cypher import quote

_BATCH_NODES = 10_000


def drop_superseded(connection: Connection, model: str) -> list[str]:
    """Drop the runs of a model that neither serve nor stand ready behind the serving one; return their ids.

    Among them are builds whose publisher died: the one publisher of a model calls this when its own run serves.
    """
    runs = catalog.superseded_runs(connection, model)
    for run in runs:
        drop_run(connection, run)
    return [run.id for run in runs]


def drop_run(connection: Connection, run: RunRecord) -> None:
    """Remove a run's indexes, vectors, predicted edges and node; done again after an interruption, it goes on.

    Its lists went when those of the next run came.
    """
    catalog.mark(connection, run.id, catalog.DROPPING)
    connection.autocommit(
        f"MATCH ()-[edge:{catalog.PREDICTED} {{model: $model, run: $run}}]->() "
        f"CALL {{ WITH edge DELETE edge }} IN TRANSACTIONS OF {_BATCH_NODES} ROWS",
        model=run.model,
        run=run.id,
    )
    for index, label, property_name in zip(run.indexes, run.labels, run.properties, strict=True):
        if index and _is_own(connection, index, label, property_name):
            connection.autocommit(f"DROP INDEX {quote(index)} IF EXISTS")
        name = quote(property_name)
        connection.autocommit(
            f"MATCH (node:{quote(label)}) WHERE node.{name} IS NOT NULL "
            f"CALL {{ WITH node REMOVE node.{name} }} IN TRANSACTIONS OF {_BATCH_NODES} ROWS"
        )
    catalog.forget(connection, run.id)


def _is_own(connection: Connection, index: str, label: str, property_name: str) -> bool:
    """Tell whether an index is the one that a run's record speaks of, and not somebody else's of that name."""
    return bool(
        connection.rows(
            "SHOW INDEXES YIELD name, type, labelsOrTypes, properties "
            "WHERE name = $name AND type = 'VECTOR' AND labelsOrTypes = [$label] AND properties = [$property] RETURN 1",
            name=index,
            label=label,
            property=property_name,
        )
    )
