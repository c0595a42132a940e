"""Cypher in kgplug.toml that cannot be used is refused with one sentence that names its table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.check import check
from kgplug.graph.reading.reader import read_interactions
from kgplug.graph.schema import FeedbackSchema
from tests.integration.helpers.sample_graphs import build
from tests.integration.helpers.trade import BOUGHT, NORTHWIND, NORTHWIND_KEYS, shop

pytestmark = NORTHWIND_KEYS


@pytest.fixture(scope="module")
def northwind(shared_connection: Connection) -> Iterator[Connection]:
    build(shared_connection, NORTHWIND)
    build(
        shared_connection,
        "MATCH (o:Order {id: 1})-[l:ORDERS]->() SET l.odd = 'many', l.sign = -1, l.zero = 0, l.nan = 0.0 / 0.0;"
        "MATCH (o:Order)-[l:ORDERS]->() WHERE o.id > 1 SET l.odd = 2, l.sign = 1, l.zero = 1, l.nan = 1.5;"
        "MATCH (o:Order)-[l:ORDERS]->() SET l.mixed = CASE o.id % 2 WHEN 0 THEN true ELSE 3 END",
    )
    yield shared_connection


def refused(connection: Connection, **settings: Any) -> str:
    """Return the message with which a reading is refused; the same error is a finding of `kgplug check`."""
    schema = shop(FeedbackSchema(**{"pattern": BOUGHT, **settings}))
    with pytest.raises(DataError) as error:
        read_interactions(connection, schema)
    assert str(error.value) in [one.finding for one in check(connection, schema).findings if one.level == "error"]
    return str(error.value)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"rating": "line.odd"},
            "no usable 'line.odd': expected a number or a boolean, found 'many' between :Customer",
        ),
        ({"rating": "line.mixed"}, "no usable 'line.mixed': expected only numbers or only booleans, found True"),
        ({"rating": "item.name"}, "no usable 'item.name': expected a number or a boolean, found 'Product"),
        ({"weight": "line.sign"}, "no usable 'line.sign': expected a number above 0, found -1 between :Customer 'c2'"),
        ({"weight": "line.zero"}, "no usable 'line.zero': expected a number above 0, found 0 between :Customer 'c2'"),
        ({"weight": "line.nan"}, "no usable 'line.nan': expected a number above 0, found NaN between :Customer 'c2'"),
        ({"weight": "line.none"}, "no usable 'line.none': expected a number above 0, found no value between"),
        ({"weight": "labels(order)"}, "no usable 'labels(order)': expected a number above 0, found ['Order'] between"),
        ({"timestamp": "item.name"}, "expected a number since 1970 or a temporal value, found 'Product "),
    ],
)
def test_values_of_the_wrong_type_are_shown_with_a_query_that_finds_them(
    northwind: Connection, settings: dict[str, str], expected: str
) -> None:
    said = refused(northwind, **settings)
    assert expected in said
    query = said.partition("Find them: ")[2]
    (name,) = settings
    assert f"remove [feedback] {name}." in said and said.count("Find them") == 1
    n = int(said.split(" of ")[0])
    assert len(northwind.rows(query.replace(" RETURN user, item, value", " RETURN value"))) == n > 0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"pattern": "(user)-[:PURCHASED->(item)"}, "[feedback]: Neo4j refuses the Cypher: Invalid input"),
        ({"where": "order.status ="}, "[feedback]: Neo4j refuses the Cypher: Invalid input"),
        ({"weight": "lines.quantity"}, "[feedback]: Neo4j refuses the Cypher: Variable `lines` not defined."),
        ({"where": "1 / 0 > order.id"}, "[feedback]: Neo4j refuses the Cypher: / by zero."),
    ],
)
def test_invalid_cypher_is_refused_with_the_servers_message_in_one_line(
    northwind: Connection, settings: dict[str, str], expected: str
) -> None:
    said = refused(northwind, **settings)
    assert said.startswith(expected)
    assert "\n" not in said and "(line" not in said


def test_the_server_refuses_what_would_write_even_if_the_text_was_not_recognised(northwind: Connection) -> None:
    pattern = f"{BOUGHT} SET user.broken = 1 WITH user, item MATCH (user)"
    kind = FeedbackSchema(pattern=BOUGHT).model_copy(update={"pattern": pattern})
    with pytest.raises(DataError, match=r"^\[feedback\]: Neo4j refuses the Cypher: Writing in read access mode"):
        read_interactions(northwind, shop(FeedbackSchema()).model_copy(update={"feedback": kind}))
    assert northwind.rows("MATCH (n) WHERE n.broken IS NOT NULL RETURN n") == []


def test_a_pattern_that_never_ends_is_stopped_at_the_time_limit(
    northwind: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KGPLUG_QUERY_S", "0.5")
    kinds = (
        FeedbackSchema(pattern=BOUGHT, name="bought"),
        FeedbackSchema(pattern="(user), (item), (a), (b), (c), (d), (e), (f), (g)", name="endless"),
    )
    with pytest.raises(DataError) as error:
        read_interactions(northwind, shop(*kinds))
    assert str(error.value) == (
        '[[feedback]] "endless": a query took longer than 0.5 s and was stopped. Make its Cypher match less, or set '
        "the environment variable KGPLUG_QUERY_S to more seconds."
    )


def test_a_pattern_that_matches_nothing_is_refused_with_the_numbers_of_its_parts(northwind: Connection) -> None:
    said = refused(northwind, pattern="(user)-[:PURCHASED]->(o:Order)<-[:ORDERS]-(item)", where="o.id > 3")
    lines = northwind.rows("MATCH ()-[r:ORDERS]->() RETURN count(r) AS n")[0]["n"]
    assert said == (
        "No feedback: MATCH (user)-[:PURCHASED]->(o:Order)<-[:ORDERS]-(item) WHERE o.id > 3 finds nothing between "
        ':Customer and :Product in database "neo4j". There are 6 :Customer, 24 :Order, 9 :Product, '
        f"{lines} :ORDERS, 24 :PURCHASED. Matches of its parts: (user)-[:PURCHASED]->(o:Order) 24; "
        "(user)-[:PURCHASED]->(o:Order)<-[:ORDERS]-(item) 0; all of it with o.id > 3 0. "
        "Correct [feedback], [user] label or [item] label."
    )


def test_a_condition_that_nothing_fulfils_is_told_apart_from_the_pattern(northwind: Connection) -> None:
    said = refused(northwind, where="order.status = 'lost'")
    lines = northwind.rows("MATCH ()-[r:ORDERS]->() RETURN count(r) AS n")[0]["n"]
    assert f"(user)-[:PURCHASED]->(order:Order)-[line:ORDERS]->(item) {lines}; all of it with" in said


def test_a_label_or_type_that_the_database_lacks_is_counted_as_zero(northwind: Connection) -> None:
    assert "0 :Basket" in refused(northwind, pattern="(user)-[:PURCHASED]->(:Basket)-[:ORDERS]->(item)")
