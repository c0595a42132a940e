"""What rows of SHOW USER PRIVILEGES allow; the rows are those of Neo4j's operations manual."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from kgplug.errors import GraphError
from kgplug.graph.privileges import (
    Database,
    missing_among,
    missing_privileges,
    needed_privileges,
    require_publish,
)

DOCS = Path(__file__).parents[2] / "docs" / "privileges.md"
COLUMNS = ("access", "action", "resource", "graph", "segment", "role", "immutable")
NEO4J = Database("neo4j", is_home=True, is_default=True)


def rows(text: str) -> list[dict]:
    """Read rows as the manual prints them."""
    lines = [re.findall(r'"([^"]*)"|(TRUE|FALSE)', line) for line in text.strip().splitlines()]
    return [dict(zip(COLUMNS, [quoted or bare for quoted, bare in line], strict=True)) for line in lines]


PUBLIC = rows("""
| "GRANTED" | "load" | "file" | "*" | "ALL DATA" | "PUBLIC" | FALSE |
| "GRANTED" | "execute" | "database" | "*" | "FUNCTION(*)" | "PUBLIC" | FALSE |
| "GRANTED" | "execute" | "database" | "*" | "PROCEDURE(*)" | "PUBLIC" | FALSE |
| "GRANTED" | "access" | "database" | "HOME" | "database" | "PUBLIC" | FALSE |
""")
READER = rows("""
| "GRANTED" | "match" | "all_properties" | "*" | "NODE(*)" | "reader" | FALSE |
| "GRANTED" | "match" | "all_properties" | "*" | "RELATIONSHIP(*)" | "reader" | FALSE |
| "GRANTED" | "access" | "database" | "*" | "database" | "reader" | FALSE |
| "GRANTED" | "show_constraint" | "database" | "*" | "database" | "reader" | FALSE |
| "GRANTED" | "show_index" | "database" | "*" | "database" | "reader" | FALSE |
""")
EDITOR = READER + rows("""
| "GRANTED" | "write" | "graph" | "*" | "NODE(*)" | "editor" | FALSE |
| "GRANTED" | "write" | "graph" | "*" | "RELATIONSHIP(*)" | "editor" | FALSE |
""")
TOKEN = rows('| "GRANTED" | "token" | "database" | "*" | "database" | "publisher" | FALSE |')
ARCHITECT = (
    EDITOR
    + TOKEN
    + rows("""
