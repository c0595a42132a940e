"""Knowledge is all except the feedback, what repeats it and what belongs to one user. What is left out is reported."""

from __future__ import annotations

import logging

import pytest

from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.check import check
from kgplug.graph.contents import read_contents
from kgplug.graph.reading.leakage import find_owned
from kgplug.graph.reading.reader import pull_knowledge, read_knowledge
from kgplug.graph.schema import FeedbackSchema, GraphSchema, KnowledgeSchema
from tests.integration.helpers.sample_graphs import build

PURCHASES = """
UNWIND range(1, 60) AS u UNWIND range(1, 40) AS i WITH u, i WHERE (u * 7 + i * 3) % 11 < 2
MERGE (a:User {id: u}) MERGE (b:Product {id: i}) CREATE (a)-[:BOUGHT]->(b);
MATCH (p:Product) MERGE (t:Tag {id: p.id % 5}) CREATE (p)-[:HAS_TAG]->(t);
MATCH (u:User) MERGE (c:City {id: u.id % 5}) CREATE (u)-[:LIVES_IN]->(c);
"""
BASKETS = """
MATCH (u:User)-[:BOUGHT]->(p) CREATE (u)-[:PLACED]->(o:Order {id: u.id * 100 + p.id})-[:ORDERS]->(p)
CREATE (o)-[:SHIPPED_TO]->(:Address {id: u.id * 100 + p.id});
MATCH (o:Order) MERGE (s:Status {id: o.id % 2}) CREATE (o)-[:HAS_STATUS]->(s);
"""
KEYS = dict.fromkeys(["Order", "Line", "Tag", "City", "Address", "Status", "Cart", "Post", "Invite"], "id")
SHOP = GraphSchema.model_validate(
    {"item": {"label": "Product"}, "feedback": {"type": "BOUGHT"}, "knowledge": {"keys": KEYS}}
)
FOLLOWS = """
UNWIND range(0, 39) AS a UNWIND range(0, 39) AS b WITH a, b WHERE a <> b AND (a * 13 + b * 7) % 4 = 0
MERGE (p:Person {id: a}) MERGE (q:Person {id: b}) CREATE (p)-[:FOLLOWS]->(q);
MATCH (p:Person) MERGE (t:Tag {id: p.id % 5}) MERGE (p)-[:HAS_TAG]->(t);
"""
PEOPLE = GraphSchema.model_validate(
    {
        "user": {"label": "Person"},
        "item": {"label": "Person"},
        "feedback": {"type": "FOLLOWS"},
        "knowledge": {"keys": KEYS},
    }
)


def with_knowledge(schema: GraphSchema, **settings: object) -> GraphSchema:
    part = KnowledgeSchema.model_validate(schema.knowledge.model_dump() | settings)
    return schema.model_copy(update={"knowledge": part})


def relations(connection: Connection, schema: GraphSchema) -> set[str]:
    return set(read_knowledge(connection, schema).relations)


def warnings_of(connection: Connection, schema: GraphSchema) -> str:
    return "\n".join(one.finding for one in check(connection, schema).findings if one.level == "warning")


@pytest.mark.parametrize("stored", ["out", "in"])
def test_orders_of_one_user_are_not_knowledge_but_shared_nodes_are(connection: Connection, stored: str) -> None:
    turned = BASKETS.replace("-[:PLACED]->", "<-[:PLACED_BY]-").replace("-[:ORDERS]->", "<-[:IN_ORDER]-")
    build(connection, PURCHASES + (BASKETS if stored == "out" else turned))
    knowledge, report = pull_knowledge(connection, SHOP)
    assert set(knowledge.relations) == {"HAS_TAG", "LIVES_IN"}
    assert "Order" not in set(knowledge.entity_labels)
    start = "436 :Order nodes each belong to one :User and lead to :Product"
    assert any(text.startswith(start) for text in report.left_out)
    assert [(one.label, one.n) for one in find_owned(connection, SHOP, read_contents(connection))] == [("Order", 436)]
    assert any("436 :Order nodes each belong to one :User" in one.finding for one in check(connection, SHOP).findings)


