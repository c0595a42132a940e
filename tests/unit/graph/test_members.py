"""Conditions on users and items as parts of queries, and the identity of a tenant's graph."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kgplug.cypher_variables import FROM_USER, with_variable
from kgplug.data.graph_identity import GraphIdentity
from kgplug.graph import queries
from kgplug.graph.members import condition_on, is_outside, item_node, members_of, user_node
from kgplug.graph.schema import GraphSchema, ItemSchema, UserSchema

NORTH = GraphSchema(user=UserSchema(where="user.tenant = 'north'"), item=ItemSchema(where="item.tenant = 'north'"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user.user = 'user' AND user:user", "x.user = 'user' AND x:user"),
        (
            "EXISTS { (user)-[x:IN {user: user.id}]->(n:Tenant) WHERE n.user = 1 }",
            "EXISTS { (x)-[kgplug_where_x:IN {user: x.id}]->(kgplug_where_n:Tenant) WHERE kgplug_where_n.user = 1 }",
        ),
        ("any(t IN user.tags WHERE t = 'user')", "any(kgplug_where_t IN x.tags WHERE kgplug_where_t = 'user')"),
        (
            "COUNT { MATCH p = (user)--(n) WITH n AS m RETURN m } > 2",
            "COUNT { MATCH kgplug_where_p = (x)--(kgplug_where_n) WITH kgplug_where_n AS kgplug_where_m "
            "RETURN kgplug_where_m } > 2",
        ),
        (
            "(user.a) > 1 AND (NOT (true)) AND user.`user` IN [$user]",
            "(x.a) > 1 AND (NOT (true)) AND x.`user` IN [$user]",
        ),
    ],
)
def test_a_condition_is_about_any_variable_and_captures_none(text: str, expected: str) -> None:
    assert with_variable(text, "user", "x") == expected


def test_a_schema_without_conditions_gives_the_patterns_of_earlier_versions() -> None:
    plain = GraphSchema()
    assert (user_node(plain, "a"), item_node(plain, "")) == ("(a:`User`)", "(:`Movie`)")
    assert condition_on(plain.user, "a") == members_of(plain, "Movie", "n") == is_outside(plain, "n") == ""
    assert NORTH.without_conditions() == plain and "where" not in plain.model_dump()["user"]


def test_conditions_stand_in_patterns_with_a_mark() -> None:
    assert user_node(NORTH, "a") == f"(a:`User` WHERE {FROM_USER} a.tenant = 'north')"
    assert members_of(NORTH, "Movie", "n") == f"(coalesce({FROM_USER} n.tenant = 'north', false))"
    assert members_of(NORTH, "Genre", "n") == ""
    outside = is_outside(NORTH, "n")
    assert outside.startswith("(n:`User`|`Movie` AND NOT (") and outside.count(FROM_USER) == 2


def test_if_users_are_items_a_node_is_left_out_only_if_both_conditions_leave_it_out() -> None:
    one = GraphSchema(user=UserSchema(label="P", where="user.buys"), item=ItemSchema(label="P"))
    assert is_outside(one, "n") == members_of(one, "P", "n") == ""
    both = one.model_copy(update={"item": ItemSchema(label="P", where="item.sells")})
    assert " OR " in members_of(both, "P", "n") and is_outside(both, "n").startswith("(n:`P` AND NOT (")


@pytest.mark.parametrize("name", ["recommend", "similar", "explain", "popular_unseen"])
def test_shipped_queries_that_read_have_the_conditions(name: str) -> None:
    assert queries.load(name, NORTH).count(FROM_USER) >= 2
    assert FROM_USER not in queries.load(name, GraphSchema()) and "another tenant" not in queries.load(
        name, GraphSchema()
    )


@pytest.mark.parametrize("name", ["schema", "load_nodes", "load_relationships"])
def test_shipped_queries_that_write_have_no_conditions(name: str) -> None:
    assert FROM_USER not in queries.load(name, NORTH)


def test_tenants_of_one_database_are_different_graphs() -> None:
    south = NORTH.model_copy(update={"user": UserSchema(where="user.tenant = 'south'")})
    here, other, everybody = (
        GraphIdentity.of_schema(schema.model_dump(), store="S") for schema in (NORTH, south, NORTH.without_conditions())
    )
    assert here.same_graph(here) and not here.same_graph(other) and not here.same_graph(everybody)
    assert not other.same_graph(here) and not everybody.same_graph(here)
    unknown = replace(here, user_where=None, item_where=None)
    assert unknown.same_graph(other) and here.same_graph(unknown)
    assert "where user.tenant = 'north' and item.tenant = 'north'" in str(here)
    stored = {"graph": here.to_dict(), "schema": NORTH.model_dump()}
    assert here.same_graph(GraphIdentity.of_run(stored)) and not other.same_graph(GraphIdentity.of_run(stored))
    assert everybody.same_graph(GraphIdentity.of_run({"schema": GraphSchema().model_dump()}))
