"""What the version of a server provides for kgplug, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from kgplug.errors import GraphError
from kgplug.graph.bolt.connection import Connection

_PROCEDURE = "db.index.vector.queryNodes"
_LISTS = "vectors are stored as lists of numbers"


def provided(connection: Connection) -> Iterator[tuple[str, Literal["ok", "warning"], str]]:
    """Return (what, level, finding) for each feature that not every server has; see `kgplug.graph.check.Finding`."""
    yield "cypher", "ok", f"Cypher 5{' and 25' if connection.has_cypher_25 else ', no Cypher 25'}"
    if connection.has_search:
        yield "vector index", "ok", "queried with the clause SEARCH"
    elif connection.rows("SHOW PROCEDURES YIELD name WHERE name = $name", name=_PROCEDURE):
        yield "vector index", "ok", f"queried with {_PROCEDURE}; the clause SEARCH needs Neo4j 2026.02 or newer"
    else:
        yield "vector index", "warning", f"{_PROCEDURE} is missing: similar items cannot be queried"
    yield "vector type", "ok", _vector_type(connection)


def _vector_type(connection: Connection) -> str:
    """Return whether this database can store values of the type VECTOR. Only the store format "block" can."""
    if not connection.has_cypher_25:
        return f"no type VECTOR before Neo4j 2025.06: {_LISTS}"
    try:
        rows = connection.system_rows(
            "SHOW DATABASES YIELD name, store WHERE name = $name RETURN DISTINCT store", name=connection.database
        )
    except GraphError as error:
        return f"unknown ({error}): {_LISTS}"
    formats = {row["store"] for row in rows if row["store"]}
    if not formats:
        return f"the store format is unknown: {_LISTS}"
    named = f"store format {', '.join(sorted(formats))}"
    if any(each.startswith("block") for each in formats):
        return f"{named} has it; kgplug does not use it: {_LISTS}, which every server can read"
    return f"{named} cannot hold the type VECTOR: {_LISTS}"
