"""Many relationship types and labels: as many queries as for few, and the same rows by every way of reading."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kgplug.graph import counts
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.check import check
from kgplug.graph.contents import read_contents
from kgplug.graph.guessing.keys import guess_keys
from kgplug.graph.guessing.schema import guess_schema
from kgplug.graph.reading.bulk import BulkReader
from kgplug.graph.reading.reader import pull_knowledge
from kgplug.graph.schema import GraphSchema

READERS: dict[str, dict[str, Any]] = {
    "at once": {},
    "stepping through internal ids": {"chunk_rows": 50},
    "without internal ids": {"internal_ids": False},
    "streaming without internal ids": {"chunk_rows": 50, "internal_ids": False},
}


def build(connection: Connection, *, types: int, labels: int = 1) -> GraphSchema:
    """Write 400 triples over some types, with tails of some labels, beside feedback."""
    connection.autocommit("MATCH (n) DETACH DELETE n")
    connection.write("UNWIND range(0, 99) AS i CREATE (:Movie {id: i})")
    connection.write(
        "UNWIND range(0, 99) AS i CREATE (n:$('L' + toString(i % $labels)) {id: i}) SET n:Tail", labels=labels
    )
    connection.write(
        "UNWIND range(0, 399) AS i MATCH (a:Movie {id: i % 100}), (b:Tail {id: (i * 7 + i / 100) % 100}) "
        "CREATE (a)-[:$('T' + toString(i % $types))]->(b)",
        types=types,
    )
    connection.write("MATCH (n:Tail) REMOVE n:Tail")
    connection.write(
        "UNWIND range(0, 99) AS i MATCH (m:Movie {id: i}) MERGE (u:User {id: i % 20}) CREATE (u)-[:RATED]->(m)"
    )
    return GraphSchema.model_validate({"knowledge": {"keys": {f"L{number}": "id" for number in range(labels)}}})


def queries_of(connection: Connection, monkeypatch: pytest.MonkeyPatch, work: Any) -> int:
    sessions = []
    opened = Connection.session
    with monkeypatch.context() as patch:
        patch.setattr(Connection, "session", lambda self, **how: sessions.append(1) or opened(self, **how))
        work()
    return len(sessions)


def test_the_number_of_queries_to_read_and_check_does_not_depend_on_types_and_labels(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for types, labels in ((2, 1), (25, 20), (200, 100)):
        schema = build(connection, types=types, labels=labels)
        read = queries_of(connection, monkeypatch, lambda schema=schema: pull_knowledge(connection, schema))
        checked = queries_of(connection, monkeypatch, lambda schema=schema: check(connection, schema))
        found.append((read, checked))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("how", READERS)
def test_every_way_of_reading_returns_the_triples_of_many_types(connection: Connection, how: str) -> None:
    schema = build(connection, types=200, labels=40)
    knowledge, report = pull_knowledge(connection, schema, bulk=BulkReader(connection, **READERS[how]))
    expected = connection.frame("MATCH (a:Movie)-[r]->(b) RETURN a.id AS head, type(r) AS relation, b.id AS tail")
    rows = knowledge.to_dataframe()[["head", "relation", "tail"]]
    assert sorted(rows.itertuples(index=False, name=None)) == sorted(expected.itertuples(index=False, name=None))
    assert (report.kept, len(set(knowledge.entity_labels))) == (400, 41)


@pytest.mark.parametrize("types", [3, 60])
def test_an_account_that_may_not_read_the_count_store_reads_the_same(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, types: int
) -> None:
    schema = build(connection, types=types)
    contents, (knowledge, _) = read_contents(connection), pull_knowledge(connection, schema)
    monkeypatch.setattr(counts, "_stored_counts", lambda connection: None)
    again = read_contents(connection)
    assert (again.labels, again.types, again.ends) == (contents.labels, contents.types, None)
    assert pull_knowledge(connection, schema)[0].fingerprint == knowledge.fingerprint
    assert check(connection, schema).ok


def test_the_number_of_queries_of_init_does_not_depend_on_the_labels(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for labels in (1, 20, 100):
        build(connection, types=3, labels=labels)
        connection.write("MATCH (u:User), (m:Movie) WHERE (u.id + m.id) % 3 = 0 CREATE (u)-[:RATED]->(m)")
        connection.write("MATCH (n:L0) SET n.name = 'x' + n.id, n.even = n.id % 2 = 0, n.half = n.id / 2.0")
        schemas: list[GraphSchema] = []
        found.append(queries_of(connection, monkeypatch, lambda: schemas.append(guess_schema(connection)[0])))  # noqa: B023
        assert schemas[0].knowledge.keys == {f"L{number}": "id" for number in range(labels)}
        assert (schemas[0].user.key, schemas[0].item.key) == ("id", "id")
    assert len(set(found)) == 1


@pytest.mark.parametrize("most", [0, counts.MOST_NAMES])
def test_init_accepts_only_complete_unique_integers_or_text_as_keys(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("kgplug.graph.guessing.keys.MOST_NAMES", most)
    connection.autocommit("MATCH (n) DETACH DELETE n")
    connection.write(
        "UNWIND range(0, 1999) AS i CREATE (a:Movie {id: i, code: 'c' + i}) CREATE (b:Odd {half: i / 2.0, "
        "id: i / 2, tags: [i], late: CASE WHEN i < 1999 THEN i END, code: 'o' + i}) CREATE (a)-[:HAS]->(b) "
        "CREATE (c:Plain {id: CASE i WHEN 1999 THEN 0 ELSE i END}) CREATE (a)-[:OF]->(c) CREATE (a)-[:IS]->(:Bare)"
    )
    keys = guess_keys(connection, read_contents(connection))
    assert {label: key.value for label, key in keys.items()} == {
        "Movie": "id",
        "Odd": "code",
        "Plain": None,
        "Bare": None,
    }
    assert "properties: none" in keys["Bare"].why
    assert "properties: id" in keys["Plain"].why


def test_two_hundred_types_are_read_in_two_seconds(connection: Connection) -> None:
    schema = build(connection, types=200)
    pull_knowledge(connection, schema)
    began = time.perf_counter()
    pull_knowledge(connection, schema)
    assert time.perf_counter() - began < 2
