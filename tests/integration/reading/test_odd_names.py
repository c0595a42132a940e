"""Names with backslashes, backticks and other odd characters are names like others; the system database is no graph."""

from __future__ import annotations

import pytest

from kgplug.errors import GraphError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.check import check
from kgplug.graph.contents import read_contents
from kgplug.graph.guessing.schema import guess_schema
from kgplug.graph.queries import quote
from kgplug.graph.reading.reader import read_interactions, read_knowledge
from kgplug.graph.schema import GraphSchema
from kgplug.graph.server.home import Endpoint

NAMES = [
    *("a\\b", "\\", "\\u0060", "\\\\u0041", "x\\u0060) DETACH DELETE n //", "a`b", "``", "tab\tnew\nline", "$x", "{}"),
    *("quote\"'", "\u2028", "\u0085", "\x7f\x01", "😀", "é", "名", " "),
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_written_and_found_unchanged(connection: Connection, name: str) -> None:
    connection.write(f"CREATE (:{quote(name)} {{{quote(name)}: 1}})-[:{quote(name)}]->()")
    (row,) = connection.rows(
        f"MATCH (n:{quote(name)})-[r:{quote(name)}]->() WHERE n.{quote(name)} = 1 "
        "RETURN labels(n) AS labels, type(r) AS type, keys(n) AS keys"
    )
    assert row == {"labels": [name], "type": name, "keys": [name]}


def test_a_graph_of_odd_names_is_guessed_checked_and_read_completely(connection: Connection) -> None:
    user, item, genre, kind = "User\\1", "Mo`vie", "Gen\\u0060re", "RATED\\1"
    key, rating, hangs_on = (quote(name) for name in ("i\\d", "ra\\ting", "IN\\GENRE"))
    connection.write(
        f"UNWIND range(1, 20) AS u UNWIND range(1, 10) AS i WITH u, i WHERE (u + i) % 2 = 0 "
        f"MERGE (a:{quote(user)} {{{key}: u}}) MERGE (b:{quote(item)} {{{key}: i}}) "
        f"CREATE (a)-[:{quote(kind)} {{{rating}: i % 5}}]->(b)"
    )
    connection.write(
        f"MATCH (b:{quote(item)}) MERGE (g:{quote(genre)} {{{key}: b.{key} % 3}}) CREATE (b)-[:{hangs_on}]->(g)"
    )
    schema = GraphSchema.model_validate(
        {
            "user": {"label": user, "key": "i\\d"},
            "item": {"label": item, "key": "i\\d"},
            "feedback": {"type": kind, "rating": "ra\\ting", "like_threshold": 3},
            "knowledge": {"keys": {genre: "i\\d"}},
        }
    )
    assert read_contents(connection).types == {kind: 100, "IN\\GENRE": 10}
    assert len(read_interactions(connection, schema)) == 100
    assert list(read_knowledge(connection, schema).relations) == ["IN\\GENRE"]
    assert check(connection, schema).ok
    guessed, _ = guess_schema(connection)
    assert (guessed.user.label, guessed.item.label, guessed.feedback[0].type) == (user, item, kind)


@pytest.mark.parametrize("name", ["system", "System"])
def test_the_system_database_is_refused_with_a_list_of_the_others(neo4j_server: Endpoint, name: str) -> None:
    with pytest.raises(
        GraphError, match=r"holds the server's accounts, not a graph\. Set NEO4J_DATABASE to one of: neo4j\."
    ):
        Connection.open(neo4j_server.uri, username=neo4j_server.username, password=neo4j_server.password, database=name)
