"""What an account may do in a database, and what it lacks for reading or publishing.

Enterprise Edition and Aura tell it by SHOW USER PRIVILEGES, whose rows are described in Neo4j's operations manual
under "Role-based access control". In Community Edition every account may do everything, unless the database takes no
writes. docs/privileges.md holds the same as GRANT statements.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from kgplug.errors import GraphError
from kgplug.graph.catalog import OWN_LABELS, OWN_RELATIONSHIPS
from kgplug.graph.connection import Connection
from kgplug.graph.cypher import quote

Purpose = Literal["read", "publish"]
Kind = Literal["NODE", "RELATIONSHIP", "PROCEDURE", "database"]

CATALOGUE_RELATIONSHIPS = ("SERVES", "PREVIOUS", "HAS_RELATION")
READ_PROCEDURES = ("dbms.components", "db.info", "db.labels", "db.relationshipTypes", "db.index.vector.queryNodes")
PUBLISH_PROCEDURES = ("db.propertyKeys",)

# How GRANT calls an action of SHOW USER PRIVILEGES.
_WORDS = {
    "access": "ACCESS",
    "traverse": "TRAVERSE",
    "read": "READ {*}",
    "create_element": "CREATE",
    "delete_element": "DELETE",
    "set_property": "SET PROPERTY {*}",
    "create_label": "CREATE NEW NODE LABEL",
    "create_reltype": "CREATE NEW RELATIONSHIP TYPE",
    "create_propertykey": "CREATE NEW PROPERTY NAME",
    "create_index": "CREATE INDEX",
    "drop_index": "DROP INDEX",
    "show_index": "SHOW INDEX",
    "create_constraint": "CREATE CONSTRAINT",
    "show_constraint": "SHOW CONSTRAINT",
    "execute": "EXECUTE PROCEDURE",
}
# Compound actions and those of the above that they hold, as in Neo4j's PrivilegeAction.
_MATCH = {"traverse", "read"}
_WRITE = {"create_element", "delete_element", "set_property"}
_TOKEN = {"create_label", "create_reltype", "create_propertykey"}
_INDEX = {"create_index", "drop_index", "show_index"}
_CONSTRAINT = {"create_constraint", "show_constraint"}
_HOLDS = {
    "match": _MATCH,
    "write": _WRITE,
    "merge": _MATCH | {"create_element", "set_property"},
    "graph_actions": _MATCH | _WRITE,
    "token": _TOKEN,
    "index": _INDEX,
    "constraint": _CONSTRAINT,
    "database_actions": {"access"} | _TOKEN | _INDEX | _CONSTRAINT,
}
_SEGMENT = re.compile(r"(NODE|RELATIONSHIP|PROCEDURE)\((.*)\)", re.DOTALL)


@dataclass(frozen=True)
class Privilege:
    """Something that an account must be allowed to do.

    Attributes:
        action: as SHOW USER PRIVILEGES calls it.
        kind: of what the action is done to.
        names: labels, types or procedures, all of which are needed; () for those of the user's own graph, which are
            not known here, so that a grant on any of them counts.
    """

    action: str
    kind: Kind = "database"
    names: tuple[str, ...] = ()

    def to_grant(self, database: str) -> str:
        """Return the words between GRANT and TO."""
        words, graph = _WORDS[self.action], f"ON GRAPH {quote(database)}"
        if self.kind == "PROCEDURE":
            return f"{words} {', '.join(self.names)} ON DBMS"
        if self.kind == "database":
            return f"{words} ON DATABASE {quote(database)}"
        return f"{words} {graph} {self.kind}S {', '.join(map(quote, self.names)) or '*'}"


@dataclass(frozen=True)
class Database:
    """What decides whether a row of SHOW USER PRIVILEGES is about a database."""

    name: str
    is_home: bool = False
    is_default: bool = False

    def is_meant(self, graph: str) -> bool:
        """Tell whether the column `graph` of a row means this database."""
        return (
            graph in ("*", self.name) or (graph == "HOME" and self.is_home) or (graph == "DEFAULT" and self.is_default)
        )


def needed_privileges(purpose: Purpose, labels: Collection[str] = ()) -> list[Privilege]:
    """Return what an account needs for a purpose.

    Args:
        purpose: "read" for check, train, evaluate, recommend, similar; "publish" for what writes, reading included.
        labels: of the nodes that get vectors, where they are known.
    """
    found = [
        Privilege("access"),
        *(Privilege(action, kind) for action in ("traverse", "read") for kind in ("NODE", "RELATIONSHIP")),
        Privilege("show_constraint"),
        Privilege("execute", "PROCEDURE", READ_PROCEDURES),
    ]
    if purpose == "read":
        return found
    edges = (*OWN_RELATIONSHIPS, *CATALOGUE_RELATIONSHIPS)
    return [
        *found,
        *(Privilege(action, "NODE", OWN_LABELS) for action in ("create_element", "delete_element", "set_property")),
        Privilege("set_property", "NODE", tuple(labels)),
        *(Privilege(action, "RELATIONSHIP", edges) for action in ("create_element", "delete_element", "set_property")),
        *(Privilege(action) for action in ("create_label", "create_reltype", "create_propertykey")),
        *(Privilege(action) for action in ("show_index", "create_index", "drop_index", "create_constraint")),
        Privilege("execute", "PROCEDURE", PUBLISH_PROCEDURES),
    ]


def missing_privileges(connection: Connection, purpose: Purpose, labels: Collection[str] = ()) -> list[str] | None:
    """Return what this account lacks for a purpose, in the words of GRANT; None where the server does not tell.

    Args:
        connection: to the database.
        purpose: "read" or "publish".
        labels: of the nodes that get vectors, where they are known.
    """
    try:
        (facts, *_) = connection.system_rows(
            "SHOW DATABASES YIELD name, access, home, default WHERE name = $name RETURN access, home, default",
            name=connection.database,
        )
        if purpose == "publish" and facts["access"] == "read-only":
            return [f"write access: the database {connection.database!r} is read-only"]
        if connection.edition == "community":
            return []
        rows = connection.system_rows("SHOW USER PRIVILEGES")
    except (GraphError, ValueError):  # another server that speaks Bolt, or a database that is not listed
        return None
    if not rows:  # with security switched off there are no accounts
        return None
    database = Database(connection.database, is_home=facts["home"], is_default=facts["default"])
    needed = needed_privileges(purpose, labels)
    if purpose == "publish" and _has_catalogue(connection):
        needed = [one for one in needed if one.action not in ("create_label", "create_reltype")]
    return [one.to_grant(database.name) for one in missing_among(rows, needed, database)]


def require_publish(connection: Connection, labels: Collection[str] = ()) -> None:
    """Raise GraphError where the server says that this account may not publish, naming what it lacks.

    Args:
        connection: to the database.
        labels: of the nodes that get vectors.
    """
    missing = missing_privileges(connection, "publish", labels)
    if missing:
        raise GraphError(
            f"This account may not publish into database {connection.database!r} at {connection.uri}. Missing: "
            f"{'; '.join(missing)}. docs/privileges.md tells what to grant."
        )


def missing_among(rows: Iterable[dict[str, Any]], needed: Iterable[Privilege], database: Database) -> list[Privilege]:
    """Return what rows of SHOW USER PRIVILEGES do not grant, or deny; of the names only those that lack."""
    rules = [_Rule.of(row) for row in rows if database.is_meant(row["graph"])]
    missing = []
    for one in needed:
        granted = [rule for rule in rules if rule.access == "GRANTED" and rule.is_about(one)]
        denied = [rule for rule in rules if rule.access == "DENIED" and rule.is_about(one)]
        if one.names:
            lacking = tuple(name for name in one.names if not _covers(granted, name) or _covers(denied, name))
            missing += [replace(one, names=lacking)] if lacking else []
        elif not granted or any(rule.name == "*" for rule in denied):
            missing.append(one)
    return missing


@dataclass(frozen=True)
class _Rule:
    """A row of SHOW USER PRIVILEGES.

    Attributes:
        access: "GRANTED" or "DENIED".
        action: may be a compound one.
        kind: of what it is about; a rule of property-based access control is about some nodes.
        name: label, type or procedure, "*" for all; a procedure may hold * and ?.
        is_partial: about a property by its name.
    """

    access: str
    action: str
    kind: str
    name: str
    is_partial: bool

    @classmethod
    def of(cls, row: dict[str, Any]) -> _Rule:
        segment, resource = row["segment"] or "database", row["resource"] or ""
        found = _SEGMENT.fullmatch(segment)
        kind, name = found.groups() if found else ("database", "*") if segment == "database" else ("NODE", segment)
        return cls(row["access"], row["action"], kind, name, resource.startswith("property("))

    def is_about(self, needed: Privilege) -> bool:
        """Tell whether this rule decides on a privilege, of some of its names at least."""
        holds = self.action == needed.action or needed.action in _HOLDS.get(self.action, ())
        # Reading one property may be all that is wanted; being denied one may not matter. Vectors have ever new ones.
        counts = not self.is_partial or (self.access == "GRANTED" and needed.action == "read")
        return holds and counts and self.kind == needed.kind

    def covers(self, name: str) -> bool:
        """Tell whether this rule is about a label, type or procedure."""
        if self.kind == "PROCEDURE":
            return fnmatchcase(name, self.name.replace("[", "[[]"))
        return self.name in ("*", name)


def _covers(rules: Iterable[_Rule], name: str) -> bool:
    return any(rule.covers(name) for rule in rules)


def _has_catalogue(connection: Connection) -> bool:
    """Tell whether something was published before, so that labels and types need not be new."""
    labels = {row["label"] for row in connection.rows("CALL db.labels() YIELD label")}
    types = {row["name"] for row in connection.rows("CALL db.relationshipTypes() YIELD relationshipType AS name")}
    return labels >= {"KgplugModel", "KgplugRun"} and "SERVES" in types
