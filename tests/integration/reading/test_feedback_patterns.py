"""Feedback that a Cypher pattern describes, and several kinds of feedback, compared with slow, literal merging."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from kgplug.data.interactions import Interactions
from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.reading.bulk import BulkReader
from kgplug.graph.reading.reader import pull_interactions, pull_knowledge, read_interactions
from kgplug.graph.schema import FeedbackSchema, GraphSchema
from tests.integration.helpers.sample_graphs import build
from tests.integration.helpers.trade import BOUGHT, EVENT_KINDS, EVENTS, NORTHWIND, NORTHWIND_KEYS, shop

LINES = (
    "MATCH (c:Customer)-[:PURCHASED]->(o:Order)-[l:ORDERS]->(p:Product) RETURN c.id AS user, p.id AS item, "
    "l.quantity AS quantity, l.stars AS stars, duration.inDays(date('2024-01-01'), o.date).days AS day, "
    "o.status AS status"
)
Row = dict[str, Any]


def table(rows: Interactions) -> dict[tuple[Any, Any], tuple[float | None, float]]:
    """Return (user key, item key) → (rating or None, weight)."""
    ratings = [None] * len(rows) if rows.ratings is None else rows.ratings.tolist()
    weights = np.ones(len(rows)) if rows.weights is None else rows.weights
    pairs = zip(rows.user_keys[rows.users], rows.item_keys[rows.items], strict=True)
    return {pair: (rating, float(weight)) for pair, rating, weight in zip(pairs, ratings, weights, strict=True)}


def groups(rows: list[Row]) -> dict[tuple[Any, Any], list[Row]]:
    found: dict[tuple[Any, Any], list[Row]] = defaultdict(list)
    for row in rows:
        found[row["user"], row["item"]].append(row)
    return found


@pytest.fixture(scope="module")
def northwind(shared_connection: Connection) -> Iterator[Connection]:
    build(shared_connection, NORTHWIND)
    yield shared_connection


pytestmark = NORTHWIND_KEYS
RULES = {"rating": "max", "weight": "sum", "timestamp": "count"}
MERGED = {
    "sum": (lambda values, ages: sum(values)),
    "mean": (lambda values, ages: sum(values) / len(values)),
    "max": (lambda values, ages: max(values)),
    "last": (lambda values, ages: values[ages.index(min(ages))]),
    "decay": (lambda values, ages: sum(v * 0.5 ** (a / 5) for v, a in zip(values, ages, strict=True))),
}


@pytest.mark.parametrize("chunk_rows", [200_000, 4])
@pytest.mark.parametrize("internal_ids", [True, False])
def test_a_pattern_gives_the_pairs_that_cypher_finds(
    northwind: Connection, chunk_rows: int, internal_ids: bool
) -> None:
    bulk = BulkReader(northwind, chunk_rows=chunk_rows, internal_ids=internal_ids)
    rows, report = pull_interactions(northwind, shop(FeedbackSchema(pattern=BOUGHT)), bulk=bulk)
    lines = northwind.rows(LINES)
    expected = groups(lines)
    assert {pair: rating for pair, (rating, _) in table(rows).items()} == {
        pair: len(found) for pair, found in expected.items()
    }
    assert rows.weights is None and rows.like_threshold is None
    assert (report.kept, report.repeated) == (len(expected), len(lines) - len(expected)) and report.repeated > 0


@pytest.mark.parametrize("rule", MERGED)
def test_weights_of_repeated_feedback_are_merged_by_each_rule(northwind: Connection, rule: str) -> None:
    kind = FeedbackSchema(
        pattern=BOUGHT,
        where="order.status <> 'cancelled'",
        weight="line.quantity",
        timestamp="order.date",
        repeated=rule,  # type: ignore[arg-type]
        half_life=5 if rule == "decay" else None,
    )
    found = table(read_interactions(northwind, shop(kind)))
    lines = [row for row in northwind.rows(LINES) if row["status"] != "cancelled"]
    newest = max(row["day"] for row in lines)
    expected = {
        pair: MERGED[rule]([row["quantity"] for row in rows], [newest - row["day"] for row in rows])
        for pair, rows in groups(lines).items()
    }
    assert found.keys() == expected.keys() and len(set(expected.values())) > 3
    for pair, weight in expected.items():
        assert math.isclose(found[pair][1], weight, rel_tol=1e-5), pair


def test_ratings_weights_and_times_are_expressions_over_the_variables_of_a_pattern(northwind: Connection) -> None:
    kind = FeedbackSchema(
        pattern=f"{BOUGHT} // a comment",
        rating="line.stars - 1 // from 0",
        weight="line.quantity * 2.5",
        timestamp="order.date",
        like_threshold=2,
        repeated="mean",
    )
    rows = read_interactions(northwind, shop(kind))
    found = table(rows)
    for pair, lines in groups(northwind.rows(LINES)).items():
        rating = sum(row["stars"] - 1 for row in lines) / len(lines)
        weight = sum(row["quantity"] * 2.5 for row in lines) / len(lines)
        assert found[pair] == pytest.approx((rating, weight), rel=1e-6)
    assert 0 < rows.is_like.sum() < len(rows)
    newest = max(row["day"] for row in northwind.rows(LINES))
    assert rows.timestamps is not None and rows.timestamps.max() == 1704067200 + newest * 86400


@pytest.mark.parametrize(
    ("setting", "expression", "value"),
    [
        ("rating", "line.stars > 2", lambda row: float(row["stars"] > 2)),
        ("rating", "toString(line.stars)", lambda row: row["stars"]),
        ("rating", "CASE WHEN line.stars > 2 THEN 'true' ELSE false END", lambda row: float(row["stars"] > 2)),
        ("weight", "1", lambda row: 1),
        ("weight", "toString(line.quantity)", lambda row: row["quantity"]),
        ("weight", "line.`quantity` / 2.0", lambda row: row["quantity"] / 2),
        ("timestamp", "order.id * 0 + line.stars", lambda row: row["stars"]),
        ("timestamp", "datetime({epochSeconds: line.stars})", lambda row: row["stars"]),
        ("timestamp", "toString(line.stars)", lambda row: row["stars"]),
    ],
)  # fmt: skip
def test_an_expression_may_have_any_type(northwind: Connection, setting: str, expression: str, value: Any) -> None:
    kind = FeedbackSchema.model_validate({"pattern": BOUGHT, setting: expression, "repeated": RULES[setting]})
    rows = read_interactions(northwind, shop(kind))
    merged = {"rating": max, "weight": sum, "timestamp": max}[setting]
    found = {"rating": rows.ratings, "weight": rows.weights, "timestamp": rows.timestamps}[setting]
    found = np.ones(len(rows)) if found is None else found
    pairs = zip(rows.user_keys[rows.users], rows.item_keys[rows.items], strict=True)
    assert dict(zip(pairs, found.tolist(), strict=True)) == {
        pair: pytest.approx(merged([value(row) for row in lines]))
        for pair, lines in groups(northwind.rows(LINES)).items()
    }


def test_a_pattern_may_be_written_from_the_item_to_the_user_and_in_parts(northwind: Connection) -> None:
    forward = table(read_interactions(northwind, shop(FeedbackSchema(pattern=BOUGHT))))
    for pattern in (
        "(item)<-[:ORDERS]-(:Order)<-[:PURCHASED]-(user)",
        "(user:Customer)-[:PURCHASED]->(o:Order), (o)-[:ORDERS]->(item:Product)",
        "(user)-[:PURCHASED]->()-[:ORDERS]->(item)",
    ):
        assert table(read_interactions(northwind, shop(FeedbackSchema(pattern=pattern)))) == forward


def test_a_type_may_have_a_condition_and_expressions(northwind: Connection) -> None:
    kind = FeedbackSchema(type="PART_OF", where="item.id < 3", weight="user.id + rated.nothing")
    schema = shop(kind).model_copy(
        update={"user": shop(kind).user.model_copy(update={"label": "Product"}),
                "item": shop(kind).item.model_copy(update={"label": "Category"})}
    )  # fmt: skip
    with pytest.raises(DataError, match=r"6 of 6 :PART_OF relationships have no usable 'user.id \+ rated.nothing'"):
        read_interactions(northwind, schema)
    weighted = kind.model_copy(update={"weight": "user.id * 2"})
    found = table(read_interactions(northwind, schema.model_copy(update={"feedback": weighted})))
    assert found == {(i, 1 + i % 3): (None, 2.0 * i) for i in range(1, 10) if 1 + i % 3 < 3}


def test_users_may_be_items_through_a_pattern(northwind: Connection) -> None:
    kind = FeedbackSchema(pattern="(user)-[:PART_OF]->(:Category)<-[:PART_OF]-(item)")
    schema = shop(kind).model_copy(update={"user": shop(kind).user.model_copy(update={"label": "Product"})})
    rows, report = pull_interactions(northwind, schema)
    assert len(rows) == 9 * 2 and report.itself == 0
    assert all(user != item and user % 3 == item % 3 for user, item in table(rows))


DISLIKES = """
CREATE (u:User {id: 1}), (v:User {id: 2}), (a:Movie {id: 1}), (b:Movie {id: 2}), (c:Movie {id: 3}),
(u)-[:RATED {stars: 1}]->(a), (u)-[:SAW]->(a), (u)-[:RATED {stars: 2}]->(b), (v)-[:SAW]->(c),
(v)-[:RATED {stars: 5}]->(c)
"""


@pytest.mark.keys()
def test_a_pair_is_a_dislike_if_all_kinds_that_have_it_say_so(connection: Connection) -> None:
    build(connection, DISLIKES)
    kinds = (FeedbackSchema(rating="stars", like_threshold=4, strength=3), FeedbackSchema(type="SAW"))
    rows = read_interactions(connection, GraphSchema(feedback=kinds))
    assert table(rows) == {(1, 1): (1, 4), (1, 2): (0, 3), (2, 3): (1, 4)}
    assert rows.like_threshold == 1 and rows.is_like.tolist() == [True, False, True]


def test_three_kinds_of_events_add_their_strengths(connection: Connection) -> None:
    build(connection, EVENTS)
    rows, report = pull_interactions(connection, shop(*EVENT_KINDS))
    expected: dict[tuple[int, int], float] = defaultdict(float)
    for kind in EVENT_KINDS:
        for row in connection.rows(f"MATCH (u:Customer)-[:{kind.type}]->(p:Product) RETURN u.id AS user, p.id AS item"):
            expected[row["user"], row["item"]] += kind.strength
    assert {pair: weight for pair, (_, weight) in table(rows).items()} == expected
    assert len({*expected.values()}) > 3 and rows.ratings is None and report.kept == len(expected)


def test_weights_of_a_type_are_a_property(connection: Connection) -> None:
    build(connection, EVENTS)
    kind = FeedbackSchema(type="VIEWED", weight="at", strength=2)
    found = table(read_interactions(connection, shop(kind)))
    rows = connection.rows(
        "MATCH (u:Customer)-[r:VIEWED]->(p:Product) RETURN u.id AS user, p.id AS item, r.at AS weight"
    )
    assert found == {(row["user"], row["item"]): (None, pytest.approx(2 * row["weight"])) for row in rows}
    with pytest.raises(DataError, match=r"No :VIEWED relationship has the property 'wait'. Properties found: at"):
        read_interactions(connection, shop(FeedbackSchema(type="VIEWED", weight="wait")))


REPEATING = """
MATCH (c:Customer)-[:PURCHASED]->()-[:ORDERS {quantity: 2}]->(p:Product) MERGE (c)-[:LOOKED_AT]->(p);
MATCH (c:Customer)-[:PURCHASED]->()-[:ORDERS {quantity: 2}]->(p:Product) WITH DISTINCT c, p WHERE p.id < 9
CREATE (c)-[:WROTE]->(:Review {id: c.id + '-' + p.id})-[:ABOUT]->(p);
MATCH (c:Customer) MERGE (t:City {id: CASE WHEN c.id < 'c4' THEN 1 ELSE 2 END}) CREATE (c)-[:LIVES_IN]->(t);
"""


def test_what_repeats_a_pattern_is_left_out_of_the_knowledge(connection: Connection) -> None:
    build(connection, NORTHWIND + REPEATING)
    two = FeedbackSchema(pattern=BOUGHT, where="line.quantity = 2")
    schema = shop(two, keys={"City": "id", "Category": "id"})
    knowledge, report = pull_knowledge(connection, schema)
    assert list(knowledge.relations) == ["LIVES_IN", "PART_OF"]
    said = " ".join(report.left_out)
    n = connection.rows("MATCH (:Customer)-[r:LOOKED_AT]->() RETURN count(r) AS n")[0]["n"]
    assert (
        f":LOOKED_AT joins {n} pairs of :Customer and :Product, {n} of them also joined by :ORDERS, :PURCHASED" in said
    )
    assert ":Review nodes each belong to one :Customer and lead to :Product" in said
    one_of_two = shop(two, FeedbackSchema(type="LOOKED_AT"), keys={"City": "id", "Category": "id"})
    knowledge, report = pull_knowledge(connection, one_of_two)
    assert list(knowledge.relations) == ["LIVES_IN", "PART_OF"] and "LOOKED_AT" not in " ".join(report.left_out)
