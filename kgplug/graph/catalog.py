"""The catalogue in the graph: which runs of which models it holds, and which one of each serves.

    (:KgplugModel {name})-[:SERVES]->(:KgplugRun)-[:PREVIOUS]->(:KgplugRun)
                                     (:KgplugRun)-[:HAS_RELATION]->(:KgplugRelation {name, translation: […], …})

A run's node names what belongs to it: the property that holds its vectors and the vector index over it, label by
label in parallel lists. Whoever reads vectors goes through the pointer:

    MATCH (:KgplugModel {name: 'MKR'})-[:SERVES]->(run:KgplugRun)
    RETURN run.labels, run.properties, run.indexes

A run is "building" while it is written, then "serving", then "previous", which can serve again at once; at last it is
"dropping", while its vectors are removed. What a run owns is written down before it is made, so whatever a
publisher that died has left behind can be found.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from kgplug.data.publication import Publication
from kgplug.errors import GraphError
from kgplug.graph.connection import Connection
from kgplug.graph.cypher import quote

# What kgplug itself writes into a graph. Its relationships carry a `run` property, which tells them from a graph's
# own of the same type; none of this ever re-enters a training.
RECOMMENDS, SIMILAR_TO, PREDICTED = OWN_RELATIONSHIPS = ("RECOMMENDS", "SIMILAR_TO", "PREDICTED")
OWN_LABELS = ("KgplugModel", "KgplugRun", "KgplugRelation")

BUILDING, SERVING, PREVIOUS, DROPPING = "building", "serving", "previous", "dropping"

_CONSTRAINTS = (
    "CREATE CONSTRAINT kgplug_model_name IF NOT EXISTS FOR (model:KgplugModel) REQUIRE model.name IS UNIQUE",
    "CREATE CONSTRAINT kgplug_run_id IF NOT EXISTS FOR (run:KgplugRun) REQUIRE run.id IS UNIQUE",
)
_LABEL_IN_NAME = 40  # characters of a label that go into the name of an index

_FIELDS = """run {.id, .model, .status, .labels, .properties, .indexes, .dimensions, .details, .vectors_digest,
    created: toString(run.created), published: toString(run.published)} AS run"""
_SERVING = f"MATCH (:KgplugModel {{name: $model}})-[:SERVES]->(run:KgplugRun) RETURN {_FIELDS}"
_ALL_SERVING = f"MATCH (:KgplugModel)-[:SERVES]->(run:KgplugRun) RETURN {_FIELDS} ORDER BY run.published DESC"
_ONE = f"MATCH (run:KgplugRun {{id: $id}}) RETURN {_FIELDS}"
_SUPERSEDED = f"""
MATCH (run:KgplugRun {{model: $model}})
WHERE NOT (:KgplugModel)-[:SERVES]->(run) AND NOT (:KgplugModel)-[:SERVES]->(:KgplugRun)-[:PREVIOUS]->(run)
RETURN {_FIELDS} ORDER BY run.created
"""
_BEGIN = """
MERGE (model:KgplugModel {name: $model})
MERGE (run:KgplugRun {id: $id})
ON CREATE SET run.created = datetime(), run.status = 'building'
SET run.model = $model, run.labels = $labels, run.properties = $properties, run.indexes = $indexes,
    run.dimensions = $dimensions, run.details = $details, run.vectors_digest = $vectors_digest
"""
_SWITCH = """
MATCH (model:KgplugModel {name: $model})
MATCH (run:KgplugRun {id: $id})
SET model.switched = datetime()
WITH model, run
OPTIONAL MATCH (model)-[pointer:SERVES]->(before:KgplugRun) WHERE before.id <> $id
OPTIONAL MATCH (before)-[older:PREVIOUS]->()
WITH model, run, collect(DISTINCT pointer) + collect(DISTINCT older) AS outdated, collect(DISTINCT before) AS befores
OPTIONAL MATCH (run)-[older:PREVIOUS]->() WHERE befores <> []
WITH model, run, befores, outdated, collect(older) AS links
FOREACH (link IN outdated + links | DELETE link)
FOREACH (before IN befores | SET before.status = 'previous' CREATE (run)-[:PREVIOUS]->(before))
MERGE (model)-[:SERVES]->(run)
SET run.status = 'serving', run.published = datetime()
"""


@dataclass(frozen=True)
class RunRecord:
    """What the catalogue knows of a run.

    Attributes:
        id, model: as in the publication.
        status: "building", "serving", "previous" or "dropping".
        labels, properties, indexes, dimensions: one entry a label with vectors; "" for a label without index.
        details: facts of the training.
        created, published: ISO times of the first write and of the moment it came to serve (None before).
        vectors_digest: sha256 of the vectors that the run's property holds or is being filled with; None while
            other ones stand there.
    """

    id: str
    model: str
    status: str = BUILDING
    labels: list[str] = field(default_factory=list)
    properties: list[str] = field(default_factory=list)
    indexes: list[str] = field(default_factory=list)
    dimensions: list[int] = field(default_factory=list)
    details: dict = field(default_factory=dict)
    created: str | None = None
    published: str | None = None
    vectors_digest: str | None = None


def serving(connection: Connection, model: str) -> dict | None:
    """Return what the catalogue knows of the run that serves under a model's name; None if none does."""
    found = connection.rows(_SERVING, model=model)
    return _public(_record(found[0]["run"])) if found else None


