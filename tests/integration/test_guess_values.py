"""What init writes can be read: its guess of ratings and times is what the reader makes of the values."""

from __future__ import annotations

import numpy as np
import pytest

from kgplug.data.interactions import Interactions
from kgplug.graph.check import check
from kgplug.graph.connection import Connection
from kgplug.graph.guess import guess_schema
from kgplug.graph.reader import read_interactions
from kgplug.graph.schema import FeedbackSchema, GraphSchema
from kgplug.recommenders.item_knn import ItemKNN

N = 150  # relationships of the graph


def rate(connection: Connection, properties: str) -> None:
    """Build feedback of 30 users on 10 films; `properties` are made of u, from 1 to 30, and i, from 1 to 10."""
    connection.autocommit("CREATE CONSTRAINT IF NOT EXISTS FOR (n:User) REQUIRE n.id IS UNIQUE")
    connection.autocommit("CREATE CONSTRAINT IF NOT EXISTS FOR (n:Movie) REQUIRE n.id IS UNIQUE")
    connection.write(
        "UNWIND range(1, 30) AS u UNWIND range(1, 10) AS i WITH u, i WHERE (u + i) % 2 = 0 "
        f"MERGE (a:User {{id: u}}) MERGE (b:Movie {{id: i}}) CREATE (a)-[:RATED {{{properties}}}]->(b)"
    )


def guess_and_read(connection: Connection) -> tuple[FeedbackSchema, str, Interactions]:
    """Guess, read by the guess, and train on what was read."""
    schema, text = guess_schema(connection)
    rows = read_interactions(connection, schema)
    if rows.is_like.any():
        ItemKNN().fit(rows)
    return schema.feedback, " ".join(text.replace("\n#", "").split()), rows


@pytest.mark.parametrize(
    ("properties", "rating", "like", "n_likes"),
    [
        ("liked: i <= 5", "liked", 1.0, 75),
        ("liked: toString(i <= 5)", "liked", 1.0, 75),
        ("rating: i <= 5", "rating", 1.0, 75),
        ("recommended: i <= 2, verified: true", "recommended", 1.0, 30),
        ("liked: false", "liked", 1.0, 0),
        ("liked: true", None, None, N),
        ("disliked: i <= 5", None, None, N),
        ("rating: toString(toFloat(i % 5 + 1))", "rating", 4.0, 60),
        ("rating: toString(i % 5 + 1)", "rating", 4.0, 60),
        ("rating: i", "rating", 7.0, 60),
        ("rating: i * 10", "rating", 70.0, 60),
        ("rating: i % 2", "rating", 1.0, 75),
        ("rating: i - 5", "rating", 1.0, 75),
        ("rating: i - 5.5", "rating", 0.5, 75),
        ("rating: CASE WHEN u = 1 THEN null ELSE i END", None, None, N),
        ("rating: CASE WHEN u = 1 THEN 'none' ELSE i END, score: i", "score", 7.0, 60),
        ("rating: [i]", None, None, N),
        ("rating: duration({days: i})", None, None, N),
        ("rating: point({x: i, y: 1})", None, None, N),
        ("rating: date('2024-01-01')", None, None, N),
        ("rating: '★★☆'", None, None, N),
    ],
)
def test_a_rating_is_guessed_only_where_the_reader_can_use_every_value(
    connection: Connection, properties: str, rating: str | None, like: float | None, n_likes: int
) -> None:
    rate(connection, properties)
    feedback, _, rows = guess_and_read(connection)
    assert (feedback.rating, feedback.like) == (rating, like)
    assert (len(rows), int(np.sum(rows.is_like))) == (N, n_likes)


