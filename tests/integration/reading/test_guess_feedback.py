"""Feedback that init finds: through other nodes, of several kinds, with weights; and how a user chooses among it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest

from kgplug.errors import UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.check import check
from kgplug.graph.guessing.schema import Guess, guess_schema
from kgplug.graph.reading.reader import read_interactions
from kgplug.graph.schema import GraphSchema
from kgplug.graph.server.home import Endpoint
from tests.unit.helpers.printed import printed

SHOP = """
UNWIND range(0, 29) AS u UNWIND range(0, 19) AS p WITH u, p WHERE (u + p) % 2 = 0
MERGE (a:Customer {id: u}) MERGE (b:Product {id: p}) CREATE (a)-[:VIEWED]->(b)
WITH a, b, u, p WHERE (u * p) % 3 = 0 CREATE (a)-[:ADDED]->(b) WITH a, b, u, p WHERE u % 4 = 0 CREATE (a)-[:BOUGHT]->(b)
"""


def test_a_review_has_the_rating_and_the_time(connection: Connection) -> None:
    connection.write(
        "UNWIND range(1, 90) AS i MERGE (u:User {id: i % 9}) MERGE (b:Shop {id: i % 10}) CREATE (u)-[:WROTE]->"
        "(:Review {id: i, stars: i % 5 + 1, date: '2024-01-' + right('0' + (i % 28 + 1), 2), votes: i})-[:ABOUT]->(b)"
    )
    schema, _ = guess_schema(connection)
    (kind,) = schema.feedback
    assert kind.pattern == "(user)-[:WROTE]->(review:Review)-[:ABOUT]->(item)"
    assert (kind.rating, kind.like_threshold, kind.timestamp) == ("review.stars", 4, "datetime(review.date)")
    rows = read_interactions(connection, schema)
    assert (len(rows), rows.n_users, rows.n_items) == (90, 9, 10)
    assert rows.ratings is not None and rows.timestamps is not None
    assert check(connection, schema).ok


def test_one_of_several_kinds_may_be_chosen_and_the_others_do_not_reveal_it(connection: Connection) -> None:
    connection.write(SHOP)
    guess = Guess.of(connection)
    assert [option.title for option in guess.options] == [
        "(:Customer) and (:Product): BOUGHT x5 + ADDED x3 + VIEWED",
        "(:Customer)-[:BOUGHT]->(:Product)",
        "(:Customer)-[:ADDED]->(:Product)",
        "(:Customer)-[:VIEWED]->(:Product)",
    ]
    schema, text = guess.write(2)
    assert [kind.type for kind in schema.feedback] == ["BOUGHT"]
    assert schema.knowledge.exclude == ["ADDED", "VIEWED"]
    assert '# [[feedback]]\n# type = "VIEWED"\n# strength = 0.2\n' in text


def test_dislikes_become_explicit_negatives(connection: Connection) -> None:
    connection.write(
        "UNWIND range(0, 29) AS u UNWIND range(0, 19) AS p MERGE (a:User {id: u}) MERGE (b:Film {id: p}) "
        "FOREACH (_ IN CASE WHEN (u + p) % 3 = 0 THEN [1] ELSE [] END | CREATE (a)-[:LIKED]->(b)) "
        "FOREACH (_ IN CASE WHEN (u + p) % 5 = 1 THEN [1] ELSE [] END | CREATE (a)-[:DISLIKED]->(b))"
    )
    rows = read_interactions(connection, guess_schema(connection)[0])
    likes, dislikes = 200, sum((u + p) % 5 == 1 and (u + p) % 3 != 0 for u in range(30) for p in range(20))
    assert (np.count_nonzero(rows.is_like), len(rows)) == (likes, likes + dislikes)


def test_a_type_that_leads_to_several_labels_is_offered_for_each(connection: Connection) -> None:
    connection.write(
        "UNWIND range(0, 29) AS u UNWIND range(0, 19) AS p WITH u, p WHERE (u + p) % 2 = 0 MERGE (a:User {id: u}) "
        "MERGE (b:Post {id: p}) MERGE (c:Video {id: p}) CREATE (a)-[:LIKES]->(b) CREATE (a)-[:LIKES]->(c)"
    )
    assert {option.ends for option in Guess.of(connection).options} == {("User", "Post"), ("User", "Video")}
    assert len(read_interactions(connection, guess_schema(connection)[0])) == 300


def test_the_logarithm_of_a_count_is_the_weight_if_a_few_counts_are_very_high(connection: Connection) -> None:
    connection.write(
        "UNWIND range(0, 29) AS u UNWIND range(0, 19) AS p WITH u, p WHERE (u + p) % 2 = 0 MERGE (a:User {id: u}) "
        "MERGE (b:Song {id: p}) CREATE (a)-[:PLAYED {plays: CASE u WHEN 0 THEN 10000 ELSE 1 + p % 5 END}]->(b)"
    )
    schema, text = guess_schema(connection)
    assert schema.feedback[0].weight == "log(1 + rated.plays)"
    assert "plays runs from 1 to 10000 (median 3)" in text
    weights = read_interactions(connection, schema).weights
    assert weights is not None and float(weights.max()) == pytest.approx(np.log(10001), rel=1e-5)


def test_properties_of_items_are_knowledge_and_vectors_of_others_are_not_read(connection: Connection) -> None:
    connection.write(SHOP)
    connection.write(
        "MATCH (p:Product) SET p.brand = 'brand ' + p.id % 3, p.embedding = [i IN range(1, 64) | 0.5], "
        "p.price = 1.5 * p.id"
    )
    schema, text = guess_schema(connection)
    assert {name: rule.rule for name, rule in schema.knowledge.properties.items()} == {"Product.brand": "values"}
    assert '# "Product.price" = "bands"' in text
    assert "# embedding is a list of 64 numbers, perhaps a vector. It is not read\n" in text


def test_a_number_that_is_not_in_the_list_is_refused(connection: Connection) -> None:
    connection.write(SHOP)
    with pytest.raises(UsageError, match=r"--feedback 5: expected the number of .* that init lists: from 1 to 4"):
        guess_schema(connection, 5)
    connection.write("MATCH (n) DETACH DELETE n")
    connection.write("CREATE (:Word {id: 1})-[:IS_A]->(:Concept {id: 2})")
    with pytest.raises(UsageError, match="none, because this graph has no feedback"):
        guess_schema(connection, 2)


class _Keyboard(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "options", "chosen"),
    [
        ("\n", (), 3),
        ("2\n", (), 1),
        ("7\nlast\n3\n", (), 1),
        ("2\n", ("--yes",), 3),
        ("3\n", ("--feedback", "2"), 1),
        (None, (), 3),
    ],
)
def test_init_asks_on_a_terminal_only(
    connection: Connection,
    neo4j_server: Endpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    typed: str | None,
    options: tuple[str, ...],
    chosen: int,
) -> None:
    connection.write(SHOP)
    monkeypatch.setenv("NEO4J_URI", neo4j_server.uri)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password.get_secret_value())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO() if typed is None else _Keyboard(typed))
    shown = printed("init", *options, columns=None if typed is None else 120)
    assert shown.code == 0 and "Possible feedback, the most likely first" in shown.out
    asked = typed is not None and not options
    assert shown.out.count("Use which feedback, 1 to 4? [1]") == (typed or "").count("\n") * asked
    assert ("Expected a number from 1 to 4, found 'last'." in shown.out) == (asked and "last" in str(typed))
    assert len(GraphSchema.load("kgplug.toml").feedback) == chosen


def test_init_prints_its_queries_if_asked(
    connection: Connection, neo4j_server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.write(SHOP)
    monkeypatch.setenv("NEO4J_URI", neo4j_server.uri)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password.get_secret_value())
    monkeypatch.chdir(tmp_path)
    assert "MATCH (a)-[r:`VIEWED`]->(b)" in printed("init", "--explain").err
    assert "MATCH" not in printed("init", "--force").err
