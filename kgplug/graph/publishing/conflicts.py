"""Refuse a publish that would replace a run with another schema, or that a constraint in the graph would stop."""

from __future__ import annotations

from kgplug.data.publication import Publication
from kgplug.errors import GraphError, UsageError
from kgplug.graph import catalog
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.catalog import RunRecord
from kgplug.graph.publishing.writing.lists import Edition
from kgplug.graph.schema import GraphSchema

_LIST_PROPERTIES = {"model": "STRING", "run": "STRING", "edition": "INTEGER", "rank": "INTEGER", "score": "FLOAT"}
_PREDICTED_PROPERTIES = {**_LIST_PROPERTIES, "relation": "STRING"}
_CONSTRAINTS = """
SHOW CONSTRAINTS YIELD name, type, entityType, labelsOrTypes, properties, propertyType
WHERE entityType = 'RELATIONSHIP' AND labelsOrTypes[0] IN $types
RETURN name, type, labelsOrTypes[0] AS edge, properties, propertyType AS wanted
"""


def check_name(connection: Connection, schema: GraphSchema, publication: Publication, *, replace: bool) -> None:
    """Raise UsageError if the model's name is taken.

    It is taken if a run with another schema, or of another tenant, is served or is unfinished under this name, or if
    another model's name differs from it only in case.

    Args:
        connection: connection to the database.
        schema: schema of the publication.
        publication: what will be written.
        replace: accept a run with another schema under this name, because the publish will replace it.
    """
    name = publication.model
    alike = [known for known in catalog.known_models(connection) if known != name and known.lower() == name.lower()]
    if alike:
        raise UsageError(
            f'The graph has a model called "{alike[0]}", which differs from "{name}" only in case. Use that '
            "spelling, or another name: --as NAME (in Python name=…)."
        )
    there = catalog.serving_run(connection, name) or catalog.unfinished_run(connection, name)
    if replace or there is None or there.id == publication.run:
        return
    _check_tenant(there, schema, publication)
    before, after = _served(connection, there), schema.subject
    if publication.lists is None:  # vectors only: user label and feedback type do not matter
        before, after = (None, before[1], None), (None, after[1], None)
    if any(old not in (None, new) for old, new in zip(before, after, strict=True)):
        raise UsageError(
            f'"{name}" is served by run {there.id} of {_pattern(before)}, and this run is of {_pattern(after)}. Give '
            "this run a name of its own: --as NAME (in Python name=…); or replace the other: --replace (replace=True)."
        )


def _check_tenant(there: RunRecord, schema: GraphSchema, publication: Publication) -> None:
    """Raise UsageError if a run is of another tenant: its schema has other conditions on users or items."""
    stored = there.details.get("schema")
    if not stored:
        return
    before, after = GraphSchema.model_validate(stored).conditions, schema.conditions
    if before != after:
        raise UsageError(
            f'"{publication.model}" is served by run {there.id}, {_tenant(before)}, and this run is {_tenant(after)}. '
            "Give this run a name of its own: --as NAME (in Python name=…); or replace the other: --replace "
            "(replace=True)."
        )


def _tenant(conditions: tuple[str | None, str | None]) -> str:
    found = " and ".join(condition for condition in conditions if condition is not None)
    return f"where {found}" if found else "without a condition on users and items"


def _served(connection: Connection, run: RunRecord) -> tuple[str | None, str | None, str | None]:
    """Return the user label, item label and feedback type of a run. Each of the three is None if unknown."""
    if run.details.get("schema"):
        return GraphSchema.model_validate(run.details["schema"]).subject
    if run.edition is None:
        return None, None, None
    rows = connection.rows(
        f"MATCH (user)-[old:{catalog.RECOMMENDS} {{model: $model, run: $run, edition: $edition}}]->(item) "
        "RETURN labels(user) AS users, labels(item) AS items LIMIT 1",
        **Edition(run.model, run.id, run.edition).parameters,
    )
    return (rows[0]["users"][0], rows[0]["items"][0], None) if rows else (None, None, None)


def _pattern(subject: tuple[str | None, str | None, str | None]) -> str:
    user, item, kind = subject
    if user is None:
        return f":{item} nodes"
    if kind and (kind.startswith("(") or ", " in kind or " WHERE " in kind):  # Cypher, or several kinds of feedback
        return f"(:{user}) and (:{item}) with the feedback {kind}"
    return f"(:{user})-[:{kind}]-(:{item})" if kind else f"(:{user}) and (:{item})"


def check_constraints(connection: Connection, publication: Publication) -> None:
    """Raise GraphError if a constraint in the graph would refuse the edges of a publication.

    Another program that has relationships of the same type may have created such a constraint.
    """
    wanted = {catalog.RECOMMENDS: publication.lists is not None, catalog.SIMILAR_TO: bool(publication.similar)}
    refuse_constrained(connection, [edge for edge, is_written in wanted.items() if is_written])


def refuse_constrained(connection: Connection, edges: list[str]) -> None:
    """Raise GraphError if a constraint on one of the relationship types in `edges` would refuse kgplug's edges."""
    for row in connection.rows(_CONSTRAINTS, types=edges):
        written = _PREDICTED_PROPERTIES if row["edge"] == catalog.PREDICTED else _LIST_PROPERTIES
        properties = set(row["properties"])
        if "EXISTENCE" in row["type"]:
            fits = properties <= written.keys()
        elif "TYPE" in row["type"]:
            fits = all(written.get(name, row["wanted"]) in row["wanted"] for name in properties)
        elif "KEY" in row["type"]:
            fits = False
        else:  # uniqueness: edges that lack one of the properties are exempt
            fits = bool(properties - written.keys())
        if not fits:
            raise GraphError(
                f"The constraint {row['name']} on :{row['edge']}({', '.join(row['properties'])}) does not let kgplug "
                f"write its own :{row['edge']} edges. Drop it, or give your relationships another type. Nothing was "
                "changed."
            )
