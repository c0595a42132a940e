"""Users stay users whichever way feedback is stored, and users may be the items."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgplug.graph.bolt.connection import Connection
from kgplug.graph.check import check
from kgplug.graph.guessing.schema import guess_schema
from kgplug.graph.reading.reader import read_interactions
from kgplug.graph.schema import GraphSchema
from kgplug.recommenders.models.item_knn import ItemKNN
from tests.integration.helpers.sample_graphs import FILM_KEYS, FILMS, SHOP, build

REVERSED, FORWARD = "item_to_user", "user_to_item"


def join(connection: Connection, head: str, kind: str, tail: str, *, n_heads: int = 10, n_tails: int = 30) -> None:
    """Join nodes of two labels, or of one, so that each has several relationships."""
    connection.write(
        "UNWIND range(1, $heads) AS i UNWIND range(1, $tails) AS u WITH u, i WHERE (u * 2 + i) % 3 = 0 AND u <> i "
        f"MERGE (a:`{head}` {{id: i}}) MERGE (b:`{tail}` {{id: u}}) CREATE (a)-[:`{kind}`]->(b)",
        heads=n_heads,
        tails=n_tails,
    )


@pytest.mark.parametrize(
    ("head", "kind", "tail", "direction"),
    [
        ("Movie", "LIKED_BY", "User", REVERSED),
        ("Movie", "LIKED_BY", "Person", REVERSED),
        ("Product", "boughtBy", "Customer", REVERSED),
        ("Song", "PLAYEDBY", "Listener", REVERSED),
        ("Film", "RATING", "User", REVERSED),
        ("Book", "HAS_READER", "Person", REVERSED),
        ("Treatment", "USED", "Patient", REVERSED),
        ("Article", "VIEWS", "Account", REVERSED),
        ("User", "LIKED", "Movie", FORWARD),
        ("Person", "LIKES", "Movie", FORWARD),
        ("Thing", "BOUGHT", "Object", FORWARD),
        ("Student", "ENROLLED", "Course", FORWARD),
        ("Person", "MEMBER_OF", "Club", FORWARD),
        ("User", "RATED_BY_USER", "Movie", FORWARD),
    ],
)
def test_users_are_found_in_either_direction_of_the_feedback(
    connection: Connection, tmp_path: Path, head: str, kind: str, tail: str, direction: str
) -> None:
    join(connection, head, kind, tail)
    schema, text = guess_schema(connection)
    user, item = (tail, head) if direction == REVERSED else (head, tail)
    assert (schema.user.label, schema.item.label) == (user, item)
    assert schema.feedback[0].direction == direction
    assert ("direction =" in text) == (direction == REVERSED)
    (tmp_path / "kgplug.toml").write_text(text, encoding="utf-8")
    assert GraphSchema.load(tmp_path / "kgplug.toml") == schema
    rows = read_interactions(connection, schema)
    assert (rows.n_users, rows.n_items, rows.user_label) == (
        (30, 10, tail) if direction == REVERSED else (10, 30, head)
    )
    ItemKNN().fit(rows)
    assert not [one for one in check(connection, schema).findings if one.check == "feedback" and one.level == "error"]


@pytest.mark.parametrize(
    ("kind", "direction"),
    [("FOLLOWS", FORWARD), ("FRIENDS_WITH", FORWARD), ("LIKES", FORWARD), ("FOLLOWED_BY", REVERSED), ("关注", FORWARD)],
)
def test_feedback_between_people_is_offered(connection: Connection, kind: str, direction: str) -> None:
    join(connection, "Person", kind, "Person", n_heads=30)
    schema, text = guess_schema(connection)
    assert (schema.user.label, schema.item.label, schema.feedback[0].type) == ("Person", "Person", kind)
    assert schema.feedback[0].direction == direction
    assert "users and items are the same" in text
    rows = read_interactions(connection, schema)
    assert rows.n_users == rows.n_items == 30
    ItemKNN().fit(rows)


@pytest.mark.parametrize("kind", ["PARENT_OF", "CITES", "IS_A"])
def test_other_relationships_within_one_label_are_not_feedback_and_their_use_is_explained(
    connection: Connection, kind: str
) -> None:
    join(connection, "Person", kind, "Person", n_heads=30)
    _, text = guess_schema(connection)
    assert "No feedback found" in text
    assert f'write [[feedback]] with type = "{kind}"' in " ".join(text.replace("\n#", "").split())


@FILM_KEYS
def test_feedback_between_two_labels_comes_first_and_other_candidates_are_listed(connection: Connection) -> None:
    build(connection, FILMS)
    join(connection, "User", "FOLLOWS", "User", n_heads=9, n_tails=9)
    join(connection, "Movie", "SEEN_BY", "User", n_heads=12, n_tails=9)
    schema, text = guess_schema(connection)
    flat = " ".join(text.split())
    assert (schema.feedback[0].type, schema.feedback[0].direction) == ("RATED", FORWARD)
    assert '# [item] # label = "User" # key = "id" # [[feedback]] # type = "FOLLOWS"' in flat
    assert '# [[feedback]] # type = "SEEN_BY" # direction = "item_to_user"' in flat


def test_a_review_that_belongs_to_one_user_is_not_a_user(connection: Connection) -> None:
    connection.write(
        "UNWIND range(1, 60) AS i MERGE (u:User {id: i % 7}) MERGE (b:Business {id: i % 5}) "
        "CREATE (u)-[:WROTE]->(:Review {id: i})-[:REVIEWS]->(b)"
    )
    schema, text = guess_schema(connection)
    assert (schema.user.label, schema.item.label) == ("User", "Business")
    assert schema.feedback[0].pattern == "(user)-[:WROTE]->(:Review)-[:REVIEWS]->(item)"
    assert "each :Review belongs to one :User" in text


def test_referrals_between_customers_do_not_replace_their_purchases(connection: Connection) -> None:
    build(connection, SHOP)
    assert guess_schema(connection)[0].feedback[0].type == "BOUGHT"
