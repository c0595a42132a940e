"""Decide which relationships kgplug wrote.

These are the RECOMMENDS, SIMILAR_TO and PREDICTED edges whose properties `model` and `run` are in kgplug's catalogue,
which is stored in the same graph. The type alone, or a property called `run`, proves nothing, because other programs
may use the same names.

In the catalogue, each published run has a node with the label KgplugRun. PREDICTED edges may also come from a run that
was never published. So each model's node, with the label KgplugModel, lists all runs of the model that have PREDICTED
edges.
"""

from __future__ import annotations

import json

from kgplug.graph.bolt.connection import Connection
from kgplug.graph.catalog import OWN_RELATIONSHIPS
from kgplug.graph.queries import quote

OWN_TYPES = "|".join(OWN_RELATIONSHIPS)
_RUNS = """
MATCH (run:KgplugRun) WHERE $model IS NULL OR run.model = $model RETURN run.model AS model, run.id AS run
UNION
MATCH (model:KgplugModel) WHERE ($model IS NULL OR model.name = $model) AND model.predicted IS NOT NULL
UNWIND model.predicted AS run RETURN model.name AS model, run
"""


def own_runs(connection: Connection, model: str | None = None) -> list[tuple[str, str]]:
    """Return the (model name, run id) pairs of all runs that may have edges in the graph, sorted.

    Only the runs of `model` are returned; None returns those of all models.
    """
    found = ((row["model"], row["run"]) for row in connection.rows(_RUNS, model=model))
    # Nodes of these labels that kgplug did not write may lack the properties, or have values that are not text.
    return sorted(pair for pair in found if all(isinstance(name, str) for name in pair))


def is_own(edge: str) -> str:
    """Return a Cypher condition that looks up in the catalogue whether kgplug wrote a relationship.

    Args:
        edge: Cypher variable of the relationship.
    """
    published = f"EXISTS {{ (:KgplugRun {{id: {edge}.run, model: {edge}.model}}) }}"
    predicted = f"EXISTS {{ (own:KgplugModel {{name: {edge}.model}}) WHERE {edge}.run IN own.predicted }}"
    return f"(type({edge}) IN {list(OWN_RELATIONSHIPS)} AND ({published} OR {predicted}))"


def not_own(connection: Connection, name: str, edge: str = "r") -> str:
    """Return a Cypher condition that excludes kgplug's own relationships of a type; "" if kgplug has written none.

    The condition lists the model and id of each of kgplug's runs, so that a query over many relationships does not
    look up each one in the catalogue.

    Args:
        connection: connection to the database.
        name: relationship type.
        edge: Cypher variable of the relationship.
    """
    runs = own_runs(connection) if name in OWN_RELATIONSHIPS else []
    return f"NOT {_among(runs, edge)}" if runs else ""


def count_own(connection: Connection, name: str) -> int:
    """Return the number of relationships of this type that kgplug wrote.

    For a type that kgplug never writes: 0, without a query.
    """
    runs = own_runs(connection) if name in OWN_RELATIONSHIPS else []
    if not runs:
        return 0
    return connection.rows(f"MATCH ()-[r:{quote(name)}]->() WHERE {_among(runs, 'r')} RETURN count(r) AS n")[0]["n"]


def _among(runs: list[tuple[str, str]], edge: str) -> str:
    known = ", ".join(f"[{json.dumps(model)}, {json.dumps(run)}]" for model, run in runs)
    return f"coalesce([{edge}.model, {edge}.run] IN [{known}], false)"
