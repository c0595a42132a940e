"""Bookmarks: each transaction names those that it must see, so that a cluster never answers with older data."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

import pytest

import kgplug
from kgplug.errors import GraphError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.server.home import Endpoint


@pytest.fixture
def sent(caplog: pytest.LogCaptureFixture) -> Callable[[], list[list[str]]]:
    """Return what gives the bookmarks of each transaction that had some, since the last call."""
    caplog.set_level(logging.DEBUG, logger="neo4j.io")

    def take() -> list[list[str]]:
        texts = [record.getMessage() for record in caplog.records]
        caplog.clear()
        found = [re.search(r" C: (?:BEGIN|RUN) .*'bookmarks': \[(.*?)\]", text) for text in texts]
        return [re.findall(r"'(.*?)'", match[1]) for match in found if match]

    return take


def opened(server: Endpoint, bookmarks: list[str]) -> Connection:
    return Connection.open(server.uri, username=server.username, password=server.password, bookmarks=bookmarks)


def test_each_transaction_waits_for_those_before_it(connection: Connection, sent: Callable) -> None:
    connection.write("CREATE (:A)")
    after_write = connection.bookmarks
    assert len(after_write) == 1
    sent()
    connection.rows("MATCH (a:A) RETURN count(a) AS n")
    assert sent()[0] == after_write
    connection.autocommit("CREATE (:A)")
    after_autocommit = connection.bookmarks
    assert after_autocommit != after_write and len(after_autocommit) == 1
    sent()
    connection.write_rows("MATCH (a:A) SET a.seen = true RETURN count(a) AS n")
    assert sent()[0] == after_autocommit


def test_another_connection_waits_for_the_bookmarks_that_it_is_given(
    connection: Connection, neo4j_server: Endpoint, sent: Callable
) -> None:
    connection.write("CREATE (:A)")
    sent()
    with opened(neo4j_server, connection.bookmarks) as reader:
        assert reader.rows("MATCH (a:A) RETURN count(a) AS n") == [{"n": 1}]
    assert connection.bookmarks[0] in sent()[0]


def test_a_graph_gives_and_takes_bookmarks(connection: Connection, neo4j_server: Endpoint, sent: Callable) -> None:
    connection.write("CREATE (:A)")
    written = kgplug.Graph(connection).bookmarks
    assert written == connection.bookmarks
    sent()
    password = neo4j_server.password.get_secret_value()
    login = {"username": neo4j_server.username, "password": password}
    with kgplug.connect(neo4j_server.uri, **login, bookmarks=written) as graph:
        assert graph.query("MATCH (a:A) RETURN count(a) AS n")["n"].tolist() == [1]
    assert written[0] in sent()[0]


def test_an_unknown_bookmark_is_refused_in_one_sentence(neo4j_server: Endpoint) -> None:
    with pytest.raises(GraphError, match=r"does not know these bookmarks: .* Use bookmarks of a connection to this"):
        opened(neo4j_server, ["nonsense"])