def test_the_lines_of_orders_also_belong_to_one_user(connection: Connection) -> None:
    build(
        connection,
        PURCHASES
        + "MATCH (u:User)-[:BOUGHT]->(p) WITH u, collect(p) AS all CREATE (u)-[:PLACED]->(o:Order {id: u.id}) "
        "WITH u, o, all UNWIND all AS p CREATE (o)-[:HAS]->(:Line {id: u.id * 100 + p.id})-[:OF]->(p)",
    )
    knowledge, report = pull_knowledge(connection, SHOP)
    assert set(knowledge.relations) == {"HAS_TAG", "LIVES_IN"}
    assert any(":Line nodes each belong to one :Order, so to one user" in text for text in report.left_out)
    assert relations(connection, with_knowledge(SHOP, include=["Order", "Line"])) == {
        *("HAS_TAG", "LIVES_IN", "PLACED", "HAS", "OF")
    }


GIFTS = BASKETS + (";MATCH (o:Order) MATCH (u:User {id: toInteger(o.id / 100) % 60 + 1}) CREATE (o)-[:SHIPPED_TO]->(u)")
GUESTS = ";UNWIND range(1, 900) AS g MATCH (p:Product {id: g % 40 + 1}) CREATE (:Order {id: -g})-[:ORDERS]->(p)"
LINES = """
MATCH (u:User)-[:BOUGHT]->(p) MERGE (u)-[:PLACED]->(o:Order {id: u.id})
CREATE (o)-[:HAS]->(:Line {id: u.id * 100 + p.id})-[:OF]->(p);
UNWIND range(1, 900) AS g MATCH (p:Product {id: g % 40 + 1})
CREATE (:Order {id: -g})-[:HAS]->(:Line {id: -g})-[:OF]->(p)
"""


@pytest.mark.parametrize(
    ("orders", "named"),
    [
        (GIFTS, "436 :Order lead from :User to :Product; 436 of these 436 paths match the feedback (:BOUGHT)"),
        (BASKETS + GUESTS, "1,336 :Order lead from :User to :Product; 436 of these 436 paths match"),
        (LINES, ":Line nodes each belong to one :Order, so to one user"),
        (BASKETS + "MATCH (u:User)-[:PLACED]->(o) WHERE u.id > 2 DETACH DELETE o", " :Order lead from :User"),
    ],
    ids=["gifts of two users", "guests' orders among the users'", "lines of guests' orders", "orders of two users"],
)
def test_orders_of_few_users_or_guests_are_not_knowledge(connection: Connection, orders: str, named: str) -> None:
    build(connection, PURCHASES + orders)
    knowledge, report = pull_knowledge(connection, SHOP)
    assert set(knowledge.relations) == {"HAS_TAG", "LIVES_IN"}
    assert any(named in text for text in report.left_out)
    assert any(named in one.finding for one in check(connection, SHOP).findings)
    assert "PLACED" in relations(connection, with_knowledge(SHOP, include=["Order", "Line"]))


def test_nodes_of_few_users_that_lead_to_other_items_are_knowledge(connection: Connection) -> None:
    build(
        connection,
        PURCHASES + "MATCH (p:Product) MERGE (c:City {id: p.id % 20 + 10}) CREATE (p)-[:MADE_IN]->(c);"
        "MATCH (u:User) MATCH (c:City {id: u.id * 3 % 20 + 10}) CREATE (u)-[:BORN_IN]->(c)",
    )
    assert relations(connection, SHOP) == {"HAS_TAG", "LIVES_IN", "MADE_IN", "BORN_IN"}


def test_nodes_that_belong_to_one_user_through_many_steps_are_not_knowledge(connection: Connection) -> None:
    keys = dict.fromkeys(["A", "B", "C", "D", "E", "F"], "id")
    build(
        connection,
        PURCHASES + "MATCH (u:User) CREATE (u)-[:HAS]->(:A {id: u.id})-[:HAS]->(:B {id: u.id})-[:HAS]->(:C {id: u.id})"
        "-[:HAS]->(:D {id: u.id})-[:HAS]->(:E {id: u.id})-[:HAS]->(f:F {id: u.id}) "
        "WITH u, f MATCH (u)-[:BOUGHT]->(p) CREATE (f)-[:HAS]->(p)",
    )
    assert relations(connection, with_knowledge(SHOP, keys=KEYS | keys)) == {"HAS_TAG", "LIVES_IN"}


