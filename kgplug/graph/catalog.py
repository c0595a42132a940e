"""The catalogue in the graph: the models, their runs, and which run of each model serves.

    (:KgplugModel {name, serves, edition, previous, predicted, …})
    (:KgplugRun {id, model, number, edition, status, labels, properties, indexes, …})
    (:KgplugRun)-[:HAS_RELATION]->(:KgplugRelation {name, translation: [0.1, …], …})

A run "serves" if queries read its vectors and lists. At most one run of a model serves. On the model's node, `serves`
is the number of that run, and `edition` is the number on the edges of its lists. Lists that serve together have the
same edition. A query first reads one of these two numbers, then the data with that number:

    MATCH (model:KgplugModel {name: 'MKR'}) WITH model.serves AS number LIMIT 1
    MATCH (run:KgplugRun {model: 'MKR', number: number}) RETURN run.labels, run.properties, run.indexes

    MATCH (model:KgplugModel {name: 'MKR'}) WITH model.edition AS edition LIMIT 1
    MATCH (:User {id: 42})-[r:RECOMMENDS {model: 'MKR', edition: edition}]->(item) RETURN item, r.rank

Neo4j reads committed data relationship by relationship, so a query during a commit may see only a part of the commit.
Therefore no list is ever changed while it serves. A query that first reads one of the two numbers sees either all of
the old run's data or all of the new run's.

On the model's node, `previous` is the number of the run that served before the serving one, and `predicted` lists the
ids of the runs whose predicted links are in the graph, as PREDICTED edges. For people who browse the graph,
(model)-[:SERVES]->(run)-[:PREVIOUS]->(run) shows the serving and the previous run.

The node of a run has parallel lists, with one entry per label whose nodes have vectors. `labels` has the label,
`properties` the name of the node property that holds the vectors, and `indexes` the name of the vector index on this
property. These names are stored before the property and the index are created. So if a publishing process dies,
everything that it wrote can be found.

The status of a run is "building" while it is written, then "serving", then "previous" (it can serve again at once), and
finally "dropping" while it is deleted.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

from kgplug.data.publication import Publication
from kgplug.errors import GraphError, UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.queries import quote
from kgplug.strict_json import dumps

# What kgplug itself writes into a graph. A relationship of these types is kgplug's if its model and run are in this
# catalogue (`kgplug.graph.ownership`); otherwise another program wrote it. Training never reads what kgplug wrote.
RECOMMENDS, SIMILAR_TO, PREDICTED = OWN_RELATIONSHIPS = ("RECOMMENDS", "SIMILAR_TO", "PREDICTED")
OWN_LABELS = ("KgplugModel", "KgplugRun", "KgplugRelation")

BUILDING, SERVING, PREVIOUS, DROPPING = "building", "serving", "previous", "dropping"

_CONSTRAINTS = (
    "CREATE CONSTRAINT kgplug_model_name IF NOT EXISTS FOR (model:KgplugModel) REQUIRE model.name IS UNIQUE",
    "CREATE CONSTRAINT kgplug_run_id IF NOT EXISTS FOR (run:KgplugRun) REQUIRE run.id IS UNIQUE",
    "CREATE CONSTRAINT kgplug_run_number IF NOT EXISTS FOR (run:KgplugRun) REQUIRE (run.model, run.number) IS UNIQUE",
)
_CONSTRAINT_NAMES = ("kgplug_model_name", "kgplug_run_id", "kgplug_run_number")
_LABEL_IN_NAME = 40  # maximum number of characters of a label in an index's name
_OWN_FIELDS = ("metrics", "artefact", "schema", "graph")  # details that each have a property; the rest is in `params`

_FIELDS = """run {.id, .model, .number, .edition, .staged, .status, .labels, .properties, .indexes, .dimensions,
    .params, .metrics, .artefact, .schema, .graph, .rates, .vectors_digest, .lists_digest,
    created: toString(run.created), published: toString(run.published)} AS run"""
_SERVING = f"""
MATCH (model:KgplugModel {{name: $model}}) WITH model.serves AS number LIMIT 1
MATCH (run:KgplugRun {{model: $model, number: number}}) RETURN {_FIELDS}
"""
_PREVIOUS = _SERVING.replace("model.serves", "model.previous")
_ALL_SERVING = f"""
MATCH (model:KgplugModel) WHERE model.serves IS NOT NULL WITH model.name AS name, model.serves AS number
MATCH (run:KgplugRun {{model: name, number: number}}) RETURN {_FIELDS} ORDER BY run.published DESC
"""
_ONE = f"MATCH (run:KgplugRun {{id: $id}}) RETURN {_FIELDS}"
_OF_MODEL = f"MATCH (run:KgplugRun {{model: $model}}) RETURN {_FIELDS} ORDER BY run.created"
_BEGIN = """
MATCH (model:KgplugModel {name: $model}) WHERE model.lease_token = $token
OPTIONAL MATCH (found:KgplugRun {id: $id})
WITH model, CASE WHEN found IS NULL OR ($stage AND found.staged IS NULL) THEN 1 ELSE 0 END AS new_numbers
SET model.counter = coalesce(model.counter, 0) + new_numbers
MERGE (run:KgplugRun {id: $id})
ON CREATE SET run.created = datetime(), run.status = 'building', run.model = $model, run.number = model.counter
SET run.labels = $labels, run.properties = $properties, run.indexes = $indexes, run.dimensions = $dimensions,
    run.params = $params, run.metrics = $metrics, run.artefact = $artefact, run.schema = $schema, run.graph = $graph,
    run.vectors_digest = $vectors_digest,
    run.staged = CASE WHEN $stage THEN coalesce(run.staged, model.counter) ELSE null END
