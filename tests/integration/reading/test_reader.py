"""Feedback and triples come out of a real graph whole, and what cannot be trained on is refused with a sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.reading import bulk
from kgplug.graph.reading.bulk import BulkReader
from kgplug.graph.reading.reader import pull_interactions, pull_knowledge, read_interactions, read_knowledge
from kgplug.graph.schema import FeedbackSchema, GraphSchema, ItemSchema, KnowledgeSchema, UserSchema
from tests.integration.helpers.sample_graphs import (
    FILM_KEYS,
    FILMS,
    MUSIC,
    SHOP,
    build,
    films_without_the_constraint_on,
)

KEYS = {"Actor": "id", "Genre": "id"}
SCHEMA = GraphSchema(
    item=ItemSchema(title="title"),
    feedback=FeedbackSchema(rating="rating", timestamp="timestamp", like_threshold=4),
    knowledge=KnowledgeSchema(keys=KEYS),
)
READERS = {
    "whole types at once": {},
    "stepping through internal ids": {"chunk_rows": 5},
    "without internal ids": {"internal_ids": False},
    "streaming without internal ids": {"chunk_rows": 5, "internal_ids": False},
}


@FILM_KEYS
@pytest.mark.parametrize("how", READERS)
def test_every_way_of_reading_returns_the_rows_that_cypher_returns(connection: Connection, how: str) -> None:
    build(connection, FILMS)
    interactions, report = pull_interactions(connection, SCHEMA, bulk=BulkReader(connection, **READERS[how]))
    expected = connection.frame(
        "MATCH (u:User)-[r:RATED]->(m:Movie) RETURN u.id AS user, m.id AS item, r.rating AS rating, "
        "r.timestamp AS timestamp ORDER BY user, item"
    )
    pd.testing.assert_frame_equal(interactions.to_dataframe(), expected, check_dtype=False)
    assert interactions.ratings is not None
    assert interactions.ratings.dtype == np.float32
    assert list(interactions.user_keys) == list(range(1, 10))
    assert list(interactions.item_keys) == list(range(1, 13))
    assert (interactions.like_threshold, interactions.user_label, interactions.item_label) == (4, "User", "Movie")
    assert (report.kept, report.own, report.repeated, report.vanished) == (44, 0, 0, 0)

    knowledge, report = pull_knowledge(connection, SCHEMA, bulk=BulkReader(connection, **READERS[how]))
    triples = connection.frame(
        "MATCH (a)-[r:ACTED_IN|IN_GENRE]->(b) RETURN a.id AS head, type(r) AS relation, b.id AS tail"
    )
    assert sorted(map(str, knowledge.to_dataframe().itertuples(index=False, name=None))) == sorted(
        map(str, triples.itertuples(index=False, name=None))
    )
    assert dict(zip(*np.unique(knowledge.entity_labels.astype(str), return_counts=True), strict=True)) == {
        "Actor": 4,
        "Genre": 2,
        "Movie": 12,
    }
    assert report.kept == 24


@FILM_KEYS
def test_equal_graphs_built_in_another_order_give_equal_arrays(connection: Connection) -> None:
    build(connection, FILMS)
    first = read_interactions(connection, SCHEMA).fingerprint, read_knowledge(connection, SCHEMA).fingerprint
    build(
        connection,
        """MATCH (n:Movie {id: 3}) SET n.id = 99; MATCH (n:Movie {id: 4}) SET n.id = 3;
        MATCH (n:Movie {id: 99}) SET n.id = 4; MATCH (n:Movie) DETACH DELETE n; MATCH (n:Actor|Genre|User) DELETE n"""
        + FILMS[FILMS.rindex("REQUIRE n.id IS UNIQUE") + len("REQUIRE n.id IS UNIQUE") :],
    )
    assert (read_interactions(connection, SCHEMA).fingerprint, read_knowledge(connection, SCHEMA).fingerprint) == first


@FILM_KEYS
def test_what_kgplug_wrote_is_left_out_and_counted_and_the_users_types_of_that_name_are_read(
    connection: Connection,
) -> None:
    build(connection, FILMS)
    before = read_interactions(connection, SCHEMA).fingerprint, read_knowledge(connection, SCHEMA).fingerprint
    build(
        connection,
        """MATCH (u:User), (m:Movie {id: 12}) CREATE (u)-[:RECOMMENDS {model: 'X', run: 'r', rank: 1, score: 1.0}]->(m);
        MATCH (a:Movie {id: 1}), (b:Movie {id: 2}) CREATE (a)-[:SIMILAR_TO {model: 'X', run: 'r'}]->(b),
        (a)-[:PREDICTED {model: 'X', run: 'r'}]->(b);
        CREATE (:KgplugModel {name: 'X'})-[:SERVES]->(:KgplugRun {id: 'r', model: 'X'})
        -[:PREVIOUS]->(:KgplugRun {id: 'q', model: 'X'})""",
    )
    assert read_interactions(connection, SCHEMA).fingerprint == before[0]
    knowledge, report = pull_knowledge(connection, SCHEMA)
    assert knowledge.fingerprint == before[1]
    assert report.own == 9 + 2 + 2
    connection.write("MATCH (a:Movie {id: 3}), (b:Movie {id: 4}) CREATE (a)-[:SIMILAR_TO {by: 'an editor'}]->(b)")
    assert list(read_knowledge(connection, SCHEMA).relations) == ["ACTED_IN", "IN_GENRE", "SIMILAR_TO"]


LIVES_WITH = """MATCH (u:User {id: 1}), (g:Genre) CREATE (u)-[:LIVES_WITH]->(g), (g)-[:LIVES_WITH]->(u);
MATCH (a:Actor {id: 'a1'}), (b:Actor {id: 'a2'}) CREATE (a)-[:LIVES_WITH]->(b)"""


@FILM_KEYS
def test_users_with_more_than_feedback_are_entities(connection: Connection) -> None:
    build(connection, FILMS + LIVES_WITH)
    knowledge = read_knowledge(connection, SCHEMA)
    assert (knowledge.to_dataframe()["relation"] == "LIVES_WITH").sum() == 5
    users = knowledge.entity_labels == "User"
    assert knowledge.entity_keys[users].tolist() == [1]
    assert "RATED" not in knowledge.relations


@FILM_KEYS
def test_users_are_no_entities_with_users_false(connection: Connection) -> None:
    build(connection, FILMS + LIVES_WITH)
    part = SCHEMA.knowledge.model_copy(update={"users": False})
    knowledge = read_knowledge(connection, SCHEMA.model_copy(update={"knowledge": part}))
    assert (knowledge.to_dataframe()["relation"] == "LIVES_WITH").sum() == 1
    assert "User" not in set(knowledge.entity_labels)


@FILM_KEYS
def test_only_chosen_types_are_read_and_items_without_triples_are_entities(connection: Connection) -> None:
    build(connection, FILMS + "MATCH (m:Movie {id: 5}) DETACH DELETE m; CREATE (:Movie {id: 50})")
    knowledge = read_knowledge(
        connection, SCHEMA.model_copy(update={"knowledge": KnowledgeSchema(relationships=["IN_GENRE"], keys=KEYS)})
    )
    assert list(knowledge.relations) == ["IN_GENRE"]
    assert set(knowledge.entity_labels) == {"Genre", "Movie"}
    assert knowledge.entities_of(np.array([50, 5], dtype=object), label="Movie")[0] >= 0
    assert knowledge.entities_of(np.array([50, 5], dtype=object), label="Movie")[1] == -1


def test_a_node_goes_by_the_item_label_then_by_the_first_label_with_a_key_or_constraint(
    connection: Connection,
) -> None:
    build(connection, MUSIC + "CREATE CONSTRAINT FOR (n:Person) REQUIRE n.id IS UNIQUE")
    schema = GraphSchema(
        user=UserSchema(label="听众"),
        item=ItemSchema(label="Music Track", key="编号", title="歌名"),
        feedback=FeedbackSchema(type="PLAYED"),
        knowledge=KnowledgeSchema(keys={"Item": "编号", "Artist": "name"}),
    )
    knowledge = read_knowledge(connection, schema)
    assert set(zip(knowledge.entity_labels, knowledge.entity_keys, strict=True)) == {
        *(("Music Track", number) for number in range(1, 11)),
        *(("Artist", f"歌手{number}") for number in (1, 2, 3)),
        ("Person", 4),
        ("Person", 5),
    }


@FILM_KEYS
@pytest.mark.parametrize("how", READERS)
def test_titles_of_any_type_are_read_and_do_not_change_the_fingerprint(connection: Connection, how: str) -> None:
    build(connection, FILMS)
    bulk_reader = BulkReader(connection, **READERS[how])
    untitled = SCHEMA.model_copy(update={"item": ItemSchema()})
    plain, _ = pull_interactions(connection, untitled, bulk=bulk_reader)
    connection.write("MATCH (m:Movie {id: 1}) SET m.title = 1984")
    connection.write("MATCH (m:Movie {id: 2}) SET m.title = ['Léon', 'The Professional']")
    connection.write("MATCH (m:Movie {id: 3}) REMOVE m.title")
    connection.write("MATCH (m:Movie {id: 4}) SET m.title = ' '")
    titled, _ = pull_interactions(connection, SCHEMA, bulk=bulk_reader)
    assert plain.item_texts is None and titled.item_texts is not None
    assert titled.item_texts.tolist() == [
        *("1984", "Léon The Professional", "", ""),
        *(f"Film {number}" for number in range(5, 13)),
    ]
    assert titled.fingerprint == plain.fingerprint


@FILM_KEYS
def test_the_latest_of_several_ratings_of_a_film_is_kept(connection: Connection) -> None:
    build(connection, FILMS)
    connection.write(
        "MATCH (u:User {id: 1}), (m:Movie {id: 1}) CREATE (u)-[:RATED {rating: 2.5, timestamp: 1900000000}]->(m)"
    )
    interactions, report = pull_interactions(connection, SCHEMA)
    assert interactions.to_dataframe().query("user == 1 and item == 1")["rating"].tolist() == [2.5]
    assert (report.kept, report.repeated) == (44, 1)


@FILM_KEYS
def test_feedback_on_other_labels_is_not_read(connection: Connection) -> None:
    build(connection, FILMS + "MATCH (u:User {id: 1}), (a:Actor) CREATE (u)-[:RATED {rating: 5, timestamp: 1}]->(a)")
    assert len(read_interactions(connection, SCHEMA)) == 44


@FILM_KEYS
@pytest.mark.parametrize("change", ["delete", "create"])
def test_nodes_that_are_added_or_deleted_during_a_read_do_no_harm(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    build(connection, FILMS)
    read_label, read_edges = BulkReader.label, BulkReader.edges

    def changed() -> None:
        if change == "delete":
            connection.write("MATCH (n:Movie|Actor|User) WHERE n.id IN [1, 'a2'] DETACH DELETE n")
        else:
            connection.write("MERGE (u:User {id: 77})-[:RATED {rating: 1, timestamp: 1}]->(m:Movie {id: 77})")

    def edges(self: BulkReader, *arguments: object) -> bulk.Edges:
        """Change the graph after the users and items were read, before their feedback is."""
        changed()
        return read_edges(self, *arguments)  # type: ignore[arg-type]

    def label(self: BulkReader, *arguments: object, **options: object) -> bulk.Nodes:
        """Change the graph after the triples were read, before their nodes are."""
        changed()
        return read_label(self, *arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(BulkReader, "edges", edges)
        interactions, report = pull_interactions(connection, SCHEMA)
    assert (report.kept, report.vanished) == ((35, 0) if change == "delete" else (44, 1))
    assert 1 in interactions.user_keys and 77 not in interactions.user_keys
    monkeypatch.setattr(BulkReader, "label", label)
    if change == "delete":
        build(connection, "MATCH (n) WHERE NOT n:User DETACH DELETE n; MATCH (n:User) DETACH DELETE n")
        build(connection, FILMS[FILMS.rindex("IS UNIQUE") + len("IS UNIQUE") :])
    knowledge, report = pull_knowledge(connection, SCHEMA)
    assert report.kept + report.vanished == 24
    assert (report.vanished > 0) == (change == "delete")
    assert knowledge.triples.max() < knowledge.n_entities


REFUSALS = {
    "unknown label": ("", {"user": {"label": "Client"}}, r"No :Client nodes .* Labels found: Movie, User, .*\[user\]"),
    "unknown type": ("", {"feedback": {"type": "SAW"}}, r"No :SAW relationships .*Types found: RATED.*\[feedback\]"),
    "unknown rating": (
        "",
        {"feedback": {"rating": "stars"}},
        r"No :RATED relationship has the property 'stars'. Properties found: rating, timestamp",
    ),
    "unknown key": ("", {"user": {"key": "uid"}}, r"No :User node has the property 'uid'. Properties found: age, id"),
    "unknown title": (
        "",
        {"item": {"title": "titel"}},
        r"No :Movie node has the property 'titel'. Properties found: id, title, year. Set \[item\] title",
    ),
    "missing keys": (
        "MATCH (n:User) WHERE n.id > 7 REMOVE n.id",
        {},
        r"2 of 9 :User nodes have no 'id'\. Their elementIds: 4:.*\{age: 20\}",
    ),
    "repeated keys": ("", {"user": {"key": "age"}}, r"4 values of 'age' are on more than one :User node \(e.g. 2"),
    "key of a type that is none": (
        "MATCH (n:User) SET n.born = date('2000-01-01') + duration({days: n.id})",
        {"user": {"key": "born"}},
        r"The key 'born' of :User must be an integer or text, found neo4j.time.Date\(2000, 1",
    ),
    "feedback that joins others": (
        "",
        {"item": {"label": "Actor"}},
        r"No feedback: MATCH \(a:`User`\)-\[r:`RATED`\]->\(b:`Actor`\).* gives 0.*connects \(:User\)-->\(:Movie\)",
    ),
    "rating that is no number": (
        "MATCH (:User {id: 1})-[r:RATED]->() SET r.rating = 'good'",
        {},
        r"6 of 44 :RATED relationships have no usable 'rating': expected a number or a boolean, found 'good'",
    ),
    "missing time": (
        "MATCH (:User {id: 1})-[r:RATED]->() REMOVE r.timestamp",
        {},
        r"6 of 44 .* no usable 'timestamp': expected a number since 1970 or a temporal value, found no value",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_feedback_that_cannot_be_trained_on_is_refused(connection: Connection, case: str) -> None:
    change, settings, message = REFUSALS[case]
    build(connection, films_without_the_constraint_on("User") + change)
    content = SCHEMA.model_dump()
    for part, values in settings.items():
        content[part] |= values
    with pytest.raises(DataError, match=message):
        read_interactions(connection, GraphSchema.model_validate(content))


def test_triples_that_cannot_be_trained_on_are_refused(connection: Connection) -> None:
    build(connection, films_without_the_constraint_on("Actor"))

    def knowledge(**settings: object) -> KnowledgeSchema:
        return KnowledgeSchema.model_validate({"keys": {"Actor": "id"}} | settings)

    def refused(message: str, part: KnowledgeSchema) -> None:
        with pytest.raises(DataError, match=message):
            read_knowledge(connection, SCHEMA.model_copy(update={"knowledge": part}))

    refused(r"No :PLAYS relationships .* Types found: RATED, ACTED_IN, IN_GENRE", knowledge(relationships=["PLAYS"]))
    refused(
        r"No triples .* \(RATED\)\. .*RATED, but all of it is the feedback, .* types, or to \[\] for all types\.",
        knowledge(relationships=["RATED"]),
    )
    refused(r"4 nodes .* without a key: :Actor. .*Properties of :Actor: id, name", KnowledgeSchema())
    connection.write("MATCH (a:Actor {id: 'a2'}) SET a.id = 'a1'")
    refused(r"1 value of 'id' is on more than one :Actor node \(e.g. 'a1'\).*\[knowledge.keys\] Actor", knowledge())
    connection.write("MATCH (a:Actor) WHERE a.name ENDS WITH '2' REMOVE a.id")
    refused(r"1 of 4 :Actor nodes has no 'id'\. Their elementIds: 4:.*\{name: Actor 2\}", knowledge())


@pytest.mark.parametrize("users", [True, False])
def test_a_type_that_touches_only_users_is_knowledge_unless_users_are_false(
    connection: Connection, users: bool
) -> None:
    build(
        connection,
        SHOP + "MATCH ()-[r:PART_OF|REFERRED]->() DELETE r; MATCH (a:Customer {email: 'c1@mail'}), "
        "(p:Product {sku: 'P-1'}) CREATE (p)-[:REFERRED]->(a)-[:REFERRED]->(p)",
    )
    schema = GraphSchema(
        user=UserSchema(label="Customer", key="email"),
        item=ItemSchema(label="Product", key="sku"),
        feedback=FeedbackSchema(type="BOUGHT"),
        knowledge=KnowledgeSchema(users=users),
    )
    if users:
        assert read_knowledge(connection, schema).n_triples == 2
        return
    with pytest.raises(DataError, match=r"No triples .* Set users = true under \[knowledge\] to learn from"):
        read_knowledge(connection, schema)
