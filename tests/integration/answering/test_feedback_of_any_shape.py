"""A graph whose feedback is a pattern, or of several kinds, trains, serves and explains like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kgplug import jobs
from kgplug.data.artefact import read_content
from kgplug.graph import queries
from kgplug.graph.answering.lookups import feedback_of, relationships_around, relationships_between
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.check import check
from kgplug.graph.graph import Graph
from kgplug.graph.identity import graph_identity
from kgplug.graph.reading.reader import pull_knowledge, read_interactions
from kgplug.graph.schema import FeedbackSchema, GraphSchema
from kgplug.jobs.erase_user import erase_user
from kgplug.serving import explain, live
from kgplug.training.runs import Runs
from tests.conftest import empty
from tests.integration.helpers.sample_graphs import build
from tests.integration.helpers.trade import BOUGHT, EVENT_KINDS, EVENTS, NORTHWIND, NORTHWIND_KEYS, shop

pytestmark = NORTHWIND_KEYS

SENT = "order.status <> 'cancelled'"
PAIRS = "MATCH (u:Customer)-[:PURCHASED]->(o:Order)-[l:ORDERS]->(p:Product) WHERE o.status <> 'cancelled' "
GRAPHS: dict[str, tuple[str, GraphSchema, Any, str]] = {
    # name: graph, schema, a user, Cypher that gives `u`, `p` and `liked` for each row of feedback
    "a pattern": (NORTHWIND, shop(FeedbackSchema(pattern=BOUGHT, where=SENT)), "c3", f"{PAIRS} WITH *, true AS liked"),
    "a rated pattern": (
        NORTHWIND,
        shop(
            FeedbackSchema(
                pattern=BOUGHT, where=SENT, rating="line.stars", like_threshold=3, repeated="max", name="stars"
            )
        ),
        "c3",
        f"{PAIRS} WITH *, l.stars >= 3 AS liked",
    ),
    "three kinds": (
        EVENTS,
        shop(*EVENT_KINDS),
        4,
        "MATCH (u:Customer)-[:VIEWED|ADDED|BOUGHT]->(p:Product) WITH *, true AS liked",
    ),
    "a type with a condition": (
        EVENTS,
        shop(FeedbackSchema(type="VIEWED", where="item.id < 11", weight="rated.at / user.id")),
        4,
        "MATCH (u:Customer)-[:VIEWED]->(p:Product) WHERE p.id < 11 WITH *, true AS liked",
    ),
}

Prepared = tuple[Connection, GraphSchema, Any, str, Path]


@pytest.fixture(scope="module", params=GRAPHS)
def published(
    shared_connection: Connection, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Prepared:
    """A graph with a published ItemKNN."""
    script, schema, user, truth = GRAPHS[request.param]
    empty(shared_connection, keys={"Customer", "Product", "Category"})
    build(shared_connection, script)
    graph, folder = Graph(shared_connection).use(schema), tmp_path_factory.mktemp("runs")
    data = jobs.read(graph, schema, name="ItemKNN")
    jobs.publish(graph, jobs.train("ItemKNN", data, Runs(folder), final=True, progress=False), k=3, progress=False)
    return shared_connection, schema, user, truth, folder


def true_items(prepared: Prepared, condition: str = "true") -> set[Any]:
    connection, _, user, truth, _ = prepared
    rows = connection.rows(f"{truth} WHERE u.id = $user AND {condition} RETURN DISTINCT p.id AS id", user=user)
    return {row["id"] for row in rows}


def test_the_feedback_of_a_user_is_what_cypher_finds(published: Prepared) -> None:
    connection, schema, user, *_ = published
    seen, likes = feedback_of(connection, schema, user)
    assert set(seen) == true_items(published) and set(likes) == true_items(published, "liked")
    assert 0 < len(likes) <= len(seen) == len({*seen}) < 9
    rows = read_interactions(connection, schema)
    mine = rows.user_keys[rows.users] == user
    assert set(rows.item_keys[rows.items[mine & rows.is_like]]) == set(likes)


def test_lists_never_contain_items_with_feedback(published: Prepared) -> None:
    connection, schema, user, _, folder = published
    graph = Graph(connection).use(schema)
    listed, alive = graph.recommend(user, 3), live.live_recommendations(graph, Runs(folder), user, k=3)
    popular = graph.cypher("popular_unseen", user=user, k=20)
    seen = true_items(published)
    assert len(listed) > 0 and len(alive) > 0
    assert not seen & ({*listed["item"]} | {*alive["id"]} | {*popular["id"]})
    n_items = connection.rows("MATCH (p:Product) RETURN count(p) AS n")[0]["n"]
    assert len(popular) == n_items - len(seen)


def test_popularity_counts_users_and_not_matches(published: Prepared) -> None:
    connection, schema, user, truth, _ = published
    popular = Graph(connection).use(schema).cypher("popular_unseen", user=user, k=20)
    rows = connection.rows(f"{truth} RETURN p.id AS id, count(DISTINCT u) AS n")
    users = {row["id"]: row["n"] for row in rows}
    assert dict(zip(popular["id"], popular["feedback"], strict=True)) == {
        item: users.get(item, 0) for item in popular["id"]
    }
    assert popular["feedback"].is_monotonic_decreasing and popular["feedback"].iloc[0] > 0


def test_reasons_lead_from_likes_through_knowledge_only(published: Prepared) -> None:
    connection, schema, user, _, _ = published
    graph = Graph(connection).use(schema)
    item = graph.recommend(user, 1)["item"].iloc[0]
    reasons = graph.cypher("explain", user=user, item=item, k=50)
    expected = connection.rows(
        "MATCH (p:Product)-[:PART_OF]->(c)<-[:PART_OF]-(:Product {id: $item}) WHERE p.id IN $likes AND p.id <> $item "
        "RETURN DISTINCT p.name AS name",
        item=item,
        likes=sorted(true_items(published, "liked")),
    )
    assert set(reasons["liked"]) == {row["name"] for row in expected}
    assert set(reasons["via"]) | set(reasons["to"]) <= {"PART_OF"}
    if expected:
        assert len(explain.paths(graph, user, item)) > 0


def test_the_drawn_path_has_the_whole_feedback(published: Prepared) -> None:
    connection, schema, user, _, _ = published
    likes = true_items(published, "liked")
    others = connection.rows(
        "MATCH (p:Product)-[:PART_OF]->()<-[:PART_OF]-(q:Product) WHERE p.id IN $likes AND NOT q.id IN $seen "
        "RETURN q.id AS id ORDER BY id LIMIT 1",
        likes=sorted(likes),
        seen=sorted(true_items(published)),
    )
    rows = relationships_between(connection, schema, user, others[0]["id"], limit=5)
    types = {row["type"] for row in rows}
    assert "PART_OF" in types and types - {"PART_OF"} <= schema.feedback_types
    starts = [row for row in rows if row["head_properties"].get("id") == user and "Customer" in row["head_labels"]]
    assert starts
    if schema.feedback_labels:
        assert types == {"PURCHASED", "ORDERS", "PART_OF"}
    around = relationships_around(connection, schema, "Product", others[0]["id"], limit=50)
    assert {row["type"] for row in around} == {"PART_OF"}


def test_the_nodes_and_types_of_a_pattern_are_not_knowledge(published: Prepared) -> None:
    connection, schema, *_ = published
    knowledge, report = pull_knowledge(connection, schema)
    said = " ".join(report.left_out)
    if schema.feedback_labels:
        assert list(knowledge.relations) == ["PART_OF"]
        assert ":Order is part of the feedback's pattern, between :Customer and :Product. Left out" in said
        used = schema.model_copy(
            update={"knowledge": schema.knowledge.model_copy(update={"include": ["Order"], "keys": {"Order": "id",
                    "Shipper": "id", "Category": "id"}})}
        )  # fmt: skip
        knowledge, report = pull_knowledge(connection, used)
        assert set(knowledge.relations) == {"PART_OF", "PURCHASED", "ORDERS", "SHIPPED_BY"}
        assert ":Order" not in " ".join([*report.left_out, *report.unused])
    else:
        assert not set(knowledge.relations) & schema.feedback_types


def test_a_pattern_through_nodes_without_a_label_leaves_out_its_types(published: Prepared) -> None:
    connection, schema, *_ = published
    if not schema.feedback_labels:
        pytest.skip("needs orders")
    kind = FeedbackSchema(pattern="(user)-[:PURCHASED]->()-[:ORDERS]->(item)")
    found, report = pull_knowledge(
        connection, shop(kind, keys={"Shipper": "id", "Category": "id", "Order": "id"}, include=["Order"])
    )
    assert set(found.relations) == {"PART_OF", "SHIPPED_BY"}
    assert {text.split(" ")[0] for text in report.left_out} == {":ORDERS", ":PURCHASED"}


def test_check_reports_each_kind(published: Prepared) -> None:
    connection, schema, _, truth, _ = published
    report = check(connection, schema)
    assert report.ok, report
    found = [one.finding for one in report.findings if one.check == "feedback"]
    rows = read_interactions(connection, schema)
    users, items = len({*rows.users.tolist()}), len({*rows.items.tolist()})
    if len(schema.feedback) > 1:
        for kind in schema.feedback:
            n = connection.rows(f"MATCH (:Customer)-[r:{kind.type}]->(:Product) RETURN count(r) AS n")[0]["n"]
            assert any(text.startswith(f"{n} :{kind.type} of ") for text in found)
        assert f"together: {len(rows)} user-item pairs, {len(rows)} of them likes, weights from 1 to 8.5" in found
        return
    (kind,) = schema.feedback
    n = connection.rows(f"{truth} RETURN count(*) AS n")[0]["n"]
    first = found[0]
    assert first.startswith(f"{n} :VIEWED where item.id < 11" if kind.type else f"{n} matches of {BOUGHT} where {SENT}")
    assert f" of {users} :Customer on {items} :Product, {int(rows.is_like.sum())} of them likes" in first
    if kind.rating:
        assert f"and {int((~rows.is_like).sum())} dislikes (line.stars >= 3)" in first
    if kind.weight:
        assert rows.weights is not None
        assert first.endswith(f"weights from {rows.weights.min():g} to {rows.weights.max():g}")


def test_every_shipped_query_that_reads_runs(published: Prepared) -> None:
    connection, schema, user, _, _ = published
    given = {
        "user": user, "item": 1, "model": "ItemKNN", "k": 3, "relation": "PART_OF", "label": "Category",
        "like_threshold": None,
    }  # fmt: skip
    for name in queries.names():
        text = queries.load(name, schema)
        assert "\0" not in text
        if not queries.writes(text):
            assert "RATED" not in text
            connection.frame(text, **{key: given[key] for key in queries.parameters(text)})


def test_runs_of_another_feedback_belong_to_another_graph(published: Prepared) -> None:
    connection, schema, _, _, folder = published
    runs = Runs(folder)
    assert runs.resolve("ItemKNN", graph_identity(connection, schema)).exists()
    other = shop(FeedbackSchema(pattern="(user)-[:PURCHASED]->(:Order)--(item)"))
    found, elsewhere = runs.of(graph_identity(connection, other))
    assert not found and elsewhere > 0


def test_a_user_can_be_erased(published: Prepared) -> None:
    connection, schema, user, _, folder = published
    graph = Graph(connection).use(schema)
    found = erase_user(graph, Runs(folder), user)
    assert len(found.runs) == 2
    assert connection.rows("MATCH (:Customer {id: $user})-[r:RECOMMENDS]->() RETURN r", user=user) == []


@pytest.mark.training
def test_a_graph_like_northwind_trains_is_measured_publishes_and_recommends(
    connection: Connection, tmp_path: Path
) -> None:
    build(connection, NORTHWIND)
    schema = shop(
        FeedbackSchema(
            pattern=BOUGHT, where=SENT, weight="line.quantity", timestamp="order.date", repeated="decay", half_life=10
        )
    )
    graph, runs = Graph(connection).use(schema), Runs(tmp_path)
    folders = []
    for name in ("EASE", "CEASE"):
        data = jobs.read(graph, schema, name=name)
        folders.append(jobs.train(name, data, runs, split=jobs.Split((0.7, 0.1, 0.2)), progress=False))
    (measured,) = jobs.evaluate(graph, folders, k=(3,), progress=False).values()
    assert len(measured) == 2 and measured["NDCG@3"].between(0, 1).all()
    report = jobs.publish(graph, folders[0], k=2, progress=False)
    listed = graph.recommend("c1", 2, reasons=True)
    seen, _ = feedback_of(connection, schema, "c1")
    assert report is not None and len(listed) > 0 and not {*listed["item"]} & {*seen}
    stored = GraphSchema.model_validate(read_content(folders[0])["schema"])
    assert stored == schema
