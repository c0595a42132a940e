"""Repeated feedback of a real graph counts, and booleans are likes and dislikes."""

from __future__ import annotations

import pytest

from kgplug.graph.bolt.connection import Connection
from kgplug.graph.check import check
from kgplug.graph.reading.reader import pull_interactions, read_interactions
from kgplug.graph.schema import FeedbackSchema, GraphSchema
from tests.integration.helpers.sample_graphs import build

PLAYS = (
    "CREATE (u:User {id: 1}), (v:User {id: 2}), (a:Movie {id: 1}), (b:Movie {id: 2}) "
    "WITH u, v, a, b UNWIND range(1, 100) AS n "
    "CREATE (u)-[:RATED {rating: n, at: n, liked: n < 50}]->(a) "
    "WITH DISTINCT u, v, b CREATE (u)-[:RATED {rating: 3, at: 5, liked: true}]->(b), "
    "(v)-[:RATED {rating: 3, at: 5, liked: false}]->(b)"
)


@pytest.mark.parametrize(
    ("settings", "ratings", "likes"),
    [
        ({}, [100, 1, 1], 3),
        ({"like_threshold": 2}, [100, 1, 1], 3),
        ({"repeated": "count", "like_threshold": 2}, [100, 1, 1], 1),
        ({"rating": "rating", "timestamp": "at", "like_threshold": 4}, [100, 3, 3], 1),
        ({"rating": "rating", "repeated": "sum", "like_threshold": 4}, [5050, 3, 3], 1),
        ({"rating": "rating", "repeated": "mean", "like_threshold": 4}, [50.5, 3, 3], 1),
        ({"rating": "rating", "repeated": "count"}, [100, 1, 1], 3),
        ({"rating": "liked", "timestamp": "at"}, [0, 1, 0], 1),
        ({"rating": "liked", "repeated": "sum", "like_threshold": 10}, [49, 1, 0], 1),
    ],
)
def test_a_hundred_relationships_between_two_nodes_are_counted(
    connection: Connection, settings: dict, ratings: list[float], likes: int
) -> None:
    build(connection, PLAYS)
    rows, report = pull_interactions(connection, GraphSchema(feedback=FeedbackSchema(**settings)))
    assert rows.ratings is not None and rows.counts is not None
    assert rows.ratings.tolist() == ratings
    assert rows.counts.tolist() == [100, 1, 1]
    assert int(rows.is_like.sum()) == likes
    assert (report.kept, report.repeated) == (3, 99)


def test_numeric_zeros_and_ones_are_all_likes_without_a_like_threshold(connection: Connection) -> None:
    build(
        connection,
        "CREATE (u:User {id: 1}), (u)-[:RATED {r: 0}]->(:Movie {id: 1}), (u)-[:RATED {r: 1}]->(:Movie {id: 2})",
    )
    schema = GraphSchema(feedback=FeedbackSchema(rating="r"))
    assert read_interactions(connection, schema).is_like.tolist() == [True, True]


def test_a_graph_without_repeated_feedback_has_no_ratings(connection: Connection) -> None:
    build(connection, "CREATE (u:User {id: 1}), (u)-[:RATED]->(:Movie {id: 1}), (u)-[:RATED]->(:Movie {id: 2})")
    rows = read_interactions(connection, GraphSchema())
    assert rows.ratings is None and rows.counts is None


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"like_threshold": 4},
            "[feedback] like_threshold is 4, but no rating is set, so every relationship is a like.",
        ),
        (
            {"rating": "rating", "repeated": "count"},
            "[feedback] rating is 'rating', but repeated is 'count': the number",
        ),
        ({"time_unit": "ms"}, "[feedback] time_unit is 'ms', but no timestamp is set."),
        ({"timestamp": "day", "time_unit": "ms"}, "[feedback] time_unit is 'ms', but 'day' holds dates, not numbers."),
        ({"timestamp": "at", "time_unit": "ms", "rating": "rating", "like_threshold": 4}, None),
        ({"repeated": "count", "like_threshold": 2}, None),
    ],
)
def test_feedback_settings_without_effect_are_reported(
    connection: Connection, settings: dict, sentence: str | None
) -> None:
    build(connection, f"{PLAYS} WITH 1 AS one MATCH ()-[r:RATED]->() SET r.day = date('2024-01-31')")
    schema = GraphSchema(feedback=FeedbackSchema(**settings))
    _, report = pull_interactions(connection, schema)
    warnings = [finding.finding for finding in check(connection, schema).findings if finding.level == "warning"]
    assert list(report.unused) == [warning for warning in warnings if warning.startswith("[feedback]")]
    assert [one.startswith(sentence or "") for one in report.unused] == [True] * (sentence is not None)
