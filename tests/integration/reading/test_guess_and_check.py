"""A guessed schema loads again and can be trained on. A check reports the problems that block training."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.check import check
from kgplug.graph.contents import sample_properties
from kgplug.graph.guessing.schema import guess_schema
from kgplug.graph.reading.reader import read_interactions, read_knowledge
from kgplug.graph.schema import FeedbackSchema, GraphSchema, ItemSchema, KnowledgeSchema, UserSchema
from tests.integration.helpers.sample_graphs import (
    ENCYCLOPAEDIA,
    FILM_KEYS,
    FILMS,
    MUSIC,
    SHOP,
    build,
    films_without_the_constraint_on,
)


def guessed(connection: Connection, folder: Path) -> tuple[GraphSchema, str]:
    """Guess, and check that the file says the same as the schema, and comments every entry."""
    schema, text = guess_schema(connection)
    (folder / "kgplug.toml").write_text(text, encoding="utf-8")
    assert GraphSchema.load(folder / "kgplug.toml") == schema
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if " = " in line and not line.startswith("#"):
            assert lines[number - 1].startswith("# ")
    return schema, text


@FILM_KEYS
def test_ratings_times_keys_and_titles_of_a_film_club_are_guessed(connection: Connection, tmp_path: Path) -> None:
    build(connection, FILMS)
    schema, text = guessed(connection, tmp_path)
    assert schema == GraphSchema(
        user=UserSchema(label="User", key="id"),
        item=ItemSchema(label="Movie", key="id", title="title"),
        feedback=FeedbackSchema(type="RATED", rating="rating", timestamp="timestamp", like_threshold=4.0),
        knowledge=KnowledgeSchema(keys={"Actor": "id", "Genre": "id"}),
    )
    assert "has a unique constraint" in text
    assert "rating runs from 1 to 5" in text
    assert "# text on 12 of 12 sampled nodes, and its name fits a title." in text
    interactions, knowledge = read_interactions(connection, schema), read_knowledge(connection, schema)
    assert (interactions.n_users, interactions.n_items, knowledge.n_triples) == (9, 12, 24)


def test_a_shop_without_ratings_or_constraints_is_guessed(connection: Connection, tmp_path: Path) -> None:
    build(connection, SHOP)
    schema, text = guessed(connection, tmp_path)
    assert schema == GraphSchema(
        user=UserSchema(label="Customer", key="email"),
        item=ItemSchema(label="Product", key="sku", title="name"),
        feedback=FeedbackSchema(type="BOUGHT", timestamp="at"),
        knowledge=KnowledgeSchema(keys={"Category": "name"}),
    )
    assert "every relationship is a like" in text
    assert "without a constraint" in text
    assert read_interactions(connection, schema).timestamps is not None
    assert list(read_knowledge(connection, schema).relations) == ["PART_OF", "REFERRED"]


def test_a_music_service_with_spaces_dots_chinese_and_several_labels_per_node_is_guessed(
    connection: Connection, tmp_path: Path
) -> None:
    build(connection, MUSIC)
    schema, text = guessed(connection, tmp_path)
    assert (schema.user.label, schema.user.key) == ("听众", "id")
    assert schema.item == ItemSchema(label="Music Track", key="编号", title="歌名")
    assert schema.feedback == (FeedbackSchema(type="PLAYED", weight="count"),)
    assert "count runs from 1 to 4 (median 3): a higher count is a stronger sign" in text
    knowledge = read_knowledge(connection, schema)
    assert list(knowledge.relations) == ["WROTE", "演唱.by"]
    assert set(knowledge.entity_labels) == {"Music Track", "Artist", "Person"}


def test_a_graph_without_users_is_reported_and_allows_embeddings(connection: Connection, tmp_path: Path) -> None:
    build(connection, ENCYCLOPAEDIA)
    schema, text = guessed(connection, tmp_path)
    assert "No feedback found" in text
    assert schema.item == ItemSchema(label="Movie", key="id", title="title")
    assert schema.knowledge.keys["Person"] == "id"
    assert read_knowledge(connection, schema).n_triples == 18
    report = check(connection, schema)
    assert report.ok
    assert any("embeddings can be trained, recommenders cannot" in one.finding for one in report.findings)


@FILM_KEYS
def test_relationships_whose_ends_have_no_key_are_left_out_and_reported(connection: Connection, tmp_path: Path) -> None:
    build(connection, FILMS + "MATCH (m:Movie) WHERE m.id < 5 CREATE (m)-[:HAS]->(:Scene {length: 2})")
    schema, text = guessed(connection, tmp_path)
    assert schema.knowledge.relationships == ["ACTED_IN", "IN_GENRE"]
    assert "HAS: 4, (:Movie)-->(:Scene) (left out: an end has no key)" in text


@pytest.mark.parametrize(
    ("values", "like"),
    [((0.5, 3.0, 5.0), 4.0), ((1, 5, 10), 7.0), ((0, 1), 1.0), ((1,), None), ((10, 55, 100), 70.0), ((-1, 1), 1.0)],
)
def test_like_threshold_follows_the_rating_scale(
    connection: Connection, tmp_path: Path, values: tuple[float, ...], like: float | None
) -> None:
    connection.write(
        "UNWIND range(0, 30) AS i MERGE (u:User {id: i % 6}) MERGE (m:Movie {id: i % 7}) "
        "CREATE (u)-[:RATED {rating: $values[i % size($values)]}]->(m)",
        values=list(values),
    )
    assert guessed(connection, tmp_path)[0].feedback[0].like_threshold == like


def test_an_empty_database_is_refused(connection: Connection) -> None:
    with pytest.raises(DataError, match="Nothing to guess from"):
        guess_schema(connection)


@FILM_KEYS
def test_a_guess_ignores_what_kgplug_wrote(connection: Connection, tmp_path: Path) -> None:
    build(connection, FILMS)
    before, _ = guessed(connection, tmp_path)
    publish_by_hand(connection)
    assert guessed(connection, tmp_path)[0] == before
    connection.write("MATCH (m:Movie) SET m.kgplug_mkr_1 = [0.5, 0.25], m.seen = [1, 2]")
    assert set(sample_properties(connection, "(n:Movie)")) == {"id", "title", "year", "seen"}


@FILM_KEYS
def test_a_check_of_a_valid_graph_is_ok_and_counts_what_training_would_use(connection: Connection) -> None:
    build(connection, FILMS)
    publish_by_hand(connection)
    report = check(connection, guess_schema(connection)[0])
    found = {(one.check, one.level): [] for one in report.findings}
    for one in report.findings:
        found[one.check, one.level].append(one.finding)
    assert report.ok
    assert connection.server_version in found["server", "ok"][0]
    assert found["users", "ok"] == ["9 :User by id"]
    assert found["items", "ok"] == ["12 :Movie by id", "12 of 12 :Movie have a 'title'"]
    assert found["feedback", "ok"] == [
        "44 :RATED, 15 of them likes (rating >= 4)",
        "'timestamp' holds 44 numbers of seconds, from 1998-07-09T16:01:41 to 1998-07-09T16:13:30",
    ]
    assert found["feedback", "warning"] == ["1 of 9 :User has no feedback", "1 of 12 :Movie has no feedback"]
    assert found["knowledge", "ok"][:3] == [
        "12 :ACTED_IN",
        "12 :IN_GENRE",
        "24 triples; 12 of 12 :Movie have triples",
    ]
    assert found["kgplug's own", "ok"] == [
        "2 :RECOMMENDS, 1 :SIMILAR_TO, 1 :KgplugModel, 1 :KgplugRun; never used for training"
    ]
    frame = report.to_dataframe()
    assert list(frame.columns) == ["level", "finding"]
    assert frame.index.name == "check"


def test_a_check_reports_all_problems_at_once(connection: Connection) -> None:
    build(connection, films_without_the_constraint_on("Actor"))
    build(
        connection,
        """CREATE (:User {age: 3}); MATCH (a:Actor) WHERE a.id IN ['a1', 'a2'] SET a.id = 'same';
        MATCH (m:Movie {id: 1}) CREATE (m)-[:FILMED_IN]->(:Place {name: 'here'});
        MATCH (u:User {id: 1})-[r:RATED]->(:Movie {id: 3}) SET r.rating = 'good'""",
    )
    connection.write("MATCH (u:User {id: 9}) REMOVE u.id")
    report = check(
        connection,
        GraphSchema(
            feedback=FeedbackSchema(rating="rating", like_threshold=4), knowledge=KnowledgeSchema(keys={"Actor": "id"})
        ),
    )
    errors = [one.finding for one in report.findings if one.level == "error"]
    assert not report.ok
    assert any("2 of 10 :User nodes have no 'id'" in text for text in errors)
    assert any("1 of 44 :RATED relationships has no usable 'rating'" in text for text in errors)
    assert any("1 :Place among the triples has no key" in text for text in errors)
    assert any("'same'" in text and ":Actor" in text for text in errors)


def test_init_writes_no_key_that_is_never_used(connection: Connection, tmp_path: Path) -> None:
    build(
        connection,
        FILMS
        + """MATCH (a:Actor) WHERE a.id IN ['a1', 'a2'] SET a:Producer, a:Writer;
        MATCH (m:Movie {id: 1}) CREATE (m)<-[:WROTE]-(:Writer {id: 'w1'}), (m)<-[:WROTE]-(:Writer {id: 'w2'})""",
    )
    schema, text = guessed(connection, tmp_path)
    assert "Writer" in schema.knowledge.keys and "Producer" not in schema.knowledge.keys
    assert "# Producer: its nodes have another label with a key, which is used" in text
    assert findings(connection, schema, "error") == []
    assert not [text for text in findings(connection, schema, "warning") if "no entity" in text]


@FILM_KEYS
def test_a_check_counts_titles_and_lists_the_properties_if_there_are_none(connection: Connection) -> None:
    build(connection, FILMS)
    connection.write(
        "MATCH (m:Movie) WHERE m.id < 4 SET m.title = CASE m.id WHEN 1 THEN '' WHEN 2 THEN null ELSE 7 END"
    )

    def items(title: str | None) -> list[tuple[str, str]]:
        report = check(connection, GraphSchema(item=ItemSchema(title=title)))
        return [(one.level, one.finding) for one in report.findings if one.check == "items"][1:]

    assert items("title") == [("warning", "10 of 12 :Movie have a 'title'")]
    assert items(None) == [("ok", "no [item] title is set: lists show the key, and DKN has no text to read")]
    ((level, finding),) = items("titel")
    assert level == "error" and "Properties found: id, title, year. Set [item] title to one of them" in finding


def test_a_check_with_the_schema_of_another_graph_lists_what_exists(connection: Connection) -> None:
    build(connection, SHOP)
    report = check(connection, GraphSchema(user=UserSchema(label="Customer", key="mail")))
    errors = [one.finding for one in report.findings if one.level == "error"]
    assert not report.ok
    assert any("Properties found: email, name, since. Set [user] key" in text for text in errors)
    assert any("No :Movie nodes" in text and "Labels found: Product, Customer, Category" in text for text in errors)


def findings(connection: Connection, schema: GraphSchema, level: str) -> list[str]:
    return [one.finding for one in check(connection, schema).findings if one.level == level]


BAD_VALUES = {
    "infinite rating": ("rating", "1.0 / 0", "found Infinity between :User 1 and :Movie 3"),
    "negative infinity": ("rating", "-1.0 / 0", "found -Infinity"),
    "not a number": ("rating", "0.0 / 0", "found NaN"),
    "more than float32 holds": ("rating", "1e300", "found 1e+300"),
    "text": ("rating", "'good'", "found 'good'"),
    "list": ("rating", "[4]", "found [4]"),
    "no rating": ("rating", "null", "found no value"),
    "infinite time": ("timestamp", "1.0 / 0", "found Infinity"),
    "ISO text": ("timestamp", "'2024-01-31T10:00'", "found '2024-01-31T10:00'"),
    "time of day": ("timestamp", "time('10:00')", "expected a number since 1970 or a temporal value"),
    "milliseconds among seconds": ("timestamp", "900000000000", "expected numbers in one unit of time"),
}


@FILM_KEYS
@pytest.mark.parametrize(("name", "value", "message"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_a_check_reports_every_value_that_the_reader_refuses_with_the_same_sentence(
    connection: Connection, name: str, value: str, message: str
) -> None:
    build(connection, FILMS + f"MATCH (u:User {{id: 1}})-[r:RATED]->(:Movie {{id: 3}}) SET r.{name} = {value}")
    schema = GraphSchema(
        feedback=FeedbackSchema(rating="rating", timestamp="timestamp", like_threshold=4),
        knowledge=KnowledgeSchema(keys={"Actor": "id"}),
    )
    with pytest.raises(DataError) as caught:
        read_interactions(connection, schema)
    assert message in str(caught.value)
    assert findings(connection, schema, "error") == [str(caught.value)]
    if "Find them: " in str(caught.value):
        (row,) = connection.rows(str(caught.value).partition("Find them: ")[2])
        assert (row["user"]["id"], row["item"]["id"]) == (1, 3)


@FILM_KEYS
@pytest.mark.parametrize("value", ["true", "1.5", "'same'", "null", "[1]", "date('2024-01-01')"])
@pytest.mark.parametrize("label", ["User", "Movie", "Genre"])
def test_a_check_judges_keys_as_the_reader_does(connection: Connection, label: str, value: str) -> None:
    names = ("User_id", "Movie_id", "Genre_id")
    build(connection, FILMS)
    for row in connection.rows("SHOW CONSTRAINTS YIELD name"):
        connection.autocommit(f"DROP CONSTRAINT `{row['name']}`")
    connection.write(f"MATCH (n:{label}) WITH n ORDER BY n.id DESC LIMIT 2 SET n.id = {value}")
    schema = GraphSchema(knowledge=KnowledgeSchema(keys={"Actor": "id", "Genre": "id"}))
    refused = []
    for read in (read_interactions, read_knowledge):
        try:
            read(connection, schema)
        except DataError as error:
            refused.append(str(error))
    assert refused and set(findings(connection, schema, "error")) == set(refused), names


@FILM_KEYS
def test_a_check_reports_the_unit_and_the_range_of_times(connection: Connection) -> None:
    build(connection, FILMS)
    schema = GraphSchema(feedback=FeedbackSchema(timestamp="at"), knowledge=KnowledgeSchema(keys={"Actor": "id"}))
    for value, text in (
        ("1600000000000 + b.id", "44 numbers of milliseconds, from 2020-09-13T12:26:40.001 to 2020-09-13T12:26:40.011"),
        ("date('2024-01-31')", "44 dates, from 2024-01-31T00:00:00 to 2024-01-31T00:00:00"),
        ("CASE b.id WHEN 1 THEN datetime('2024-01-31T00:00:00Z') ELSE 1600000000 END",
         "4 dates and 40 numbers of seconds, from 2020-09-13T12:26:40 to 2024-01-31T00:00:00"),
    ):  # fmt: skip
        connection.write(f"MATCH (a:User)-[r:RATED]->(b:Movie) SET r.at = {value}")
        assert f"'at' holds {text}" in findings(connection, schema, "ok")


@FILM_KEYS
def test_a_check_reports_how_repeated_feedback_is_merged(connection: Connection) -> None:
    build(
        connection, FILMS + "MATCH (u:User {id: 1}), (m:Movie {id: 3}) UNWIND range(1, 9) AS i CREATE (u)-[:RATED]->(m)"
    )
    schema = GraphSchema(knowledge=KnowledgeSchema(keys={"Actor": "id"}))
    assert (
        "53 :RATED between 44 user-item pairs (up to 10 per pair; the rating is their number), 44 of them likes"
    ) in findings(connection, schema, "ok")


@FILM_KEYS
def test_a_check_after_a_publish_does_not_warn_about_what_kgplug_wrote(connection: Connection) -> None:
    build(connection, FILMS)
    schema = guess_schema(connection)[0]
    before = check(connection, schema).findings
    publish_by_hand(connection)
    after = check(connection, schema).findings
    assert [one for one in after if one.check != "kgplug's own"] == [
        one for one in before if one.check != "kgplug's own"
    ]
    assert "0 :" not in " ".join(one.finding for one in after)


def publish_by_hand(connection: Connection) -> None:
    build(
        connection,
        """MATCH (u:User {id: 1}), (m:Movie) WHERE m.id IN [2, 4]
        CREATE (u)-[:RECOMMENDS {model: 'MKR', run: 'mkr-1', rank: 1, score: 0.5}]->(m);
        MATCH (a:Movie {id: 1}), (b:Movie {id: 2}) CREATE (a)-[:SIMILAR_TO {model: 'MKR', run: 'mkr-1'}]->(b);
        CREATE (:KgplugModel {name: 'MKR'})-[:SERVES]->(:KgplugRun {id: 'mkr-1', model: 'MKR'})""",
    )
