"""Uniqueness constraints on keys: reuse existing ones, create missing ones, explain what blocks them."""

from __future__ import annotations

from collections.abc import Mapping

from kgplug.errors import DataError, GraphError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.queries import load, quote

_INDEX_WAIT_S = 600


def ensure_unique_keys(connection: Connection, key_of: Mapping[str, str]) -> list[str]:
    """Make the key property of each label unique and wait until its index is online.

    Args:
        connection: connection to the database.
        key_of: label → key property.

    Returns:
        The labels that got a new constraint, sorted. An existing constraint is reused, whatever its name.

    Raises:
        DataError: two nodes share a key.
        GraphError: an existing index blocks the constraint, or the server reports an error.
    """
    present = {
        (row["label"], row["property"])
        for row in connection.rows(
            "SHOW CONSTRAINTS YIELD type, entityType, labelsOrTypes, properties "
            "WHERE entityType = 'NODE' AND size(properties) = 1 AND (type CONTAINS 'UNIQUE' OR type = 'NODE_KEY') "
            "RETURN labelsOrTypes[0] AS label, properties[0] AS property"
        )
    }
    missing = {label: key for label, key in key_of.items() if (label, key) not in present}
    for label, key in missing.items():
        _create(connection, label, key)
    connection.rows(f"CALL db.awaitIndexes({_INDEX_WAIT_S})")
    return sorted(missing)


def constraint_query(label: str, key: str) -> str:
    """Return the Cypher command that makes the key property of a label unique."""
    return load("schema").replace(
        "(item:`Movie`) REQUIRE item.`id`", f"(item:{quote(label)}) REQUIRE item.{quote(key)}", 1
    )


def _create(connection: Connection, label: str, key: str) -> None:
    try:
        connection.autocommit(constraint_query(label, key))
    except GraphError as error:
        code = getattr(error.__cause__, "code", "") or ""
        if code.endswith("IndexAlreadyExists"):
            raise GraphError(
                f"The plain index on :{label}({key}) blocks a uniqueness constraint, which has its own index. Drop it "
                f"(DROP INDEX {_index_name(connection, label, key)}), then import again."
            ) from error
        if code.endswith(("ConstraintCreationFailed", "ConstraintValidationFailed")):
            raise DataError(_duplicate_sentence(connection, label, key)) from error
        raise


def _index_name(connection: Connection, label: str, key: str) -> str:
    found = connection.rows(
        "SHOW INDEXES YIELD name, labelsOrTypes, properties "
        "WHERE labelsOrTypes = [$label] AND properties = [$key] RETURN name",
        label=label,
        key=key,
    )
    return quote(found[0]["name"]) if found else "its name"


def _duplicate_sentence(connection: Connection, label: str, key: str) -> str:
    found = connection.rows(
        f"MATCH (node:{quote(label)}) WITH node.{quote(key)} AS key, count(*) AS n WHERE key IS NOT NULL AND n > 1 "
        "RETURN key, n ORDER BY n DESC LIMIT 1"
    )
    example = f"{found[0]['n']} of them have {key} = {found[0]['key']!r}" if found else "some share one"
    return (
        f"Expected a unique {key} on the :{label} nodes in the database, but {example}. "
        "Merge or delete them, then import again."
    )
