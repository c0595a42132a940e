"""Conditions on users and items: nodes for which they are not true do not exist for kgplug."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kgplug.errors import DataError, GraphError, UsageError
from kgplug.graph.answering import lookups
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.check import check
from kgplug.graph.contents import read_contents
from kgplug.graph.graph import Graph
from kgplug.graph.reading import reader
from kgplug.graph.reading.bulk import BulkReader
from kgplug.graph.reading.triples import plan_triples
from kgplug.graph.schema import FeedbackSchema, GraphSchema, ItemSchema, UserSchema
from tests.integration.helpers.sample_graphs import build
from tests.integration.helpers.tenants import NORTH, SOUTH, TENANTS, schema_of

FEEDBACK = """
MATCH (u:User {tenant: $tenant})-[r:RATED]->(m:Movie {tenant: $tenant}) RETURN u.id AS u, m.id AS m, r.rating AS r
"""


@pytest.fixture(scope="module")
def tenants(shared_connection: Connection) -> Iterator[Connection]:
    build(shared_connection, TENANTS)
    yield shared_connection


@pytest.mark.parametrize("tenant", ["north", "south"])
@pytest.mark.parametrize("chunk_rows", [200_000, 7])
@pytest.mark.parametrize("internal_ids", [True, False])
def test_feedback_is_that_of_the_tenant_although_others_use_the_same_keys(
    tenants: Connection, tenant: str, chunk_rows: int, internal_ids: bool
) -> None:
    bulk = BulkReader(tenants, chunk_rows=chunk_rows, internal_ids=internal_ids)
    rows, report = reader.pull_interactions(tenants, schema_of(tenant), bulk=bulk)
    found = {
        (rows.user_keys[u], rows.item_keys[i]): r for u, i, r in zip(rows.users, rows.items, rows.ratings, strict=True)
    }
    assert found == {(row["u"], row["m"]): row["r"] for row in tenants.rows(FEEDBACK, tenant=tenant)}
    assert (rows.n_users, rows.n_items, report.vanished) == (12, 9, 0)
    assert list(rows.item_texts) == [f"{tenant} {i}" for i in range(1, 10)]


@pytest.mark.parametrize("tenant", ["north", "south"])
def test_triples_touch_no_user_or_item_of_another_tenant(tenants: Connection, tenant: str) -> None:
    knowledge, report = reader.pull_knowledge(tenants, schema_of(tenant))
    found = {
        (knowledge.entity_labels[h], knowledge.entity_keys[h], knowledge.relations[r], knowledge.entity_keys[t])
        for h, r, t in knowledge.triples
    }
    shift = 0 if tenant == "north" else 1
    genres = {("Movie", i, "IN_GENRE", (i + shift) % 3 + 1) for i in range(1, 10)}
    assert found == genres | {("Movie", 2, "SEQUEL_OF", 3), ("User", 1, "KNOWS", 2)}
    assert report.vanished == 0
    items = [key for key, label in zip(knowledge.entity_keys, knowledge.entity_labels, strict=True) if label == "Movie"]
    assert sorted(items) == list(range(1, 10))


def test_a_type_that_repeats_the_feedback_of_one_tenant_only_is_left_out_there(tenants: Connection) -> None:
    tenants.write(
        "MATCH (u:User {tenant: 'north'})-[:RATED]->(m:Movie {tenant: 'north'}) CREATE (u)-[:SAW]->(m) "
        "WITH count(*) AS n MATCH (u:User {tenant: 'south'}), (m:Movie {tenant: 'south'}) "
        "WHERE NOT (u)-[:RATED]->(m) CREATE (u)-[:SAW]->(m)"
    )
    try:
        north, south, everybody = (
            plan_triples(tenants, schema, read_contents(tenants))
            for schema in (NORTH, SOUTH, NORTH.without_conditions())
        )
    finally:
        tenants.write("MATCH ()-[r:SAW]->() DELETE r")
    assert [one.type for one in north.repeating] == ["SAW"]
    assert south.repeating == everybody.repeating == []


def test_patterns_and_properties_read_only_the_tenant(tenants: Connection) -> None:
    schema = schema_of(
        "north",
        relationships=["IN_GENRE"],
        patterns={"ALIKE": "(head:Movie)-[:IN_GENRE]->(:Genre)<-[:IN_GENRE]-(tail:Movie)"},
        properties={"Movie.era": "values"},
    )
    knowledge, report = reader.pull_knowledge(tenants, schema)
    alike = knowledge.triples[knowledge.triples[:, 1] == list(knowledge.relations).index("ALIKE")]
    pairs = {(knowledge.entity_keys[h], knowledge.entity_keys[t]) for h, _, t in alike}
    assert pairs == {(a, b) for a in range(1, 10) for b in range(1, 10) if a != b and (a - b) % 3 == 0}
    eras = {str(key) for key, its in zip(knowledge.entity_keys, knowledge.entity_labels, strict=True) if "era" in its}
    assert eras == {"north 0", "north 1"} and report.vanished == 0


def test_patterns_do_not_lead_through_users_and_items_of_another_tenant(tenants: Connection) -> None:
    tenants.write(
        "MATCH (u:User {tenant: 'north', id: 3}), (mine:User {tenant: 'north', id: 4}), "
        "(other:User {tenant: 'south', id: 4}), (a:Movie {tenant: 'north', id: 1}), "
        "(b:Movie {tenant: 'north', id: 2}), (c:Movie {tenant: 'north', id: 3}), (far:Movie {tenant: 'south', id: 2}) "
        "CREATE (u)-[:ASKS]->(mine)-[:TIPS]->(a), (u)-[:ASKS]->(other)-[:TIPS]->(b), "
        "(a)-[:NEAR]->(b)-[:NEAR]->(c), (a)-[:NEAR]->(far)-[:NEAR]->(b)"
    )
    kind = FeedbackSchema(pattern="p = (user)-[:ASKS]->(:User)-[:TIPS]->(item)", where="NOT EXISTS { (item)-->(n:No) }")
    steps = "(head:Movie)-[:NEAR]->(:Movie)-[:NEAR]->(tail:Movie)"
    schema = schema_of("north", relationships=["IN_GENRE"], patterns={"BEYOND": steps}).model_copy(
        update={"feedback": kind}
    )
    try:
        rows, _ = reader.pull_interactions(tenants, schema)
        knowledge, _ = reader.pull_knowledge(tenants, schema)
        seen = lookups.feedback_of(tenants, schema, 3)
        between = lookups.relationships_between(tenants, schema, 3, 4, limit=5)
    finally:
        tenants.write("MATCH ()-[r:ASKS|TIPS|NEAR]->() DELETE r")
    assert [(rows.user_keys[u], rows.item_keys[i]) for u, i in zip(rows.users, rows.items, strict=True)] == [(3, 1)]
    beyond = knowledge.triples[knowledge.triples[:, 1] == list(knowledge.relations).index("BEYOND")]
    assert [(knowledge.entity_keys[h], knowledge.entity_keys[t]) for h, _, t in beyond] == [(1, 3)]
    assert seen == ([1], [1]) and {"ASKS", "TIPS", "IN_GENRE"} <= {row["type"] for row in between}


def test_check_reports_the_tenant_and_no_more(tenants: Connection) -> None:
    report = check(tenants, SOUTH)
    assert report.ok
    said = "\n".join(f"{one.check}: {one.finding}" for one in report.findings)
    assert "conditions: 12 of 24 :User fulfil [user] where = \"user.tenant = 'south'\"" in said
    assert "conditions: 9 of 18 :Movie fulfil [item] where" in said
    assert "users: 12 :User by id" in said and "items: 9 :Movie by id" in said
    assert "9 of 9 :Movie have a 'title'" in said and "9 of 9 :Movie have triples" in said


BAD = [
    ("item.tenant = ", r"\[item\] where: Neo4j refuses the Cypher: Invalid input"),
    ("film.tenant = 'north'", r"\[item\] where: Neo4j refuses the Cypher: Variable `film` not defined"),
    ("item.id = 1) OR (true", r"\[item\] where: Neo4j refuses the Cypher"),
    ("true AS kept, 1", r"\[item\] where: Neo4j refuses the Cypher"),
    ("item.id = $id", r"\[item\] where: Neo4j refuses the Cypher: Expected parameter"),
    ("item.id / (item.id - 3) > 1", r"\[item\] where: Neo4j refuses the Cypher: / by zero"),
    ("item.title", r"\[item\] where: expected true or false, found a value of type STRING for Movie 1\."),
    (
        "CASE item.id WHEN 9 THEN 'yes' ELSE true END",
        r"found a value of type STRING for Movie 9",
    ),
    ("item.tenannt = 'north'", r"is true for none of the 18 :Movie nodes\. Their properties: era, id, tenant, title\."),
    ("item.tenant = 'west'", r"\[item\] where: \"item.tenant = 'west'\" is true for none of the 18 :Movie nodes"),
]


@pytest.mark.parametrize(("where", "message"), BAD)
def test_a_condition_that_cannot_be_used_is_refused_in_one_sentence(
    tenants: Connection, where: str, message: str
) -> None:
    schema = NORTH.model_copy(update={"item": ItemSchema(title="title", where=where)})
    graph = Graph(tenants)
    for read in (graph.read_interactions, graph.read_knowledge):
        with pytest.raises(DataError, match=message) as error:
            read(schema)
        assert "\n" not in str(error.value) and "(line 1" not in str(error.value)
    findings = [one for one in check(tenants, schema).findings if one.check == "conditions"]
    assert [one.level for one in findings] == ["error"]


ENDLESS = "COUNT { MATCH (a), (b), (c), (d), (e) WHERE a.id + b.id + c.id + d.id = -1 } = 0"


def test_a_condition_that_never_finishes_is_stopped(tenants: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGPLUG_QUERY_S", "1")
    schema = GraphSchema(user=UserSchema(where=f"user.id > 0 AND {ENDLESS}"))
    graph = Graph(tenants).use(schema)
    with pytest.raises(DataError, match=r"\[user\] where: a query took longer than 1 s and was stopped\. .*KGPLUG_"):
        graph.read_interactions()
    with pytest.raises(GraphError, match=r"took longer than 1 s, so the server at .* stopped it"):
        graph.recommend(1)
    with pytest.raises(DataError, match=r"\[user\] where: a query took longer than 1 s and was stopped\."):
        graph.cypher("popular_unseen", user=1, k=3)
    bulk = BulkReader(tenants, internal_ids=False, chunk_rows=3)
    with pytest.raises(GraphError, match=r"took longer than 1 s, so the server at .* stopped it"):
        bulk.label("User", "id", 24, where=ENDLESS + " /* from kgplug.toml */")


def test_a_condition_never_runs_where_it_could_write(tenants: Connection, tmp_path: Path) -> None:
    """Every query with a condition has a mark, and such a query is refused before a writing transaction begins."""
    query = "MATCH (user:User) WHERE /* from kgplug.toml */ user.id = 1 SET user.changed = true"
    for run in (tenants.write, tenants.write_rows, tenants.autocommit):
        with pytest.raises(AssertionError):
            run(query)
    with pytest.raises(GraphError):
        tenants.rows(query)
    file = tmp_path / "kgplug.toml"
    file.write_text("[user]\nwhere = 'EXISTS { CREATE (:X) }'")
    with pytest.raises(UsageError, match=r"where would change the graph \(CREATE\)"):
        GraphSchema.load(file)
    assert tenants.rows("MATCH (n) WHERE n.changed IS NOT NULL OR n:X RETURN n") == []


def test_users_that_are_items_exist_if_one_of_the_conditions_is_true(connection: Connection) -> None:
    connection.write(
        "UNWIND range(1, 9) AS i CREATE (:Person {id: i, sells: i % 3 = 0, buys: i % 3 = 1}) WITH count(*) AS n "
        "MATCH (a:Person), (b:Person) WHERE a <> b CREATE (a)-[:FOLLOWS]->(b) CREATE (a)-[:KNOWS]->(b)"
    )
    schema = GraphSchema.model_validate(
        {
            "user": {"label": "Person", "where": "user.buys"},
            "item": {"label": "Person", "where": "item.sells"},
            "feedback": {"type": "FOLLOWS"},
        }
    )
    rows, _ = reader.pull_interactions(connection, schema)
    assert list(rows.user_keys) == [1, 4, 7] and list(rows.item_keys) == [3, 6, 9] and len(rows) == 9
    knowledge, _ = reader.pull_knowledge(connection, schema)
    assert sorted(knowledge.entity_keys) == [1, 3, 4, 6, 7, 9]


def test_a_condition_may_compare_with_words_that_write_in_cypher(connection: Connection) -> None:
    """The texts of a condition are not Cypher: `'DELETE'` changes nothing, and `'$5'` is no parameter."""
    schema = GraphSchema(item=ItemSchema(where="item.state <> 'DELETE' AND item.state <> '$5'"))
    connection.write(
        "CREATE (:User {id: 1})-[:RATED]->(:Movie {id: 2, state: 'on'}), (:Movie {id: 3, state: 'DELETE'})"
    )
    found = Graph(connection).use(schema).cypher("popular_unseen", user=1, k=5)
    assert 3 not in found.iloc[:, 0].tolist()
