"""Undo an interrupted publish, or else switch back to the previous run."""

from __future__ import annotations

from dataclasses import dataclass

from kgplug.errors import UsageError
from kgplug.graph import catalog
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.publishing.lease import LEASE_MS, leased
from kgplug.graph.publishing.removing.clean import drop_superseded


@dataclass(frozen=True)
class RollbackReport:
    """The result of a rollback.

    Attributes:
        model: name of the model.
        undone: id of the run whose interrupted publish was removed. None if no publish was interrupted; then the
            previous run serves again.
        serves: id of the run that serves now; None if no run serves.
        kept: id of the run that served until now and can serve again; None if the serving run did not change.
    """

    model: str
    undone: str | None
    serves: str | None
    kept: str | None

    def __str__(self) -> str:
        served = f"run {self.serves} serves" if self.serves else "nothing serves under its name"
        if self.undone is not None:
            return f"{self.model}: the interrupted publish of run {self.undone} was removed; {served}."
        kept = f"Run {self.kept} is kept: another rollback returns to it."
        return f"{self.model} is served by run {self.serves} again. {kept}"

    __repr__ = __str__  # what a notebook shows


def rollback(connection: Connection, model: str) -> RollbackReport:
    """Undo a model's interrupted publish, or else switch back to its previous run. Takes effect at once.

    Raises:
        UsageError: no such model is in the graph, or it has no previous run.
        GraphError: somebody is publishing the model.
    """
    with leased(connection, catalog.model_named(connection, model)) as lease:
        unfinished = catalog.unfinished_run(connection, lease.model)
        serving = catalog.serving_run(connection, lease.model)
        if unfinished is not None:
            catalog.unstage(connection, lease.model)
            drop_superseded(connection, lease.model)
            return RollbackReport(lease.model, unfinished.id, serving.id if serving else None, None)
        previous = catalog.previous_run(connection, lease.model)
        if previous is None:
            now = f"run {serving.id} is the only one" if serving else "nothing serves"
            raise UsageError(f"{lease.model} has no run to go back to: {now}.")
        catalog.switch(connection, previous, lease.token, lease_ms=LEASE_MS)
        return RollbackReport(lease.model, None, previous.id, serving.id if serving else None)
