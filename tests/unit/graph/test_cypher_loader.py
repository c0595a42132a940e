"""Quoting of identifiers, and the shipped queries under another schema's names."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgplug.errors import UsageError
from kgplug.graph import queries
from kgplug.graph.schema import DEMO_SCHEMA, FeedbackSchema, GraphSchema, ItemSchema, UserSchema

IDENTIFIERS = st.text(min_size=1).filter(lambda text: "\0" not in text)

QUERY = """// Purpose: an example
MATCH (user:`User` {`id`: $user})-[rated:`RATED`]->(other_item:`Movie`)
WHERE rated.`rating` >= 4 AND user.`id` <> 0 AND other_item.`released` > 1990
RETURN other_item.`title`, rated.`timestamp`"""


@given(IDENTIFIERS)
def test_a_quoted_identifier_is_one_backticked_token_that_decodes_to_itself(identifier: str) -> None:
    quoted = queries.quote(identifier)
    assert re.fullmatch(r"`(?:[^`]|``)+`", quoted)
    assert quoted[1:-1].replace("``", "`").replace("\\u005C", "\\") == identifier
    assert not re.search(r"\\(?!u005C)", quoted)  # Cypher decodes no other character


@pytest.mark.parametrize("identifier", ["", "a\0b"])
def test_an_identifier_that_no_database_can_have_is_refused(identifier: str) -> None:
    with pytest.raises(UsageError, match="cannot be a label"):
        queries.quote(identifier)


def test_the_demo_schema_does_not_change_a_query() -> None:
    assert queries.render(QUERY, DEMO_SCHEMA) == QUERY


@given(st.lists(IDENTIFIERS, min_size=8, max_size=8))
def test_every_name_of_a_schema_is_inserted_quoted_and_not_replaced_again(names: list[str]) -> None:
    user, user_key, item, item_key, title, rated, rating, timestamp = names
    schema = GraphSchema(
        user=UserSchema(label=user, key=user_key),
        item=ItemSchema(label=item, key=item_key, title=title),
        feedback=FeedbackSchema(type=rated, rating=rating, timestamp=timestamp, like_threshold=4),
    )
    quote = queries.quote
    assert queries.render(QUERY, schema) == (
        "// Purpose: an example\n"
        f"MATCH (user:{quote(user)} {{`id`: $user}})-[rated:{quote(rated)}]->(other_item:{quote(item)})\n"
        f"WHERE rated.{quote(rating)} >= 4 AND user.{quote(user_key)} <> 0 AND other_item.`released` > 1990\n"
        f"RETURN other_item.{quote(title)}, rated.{quote(timestamp)}"
    )


def test_feedback_stored_from_items_to_users_reverses_its_arrows_only() -> None:
    schema = GraphSchema(feedback=FeedbackSchema(type="LIKED_BY", direction="item_to_user"))
    text = "(user:`User`)-[:`RATED`]->(item:`Movie`)<-[rated:`RATED`]-()-[:RECOMMENDS]->(item)-[:`RATED`]-()"
    assert queries.render(text, schema) == (
        "(user:`User`)<-[:`LIKED_BY`]-(item:`Movie`)-[rated:`LIKED_BY`]->()-[:RECOMMENDS]->(item)-[:`LIKED_BY`]-()"
    )
    assert queries.feedback_arrow(schema.feedback[0], "r") == "<-[r:`LIKED_BY`]-"


def test_every_feedback_pattern_of_the_shipped_queries_is_reversed() -> None:
    schema = GraphSchema(feedback=FeedbackSchema(direction="item_to_user"))
    arrow = re.compile(r"(<?-\[\w*:`RATED`\]->?)")
    for name in queries.names():
        before, after = (arrow.findall(text) for text in (queries.load(name), queries.load(name, schema)))
        assert [one.endswith(">") for one in before] == [one.startswith("<") for one in after]


def test_an_item_without_a_title_shows_its_key_and_feedback_without_a_rating_gives_null() -> None:
    rendered = queries.render(QUERY, GraphSchema(item=ItemSchema(label="Film", key="isbn")))
    assert "RETURN other_item.`isbn`, null" in rendered
    assert "WHERE null >= 4" in rendered


def test_the_error_for_an_unknown_query_names_the_nearest_one() -> None:
    with pytest.raises(UsageError, match='Did you mean "schema"'):
        queries.load("shema")


def test_every_shipped_query_loads_by_name_with_or_without_its_ending_and_says_its_purpose() -> None:
    assert queries.names()
    for name in queries.names():
        assert queries.load(name) == queries.load(f"{name}.cypher")
        assert queries.purpose(name)