def test_orders_can_be_included_by_their_label(connection: Connection) -> None:
    build(connection, PURCHASES + BASKETS)
    schema = with_knowledge(SHOP, include=["Order"])
    assert {"PLACED", "ORDERS", "HAS_STATUS"} <= relations(connection, schema)
    assert "include" not in warnings_of(connection, schema)


def test_nodes_of_one_user_that_lead_to_no_item_are_knowledge(connection: Connection) -> None:
    build(connection, PURCHASES + "MATCH (u:User) CREATE (u)-[:LIVES_AT]->(:Address {id: u.id})")
    assert "LIVES_AT" in relations(connection, SHOP)


def test_only_types_that_do_not_repeat_the_feedback_are_knowledge(connection: Connection) -> None:
    build(
        connection,
        PURCHASES + "MATCH (u:User)-[:BOUGHT]->(p) CREATE (u)-[:VIEWED]->(p);"
        "MATCH (u:User), (p:Product) WHERE (u.id + p.id) % 7 = 0 CREATE (u)-[:VIEWED]->(p);"
        "MATCH (u:User), (p:Product) WHERE (u.id * 3 + p.id) % 9 = 0 CREATE (u)-[:SAW_AD]->(p)",
    )
    assert relations(connection, SHOP) == {"HAS_TAG", "LIVES_IN", "SAW_AD"}
    named = with_knowledge(SHOP, relationships=["VIEWED", "HAS_TAG"])
    assert relations(connection, named) == {"HAS_TAG"}
    assert "relationships has VIEWED, but all of it repeats the feedback" in warnings_of(connection, named)
    assert "VIEWED" in relations(connection, with_knowledge(SHOP, include=["VIEWED"]))


@pytest.mark.parametrize("named", [[], ["FOLLOWS", "HAS_TAG"]])
def test_feedback_between_people_is_not_knowledge_even_if_named(connection: Connection, named: list[str]) -> None:
    build(connection, FOLLOWS)
    schema = with_knowledge(PEOPLE, relationships=named)
    assert relations(connection, schema) == {"HAS_TAG"}
    if named:
        assert "FOLLOWS, but all of it is the feedback, which is never" in warnings_of(connection, schema)
    turned = schema.model_copy(update={"feedback": FeedbackSchema(type="FOLLOWS", direction="item_to_user")})
    assert relations(connection, turned) == {"HAS_TAG"}


def test_invitations_and_mirrors_of_feedback_between_people_are_not_knowledge(connection: Connection) -> None:
    build(
        connection,
        FOLLOWS + "MATCH (p:Person)-[:FOLLOWS]->(q) CREATE (q)-[:FOLLOWED_BY]->(p);"
        "MATCH (p:Person)-[:FOLLOWS]->(q) CREATE (p)-[:SENT]->(:Invite {id: p.id * 100 + q.id})-[:TO]->(q);"
        "MATCH (p:Person) CREATE (p)-[:WROTE]->(:Post {id: p.id});"
        "MATCH (p:Person), (t:Post) WHERE (p.id * 3 + t.id) % 10 = 1 CREATE (p)-[:READ]->(t)",
    )
    assert relations(connection, PEOPLE) == {"HAS_TAG", "WROTE", "READ"}


def test_the_feedback_type_between_other_labels_is_knowledge(connection: Connection) -> None:
    build(connection, PURCHASES + "MATCH (p:Product), (t:Tag {id: 1}) WHERE p.id < 5 CREATE (p)-[:BOUGHT]->(t)")
    knowledge = read_knowledge(connection, SHOP)
    assert (knowledge.to_dataframe()["relation"] == "BOUGHT").sum() == 4