@pytest.mark.parametrize(
    ("properties", "timestamp"),
    [
        ("at: 1600000000 + i", "at"),
        ("at: (1600000000 + i) * 1000", "at"),
        ("at: toString(1600000000 + i)", "at"),
        ("at: toString((1600000000 + i) * 1000)", "at"),
        ("at: datetime('2024-01-01T10:00:00Z') + duration({days: i})", "at"),
        ("at: datetime('2024-01-01T10:00:00[Europe/Berlin]')", "at"),
        ("at: localdatetime('2024-01-01T10:00:00')", "at"),
        ("at: date('2024-01-01')", "at"),
        ("at: CASE WHEN i = 1 THEN date('2024-01-01') ELSE datetime('2024-01-01T10:00:00Z') END", "at"),
        ("born: date('1990-01-01'), at: datetime('2024-01-01T10:00:00Z')", "at"),
        ("at: time('10:00')", None),
        ("at: [1600000000]", None),
        ("at: 20240131", None),
        ("at: CASE WHEN u = 1 THEN null ELSE 1600000000 END", None),
        ("at: CASE WHEN u = 1 THEN 'unknown' ELSE '1600000000' END", None),
        ("at: '03/12/2024'", None),
    ],
)
def test_a_time_is_guessed_only_where_the_reader_can_use_every_value(
    connection: Connection, properties: str, timestamp: str | None
) -> None:
    rate(connection, properties)
    feedback, _, rows = guess_and_read(connection)
    assert feedback.timestamp == timestamp
    assert (rows.timestamps is not None) == (timestamp is not None)


@pytest.mark.parametrize(
    ("properties", "advice"),
    [
        ("at: '2024-01-01T10:00:00'", "SET r.`at` = datetime(r.`at`), then"),
        ("at: '2024-01-01T10:00:00+02:00'", "SET r.`at` = datetime(r.`at`), then"),
        ("at: '2024-01-01'", "SET r.`at` = datetime(r.`at`), then"),
        ("at: '2024-01-01 10:00:00'", "SET r.`at` = datetime(replace(trim(r.`at`), ' ', 'T')), then"),
        ("rating: '4,5'", "SET r.`rating` = toFloatOrNull(replace(r.`rating`, ',', '.')), then"),
        ("rating: toString(i) + '/10'", "SET r.`rating` = toFloatOrNull(split(r.`rating`, '/')[0]), then"),
        ("rating: substring('★★★★★', 0, i % 5 + 1)", "WHEN r.`rating` CONTAINS '★'"),
        ("disliked: i <= 5", "SET r.liked = NOT r.`disliked`, then"),
    ],
)
def test_the_advice_of_a_guess_works_when_it_is_followed(connection: Connection, properties: str, advice: str) -> None:
    rate(connection, properties)
    _, text, _ = guess_and_read(connection)
    assert advice in text
    start = text.index("MATCH (:`User`)-[r:`RATED`]->(:`Movie`) SET")
    connection.autocommit(text[start : text.index(", then", start)])
    feedback, _, _ = guess_and_read(connection)
    assert feedback.timestamp == "at" if "at:" in properties else feedback.rating in ("rating", "liked", None)


@pytest.mark.parametrize("value", ["1.0 / 0", "-1.0 / 0", "0.0 / 0", "1e300", "'Infinity'", "'NaN'", "'1e300'"])
def test_a_rating_that_is_not_finite_is_named_by_init_and_by_the_check(connection: Connection, value: str) -> None:
    rate(connection, f"rating: CASE WHEN u = 1 THEN {value} ELSE i END")
    schema, text = guess_schema(connection)
    assert (schema.feedback.rating, schema.feedback.like) == ("rating", 7)
    text = " ".join(text.replace("\n#", "").split())
    assert "CORRECT THESE: the values of 5 of 150 relationships are no finite numbers" in text
    assert not check(connection, schema).ok


def test_values_beyond_a_sample_count_as_well(connection: Connection) -> None:
    connection.write("UNWIND range(1, 60) AS u CREATE (:User {id: u}), (:Movie {id: u})")
    connection.write("MATCH (a:User), (b:Movie) CREATE (a)-[:RATED {rating: (a.id + b.id) % 5 + 1}]->(b)")
    connection.write("MATCH (:User {id: 60})-[r:RATED]->(:Movie {id: 60}) SET r.rating = 'none'")
    feedback, text, rows = guess_and_read(connection)
    assert feedback.rating is None and len(rows) == 3600
    assert "rating is not a number everywhere (found 'none')" in text


def test_text_ratings_and_booleans_count_as_likes_in_the_check_as_in_the_reader(connection: Connection) -> None:
    rate(connection, "rating: CASE WHEN i < 4 THEN toString(i) WHEN i = 4 THEN true ELSE i END")
    schema = GraphSchema(feedback=FeedbackSchema(rating="rating", like=2))
    n_likes = int(np.sum(read_interactions(connection, schema).is_like))
    found = [one.finding for one in check(connection, schema).findings if one.check == "feedback"]
    assert n_likes == 120 and any(f"{n_likes} of them likes" in one for one in found)