def published_models(connection: Connection) -> list[dict]:
    """Return the serving run of every model, the newest first; entries as in `RunRecord`."""
    return [_public(_record(row["run"])) for row in connection.rows(_ALL_SERVING)]


def planned_record(publication: Publication, *, vectors_digest: str) -> RunRecord:
    """Return the record that a publication shall have: its own property and, where wanted, index for each label."""
    name = property_name(publication.model, publication.run)
    indexes: list[str] = []
    for number, nodes in enumerate(publication.vectors):
        index = f"{name}_{_slug(nodes.label)[:_LABEL_IN_NAME]}"
        indexes.append((f"{index}_{number}" if index in indexes else index) if nodes.indexed else "")
    return RunRecord(
        id=publication.run,
        model=publication.model,
        labels=[nodes.label for nodes in publication.vectors],
        properties=[name] * len(publication.vectors),
        indexes=indexes,
        dimensions=[int(nodes.vectors.shape[1]) for nodes in publication.vectors],
        details=publication.details,
        vectors_digest=vectors_digest,
    )


def property_name(model: str, run: str) -> str:
    """Return the node property that holds the vectors of a run: a plain identifier with both names in it."""
    model, run = _slug(model).lower(), _slug(run)
    return f"kgplug_{run}" if run.lower().startswith(model) else f"kgplug_{model}_{run}"


def find_run(connection: Connection, run: str) -> RunRecord | None:
    """Return a run's record, None if the catalogue has none."""
    found = connection.rows(_ONE, id=run)
    return _record(found[0]["run"]) if found else None


def superseded_runs(connection: Connection, model: str) -> list[RunRecord]:
    """Return the runs of a model that neither serve nor stand behind the serving one: dead builds and old runs."""
    return [_record(row["run"]) for row in connection.rows(_SUPERSEDED, model=model)]


def ensure_constraints(connection: Connection) -> None:
    """Make names of models and ids of runs unique, if they are not yet."""
    for constraint in _CONSTRAINTS:
        connection.autocommit(constraint)


def check_own_property(connection: Connection, record: RunRecord) -> None:
    """Raise GraphError where another run, or somebody else's node, holds the property that a new run would write."""
    advice = "Train again: a new run gets a name of its own."
    for name in dict.fromkeys(record.properties):
        taken = connection.rows("MATCH (run:KgplugRun) WHERE $name IN run.properties RETURN run.id AS id", name=name)
        if taken:
            raise GraphError(f"The property {name} belongs to run {taken[0]['id']}. {advice}")
        ever_used = "CALL db.propertyKeys() YIELD propertyKey WHERE propertyKey = $name RETURN 1"
        if not connection.rows(ever_used, name=name):
            continue
        for label in record.labels:
            query = f"MATCH (node:{quote(label)}) WHERE node[$name] IS NOT NULL RETURN 1 LIMIT 1"
            if connection.rows(query, name=name):
                raise GraphError(f":{label} nodes have a property {name} that kgplug did not write. {advice}")


def begin(connection: Connection, record: RunRecord) -> None:
    """Write a run's record, leaving its status as it is; a new one is "building"."""
    connection.write(_BEGIN, **_parameters(record))


def switch(connection: Connection, record: RunRecord) -> None:
    """Let a run serve under its model's name, the one before become its previous one, in one transaction."""
    connection.write(_SWITCH, model=record.model, id=record.id)


def mark(connection: Connection, run: str, status: str) -> None:
    """Set a run's status."""
    connection.write("MATCH (run:KgplugRun {id: $id}) SET run.status = $status", id=run, status=status)


def forget(connection: Connection, run: str) -> None:
    """Remove a run's node and those of its relations from the catalogue."""
    connection.write(
        "MATCH (run:KgplugRun {id: $id}) OPTIONAL MATCH (run)-[:HAS_RELATION]->(relation:KgplugRelation) "
        "DETACH DELETE run, relation",
        id=run,
    )


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")


def _parameters(record: RunRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "model": record.model,
        "labels": record.labels,
        "properties": record.properties,
        "indexes": record.indexes,
        "dimensions": record.dimensions,
        "details": json.dumps(record.details, ensure_ascii=False, sort_keys=True, default=str),
        "vectors_digest": record.vectors_digest,
    }


def _record(row: dict[str, Any]) -> RunRecord:
    known = {name: value for name, value in row.items() if value is not None}
    known["details"] = json.loads(known.get("details", "{}"))
    return RunRecord(**known)


def _public(record: RunRecord) -> dict:
    """Return a record as a dict, without what is of use to the publisher only."""
    return {name: value for name, value in record.__dict__.items() if name != "vectors_digest"}