RETURN run.number AS number, run.staged AS staged
"""
_SWITCH = """
MATCH (model:KgplugModel {name: $model})
SET model.lease_until = timestamp() + $lease_ms
WITH model WHERE model.lease_token = $token
MATCH (run:KgplugRun {id: $id})
SET run.edition = $edition, run.lists_digest = $lists_digest, run.rates = $rates, run.status = 'serving',
    run.published = datetime(), run.staged = null
SET model.previous = CASE WHEN model.serves = run.number THEN model.previous ELSE model.serves END
SET model.serves = run.number, model.edition = run.edition
WITH model, run
CALL (model) { OPTIONAL MATCH (model)-[link:SERVES]->() DELETE link }
CALL (model) { OPTIONAL MATCH (:KgplugRun {model: model.name})-[link:PREVIOUS]->() DELETE link }
CALL (model, run) {
    MATCH (before:KgplugRun {model: model.name, number: model.previous})
    SET before.status = 'previous'
    CREATE (run)-[:PREVIOUS]->(before)
}
CREATE (model)-[:SERVES]->(run)
RETURN run.number AS number
"""
_WITHDRAW = """
MATCH (model:KgplugModel {name: $model}) WHERE model.lease_token = $token
SET model.serves = null, model.edition = null, model.previous = null
WITH model OPTIONAL MATCH (model)-[link:SERVES]->() DELETE link
"""


@dataclass(frozen=True)
class RunRecord:
    """The catalogue's entry of a run.

    Attributes:
        id, model: id of the run, and the name under which it is published.
        number: number of the run, unique among its model's runs; None until the run is in the graph.
        edition: number that the edges of the run's lists have as a property; None until the run first serves.
        staged: edition number of lists that are being written and do not serve yet; None if there are none.
        status: "building", "serving", "previous" or "dropping".
        labels, properties, indexes, dimensions: parallel lists with one entry per label whose nodes have vectors: the
            label, the node property with the vectors, the name of the vector index ("" if there is none), and the
            length of a vector.
        details: facts about the training (such as settings, metrics and schema) and the options of the publish.
        rates: number of vectors and of edges that were written per second: {"vectors": …, "edges": …}.
        created: ISO time at which the record was first written.
        published: ISO time at which the run last began to serve; None before that.
        vectors_digest: sha256 of the run's vectors. If the run is published again with different vectors, None until
            all old vectors are overwritten.
        lists_digest: sha256 of the lists whose edges have the number `edition`. It is stored in the graph when these
            lists begin to serve.
    """

    id: str
    model: str
    number: int | None = None
    edition: int | None = None
    staged: int | None = None
    status: str = BUILDING
    labels: list[str] = field(default_factory=list[str])
    properties: list[str] = field(default_factory=list[str])
    indexes: list[str] = field(default_factory=list[str])
    dimensions: list[int] = field(default_factory=list[int])
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    rates: dict[str, Any] = field(default_factory=dict[str, Any])
    created: str | None = None
    published: str | None = None
    vectors_digest: str | None = None
    lists_digest: str | None = None


def serving(connection: Connection, model: str) -> dict[str, Any] | None:
    """Return the run that serves under a model's name; None if none serves.

    The result is a dict of the fields of `RunRecord`, without `staged`, `rates` and the digests.
    """
    found = serving_run(connection, model)
    return None if found is None else _public(found)


def serving_run(connection: Connection, model: str) -> RunRecord | None:
    """Return the record of the run that serves under a model's name; None if no run serves."""
    return _first(connection.rows(_SERVING, model=model))


