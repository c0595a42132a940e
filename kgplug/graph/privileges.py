"""Compare the privileges of this account with what kgplug needs.

Neo4j Enterprise lists the privileges of an account. In Neo4j Community every account may do everything, unless the
database is read-only. docs/privileges.md has the GRANT statements.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from kgplug.errors import GraphError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.catalog import OWN_LABELS, RECOMMENDS, SIMILAR_TO

Purpose = Literal["read", "publish"]

READ_PROCEDURES = ("db.info", "db.labels", "db.relationshipTypes", "dbms.components")
"""Procedures that are called to connect and to read. Publishing also calls db.propertyKeys."""
OWN_TYPES = (RECOMMENDS, SIMILAR_TO, "SERVES", "PREVIOUS", "HAS_RELATION")
"""Relationship types that publishing writes."""
WRITE_ACCESS = "WRITE (the database is read-only)"

_SOME = "some"  # stands for labels or types that depend on the schema
_HOMES = ("HOME", "DEFAULT")
_WHOLE_SEGMENTS = ("database", "graph", "ALL DATA")
_ELEMENT = re.compile(r"(?P<kind>NODE|RELATIONSHIP|PROCEDURE)\((?P<name>.*)\)", re.DOTALL)
_GRAPH, _DATABASE = "graph_actions", "database_actions"
# action → the wider actions in SHOW PRIVILEGES that include it
_HOLDERS = {
    "access": (_DATABASE,),
    "traverse": ("match", "merge", _GRAPH),
    "read": ("match", "merge", _GRAPH),
    "create_element": ("merge", "write", _GRAPH),
    "delete_element": ("write", _GRAPH),
    "set_property": ("merge", "write", _GRAPH),
    "create_index": ("index", _DATABASE),
    "drop_index": ("index", _DATABASE),
    "show_index": ("index", _DATABASE),
    "create_constraint": ("constraint", _DATABASE),
    "show_constraint": ("constraint", _DATABASE),
    "create_label": ("token", _DATABASE),
    "create_reltype": ("token", _DATABASE),
    "create_propertykey": ("token", _DATABASE),
    "execute": ("execute_boosted", "dbms_actions"),
}


@dataclass(frozen=True)
class Privilege:
    """One thing that an account may or may not do.

    Attributes:
        action: name of the action in SHOW PRIVILEGES.
        name: name of the privilege in GRANT.
        kind: "NODE", "RELATIONSHIP" or "PROCEDURE"; "" for the database itself.
        target: label, type or procedure that is needed; "some" if any label or type is enough.
        every_property: whether the privilege must cover all properties, not only single ones.
    """

    action: str
    name: str
    kind: str = ""
    target: str = ""
    every_property: bool = False


def missing_privileges(connection: Connection, purpose: Purpose) -> list[str]:
    """Return the privileges that this account lacks for a purpose, as they are written in GRANT.

    Raises:
        GraphError: the server does not list privileges, for example because accounts are managed in LDAP.
    """
    name = connection.database
    rows = connection.system_rows("SHOW DATABASES YIELD name, access, home WHERE name = $name", name=name)
    if purpose == "publish" and rows and all(row["access"] == "read-only" for row in rows):
        return [WRITE_ACCESS]
    if connection.edition != "enterprise":
        return []
    granted = connection.system_rows("SHOW USER PRIVILEGES YIELD access, action, resource, graph, segment")
    return missing_among(granted, purpose, database=name, is_home=any(row["home"] for row in rows))


def missing_among(rows: list[dict[str, Any]], purpose: Purpose, *, database: str, is_home: bool) -> list[str]:
    """Return the privileges that a purpose needs and that rows of SHOW USER PRIVILEGES do not grant.

    Args:
        rows: dicts with access, action, resource, graph and segment.
        purpose: "read" or "publish".
        database: name of the database.
        is_home: whether this is the account's home database.
    """
    here = [row for row in rows if row["graph"] in ("*", database) or (is_home and row["graph"] in _HOMES)]
    granted = [row for row in here if row["access"] == "GRANTED"]
    denied = [row for row in here if row["access"] == "DENIED"]
    return _named([need for need in needs(purpose) if not _is_met(need, granted, denied)])


def require_publish(connection: Connection) -> None:
    """Raise GraphError with the missing privileges if this account may not publish into this database."""
    try:
        missing = missing_privileges(connection, "publish")
    except GraphError:
        return  # the server does not list privileges: the first write shows what it refuses
    if missing == [WRITE_ACCESS]:
        raise GraphError(
            f'The database "{connection.database}" at {connection.uri} is read-only: the privilege WRITE is missing. '
            "Nothing was changed. Ask its administrator to allow writing, or publish into another database."
        )
    if missing:
        raise GraphError(
            f'This account may not publish into "{connection.database}" at {connection.uri}. Nothing was changed. '
            f"Missing privileges: {'; '.join(missing)}. docs/privileges.md has the GRANT statements."
        )


def needs(purpose: Purpose) -> Iterator[Privilege]:
    """Yield the privileges that a purpose needs."""
    yield Privilege("access", "ACCESS")
    for kind in ("NODE", "RELATIONSHIP"):
        yield Privilege("traverse", "TRAVERSE", kind, _SOME)
        yield Privilege("read", "READ", kind, _SOME)
    yield Privilege("show_constraint", "SHOW CONSTRAINT")
    for procedure in READ_PROCEDURES:
        yield Privilege("execute", "EXECUTE PROCEDURE", "PROCEDURE", procedure)
    if purpose == "publish":
        yield from _needs_of_a_publish()


def _needs_of_a_publish() -> Iterator[Privilege]:
    own = [("NODE", label) for label in OWN_LABELS] + [("RELATIONSHIP", name) for name in OWN_TYPES]
    yield Privilege("execute", "EXECUTE PROCEDURE", "PROCEDURE", "db.propertyKeys")
    yield Privilege("set_property", "SET PROPERTY {*}", "NODE", _SOME, every_property=True)
    for action, name, every_property in (
        ("traverse", "TRAVERSE", False),
        ("read", "READ {*}", True),
        ("create_element", "CREATE", False),
        ("delete_element", "DELETE", False),
        ("set_property", "SET PROPERTY {*}", True),
    ):
        for kind, target in own:
            yield Privilege(action, name, kind, target, every_property)
    yield Privilege("create_label", "CREATE NEW NODE LABEL")
    yield Privilege("create_reltype", "CREATE NEW RELATIONSHIP TYPE")
    yield Privilege("create_propertykey", "CREATE NEW PROPERTY NAME")
    yield Privilege("show_index", "SHOW INDEX")
    yield Privilege("create_index", "CREATE INDEX")
    yield Privilege("drop_index", "DROP INDEX")
    yield Privilege("create_constraint", "CREATE CONSTRAINT")


def _is_met(need: Privilege, granted: list[dict[str, Any]], denied: list[dict[str, Any]]) -> bool:
    allowed = any(_holds(row, need) and _reaches(row, need) for row in granted)
    return allowed and not any(_holds(row, need) and _takes_away(row, need) for row in denied)


def _holds(row: dict[str, Any], need: Privilege) -> bool:
    return row["action"] == need.action or row["action"] in _HOLDERS[need.action]


def _reaches(row: dict[str, Any], need: Privilege) -> bool:
    """Return whether a row that grants the needed action also covers the needed labels, types and properties."""
    if need.every_property and _is_of_one_property(row):
        return False
    return _covers(row["segment"], need, partly=need.target == _SOME)


def _takes_away(row: dict[str, Any], need: Privilege) -> bool:
    """Return whether a row that denies the needed action removes the privilege.

    A denial for a single property is ignored. So is a denial for a single label or type, unless the privilege is needed
    on exactly this label or type. kgplug needs that only for its own labels and types.
    """
    if _is_of_one_property(row) or row["action"] == "execute_boosted":
        return False
    return _covers(row["segment"], need, partly=False)


def _is_of_one_property(row: dict[str, Any]) -> bool:
    return str(row["resource"]).startswith("property(")


def _covers(segment: str, need: Privilege, *, partly: bool) -> bool:
    """Return whether a segment of SHOW PRIVILEGES covers all that a privilege needs or, with `partly`, some of it.

    A segment such as "NODE(*)" or "RELATIONSHIP(RATED)" names the labels, types or procedures that a row is about.
    """
    if not need.kind or segment in _WHOLE_SEGMENTS:
        return True
    element = _ELEMENT.fullmatch(segment)
    if element is None:  # a pattern, such as (n:User) WHERE n.age > 17
        return partly and need.kind == "NODE" and segment.startswith("(")
    if element["kind"] != need.kind:
        return False
    if need.kind == "PROCEDURE":
        return fnmatch.fnmatchcase(need.target, element["name"])
    return partly or element["name"] in ("*", need.target)


def _named(needed: list[Privilege]) -> list[str]:
    """Return privileges as text, such as "READ ON NODES of the graph", one entry per action and kind."""
    targets: dict[tuple[str, str], list[str]] = {}
    for need in needed:
        targets.setdefault((need.name, need.kind), []).append(need.target)
    words = {"NODE": " ON NODES ", "RELATIONSHIP": " ON RELATIONSHIPS ", "PROCEDURE": " ", "": ""}
    return [
        f"{name}{words[kind]}{', '.join('of the graph' if one == _SOME else one for one in each)}"
        for (name, kind), each in targets.items()
    ]
