"""Feedback that leads through nodes which its pattern does not show, or through users, stays out of the knowledge."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from kgplug.cypher_text import names_in
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import Contents
from kgplug.graph.knowledge_schema import KnowledgeSchema
from kgplug.graph.reading import leakage, relations, triples
from kgplug.graph.schema import FeedbackSchema, GraphSchema

NO_CONNECTION = cast("Connection", None)


def contents_of(*types: str, labels: tuple[str, ...] = ("User", "Movie")) -> Contents:
    names = {"types": dict.fromkeys(types, 9), "labels": dict.fromkeys(labels, 9)}
    return cast("Contents", SimpleNamespace(**names))


@pytest.mark.parametrize(
    "pattern",
    [
        "(user)-[:BOUGHT|CONTAINS*2]->(item)", "(user)-[r:BOUGHT|CONTAINS* {a: 1}]->(item)", "(user)-[*1..2]-(item)",
        "(user)-[:BOUGHT|CONTAINS]->{2}(item)", "(user)<-[:BOUGHT|CONTAINS]- +(item)", "(user)-->*(item)",
        "SHORTEST 1 (user)-[:BOUGHT]->(item)", "p = ALL SHORTEST (user)-[:BOUGHT]->(item)",
        "ANY SHORTEST (user)-[:BOUGHT]->(item)", "shortestPath((user)-[:BOUGHT]->(item))",
        "SHORTEST 2 PATH GROUPS (user)-[:BOUGHT]->(item)", "(user)-[:`A*`*2]->(item)",
    ],
)  # fmt: skip
def test_a_pattern_that_hides_nodes_is_not_direct(pattern: str) -> None:
    assert names_in(pattern).has_unlabelled
    schema = GraphSchema(feedback=FeedbackSchema(pattern=pattern))
    assert not schema.direct_types
    assert triples._passed(schema, contents_of("BOUGHT", "CONTAINS", "IN", "A*"))[1] == sorted(schema.feedback_types)


@pytest.mark.parametrize(
    "pattern",
    [
        "(user)-[:BOUGHT]->(item)", "(user)-[:`A*2`]->(item)", "(user)-[:BOUGHT {a: 2 * 3, b: '->+'}]->(item)",
        "(user)-[r:BOUGHT WHERE r.a * 2 > 3]->(item)", "(user)-[:BOUGHT]->(:Shortest)-[:SHORTEST]->(item)",
        "(user)-[:A]->(shortest:Order)-[:B]->(item) // -[*2]-",
    ],
)  # fmt: skip
def test_a_pattern_that_shows_its_nodes_hides_none(pattern: str) -> None:
    assert not names_in(pattern).has_unlabelled


@pytest.mark.parametrize("label", ["User", "Movie"])
def test_the_types_of_a_pattern_through_users_or_items_are_left_out(label: str) -> None:
    schema = GraphSchema(feedback=FeedbackSchema(pattern=f"(user)-[:FRIEND]->(:{label})-[:LIKES]->(item)"))
    assert triples._passed(schema, contents_of("FRIEND", "LIKES", "IN")) == ([], ["FRIEND", "LIKES"])
    through_orders = GraphSchema(feedback=FeedbackSchema(pattern="(user)-[:FRIEND]->(:Order)-[:LIKES]->(item)"))
    contents = contents_of("FRIEND", "LIKES", labels=("User", "Movie", "Order"))
    assert triples._passed(through_orders, contents) == (["Order"], [])


def test_a_type_of_a_longer_pattern_is_examined_where_it_joins_users_and_items_directly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    def rows(connection: Connection, schema: GraphSchema, query: str, /, **parameters: object) -> list[dict[str, Any]]:
        asked.append(parameters["types"])
        return []

    monkeypatch.setattr(leakage, "schema_rows", rows)
    monkeypatch.setattr(leakage, "own_runs", lambda _: set())
    monkeypatch.setattr(leakage, "_may_join", lambda *_: True)
    bought = FeedbackSchema(pattern="(user)-[:PLACED]->(:Order)-[:LIKES]->(item)")
    schema = GraphSchema(feedback=(bought, FeedbackSchema(type="RATED")))
    contents = contents_of("PLACED", "LIKES", "RATED")
    assert not leakage.find_repeating(NO_CONNECTION, schema, contents, ["LIKES", "RATED"])
    assert asked == [["LIKES"]]


def with_knowledge(pattern: str, feedback: str) -> GraphSchema:
    knowledge = KnowledgeSchema.model_validate({"patterns": {"TOGETHER": pattern}})
    return GraphSchema(feedback=FeedbackSchema(pattern=feedback), knowledge=knowledge)


def test_a_pattern_of_knowledge_that_is_not_plain_repeats_the_feedback_if_they_share_a_type() -> None:
    feedback = "(user)-[:BOUGHT]->(:Order)-[:CONTAINS]->(item)"
    schema = with_knowledge("(head:Movie)-[:CONTAINS]-{2}(tail:Movie)", feedback)
    (found,) = relations.find_repeating_patterns(NO_CONNECTION, schema, contents_of("BOUGHT", "CONTAINS"), [], [])
    assert (found.name, found.through) == ("TOGETHER", "CONTAINS")
    schema = with_knowledge("(head:Movie)-[:IN]-{2}(tail:Movie)", feedback)
    assert not relations.find_repeating_patterns(NO_CONNECTION, schema, contents_of("BOUGHT", "CONTAINS"), [], [])


@pytest.mark.parametrize("pattern", ["(head:Movie)-[:IN*2]-(tail:Movie)", "(head:Movie)-[:IN]-{2}(tail:Movie)"])
def test_a_pattern_of_knowledge_is_looked_at_where_it_hides_nodes(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def rows(connection: Connection, table: str, query: str, /, **parameters: object) -> list[dict[str, Any]]:
        asked.append(query)
        return [{"met": ["Order"]}]

    monkeypatch.setattr(relations, "user_rows", rows)
    schema = with_knowledge(pattern, "(user)-[:BOUGHT]->(:Order)-[:CONTAINS]->(item)")
    contents = contents_of("BOUGHT", "CONTAINS", "IN", labels=("User", "Movie", "Order"))
    (found,) = relations.find_repeating_patterns(NO_CONNECTION, schema, contents, ["Order"], [])
    assert found.through == "Order" and f"MATCH kgplug_path = {pattern}\n" in asked[-1]
    asked.clear()
    schema = with_knowledge("(head:Movie)-[:IN]-(tail:Movie)", "(user)-[:BOUGHT]->(item)")
    assert not relations.find_repeating_patterns(NO_CONNECTION, schema, contents, ["Order"], []) and not asked
