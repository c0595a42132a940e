"""Remove a model from the graph: lists, vectors, indexes, predictions, catalogue entry."""

from __future__ import annotations

from dataclasses import dataclass

from kgplug.graph import catalog
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.ownership import OWN_TYPES, own_runs
from kgplug.graph.publishing.lease import leased
from kgplug.graph.publishing.removing.clean import drop_editions, drop_predictions, drop_run, let_readers_finish
from kgplug.plain_text import counted

_COUNT = f"""
MATCH ()-[edge:{OWN_TYPES}]->()
WHERE edge.model = $model AND edge.run IN $runs RETURN count(edge) AS n
"""


@dataclass(frozen=True)
class UnpublishReport:
    """The result of unpublishing a model.

    Attributes:
        model: name of the model.
        runs: ids of its runs.
        edges: number of removed RECOMMENDS, SIMILAR_TO and PREDICTED edges.
        indexes: names of the removed vector indexes.
    """

    model: str
    runs: list[str]
    edges: int
    indexes: list[str]

    def __str__(self) -> str:
        indexes = counted(len(self.indexes), "vector index", plural="vector indexes")
        what = (
            f"{counted(self.edges, 'edge')}, {indexes} and the vectors in {'it' if len(self.indexes) == 1 else 'them'}"
        )
        return f"{self.model} is out of the graph, with {what}; runs: {', '.join(self.runs) or 'none'}."

    __repr__ = __str__  # what a notebook shows


def unpublish(connection: Connection, model: str) -> UnpublishReport:
    """Stop serving a model, then remove everything that kgplug wrote for it.

    After an interruption, call it again.

    Raises:
        UsageError: no such model is in the graph.
        GraphError: somebody is publishing the model.
    """
    with leased(connection, catalog.model_named(connection, model)) as lease:
        serving = catalog.serving_run(connection, lease.model)
        catalog.withdraw(connection, lease.model, lease.token)
        if serving is not None:
            let_readers_finish()
        owning = [run for _, run in own_runs(connection, lease.model)]
        n_edges = connection.rows(_COUNT, model=lease.model, runs=owning)[0]["n"]
        drop_editions(connection, lease.model, keep=[])
        drop_predictions(connection, lease.model)
        runs = catalog.runs_of(connection, lease.model)
        for run in runs:
            drop_run(connection, run)
    if not catalog.known_models(connection):
        catalog.drop_constraints(connection)
    indexes = [index for run in runs for index in run.indexes if index]
    return UnpublishReport(lease.model, [run.id for run in runs], n_edges, indexes)
