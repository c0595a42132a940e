"""Relations that patterns define, and properties whose values are entities, read from a real graph."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.check import check
from kgplug.graph.knowledge_schema import RelationPattern
from kgplug.graph.reading.bulk import BulkReader
from kgplug.graph.reading.reader import pull_knowledge, read_knowledge
from kgplug.graph.schema import GraphSchema
from tests.integration.helpers.sample_graphs import build

# Six products. p1 and p2 are of one maker, p3 and p4 of another, p5 and p6 of none.
SHOP = """
CREATE (:Product {id: 'p1', tags: ['red', 'new'], price: 1, year: 1994, sold: date('1994-05-01'), sale: true});
CREATE (:Product {id: 'p2', tags: ['red'], price: 2, year: 1999, sold: date('2001-01-01'), sale: false});
CREATE (:Product {id: 'p3', tags: ['blue', 'new'], price: 3, year: 2000, sold: date('2009-12-31'), sale: true});
CREATE (:Product {id: 'p4', tags: ['blue', 'odd'], price: 4, year: 2003, sale: true});
CREATE (:Product {id: 'p5', tags: [], price: 5, year: 1950});
CREATE (:Product {id: 'p6', tags: ['red', 'red'], price: 6, bin: 7});
CREATE (:Maker {id: 'm1', kind: 'old'}), (:Maker {id: 'm2', kind: 'old'});
MATCH (p:Product), (m:Maker) WHERE [p.id, m.id] IN [['p1', 'm1'], ['p2', 'm1'], ['p3', 'm2'], ['p4', 'm2']]
CREATE (p)-[:MADE_BY]->(m);
UNWIND [['u1', 'p1'], ['u1', 'p2'], ['u2', 'p2'], ['u2', 'p3'], ['u3', 'p4'], ['u3', 'p5']] AS pair
MERGE (u:User {id: pair[0]}) WITH u, pair MATCH (p:Product {id: pair[1]}) CREATE (u)-[:BOUGHT]->(p);
UNWIND [['s1', 'p1'], ['s1', 'p3'], ['s2', 'p1'], ['s2', 'p3'], ['s2', 'p6']] AS pair
MERGE (s:Shelf {id: pair[0]}) WITH s, pair MATCH (p:Product {id: pair[1]}) CREATE (s)-[:HOLDS {row: 1}]->(p)
"""
SAME_MAKER = "(head:Product)-[:MADE_BY]->(:Maker)<-[:MADE_BY]-(tail:Product)"
SAME_SHELF = "(head:Product)<-[:HOLDS]-(:Shelf)-[:HOLDS]->(tail:Product)"
BOUGHT_TOGETHER = "(head:Product)<-[:BOUGHT]-(:User)-[:BOUGHT]->(tail:Product)"


def schema(**knowledge: Any) -> GraphSchema:
    given = {"keys": {"Maker": "id", "Shelf": "id"}, **knowledge}
    return GraphSchema.model_validate(
        {"item": {"label": "Product"}, "feedback": {"type": "BOUGHT"}, "knowledge": given}
    )


def triples(knowledge: KnowledgeGraph, relation: str) -> set[tuple[int | str, int | str]]:
    frame = knowledge.to_dataframe()
    rows = frame[frame["relation"] == relation]
    return {*zip(rows["head"], rows["tail"], strict=True)}


def found(connection: Connection, relation: str, **knowledge: Any) -> set[tuple[int | str, int | str]]:
    return triples(read_knowledge(connection, schema(**knowledge)), relation)


def findings(connection: Connection, level: str, **knowledge: Any) -> str:
    return "\n".join(one.finding for one in check(connection, schema(**knowledge)).findings if one.level == level)


@pytest.fixture(scope="module")
def shop(shared_connection: Connection) -> Connection:
    build(shared_connection, SHOP)
    return shared_connection


def test_a_pattern_gives_a_triple_for_each_pair_in_each_direction(shop: Connection) -> None:
    knowledge, report = pull_knowledge(shop, schema(patterns={"SAME_MAKER": SAME_MAKER}))
    assert triples(knowledge, "SAME_MAKER") == {("p1", "p2"), ("p2", "p1"), ("p3", "p4"), ("p4", "p3")}
    assert set(knowledge.relations) == {"SAME_MAKER", "MADE_BY", "HOLDS"}
    assert (report.kept, report.repeated, report.vanished) == (4 + 4 + 5, 0, 0)


@pytest.mark.parametrize(
    ("least", "expected"),
    [
        (1, {("p1", "p3"), ("p3", "p1"), ("p1", "p6"), ("p6", "p1"), ("p3", "p6"), ("p6", "p3")}),
        (2, {("p1", "p3"), ("p3", "p1")}),
    ],
)
def test_a_pair_with_too_few_matches_gives_no_triple(shop: Connection, least: int, expected: set[Any]) -> None:
    patterns = {"SAME_SHELF": {"pattern": SAME_SHELF, "least_count": least}}
    assert found(shop, "SAME_SHELF", patterns=patterns) == expected


def test_a_condition_may_use_all_variables_and_end_with_a_comment(shop: Connection) -> None:
    pattern = {
        "pattern": "(head:Product)<-[a:HOLDS]-(s:Shelf)-[b:HOLDS]->(tail:Product) // of one shelf",
        "where": "s.id = 's2' AND head.id < tail.id AND a.row = b.row // one direction",
    }
    assert found(shop, "SAME", patterns={"SAME": pattern}) == {("p1", "p3"), ("p1", "p6"), ("p3", "p6")}


def test_heads_and_tails_may_have_different_labels_and_need_no_label(shop: Connection) -> None:
    patterns = {"SHELVED_WITH_MAKER": "(head)-[:HOLDS]->(:Product)-[:MADE_BY]->(tail), (head:Shelf)"}
    knowledge = read_knowledge(shop, schema(patterns=patterns, exclude=["HOLDS", "MADE_BY"]))
    assert triples(knowledge, "SHELVED_WITH_MAKER") == {("s1", "m1"), ("s1", "m2"), ("s2", "m1"), ("s2", "m2")}
    assert set(knowledge.entity_labels) == {"Product", "Shelf", "Maker"}


@pytest.mark.parametrize("internal", [True, False])
@pytest.mark.parametrize("chunk_rows", [2, 200_000])
def test_patterns_and_properties_are_the_same_in_small_chunks_and_without_internal_ids(
    shop: Connection, internal: bool, chunk_rows: int
) -> None:
    asked = schema(
        patterns={"SAME_SHELF": SAME_SHELF}, properties={"Product.tags": "values", "Product.price": {"bands": 2}}
    )
    bulk = BulkReader(shop, chunk_rows=chunk_rows, internal_ids=internal)
    assert pull_knowledge(shop, asked, bulk=bulk)[0].fingerprint == read_knowledge(shop, asked).fingerprint


def test_patterns_through_feedback_are_left_out_unless_included(
    shop: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    untyped = "(head:Product)<--()-->(tail:Product)"
    patterns = {"TOGETHER": BOUGHT_TOGETHER, "UNTYPED": untyped, "SAME_MAKER": SAME_MAKER}
    knowledge, report = pull_knowledge(shop, schema(patterns=patterns))
    assert set(knowledge.relations) == {"SAME_MAKER", "MADE_BY", "HOLDS"}
    sentence = (
        "[knowledge.patterns] TOGETHER leads through BOUGHT. Left out, because this repeats the feedback. To use "
        "TOGETHER anyway, add it to [knowledge] include."
    )
    assert sentence in report.left_out
    assert any("UNTYPED leads through BOUGHT. Left out" in text for text in report.left_out)
    assert sentence in findings(shop, "ok", patterns=patterns)
    assert "include" not in findings(shop, "warning", patterns=patterns)
    with caplog.at_level(logging.WARNING, "kgplug"):
        together = found(shop, "TOGETHER", patterns=patterns, include=["TOGETHER"])
    assert together == {("p1", "p2"), ("p2", "p1"), ("p2", "p3"), ("p3", "p2"), ("p4", "p5"), ("p5", "p4")}
    warning = "TOGETHER leads through BOUGHT, and [knowledge] include reads it: the evaluation will look too good"
    assert warning in caplog.text
    assert warning in findings(shop, "warning", patterns=patterns, include=["TOGETHER"])


def test_what_is_excluded_is_never_read(shop: Connection) -> None:
    knowledge = read_knowledge(shop, schema(exclude=["Maker"]))
    assert set(knowledge.relations) == {"HOLDS"} and "Maker" not in set(knowledge.entity_labels)
    assert set(read_knowledge(shop, schema(exclude=["HOLDS"])).relations) == {"MADE_BY"}
    patterns = {"OF": "(head:Product)-->(tail)"}
    assert found(shop, "OF", patterns={"OF": "(head:Product)-[:MADE_BY]->(tail)"}, exclude=["MADE_BY"]) == {
        ("p1", "m1"), ("p2", "m1"), ("p3", "m2"), ("p4", "m2"),
    }  # fmt: skip
    with pytest.raises(DataError, match=r"OF matches nothing but .* nodes that are never read: 4 matches\."):
        read_knowledge(shop, schema(patterns=patterns, exclude=["Maker"]))
    warnings = findings(
        shop,
        "warning",
        relationships=["MADE_BY", "HOLDS"],
        exclude=["MADE_BY", "Nope", "Shelf"],
        properties={"Shelf.id": "values", "Product.tags": "values"},
    )
    assert "[knowledge] relationships has MADE_BY, but all of it is excluded." in warnings
    assert "[knowledge] relationships has HOLDS, but all of it touches excluded nodes." in warnings
    assert "[knowledge] exclude has Nope, which is neither a label nor a type." in warnings
    assert "[knowledge.properties] Shelf.id has no effect, because [knowledge] exclude has Shelf." in warnings
    with pytest.raises(DataError, match=r"\[knowledge\] exclude has Product, the label of the items\."):
        read_knowledge(shop, schema(exclude=["Product"]))


@pytest.mark.parametrize(
    ("name", "rule", "expected"),
    [
        (
            "Product.tags",
            "values",
            {("p1", "red"), ("p2", "red"), ("p6", "red"), ("p1", "new"), ("p3", "new"), ("p3", "blue"), ("p4", "blue")},
        ),
        ("Product.sale", "values", {("p1", "true"), ("p3", "true"), ("p4", "true")}),
        ("Product.year", "decades", {("p1", "1990s"), ("p2", "1990s"), ("p3", "2000s"), ("p4", "2000s")}),
        ("Product.sold", "decades", {("p2", "2000s"), ("p3", "2000s")}),
        (
            "Product.price",
            {"bands": 3},
            {
                *{("p1", "below 3"), ("p2", "below 3"), ("p3", "3–5"), ("p4", "3–5")},
                *{("p5", "5 or more"), ("p6", "5 or more")},
            },
        ),
        ("Maker.kind", "values", {("m1", "old"), ("m2", "old")}),
    ],
)
def test_values_of_a_property_are_entities(shop: Connection, name: str, rule: Any, expected: set[Any]) -> None:
    knowledge = read_knowledge(shop, schema(properties={name: rule}))
    assert triples(knowledge, name) == expected
    values = knowledge.entity_keys[knowledge.entity_labels == name]
    assert set(values) == {value for _, value in expected}


def test_check_says_how_much_patterns_and_properties_give_and_counts_the_items_they_reach(shop: Connection) -> None:
    asked = {
        "patterns": {"SAME_MAKER": SAME_MAKER},
        "properties": {"Product.tags": "values", "Product.year": "decades"},
    }
    said = findings(shop, "ok", **asked)
    assert "4 SAME_MAKER (pattern) between 4 nodes" in said
    assert "7 Product.tags (values): 3 entities, on 5 of 6 :Product" in said
    assert "4 Product.year (decades): 2 entities, on 4 of 6 :Product" in said
    assert "Product.tags: 1 value occurs on only one :Product. Left out, because nothing can be learnt from it." in said
    assert "24 triples; 5 of 6 :Product have triples" in findings(shop, "warning", **asked)
    only = {"relationships": ["HOLDS"], "properties": {"Product.price": {"bands": 3}}}
    assert "11 triples; 6 of 6 :Product have triples" in findings(shop, "ok", **only)


def test_a_graph_with_only_properties_has_triples(connection: Connection) -> None:
    build(
        connection,
        "UNWIND range(1, 6) AS i CREATE (:User {id: i})-[:BOUGHT]->(:Product {id: i, n: i % 2, f: [1.5, 2.0][i % 2]})",
    )
    properties = {"Product.n": "values", "Product.f": "values"}
    knowledge = read_knowledge(connection, schema(properties=properties))
    assert triples(knowledge, "Product.n") == {(1, 1), (2, 0), (3, 1), (4, 0), (5, 1), (6, 0)}
    assert triples(knowledge, "Product.f") == {(1, 2), (2, "1.5"), (3, 2), (4, "1.5"), (5, 2), (6, "1.5")}
    assert check(connection, schema(properties=properties)).ok


PEOPLE = """
UNWIND range(1, 8) AS i CREATE (:Person {id: i, city: ['Oslo', 'Rome'][i % 2], email: 'mail ' + i});
MATCH (a:Person), (b:Person) WHERE (a.id * 3 + b.id) % 5 = 0 AND a <> b CREATE (a)-[:FOLLOWS]->(b);
MATCH (a:Person), (b:Person) WHERE b.id = a.id + 4 CREATE (a)-[:WORKS_FOR]->(:Firm {id: a.id})<-[:WORKS_FOR]-(b);
UNWIND range(1, 8) AS i MATCH (a:Person {id: i}) CREATE (a)-[:LIKES]->(:Book {id: i, topic: i % 2})
"""


def test_users_who_are_items_have_patterns_and_properties(connection: Connection) -> None:
    build(connection, PEOPLE)
    people = {"label": "Person", "key": "id"}
    asked = {
        "user": people,
        "item": people,
        "feedback": {"type": "FOLLOWS"},
        "knowledge": {
            "keys": {"Book": "id"},
            "exclude": ["Firm"],
            "properties": {"Person.city": "values", "Book.topic": "values"},
            "patterns": {
                "COLLEAGUE": "(head:Person)-[:WORKS_FOR]->(:Firm)<-[:WORKS_FOR]-(tail:Person)",
                "FOLLOWED_BY_ONE": "(head:Person)<-[:FOLLOWS]-(:Person)-[:FOLLOWS]->(tail:Person)",
            },
        },
    }
    knowledge, report = pull_knowledge(connection, GraphSchema.model_validate(asked))
    assert set(knowledge.relations) == {"COLLEAGUE", "LIKES", "Person.city", "Book.topic"}
    assert triples(knowledge, "COLLEAGUE") == {(a, a + 4) for a in range(1, 5)} | {(a + 4, a) for a in range(1, 5)}
    assert triples(knowledge, "Person.city") == {(a, ["Oslo", "Rome"][a % 2]) for a in range(1, 9)}
    assert [text for text in report.left_out if "FOLLOWED_BY_ONE leads through FOLLOWS. Left out" in text]
    assert check(connection, GraphSchema.model_validate(asked)).ok


def test_users_are_entities_of_patterns_and_properties_unless_the_schema_says_otherwise(connection: Connection) -> None:
    build(connection, PEOPLE)
    asked = {
        "user": {"label": "Person"},
        "item": {"label": "Book"},
        "feedback": {"type": "LIKES"},
        "knowledge": {
            "relationships": ["FOLLOWS"],
            "properties": {"Person.city": "values", "Book.topic": "values"},
            "patterns": {"COLLEAGUE": "(head:Person)-[:WORKS_FOR]->(:Firm)<-[:WORKS_FOR]-(tail:Person)"},
        },
    }
    knowledge = read_knowledge(connection, GraphSchema.model_validate(asked))
    assert set(knowledge.relations) == {"FOLLOWS", "COLLEAGUE", "Person.city", "Book.topic"}
    asked["knowledge"] |= {"users": False, "patterns": {}}
    knowledge, report = pull_knowledge(connection, GraphSchema.model_validate(asked))
    assert set(knowledge.relations) == {"Book.topic"}
    assert "[knowledge.properties] Person.city has no effect, because of users = false." in report.unused
    asked["knowledge"] |= {"patterns": {"COLLEAGUE": "(head:Person)-[:WORKS_FOR]->(:Firm)<-[:WORKS_FOR]-(tail:Person)"}}
    with pytest.raises(DataError, match=r"COLLEAGUE matches nothing but .* nodes that are never read: 8 matches\."):
        read_knowledge(connection, GraphSchema.model_validate(asked))


ORDERS = """
UNWIND range(1, 30) AS u UNWIND range(1, 20) AS i WITH u, i WHERE (u * 7 + i * 3) % 11 < 2
MERGE (a:User {id: u}) MERGE (b:Product {id: i}) MERGE (a)-[:PLACED]->(o:Order {id: u}) CREATE (o)-[:ORDERS]->(b);
MATCH (p:Product) MERGE (m:Maker {id: p.id % 5}) CREATE (p)-[:MADE_BY]->(m)
"""
ONE_ORDER = "(head:Product)<-[:ORDERS]-(:Order)-[:ORDERS]->(tail:Product)"


@pytest.mark.parametrize("feedback", ["pattern", "type"])
@pytest.mark.parametrize("pattern", [ONE_ORDER, "(head:Product)<-[:ORDERS]-(o)-[:ORDERS]->(tail:Product)"])
def test_patterns_through_nodes_that_repeat_the_feedback_are_left_out(
    connection: Connection, feedback: str, pattern: str
) -> None:
    build(connection, ORDERS)
    build(connection, "MATCH (u:User)-[:PLACED]->()-[:ORDERS]->(p) WITH DISTINCT u, p CREATE (u)-[:BOUGHT]->(p)")
    given = {"type": "BOUGHT"}
    if feedback == "pattern":
        build(connection, "MATCH ()-[r:BOUGHT]->() DELETE r")
        given = {"pattern": "(user)-[:PLACED]->(:Order)-[:ORDERS]->(item)"}
    asked = {"item": {"label": "Product"}, "feedback": given}

    def read(**knowledge: Any) -> tuple[KnowledgeGraph, tuple[str, ...], tuple[str, ...]]:
        more = {"keys": {"Maker": "id", "Order": "id"}, "patterns": {"TOGETHER": pattern}, **knowledge}
        knowledge_graph, report = pull_knowledge(connection, GraphSchema.model_validate({**asked, "knowledge": more}))
        return knowledge_graph, report.left_out, report.unused

    knowledge, left_out, _ = read()
    assert set(knowledge.relations) == {"MADE_BY"}
    assert any("TOGETHER leads through Order. Left out" in text for text in left_out)
    knowledge, _, unused = read(include=["TOGETHER"])
    assert set(knowledge.relations) == {"MADE_BY", "TOGETHER"}
    assert any("TOGETHER leads through Order, and [knowledge] include reads it" in text for text in unused)
    assert set(read(include=["Order"])[0].relations) == {"MADE_BY", "TOGETHER", "PLACED", "ORDERS"}


def test_a_pattern_through_a_type_that_repeats_the_feedback_is_left_out_even_if_the_type_is_not_read(
    connection: Connection,
) -> None:
    build(connection, ORDERS)
    build(connection, "MATCH (u:User)-[:PLACED]->()-[:ORDERS]->(p) CREATE (u)-[:BOUGHT]->(p), (u)-[:VIEWED]->(p)")
    asked = schema(
        relationships=["MADE_BY"],
        patterns={
            "SEEN": "(head:Product)<-[:VIEWED]-(:User)-[:VIEWED]->(tail:Product)",
            "NEAR": "(head:Product)-[:MADE_BY]->(:Maker)<-[:MADE_BY]-(tail:Product)",
        },
    )
    knowledge, report = pull_knowledge(connection, asked)
    assert set(knowledge.relations) == {"MADE_BY", "NEAR"}
    assert len(report.left_out) == 1 and "SEEN leads through VIEWED. Left out" in report.left_out[0]


def test_a_node_is_never_its_own_tail(connection: Connection) -> None:
    build(
        connection,
        f"{SHOP};MATCH (s:Shelf {{id: 's1'}}), (p:Product {{id: 'p1'}}) CREATE (s)-[:HOLDS]->(p)",
    )
    assert found(connection, "SAME", patterns={"SAME": {"pattern": SAME_SHELF, "least_count": 2}}) == {
        ("p1", "p3"), ("p3", "p1"),
    }  # fmt: skip
    assert ("p1", "p1") not in found(connection, "SAME", patterns={"SAME": SAME_SHELF})


def test_what_kgplug_wrote_is_part_of_no_pattern(connection: Connection) -> None:
    build(connection, SHOP)
    patterns = {"NEXT_TO": "(head:Product)--(tail:Product)", "SAME_SHELF": SAME_SHELF}
    before = "CREATE (:KgplugModel {name: 'MF'}), (:KgplugRun {id: 'mf-1', model: 'MF'})"
    build(
        connection,
        f"{before};MATCH (a:Product {{id: 'p1'}}), (b:Product {{id: 'p5'}}) "
        "CREATE (a)-[:SIMILAR_TO {model: 'MF', run: 'mf-1'}]->(b), (a)-[:BUNDLED_WITH]->(b)",
    )
    knowledge = read_knowledge(connection, schema(patterns=patterns, exclude=["BUNDLED_WITH"]))
    assert triples(knowledge, "NEXT_TO") == {("p1", "p5"), ("p5", "p1")}
    build(connection, "MATCH ()-[r:BUNDLED_WITH]->() DELETE r")
    with pytest.raises(DataError, match="NEXT_TO matches nothing but"):
        read_knowledge(connection, schema(patterns=patterns))


MIXED = "UNWIND [1, 2, 'one', 2.5] AS x CREATE (:Product {id: toString(x), size: x, at: point({x: 1, y: 1})});"


@pytest.mark.parametrize(
    ("knowledge", "message"),
    [
        (
            {"properties": {"Product.size": "values"}},
            r"\[knowledge\.properties\] Product\.size: the values have several types: 3 numbers \(such as 1\) and 1 "
            r"text \(such as 'one'\)\. Give all of them the same type\.",
        ),
        (
            {"properties": {"Product.at": "values"}},
            r"Product\.at: 'values' needs texts, numbers, booleans or dates, found 4 values of the type point \(such",
        ),
        (
            {"properties": {"Product.tags": "bands"}},
            r"Product\.tags: 'bands' needs numbers, found 9 texts \(such as 'red'\)\.",
        ),
        (
            {"properties": {"Product.tags": "decades"}},
            r"Product\.tags: 'decades' needs years or dates, found only values such as 'red'\.",
        ),
        (
            {"properties": {"Product.price": "values"}},
            r"Product\.price: no value occurs on two nodes \(6 values on 6 :Product nodes\), so nothing can be learnt "
            r'from it\. Numbers can be put into bands: set "bands"\.',
        ),
        (
            {"properties": {"Product.plot": "values"}},
            r"Product\.plot: found a text of 201 characters \('xxx.*Long texts are not knowledge, because hardly any",
        ),
        (
            {"properties": {"Product.pries": "values"}},
            r"no :Product node has the property 'pries'\. Did you mean price\? Properties found: .*price",
        ),
        (
            {"properties": {"Prduct.price": "values"}},
            r"no node has the label Prduct\. Did you mean Product\? Labels found: .*Product",
        ),
        (
            {"patterns": {"A": "(head:Prduct)-[:MADE_BI]->(:Maker)<-[:MADE_BY]-(tail:Product)"}},
            r"\[knowledge\.patterns\] A matches nothing: no node has the label Prduct, and no relationship has the "
            r"type MADE_BI\. Matches of its parts: \(head:Prduct\): 0; \(:Maker\): 2; \(tail:Product\): 10; "
            r"\(head:Prduct\)-\[:MADE_BI\]->\(:Maker\): 0; \(:Maker\)<-\[:MADE_BY\]-\(tail:Product\): 4\.",
        ),
        (
            {"patterns": {"A": {"pattern": SAME_MAKER, "where": "head.colour = 'red'"}}},
            r"A matches nothing with where = \"head\.colour = 'red'\"\. Without it, there are 4 matches\.",
        ),
        (
            {"patterns": {"A": {"pattern": SAME_SHELF, "least_count": 3}}},
            r"A: no two nodes have least_count = 3 matches between them; the maximum is 2\.",
        ),
        (
            {"patterns": {"A": "(head:Product)-[:MADE_BY->(tail)"}},
            r"\[knowledge\.patterns\] A: Neo4j refuses the Cypher: Invalid input '-': expected a parameter, [^()]*$",
        ),
        (
            {"patterns": {"A": {"pattern": SAME_MAKER, "where": "hed.x = 1"}}},
            r"A: Neo4j refuses the Cypher: Variable `hed` not defined",
        ),
        (
            {"patterns": {"MADE_BY": SAME_MAKER}},
            r"MADE_BY has the same name as a relationship type that is read\. Rename the pattern, or add MADE_BY to "
            r"\[knowledge\] exclude",
        ),
        (
            {"properties": {"Product.tags": "values"}, "patterns": {}, "keys": {"Product.tags": "id"}},
            r"Product\.tags has the same name as a label of the graph",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence_by_check_and_training(
    connection: Connection, knowledge: dict[str, Any], message: str
) -> None:
    more = MIXED + "MATCH (p:Product {id: 'p1'}) SET p.plot = reduce(t = '', i IN range(0, 200) | t + 'x')"
    build(connection, f"{SHOP};{more}")
    if "keys" in knowledge:
        build(connection, "CREATE (:`Product.tags` {id: 1})")
    knowledge = {**knowledge, "keys": {"Maker": "id", "Shelf": "id"}}
    with pytest.raises(DataError, match=message):
        read_knowledge(connection, schema(**knowledge))
    with pytest.raises(AssertionError):
        assert findings(connection, "error", **knowledge) == ""
    assert "triples; " in findings(connection, "warning", **knowledge)


@pytest.mark.parametrize(
    ("pattern", "where"),
    [
        (SAME_MAKER, "EXISTS { CREATE (:Written) }"),
        ("(head:Product)-->(tail) SET head.written = 1 WITH head, tail MATCH (head)-->(tail)", None),
        ("(head:Product)-->(tail) CALL db.createLabel('Written') MATCH (head)-->(tail)", None),
    ],
)
def test_the_server_also_refuses_to_write(connection: Connection, pattern: str, where: str | None) -> None:
    build(connection, SHOP)
    unchecked = RelationPattern.model_construct(pattern=pattern, where=where, least_count=1)
    asked = schema()
    asked = asked.model_copy(update={"knowledge": asked.knowledge.model_copy(update={"patterns": {"A": unchecked}})})
    with pytest.raises(DataError, match=r"\[knowledge\.patterns\] A: Neo4j refuses the Cypher"):
        read_knowledge(connection, asked)
    written = "MATCH (n) WHERE n:Written OR n.written IS NOT NULL RETURN count(n) AS n"
    assert connection.rows(written) == [{"n": 0}]
    assert connection.rows("CALL db.labels() YIELD label WHERE label = 'Written' RETURN label") == []


def test_a_pattern_that_never_finishes_is_stopped(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGPLUG_QUERY_S", "1")
    build(connection, f"{SHOP};UNWIND range(1, 400) AS i CREATE (:Dot {{id: i}})")
    endless = {"A": "(head:Dot), (:Dot), (:Dot), (:Dot), (:Dot), (tail:Dot)"}
    message = r"\[knowledge\.patterns\] A: a query took longer than 1 s and was stopped\. .*KGPLUG_QUERY_S"
    with pytest.raises(DataError, match=message):
        read_knowledge(connection, schema(patterns=endless))
    assert "[knowledge.patterns] A" in findings(connection, "error", patterns=endless)