def previous_run(connection: Connection, model: str) -> RunRecord | None:
    """Return the record of a model's previous run, to which `rollback` switches back; None if there is none."""
    return _first(connection.rows(_PREVIOUS, model=model))


def published_models(connection: Connection) -> list[dict[str, Any]]:
    """Return the serving run of every model, each as a dict like that of `serving`, most recently published first."""
    return [_public(_record(row["run"])) for row in connection.rows(_ALL_SERVING)]


def require_published(connection: Connection, model: object) -> None:
    """Raise UsageError if no model with exactly this name is published."""
    names = sorted(one["model"] for one in published_models(connection))
    if model not in names:
        there = f"Published: {', '.join(names)}." if names else "None is published in this graph yet."
        raise UsageError(f"No published model is called {model!r}. {there}")


def known_models(connection: Connection) -> list[str]:
    """Return the name of every model in the catalogue, including those that serve nothing yet."""
    rows = connection.rows("MATCH (model:KgplugModel) RETURN model.name AS name ORDER BY name")
    return [row["name"] for row in rows if isinstance(row["name"], str)]


def planned_record(publication: Publication, *, vectors_digest: str, lists_digest: str) -> RunRecord:
    """Return the record to store for a run that is about to be published.

    This function chooses the names of the run's vector property and vector indexes. The digests are those of
    `RunRecord`.
    """
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
        lists_digest=lists_digest,
    )


def property_name(model: str, run: str) -> str:
    """Return the name of the node property that holds a run's vectors. It is built from model name and run id."""
    model, run = _slug(model).lower(), _slug(run)
    return f"kgplug_{run}" if run.lower().startswith(model) else f"kgplug_{model}_{run}"


def model_named(connection: Connection, name: str) -> str:
    """Find a model by its name, ignoring case; return the name as the catalogue spells it.

    Raises:
        UsageError: the catalogue has no model of that name.
    """
    known = known_models(connection)
    for model in known:
        if model.lower() == name.lower():
            return model
    there = f"In the graph: {', '.join(known)}." if known else "No model is in this graph."
    raise UsageError(f'No model of the graph is called "{name}". {there}')


def find_run(connection: Connection, run: str) -> RunRecord | None:
    """Return the record of the run with this id; None if the catalogue has none."""
    return _first(connection.rows(_ONE, id=run))


def runs_of(connection: Connection, model: str) -> list[RunRecord]:
    """Return the records of all runs of a model, oldest first, including runs whose publish was interrupted."""
    return [_record(row["run"]) for row in connection.rows(_OF_MODEL, model=model)]


def unfinished_run(connection: Connection, model: str) -> RunRecord | None:
    """Return a model's newest run whose publish was interrupted; None if there is none."""
    found = [run for run in runs_of(connection, model) if run.status == BUILDING or run.staged is not None]
    return found[-1] if found else None


def ensure_constraints(connection: Connection) -> None:
    """Create those uniqueness constraints on model names, run ids and run numbers that do not exist yet."""
    for constraint in _CONSTRAINTS:
        connection.autocommit(constraint)


def check_own_property(connection: Connection, record: RunRecord) -> None:
    """Raise GraphError if the property for a new run's vectors is used by another run or another program."""
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


def begin(connection: Connection, record: RunRecord, token: str, *, stage: bool) -> RunRecord:
    """Write a run's record into the catalogue. A new run gets the status "building"; an existing one keeps its status.

    Args:
        connection: connection to the database.
        record: record of the run.
        token: secret of this process's lease, its lock on the run's model (`kgplug.graph.publishing.lease`).
        stage: True if new lists will be written: their edition number, `RunRecord.staged`, is kept, or assigned if the
            run has none. False: it is cleared.

    Returns:
        The record with `number` and `staged` as stored.

    Raises:
        GraphError: this process no longer holds the lease.
    """
    rows = connection.write_rows(_BEGIN, **_parameters(record), token=token, stage=stage)
    if not rows:
        raise lease_lost(record.model)
    return replace(record, number=rows[0]["number"], staged=rows[0]["staged"])


def note_vectors(connection: Connection, record: RunRecord) -> None:
    """Store the digest of a run's vectors, after all of them were written."""
    query = "MATCH (run:KgplugRun {id: $id}) SET run.vectors_digest = $digest"
    connection.write(query, id=record.id, digest=record.vectors_digest)


