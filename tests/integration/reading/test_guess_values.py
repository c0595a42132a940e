"""What init writes can be read: its guess of ratings and times is what the reader makes of the values."""

from __future__ import annotations

import numpy as np
import pytest

from kgplug.data.interactions import Interactions
from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.check import check
from kgplug.graph.guessing.schema import guess_schema
from kgplug.graph.reading.reader import read_interactions
from kgplug.graph.schema import FeedbackSchema, GraphSchema
from kgplug.recommenders.models.item_knn import ItemKNN

pytestmark = pytest.mark.keys("User", "Movie")

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
    return schema.feedback[0], " ".join(text.replace("\n#", "").split()), rows


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
        ("liked: toInteger(i <= 5)", "liked", 1.0, 75),
        ("liked: CASE WHEN i <= 5 THEN '1' ELSE '0' END", "liked", 1.0, 75),
        ("liked: CASE WHEN i <= 5 THEN 1 ELSE -1 END", "liked", 1.0, 75),
        ("liked: 0", "liked", 1.0, 0),
        ("liked: 1", None, None, N),
        ("vote: CASE WHEN i <= 5 THEN 1 ELSE -1 END", "vote", 1.0, 75),
        ("likes: i", None, None, N),
    ],
)
def test_a_rating_is_guessed_only_if_the_reader_can_use_every_value(
    connection: Connection, properties: str, rating: str | None, like: float | None, n_likes: int
) -> None:
    rate(connection, properties)
    feedback, _, rows = guess_and_read(connection)
    assert (feedback.rating, feedback.like_threshold) == (rating, like)
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
def test_a_time_is_guessed_only_if_the_reader_can_use_every_value(
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
        ("liked: CASE WHEN i <= 5 THEN 'Yes' ELSE 'no ' END", "SET r.`liked` = CASE WHEN toLower(trim(r.`liked`)) IN"),
        ("liked: CASE WHEN i <= 5 THEN 't' ELSE 'f' END", "SET r.`liked` = CASE WHEN toLower(trim(r.`liked`)) IN"),
        ("reaction: CASE WHEN i <= 5 THEN 'like' ELSE 'dislike' END", "SET r.`reaction` = CASE WHEN"),
    ],
)
def test_the_advice_in_a_guess_works(connection: Connection, properties: str, advice: str) -> None:
    rate(connection, properties)
    _, text, _ = guess_and_read(connection)
    assert advice in text
    start = text.index("MATCH (:`User`)-[r:`RATED`]->(:`Movie`) SET")
    connection.autocommit(text[start : text.index(", then", start)])
    feedback, _, _ = guess_and_read(connection)
    if "at:" in properties:
        assert feedback.timestamp == "at"
    else:
        assert feedback.rating in ("rating", "liked", "reaction", None)
        assert feedback.rating is not None or "disliked" in properties or "4,5" in properties


@pytest.mark.parametrize("value", ["1.0 / 0", "-1.0 / 0", "0.0 / 0", "1e300", "'Infinity'", "'NaN'", "'1e300'"])
def test_a_rating_that_is_not_finite_is_reported_by_init_and_check(connection: Connection, value: str) -> None:
    rate(connection, f"rating: CASE WHEN u = 1 THEN {value} ELSE i END")
    schema, text = guess_schema(connection)
    assert (schema.feedback[0].rating, schema.feedback[0].like_threshold) == ("rating", 7)
    text = " ".join(text.replace("\n#", "").split())
    assert "CORRECT THESE: the values of 5 of 150 relationships are not finite numbers" in text
    assert not check(connection, schema).ok


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("1.0 / 0", "CORRECT THESE: the values of 5 of 150 relationships are not times since 1970 (found inf)"),
        ("1600000000000", 'CORRECT THESE: "at": expected numbers in one unit of time, found 145 in seconds, such as'),
    ],
)
def test_times_that_the_reader_refuses_are_reported_by_init_and_check(
    connection: Connection, wrong: str, said: str
) -> None:
    rate(connection, f"at: CASE WHEN u = 1 THEN {wrong} ELSE 1600000000 + i END")
    schema, text = guess_schema(connection)
    assert schema.feedback[0].timestamp == "at"
    assert said in " ".join(text.replace("\n#", "").split())
    assert not check(connection, schema).ok


def test_init_reports_the_unit_and_range_of_times(connection: Connection) -> None:
    rate(connection, "at: 1600000000000000000 + i")
    _, text = guess_schema(connection)
    assert "150 numbers of nanoseconds, from 2020-09-13T12:26:40.000000001 to 2020-09-13T12:26:40.000000010" in (
        " ".join(text.replace("\n#", "").split())
    )


