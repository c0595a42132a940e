"""Count the nodes of each label and the relationships of each type, with a fixed number of queries.

For an administrator, one call reads Neo4j's whole count store. For other accounts, one query counts all labels and
types, also from the count store. If there are too many labels and types for one query, all nodes and relationships are
scanned.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from kgplug.errors import GraphError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.queries import quote

_Name = TypeVar("_Name", bound=Hashable)

MOST_NAMES = 30  # maximum number of labels and types in one query; each adds about 20 ms to the server's planning
_GRAPH_COUNTS = "CALL db.stats.retrieve('GRAPH COUNTS') YIELD data RETURN data"


@dataclass(frozen=True)
class Counts:
    """Numbers of nodes and relationships in a database.

    Attributes:
        labels: label → number of nodes. Labels without nodes are left out.
        types: relationship type → number of relationships. Types without relationships are left out.
        ends: (type, label) → (number of relationships of the type that start at nodes of the label, number that end
            there); None if this account may not read these numbers.
    """

    labels: dict[str, int]
    types: dict[str, int]
    ends: dict[tuple[str, str], tuple[int, int]] | None


def read_counts(connection: Connection) -> Counts:
    """Count the nodes of each label and the relationships of each type."""
    stored = _stored_counts(connection)
    if stored is not None:
        return stored
    labels, types = names_in_use(connection)
    if len(labels) + len(types) <= MOST_NAMES:
        return Counts(*_one_by_one(connection, labels, types), None)
    nodes = connection.rows("MATCH (n) UNWIND labels(n) AS name RETURN name, count(*) AS n")
    relationships = connection.rows("MATCH ()-[r]->() RETURN type(r) AS name, count(*) AS n")
    return Counts({row["name"]: row["n"] for row in nodes}, {row["name"]: row["n"] for row in relationships}, None)


def count_nodes(connection: Connection) -> int:
    """Count all nodes. The counts of the labels can add up to more, because a node can have several labels."""
    return count_patterns(connection, {"nodes": "(n)"})["nodes"]


def names_in_use(connection: Connection) -> tuple[list[str], list[str]]:
    """Return the labels and relationship types of the database, including kgplug's own."""
    labels = _names(connection, "CALL db.labels() YIELD label RETURN label AS name")
    types = _names(connection, "CALL db.relationshipTypes() YIELD relationshipType RETURN relationshipType AS name")
    return labels, types


def count_patterns(connection: Connection, patterns: Mapping[_Name, str]) -> dict[_Name, int]:
    """Return name → number of matches of its pattern, with one query for all patterns.

    Planning the query takes longer with each pattern, so the caller must limit the number of patterns.

    Args:
        connection: connection to the database.
        patterns: name → Cypher pattern, such as "()-[n:RATED]->()". The variable `n` is the node or relationship to
            count.
    """
    names = list(patterns)
    if not names:
        return {}
    query = " UNION ALL ".join(
        f"MATCH {patterns[name]} WITH count(n) AS n RETURN {number} AS i, n" for number, name in enumerate(names)
    )
    return {names[row["i"]]: row["n"] for row in connection.rows(query)}


def _stored_counts(connection: Connection) -> Counts | None:
    """Return all counts in Neo4j's count store; None if its procedure is missing or this account may not call it."""
    try:
        (row,) = connection.rows(_GRAPH_COUNTS)
    except GraphError as error:
        code = getattr(error.__cause__, "code", None) or ""
        if code.startswith("Neo.ClientError.Security.") or code.endswith("ProcedureNotFound"):
            return None
        raise
    labels = {one["label"]: one["count"] for one in row["data"]["nodes"] if "label" in one and one["count"]}
    types: dict[str, int] = {}
    ends: dict[tuple[str, str], tuple[int, int]] = {}
    for one in row["data"]["relationships"]:
        name, n = one.get("relationshipType"), one["count"]
        if name is None or not n:
            continue
        if "startLabel" in one:
            key = (name, one["startLabel"])
            ends[key] = (n, ends.get(key, (0, 0))[1])
        elif "endLabel" in one:
            key = (name, one["endLabel"])
            ends[key] = (ends.get(key, (0, 0))[0], n)
        else:
            types[name] = n
    return Counts(labels, types, ends)


def _one_by_one(connection: Connection, labels: list[str], types: list[str]) -> tuple[dict[str, int], dict[str, int]]:
    patterns = {f"l{label}": f"(n:{quote(label)})" for label in labels}
    patterns |= {f"t{name}": f"()-[n:{quote(name)}]->()" for name in types}
    found = {name: n for name, n in count_patterns(connection, patterns).items() if n}
    return (
        {name[1:]: n for name, n in found.items() if name[0] == "l"},
        {name[1:]: n for name, n in found.items() if name[0] == "t"},
    )


def _names(connection: Connection, query: str) -> list[str]:
    rows: list[dict[str, Any]] = connection.rows(query)
    return [row["name"] for row in rows]
