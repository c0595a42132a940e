"""Messages and patterns never show or use nodes of other tenants."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from kgplug.errors import DataError
from kgplug.graph.answering.lookups import _liked_paths
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import Contents
from kgplug.graph.feedback_match import match_of
from kgplug.graph.knowledge_schema import KnowledgeSchema, RelationPattern
from kgplug.graph.members import condition_on, is_outside
from kgplug.graph.reading import relations
from kgplug.graph.reading.conditions import refuse_hidden_paths
from kgplug.graph.reading.node_keys import checked_keys
from kgplug.graph.reading.patterns import paths_of
from kgplug.graph.schema import FeedbackSchema, GraphSchema, UserSchema

NORTH = GraphSchema(user=UserSchema(where="user.tenant = 'north'"))


class _Asked:
    """A connection that keeps its queries and returns no rows."""

    def __init__(self) -> None:
        self.queries: list[str] = []

    def rows(self, query: str, /, **parameters: object) -> list[dict[str, Any]]:
        self.queries.append(query)
        return []


@pytest.mark.parametrize("keys", [[1, []], [[], []]], ids=["some", "all"])
def test_examples_of_nodes_without_a_key_are_of_the_own_tenant(keys: list[Any]) -> None:
    asked, values = _Asked(), np.empty(len(keys), dtype=object)
    values[:] = keys
    where = condition_on(NORTH.user, "n")
    with pytest.raises(DataError):
        checked_keys(cast("Connection", asked), "User", "id", values, setting="[user] key", where=where)
    (query,) = asked.queries
    assert where in query.split("RETURN")[0] and "n.tenant = 'north'" in query
    with pytest.raises(DataError):
        checked_keys(cast("Connection", asked), "User", "id", values, setting="[user] key")
    assert "WHERE  " not in asked.queries[1] and "AND" not in asked.queries[1]


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("(user)-[:BOUGHT]->(o:Order), q = (o)-[:FOR]->(:User)-[:LIKES]->(item)", ["kgplug_path0", "q"]),
        ("(user)-[:FRIEND*2]->(item)", ["kgplug_path0"]),
        ("(user)-[:LIKES]->(item)", []),
    ],
)
def test_feedback_leads_only_through_nodes_of_the_own_tenant(pattern: str, paths: list[str]) -> None:
    kind = FeedbackSchema(pattern=pattern)
    match = match_of(NORTH.model_copy(update={"feedback": kind}), kind)
    outside = is_outside(NORTH, "kgplug_between")
    assert [f"none(kgplug_between IN nodes({path}) WHERE {outside})" in match for path in paths] == [True] * len(paths)
    assert match.count("none(") == len(paths) and all(f"{path} = (" in match for path in paths)
    assert "none(" not in match_of(GraphSchema(feedback=kind), kind)


def test_patterns_of_knowledge_lead_only_through_nodes_of_the_own_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relations, "own_runs", lambda _: set())
    monkeypatch.setattr(relations, "not_own", lambda *_: "true")
    relation = RelationPattern(pattern="(head:Movie)<-[:LIKES]-(:User)-[:LIKES]->(tail:Movie)")
    contents = cast("Contents", SimpleNamespace(labels={"User": 1, "Movie": 1}, own={}))

    def match(schema: GraphSchema) -> str:
        paths = paths_of(relation.pattern)
        return relations._match(cast("Connection", None), schema, contents, relation, relation.pattern, paths)

    assert f"none(kgplug_n IN nodes(kgplug_p0) WHERE {is_outside(NORTH, 'kgplug_n')})" in match(NORTH)
    assert "kgplug_p0 = (head:Movie)" in match(NORTH) and "kgplug_p0" not in match(GraphSchema())


def test_patterns_whose_nodes_cannot_be_tested_are_refused_with_conditions() -> None:
    feedback = FeedbackSchema(pattern="(user)-[:FRIEND]->{2}(item)")
    with pytest.raises(DataError, match=r"^\[feedback\] pattern: with a condition .* found '\(user\)-\[:FRIEND"):
        refuse_hidden_paths(NORTH.model_copy(update={"feedback": feedback}))
    knowledge = KnowledgeSchema.model_validate({"patterns": {"NEAR": "(head:Movie)-[:IN]-{2}(tail:Movie)"}})
    with pytest.raises(DataError, match=r"^\[knowledge.patterns\] NEAR: with a condition"):
        refuse_hidden_paths(NORTH.model_copy(update={"knowledge": knowledge}))
    refuse_hidden_paths(GraphSchema(feedback=feedback, knowledge=knowledge))
    refuse_hidden_paths(NORTH.model_copy(update={"feedback": FeedbackSchema(pattern="(user)-[:A*2]->(item)")}))


def test_reasons_keep_the_name_that_a_path_of_feedback_has() -> None:
    kind = FeedbackSchema(pattern="p = (user)-[:A]->(item), (item)-[:B]->()")
    liked = _liked_paths(GraphSchema(feedback=kind), kind)
    assert "MATCH kgplug_p = (user)-[:A]->(item), kgplug_path1 = (item)-[:B]->()" in liked
    assert "RETURN [item, relationships(kgplug_p) + relationships(kgplug_path1)]" in liked