def switch(connection: Connection, record: RunRecord, token: str, *, lease_ms: int) -> None:
    """Make a run and its lists serve under its model's name; the run that served before becomes the previous one.

    The lists are those whose edges have the number `record.edition`. `token` is the secret of this process's lease, its
    lock on the model. The lease is renewed for `lease_ms` milliseconds.

    Raises:
        GraphError: this process no longer holds the lease.
    """
    rows = connection.write_rows(
        _SWITCH,
        model=record.model,
        id=record.id,
        edition=record.edition,
        lists_digest=record.lists_digest,
        rates=dumps(record.rates),
        token=token,
        lease_ms=lease_ms,
    )
    if not rows:
        raise lease_lost(record.model)


def withdraw(connection: Connection, model: str, token: str) -> None:
    """Stop serving a model. Do nothing if this process's lease (its lock on the model), given by `token`, was lost."""
    connection.write(_WITHDRAW, model=model, token=token)


def lease_lost(model: str) -> GraphError:
    """Return the error for a process that lost its lease because it had no contact with the database for too long."""
    return GraphError(
        f"This change of {model} had no contact with the database for so long that another change may have begun, "
        "so it stopped. What served before still serves. Run the same command again."
    )


def unstage(connection: Connection, model: str) -> None:
    """Abandon lists that an interrupted publish left unfinished: clear `RunRecord.staged` of all runs of a model."""
    connection.write("MATCH (run:KgplugRun {model: $model}) SET run.staged = null", model=model)


def mark(connection: Connection, run: str, status: str) -> None:
    """Set the status of the run with the id `run` (see `RunRecord.status`)."""
    connection.write("MATCH (run:KgplugRun {id: $id}) SET run.status = $status", id=run, status=status)


def forget(connection: Connection, run: str) -> None:
    """Remove a run's node and the nodes of its relations from the catalogue."""
    connection.write(
        "MATCH (run:KgplugRun {id: $id}) OPTIONAL MATCH (run)-[:HAS_RELATION]->(relation:KgplugRelation) "
        "DETACH DELETE run, relation",
        id=run,
    )


def note_predictions(connection: Connection, model: str, run: str) -> None:
    """Record on the model's node that a run has PREDICTED edges. The run need not be published."""
    connection.write(
        "MATCH (model:KgplugModel {name: $model}) "
        "SET model.predicted = [each IN coalesce(model.predicted, []) WHERE each <> $run] + [$run]",
        model=model,
        run=run,
    )


def forget_predictions(connection: Connection, model: str, *, run: str | None = None) -> None:
    """Record on the model's node that a run (None: all runs of the model) no longer has PREDICTED edges."""
    connection.write(
        "MATCH (model:KgplugModel {name: $model}) WHERE model.predicted IS NOT NULL "
        "WITH model, [each IN model.predicted WHERE $run IS NOT NULL AND each <> $run] AS left "
        "SET model.predicted = CASE WHEN size(left) > 0 THEN left ELSE null END",
        model=model,
        run=run,
    )


def drop_constraints(connection: Connection) -> None:
    """Remove the constraints that `ensure_constraints` created. Call it only if no model is left in the catalogue."""
    for name in _CONSTRAINT_NAMES:
        connection.autocommit(f"DROP CONSTRAINT {name} IF EXISTS")


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")


def _parameters(record: RunRecord) -> dict[str, Any]:
    details = record.details
    params = {name: value for name, value in details.items() if name not in _OWN_FIELDS}
    return {
        "id": record.id,
        "model": record.model,
        "labels": record.labels,
        "properties": record.properties,
        "indexes": record.indexes,
        "dimensions": record.dimensions,
        "params": _json(params),
        **{name: _json(details[name]) if name in details else None for name in _OWN_FIELDS if name != "artefact"},
        "artefact": details.get("artefact"),
        "vectors_digest": record.vectors_digest,
    }


def _json(value: object) -> str:
    return dumps(value, ascii_only=False, sort_keys=True)


def _first(rows: list[dict[str, Any]]) -> RunRecord | None:
    return _record(rows[0]["run"]) if rows else None


def _record(row: dict[str, Any]) -> RunRecord:
    known = {name: value for name, value in row.items() if value is not None}
    own = {name: known.pop(name) for name in ("params", *_OWN_FIELDS) if name in known}
    details = json.loads(own.pop("params", "{}"))
    details |= {name: value if name == "artefact" else json.loads(value) for name, value in own.items()}
    return RunRecord(**{**known, "details": details, "rates": json.loads(known.get("rates", "{}"))})


def _public(record: RunRecord) -> dict[str, Any]:
    """Return a record as a dict, without the fields that only the publisher needs."""
    hidden = ("staged", "rates", "vectors_digest", "lists_digest")
    return {name: value for name, value in record.__dict__.items() if name not in hidden}