@pytest.mark.parametrize(
    ("usual", "far"),
    [
        ("datetime('2024-01-01T10:00:00Z')", "datetime('-9999-01-01T00:00:00Z')"),
        ("datetime('2024-01-01T10:00:00Z')", "datetime('+999999999-12-31T00:00:00[Europe/Berlin]')"),
        ("localdatetime('2024-01-01T10:00:00.04')", "localdatetime('+999999999-12-31T23:59:59')"),
        ("date('2024-01-01')", "date('-999999999-01-01')"),
    ],
)
def test_a_date_that_python_cannot_represent_is_guessed_read_and_ordered(
    connection: Connection, usual: str, far: str
) -> None:
    rate(connection, f"at: CASE WHEN u = 1 AND i = 1 THEN {far} ELSE {usual} END")
    feedback, _, rows = guess_and_read(connection)
    assert feedback.timestamp == "at" and rows.timestamps is not None
    is_far = (rows.user_keys[rows.users] == 1) & (rows.item_keys[rows.items] == 1)
    others = rows.timestamps[~is_far]
    assert (others == others[0]).all()
    assert (rows.timestamps[is_far] < others[0]).all() if "'-" in far else (rows.timestamps[is_far] > others[0]).all()


def test_far_dates_on_nodes_and_as_ratings_do_not_fail_and_are_shown(connection: Connection) -> None:
    rate(connection, "rating: CASE WHEN u = 1 THEN date('+12345-01-02') ELSE i END")
    connection.write("MATCH (m:Movie) SET m.released = date('-12345-01-02')")
    _, text = guess_schema(connection)
    assert "rating is not a number everywhere (found 12345-01-02)" in " ".join(text.replace("\n#", "").split())
    found = [one.finding for one in check(connection, GraphSchema(feedback=FeedbackSchema(rating="rating"))).findings]
    assert any("found 12345-01-02 between :User 1" in one for one in found)


@pytest.mark.parametrize("value", ["1.0 / 0", "null", "'x'", "1e300", "[1]"])
@pytest.mark.parametrize("setting", ["rating", "timestamp"])
def test_the_query_in_an_error_finds_the_refused_values_and_is_short(
    connection: Connection, setting: str, value: str
) -> None:
    rate(connection, f"x: CASE WHEN u = 1 THEN {value} ELSE 1600000000 END")
    schema = GraphSchema.model_validate({"feedback": {setting: "x"}})
    (problem,) = [one.finding for one in check(connection, schema).findings if "Find them: " in one.finding]
    query = problem.partition("Find them: ")[2]
    assert len(connection.rows(query)) == 5 and len(query) < 300


def test_values_outside_the_sample_count(connection: Connection) -> None:
    connection.write("UNWIND range(1, 60) AS u CREATE (:User {id: u}), (:Movie {id: u})")
    connection.write("MATCH (a:User), (b:Movie) CREATE (a)-[:RATED {rating: (a.id + b.id) % 5 + 1}]->(b)")
    connection.write("MATCH (:User {id: 60})-[r:RATED]->(:Movie {id: 60}) SET r.rating = 'none'")
    feedback, text, rows = guess_and_read(connection)
    assert feedback.rating is None and len(rows) == 3600
    assert "rating is not a number everywhere (found 'none')" in text


@pytest.mark.parametrize(
    ("rating", "like_threshold"),
    [
        ("CASE WHEN i < 4 THEN toString(i) ELSE i END", 3),
        ("CASE WHEN i < 4 THEN toString(i > 2) ELSE true END", 1),
        ("CASE WHEN i < 4 THEN i > 2 ELSE 1 END", 1),
    ],
)
def test_the_check_counts_the_likes_of_text_ratings_and_booleans_as_the_reader_does(
    connection: Connection, rating: str, like_threshold: float
) -> None:
    rate(connection, f"rating: {rating}")
    schema = GraphSchema(feedback=FeedbackSchema(rating="rating", like_threshold=like_threshold))
    n_likes = int(np.sum(read_interactions(connection, schema).is_like))
    found = [one.finding for one in check(connection, schema).findings if one.check == "feedback"]
    assert n_likes == 120 and any(f"{n_likes} of them likes" in one for one in found)


def test_a_boolean_among_numeric_ratings_is_refused_and_not_guessed(connection: Connection) -> None:
    rate(connection, "rating: CASE WHEN i = 4 AND u = 2 THEN true WHEN i = 2 AND u = 2 THEN 'false' ELSE i END")
    feedback, text, _ = guess_and_read(connection)
    assert feedback.rating is None and "rating is not a number everywhere" in text
    schema = GraphSchema(feedback=FeedbackSchema(rating="rating", like_threshold=2))
    message = "2 of 150 :RATED relationships have no usable 'rating': expected only numbers or only booleans, found"
    with pytest.raises(DataError, match=message) as raised:
        read_interactions(connection, schema)
    assert "True between :User 2 and :Movie 4" in str(raised.value)
    find = str(raised.value).partition("Find them: ")[2]
    assert len(connection.rows(find.replace("RETURN a, r, b", "RETURN 1 AS n"))) == 2
    assert any(one.finding == str(raised.value) for one in check(connection, schema).findings)