def test_settings_without_effect_are_reported_by_check_and_in_the_log(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    build(connection, PURCHASES + BASKETS + "CREATE (:Cart {id: 1})")
    schema = with_knowledge(
        SHOP,
        relationships=["HAS_TAG", "LIVES_IN", "PLACED", "BOUGHT"],
        keys={**dict.fromkeys(["Tag", "City", "Cart", "Nope"], "id")},
        include=["Tag", "Nothing"],
        users=False,
    )
    expected = [
        "relationships has LIVES_IN, but all of it touches users (users = false).",
        "relationships has PLACED, but all of it touches nodes that belong to one user each.",
        "relationships has BOUGHT, but all of it is the feedback, which is never knowledge.",
        "[knowledge.keys] has Nope, but no node has this label.",
        "[knowledge.keys] has Cart, but no entity is identified by that label.",
        "[knowledge] include has Tag, which is read anyway.",
        "[knowledge] include has Nothing, which is neither a label nor a type.",
    ]
    text = warnings_of(connection, schema)
    assert [line for line in expected if line not in text] == []
    with caplog.at_level(logging.WARNING, "kgplug"):
        read_knowledge(connection, schema)
    assert [line for line in expected if line not in caplog.text] == []


def test_the_error_for_a_graph_of_feedback_only_says_what_to_add(connection: Connection) -> None:
    build(connection, "UNWIND range(1, 9) AS i CREATE (:User {id: i})-[:BOUGHT]->(:Product {id: i})")
    with pytest.raises(
        DataError, match=r"No triples .*The only relationships are feedback \(:BOUGHT\)\. Add relationships between"
    ):
        read_knowledge(connection, SHOP)


def test_a_graph_without_items_has_triples_and_is_reported(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    build(connection, "UNWIND range(1, 9) AS i CREATE (:A {id: i})-[:TO]->(:A {id: i + 10})")
    with caplog.at_level(logging.WARNING, "kgplug"):
        knowledge = read_knowledge(connection, GraphSchema.model_validate({"knowledge": {"keys": {"A": "id"}}}))
    assert (knowledge.n_triples, set(knowledge.entity_labels)) == (9, {"A"})
    assert "[item] label is Movie, but no node has this label" in caplog.text


MOVIES = """
UNWIND range(1, 40) AS m CREATE (:Movie {title: 'm' + m});
UNWIND range(1, 90) AS p CREATE (:Person {name: 'p' + p});
MATCH (p:Person), (m:Movie) WHERE (toInteger(substring(p.name, 1)) * 7 + toInteger(substring(m.title, 1))) % 23 = 0
CREATE (p)-[:ACTED_IN]->(m);
MATCH (p:Person), (m:Movie) WHERE toInteger(substring(p.name, 1)) > 80
AND (toInteger(substring(p.name, 1)) + toInteger(substring(m.title, 1))) % 5 = 0
CREATE (p)-[:REVIEWED {rating: 70}]->(m);
MATCH (p:Person {name: 'p85'}), (q:Person {name: 'p86'}) CREATE (p)-[:FOLLOWS]->(q)
"""


def test_people_who_review_and_act_are_users_and_entities(connection: Connection) -> None:
    build(connection, MOVIES)
    schema = GraphSchema.model_validate(
        {
            "user": {"label": "Person", "key": "name"},
            "item": {"label": "Movie", "key": "title"},
            "feedback": {"type": "REVIEWED", "rating": "rating"},
        }
    )
    knowledge = read_knowledge(connection, schema)
    assert set(knowledge.relations) == {"ACTED_IN", "FOLLOWS"}
    assert set(knowledge.entity_labels) == {"Movie", "Person"}
    assert {"p85", "p86"} <= set(knowledge.entity_keys)
    assert check(connection, schema).ok


def test_knowledge_that_touches_no_item_is_reported(connection: Connection, caplog: pytest.LogCaptureFixture) -> None:
    build(connection, PURCHASES)
    with caplog.at_level(logging.WARNING, "kgplug"):
        _, report = pull_knowledge(connection, with_knowledge(SHOP, relationships=["LIVES_IN"]))
        report.logged("triples")
    assert "None of the 40 :Product nodes has a triple" in caplog.text
    assert not any("None of" in text for text in pull_knowledge(connection, SHOP)[1].unused)