| "GRANTED" | "constraint" | "database" | "*" | "database" | "architect" | FALSE |
| "GRANTED" | "index" | "database" | "*" | "database" | "architect" | FALSE |
""")
)


def lacking(have: list[dict], purpose: str, *, database: Database = NEO4J, labels: tuple[str, ...] = ()) -> list[str]:
    return [one.to_grant(database.name) for one in missing_among(have, needed_privileges(purpose, labels), database)]


def row(access: str, action: str, segment: str, *, graph: str = "*", resource: str = "graph") -> dict:
    return dict(zip(COLUMNS, (access, action, resource, graph, segment, "custom", "FALSE"), strict=True))


def test_the_built_in_roles_may_do_what_they_are_for() -> None:
    assert lacking(PUBLIC + READER, "read") == []
    assert lacking(PUBLIC + ARCHITECT, "publish") == []
    assert lacking(PUBLIC + EDITOR + TOKEN, "publish") == [  # Neo4j's own role "publisher"
        "CREATE INDEX ON DATABASE `neo4j`",
        "DROP INDEX ON DATABASE `neo4j`",
        "CREATE CONSTRAINT ON DATABASE `neo4j`",
    ]


def test_a_reader_lacks_all_that_a_publish_writes() -> None:
    missing = lacking(PUBLIC + READER, "publish")
    assert "CREATE ON GRAPH `neo4j` NODES `KgplugModel`, `KgplugRun`, `KgplugRelation`" in missing
    assert "CREATE NEW PROPERTY NAME ON DATABASE `neo4j`" in missing
    assert len(missing) == 13
    assert not any("TRAVERSE" in one or "SHOW" in one for one in missing)


def test_an_account_with_the_public_role_alone_cannot_read() -> None:
    assert lacking(PUBLIC, "read")[0] == "TRAVERSE ON GRAPH `neo4j` NODES *"


def test_what_is_granted_on_another_database_does_not_count() -> None:
    elsewhere = [{**one, "graph": "films"} for one in ARCHITECT]
    assert "TRAVERSE ON GRAPH `neo4j` NODES *" in lacking(PUBLIC + elsewhere, "read")
    assert lacking(PUBLIC + elsewhere, "publish", database=Database("films")) == []


@pytest.mark.parametrize(("graph", "facts"), [("HOME", {"is_home": True}), ("DEFAULT", {"is_default": True})])
def test_home_and_default_mean_those_databases_only(graph: str, facts: dict) -> None:
    there = [{**one, "graph": graph} for one in READER]
    assert lacking(PUBLIC + there, "read", database=Database("films", **facts)) == []
    assert lacking(PUBLIC + there, "read", database=Database("films")) != []


def test_a_denial_outweighs_a_grant_and_names_what_is_denied() -> None:
    denied = row("DENIED", "create_element", "NODE(KgplugRun)", graph="neo4j")
    assert lacking([*PUBLIC, *ARCHITECT, denied], "publish") == ["CREATE ON GRAPH `neo4j` NODES `KgplugRun`"]
    denied = row("DENIED", "write", "RELATIONSHIP(*)")
    assert len(lacking([*PUBLIC, *ARCHITECT, denied], "publish")) == 3
    assert lacking([*PUBLIC, *ARCHITECT, row("DENIED", "match", "NODE(*)", resource="all_properties")], "read") == [
        "TRAVERSE ON GRAPH `neo4j` NODES *",
        "READ {*} ON GRAPH `neo4j` NODES *",
    ]


def test_a_denied_label_or_property_does_not_stop_the_reading_of_others() -> None:
    some = [
        row("DENIED", "match", "NODE(Secret)", resource="all_properties"),
        row("DENIED", "read", "NODE(*)", resource="property(salary)"),
    ]
    assert lacking(PUBLIC + READER + some, "read") == []


def test_a_grant_on_some_labels_is_enough_to_read_them() -> None:
    some = [
        *(row("GRANTED", "traverse", f"{kind}(A)") for kind in ("NODE", "RELATIONSHIP")),
        *(row("GRANTED", "read", f"{kind}(A)", resource="property(id)") for kind in ("NODE", "RELATIONSHIP")),
        row("GRANTED", "show_constraint", "database", resource="database"),
    ]
    assert lacking(PUBLIC + some, "read") == []


def test_to_set_one_property_is_not_enough_for_vectors() -> None:
    narrow = [one for one in ARCHITECT if one["action"] != "write"] + [
        *(row("GRANTED", action, f"{kind}(*)") for action in ("create_element", "delete_element")
          for kind in ("NODE", "RELATIONSHIP")),
        row("GRANTED", "set_property", "RELATIONSHIP(*)", resource="all_properties"),
        row("GRANTED", "set_property", "NODE(*)", resource="property(title)"),
    ]  # fmt: skip
    assert lacking(PUBLIC + narrow, "publish") == [
        "SET PROPERTY {*} ON GRAPH `neo4j` NODES `KgplugModel`, `KgplugRun`, `KgplugRelation`",
        "SET PROPERTY {*} ON GRAPH `neo4j` NODES *",
    ]


def test_known_labels_are_asked_for_by_name() -> None:
    narrow = [one for one in ARCHITECT if (one["action"], one["segment"]) != ("write", "NODE(*)")] + [
        row("GRANTED", "write", f"NODE({label})") for label in ("KgplugModel", "KgplugRun", "KgplugRelation", "Movie")
    ]
    assert lacking(PUBLIC + narrow, "publish", labels=("Movie",)) == []
    assert lacking(PUBLIC + narrow, "publish", labels=("Movie", "User")) == [
        "SET PROPERTY {*} ON GRAPH `neo4j` NODES `User`"
    ]


def test_procedures_are_granted_by_patterns() -> None:
    some = [one for one in PUBLIC if one["segment"] != "PROCEDURE(*)"]
    some += [
        row("GRANTED", "execute", f"PROCEDURE({name})", resource="database") for name in ("db.*", "dbms.comp?nents")
    ]
    assert lacking(some + READER, "read") == []
    denied = row("DENIED", "execute", "PROCEDURE(db.index.*)", resource="database")
    assert lacking([*some, *READER, denied], "read") == ["EXECUTE PROCEDURE db.index.vector.queryNodes ON DBMS"]
    boosted = [row("GRANTED", "execute_boosted", "PROCEDURE(*)", resource="database")]
    assert any("EXECUTE" in one for one in lacking(READER + boosted, "read"))  # boosts what may be executed, no more


def test_the_statements_of_the_docs_are_what_is_needed() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for purpose, role in (("read", "kgplug_reader"), ("publish", "kgplug_publisher")):
        needed = [one.to_grant("neo4j") for one in needed_privileges(purpose)]
        if purpose == "publish":
            needed = [one for one in needed if one not in {one.to_grant("neo4j") for one in needed_privileges("read")}]
        assert re.findall(rf"^GRANT (.*) TO {role};$", text, re.MULTILINE) == needed


class Enterprise(SimpleNamespace):
    """An Enterprise server, as far as privileges go."""

    def __init__(self, have: list[dict] | GraphError, *, access: str = "read-write", labels: tuple = ()) -> None:
        super().__init__(edition="enterprise", database="neo4j", uri="neo4j+s://db", have=have, access=access)
        self.labels = [{"label": label} for label in labels]

    def system_rows(self, query: str, **parameters: object) -> list[dict]:
        if query.startswith("SHOW DATABASES"):
            return [{"access": self.access, "home": True, "default": True}]
        assert query == "SHOW USER PRIVILEGES"
        if isinstance(self.have, GraphError):
            raise self.have
        return self.have

    def rows(self, query: str) -> list[dict]:
        return self.labels if "labels" in query else [{"name": "SERVES"}]


def test_a_publish_is_refused_in_one_sentence_that_names_what_is_missing() -> None:
    require_publish(Enterprise(PUBLIC + ARCHITECT))
    with pytest.raises(GraphError) as raised:
        require_publish(Enterprise([*PUBLIC, *ARCHITECT, row("DENIED", "index", "database", resource="database")]))
    assert str(raised.value) == (
        "This account may not publish into database 'neo4j' at neo4j+s://db. Missing: SHOW INDEX ON DATABASE `neo4j`; "
        "CREATE INDEX ON DATABASE `neo4j`; DROP INDEX ON DATABASE `neo4j`. docs/privileges.md tells what to grant."
    )


def test_new_labels_are_needed_before_the_first_publish_only() -> None:
    without = [*PUBLIC, *(one for one in ARCHITECT if one["action"] != "token")]
    without.append(row("GRANTED", "create_propertykey", "database", resource="database"))
    assert missing_privileges(Enterprise(without), "publish") == [
        "CREATE NEW NODE LABEL ON DATABASE `neo4j`",
        "CREATE NEW RELATIONSHIP TYPE ON DATABASE `neo4j`",
    ]
    assert missing_privileges(Enterprise(without, labels=("KgplugModel", "KgplugRun")), "publish") == []


@pytest.mark.parametrize("have", [[], GraphError("no such command")])
def test_a_server_that_does_not_tell_is_not_taken_to_refuse(have: list | GraphError) -> None:
    assert missing_privileges(Enterprise(have), "publish") is None
    require_publish(Enterprise(have))


def test_a_read_only_database_takes_no_publish_whatever_is_granted() -> None:
    server = Enterprise(PUBLIC + ARCHITECT, access="read-only")
    assert missing_privileges(server, "read") == []
    with pytest.raises(GraphError, match="write access: the database 'neo4j' is read-only"):
        require_publish(server)
