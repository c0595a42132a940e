"""What an account lacks, from the rows that Neo4j's manual shows for the built-in roles and for single grants."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kgplug.errors import GraphError
from kgplug.graph import privileges
from kgplug.graph.catalog import OWN_LABELS, PREDICTED
from kgplug.graph.privileges import Purpose, missing_among, missing_privileges, require_publish

DOCS = Path(__file__).resolve().parents[3] / "docs" / "privileges.md"
Row = dict[str, str]


def row(action: str, resource: str, segment: str, *, graph: str = "*", access: str = "GRANTED") -> Row:
    return {"access": access, "action": action, "resource": resource, "graph": graph, "segment": segment}


# As in the Operations Manual, "Managing privileges", SHOW PRIVILEGES.
PUBLIC = [
    row("load", "file", "ALL DATA"),
    row("execute", "database", "FUNCTION(*)"),
    row("execute", "database", "PROCEDURE(*)"),
    row("access", "database", "database", graph="HOME"),
]
READER = [
    *PUBLIC,
    row("match", "all_properties", "NODE(*)"),
    row("match", "all_properties", "RELATIONSHIP(*)"),
    row("access", "database", "database"),
    row("show_constraint", "database", "database"),
    row("show_index", "database", "database"),
]
EDITOR = [*READER, row("write", "graph", "NODE(*)"), row("write", "graph", "RELATIONSHIP(*)")]
PUBLISHER = [*EDITOR, row("token", "database", "database")]
ARCHITECT = [*PUBLISHER, row("constraint", "database", "database"), row("index", "database", "database")]


def missing(
    rows: list[Row], purpose: Purpose = "publish", *, database: str = "films", home: str = "neo4j"
) -> list[str]:
    return missing_among(rows, purpose, database=database, is_home=database == home)


def rows_of(commands: str) -> list[Row]:
    """Return the rows that GRANT statements of the documentation give."""
    actions = {
        "ACCESS": "access",
        "MATCH {*}": "match",
        "CREATE": "create_element",
        "DELETE": "delete_element",
        "SET PROPERTY {*}": "set_property",
        "SHOW INDEX": "show_index",
        "SHOW CONSTRAINT": "show_constraint",
        "INDEX MANAGEMENT": "index",
        "CONSTRAINT MANAGEMENT": "constraint",
        "NAME MANAGEMENT": "token",
    }
    found = []
    for line in commands.splitlines():
        match = re.fullmatch(
            r"GRANT (.+?) ON (DATABASE|GRAPH|DBMS) ?(\w*)(?: (NODES|RELATIONSHIPS) (.+))? TO \w+;", line
        )
        if match is None:
            assert not line.startswith("GRANT"), line
            continue
        what, _, graph, kind, names = match.groups()
        if what.startswith("EXECUTE PROCEDURE "):
            found.append(row("execute", "database", f"PROCEDURE({what.split()[-1]})"))
        elif kind is None:
            found.append(row(actions[what], "database", "database", graph=graph))
        else:
            resource = "all_properties" if "{*}" in what else "graph"
            found += [row(actions[what], resource, f"{kind[:-1]}({one})", graph=graph) for one in names.split(", ")]
    return found


def test_the_built_in_roles_have_the_privileges_for_their_purpose() -> None:
    assert missing(READER, "read") == missing(EDITOR, "read") == []
    assert missing(ARCHITECT, "read") == missing(ARCHITECT, "publish") == []


def test_a_reader_lacks_only_the_writing_privileges() -> None:
    lacking = missing(READER)
    assert "CREATE ON NODES KgplugModel, KgplugRun, KgplugRelation" in lacking
    assert "SET PROPERTY {*} ON NODES of the graph, KgplugModel, KgplugRun, KgplugRelation" in lacking
    assert "DELETE ON RELATIONSHIPS RECOMMENDS, SIMILAR_TO, SERVES, PREVIOUS, HAS_RELATION" in lacking
    assert lacking[-3:] == ["CREATE INDEX", "DROP INDEX", "CREATE CONSTRAINT"]
    assert not any(name.startswith(("ACCESS", "TRAVERSE", "READ", "SHOW", "EXECUTE")) for name in lacking)


def test_editor_and_publisher_lack_names_indexes_and_constraints() -> None:
    assert missing(PUBLISHER) == ["CREATE INDEX", "DROP INDEX", "CREATE CONSTRAINT"]
    names = ["CREATE NEW NODE LABEL", "CREATE NEW RELATIONSHIP TYPE", "CREATE NEW PROPERTY NAME"]
    assert missing(EDITOR) == [*names, "CREATE INDEX", "DROP INDEX", "CREATE CONSTRAINT"]


def test_an_account_without_roles_may_not_even_read() -> None:
    assert missing(PUBLIC, "read") == [
        "ACCESS",
        "TRAVERSE ON NODES of the graph",
        "READ ON NODES of the graph",
        "TRAVERSE ON RELATIONSHIPS of the graph",
        "READ ON RELATIONSHIPS of the graph",
        "SHOW CONSTRAINT",
    ]
    assert "ACCESS" not in missing(PUBLIC, "read", database="neo4j")  # its home


def test_grants_count_only_for_their_database() -> None:
    elsewhere = [{**one, "graph": "other"} for one in ARCHITECT]
    here = [{**one, "graph": "films"} for one in ARCHITECT]
    assert "ACCESS" in missing(elsewhere)
    assert missing(here) == []
    assert missing([{**one, "graph": "HOME"} for one in ARCHITECT], database="neo4j") == []


def test_a_denial_removes_what_it_names() -> None:
    no_runs = row("write", "graph", "NODE(KgplugRun)", access="DENIED")
    assert "CREATE ON NODES KgplugRun" in missing([*ARCHITECT, no_runs])
    everything = row("access", "database", "database", graph="films", access="DENIED")
    assert missing([*ARCHITECT, everything]) == ["ACCESS"]
    assert missing([*ARCHITECT, {**everything, "graph": "other"}]) == []
    salaries = row("read", "property(salary)", "NODE(*)", access="DENIED")
    people = row("traverse", "graph", "NODE(Person)", access="DENIED")
    assert missing([*ARCHITECT, salaries, people]) == []


def test_vectors_need_the_right_to_set_properties_of_any_name() -> None:
    rows = [one for one in ARCHITECT if one["action"] != "write"]
    parts = [row(action, "graph", f"{kind}(*)") for action in ("create_element", "delete_element") for kind in
             ("NODE", "RELATIONSHIP")]  # fmt: skip
    one_property = [row("set_property", "property(age)", "NODE(*)")]
    every_property = [row("set_property", "all_properties", f"{kind}(*)") for kind in ("NODE", "RELATIONSHIP")]
    assert any("SET PROPERTY {*} ON NODES" in name for name in missing([*rows, *parts, *one_property]))
    assert missing([*rows, *parts, *every_property]) == []


def test_all_graph_and_database_privileges_are_enough_with_procedures() -> None:
    rows = [
        row("graph_actions", "graph", "NODE(*)"),
        row("graph_actions", "graph", "RELATIONSHIP(*)"),
        row("database_actions", "database", "database"),
    ]
    procedures = "db.info, db.labels, db.relationshipTypes, dbms.components, db.propertyKeys"
    assert missing(rows) == [f"EXECUTE PROCEDURE {procedures}"]
    assert missing([*rows, row("execute", "database", "PROCEDURE(db*)")]) == []
    assert missing([*rows, row("execute", "database", "PROCEDURE(db.*)")]) == ["EXECUTE PROCEDURE dbms.components"]


def test_a_pattern_allows_reading_some_nodes() -> None:
    rows = [one for one in READER if one["segment"] != "NODE(*)"]
    pattern = row("match", "all_properties", "(n:User) WHERE n.public = true")
    assert missing([*rows, pattern], "read") == []


@pytest.mark.parametrize(("role", "purpose"), [("reader", "read"), ("publisher", "publish")])
def test_the_roles_of_the_documentation_have_exactly_the_needed_privileges(role: str, purpose: Purpose) -> None:
    blocks = re.findall(r"```cypher\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    commands = "\n".join(block for block in blocks if f"CREATE ROLE kgplug_{role}" in block)
    rows = rows_of(commands)
    assert rows
    assert missing(rows, purpose, database="neo4j", home="other") == []
    for left_out in rows:
        fewer = [one for one in rows if one != left_out]
        others = re.search(r"\((User|Movie|Genre|RATED|HAS_GENRE|PREDICTED|db\.index.*)\)", left_out["segment"])
        if others or (role == "reader" and left_out["action"] == "match"):
            continue  # these the check does not ask for: a schema names the labels, and not all ask for vectors
        assert missing(fewer, purpose, database="neo4j", home="other"), left_out


def test_the_documentation_names_every_procedure_and_label() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert all(f"EXECUTE PROCEDURE {name} " in text for name in privileges.READ_PROCEDURES)
    assert all(name in text for name in (*OWN_LABELS, *privileges.OWN_TYPES, PREDICTED))


class Server:
    """Answers what `missing_privileges` asks."""

    uri, database = "bolt://example.org", "films"

    def __init__(self, *, edition: str, access: str = "read-write", rows: list[Row] | None = None) -> None:
        self.edition, self._access, self._rows = edition, access, rows

    def system_rows(self, query: str, **parameters: object) -> list[dict]:
        if query.startswith("SHOW DATABASES"):
            return [{"name": "films", "access": self._access, "home": False}]
        if self._rows is None:
            raise GraphError("not allowed")
        return self._rows


def test_a_publish_without_privileges_is_refused_with_their_names() -> None:
    with pytest.raises(GraphError, match=r"Missing privileges: CREATE INDEX; DROP INDEX; CREATE CONSTRAINT\. docs/"):
        require_publish(Server(edition="enterprise", rows=PUBLISHER))  # type: ignore[arg-type]
    require_publish(Server(edition="enterprise", rows=ARCHITECT))  # type: ignore[arg-type]


def test_a_read_only_database_is_refused_on_every_edition() -> None:
    for edition in ("community", "enterprise"):
        server = Server(edition=edition, access="read-only", rows=ARCHITECT)
        assert missing_privileges(server, "publish") == [privileges.WRITE_ACCESS]  # type: ignore[arg-type]
        assert missing_privileges(server, "read") == []  # type: ignore[arg-type]
        with pytest.raises(GraphError, match=r'"films" at bolt://example\.org is read-only'):
            require_publish(server)  # type: ignore[arg-type]


def test_a_server_that_hides_its_privileges_refuses_at_the_first_write() -> None:
    silent = Server(edition="enterprise")
    require_publish(silent)  # type: ignore[arg-type]
    with pytest.raises(GraphError):
        missing_privileges(silent, "read")  # type: ignore[arg-type]
