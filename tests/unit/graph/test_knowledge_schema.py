"""Section [knowledge] of kgplug.toml: patterns, properties and exclude, and what is refused there."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgplug.errors import UsageError
from kgplug.graph.knowledge_schema import KnowledgeSchema, PropertyRule, RelationPattern, splits_of
from kgplug.graph.reading.patterns import is_labelled, is_typed, node_of, paths_of, steps_of
from kgplug.graph.schema import GraphSchema

TOGETHER = "(head:Product)<-[:ORDERS]-(:Order)-[:ORDERS]->(tail:Product)"


def load(folder: Path, text: str) -> KnowledgeSchema:
    path = folder / "kgplug.toml"
    path.write_text(text, encoding="utf-8")
    return GraphSchema.load(path).knowledge


def test_patterns_properties_and_exclude_are_read(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        f"""
        [knowledge]
        exclude = ["Session", "LOGGED_IN"]
        [knowledge.patterns]
        TOGETHER = {{ pattern = "{TOGETHER}", where = "head.x > 1", least_count = 3 }}
        SAME_MAKER = "(head:Product)-[:MADE_BY]->(:Maker)<-[:MADE_BY]-(tail:Product)"
        [knowledge.properties]
        "Movie.genres" = "values"
        Movie.year = "decades"
        Movie.budget = {{ bands = 8 }}
        "Music.Track".length = "bands"
        """,
    )
    assert found.exclude == ["Session", "LOGGED_IN"]
    assert found.patterns["TOGETHER"] == RelationPattern(pattern=TOGETHER, where="head.x > 1", least_count=3)
    assert (found.patterns["SAME_MAKER"].where, found.patterns["SAME_MAKER"].least_count) == (None, 1)
    assert found.properties == {
        "Movie.genres": PropertyRule(rule="values"),
        "Movie.year": PropertyRule(rule="decades"),
        "Movie.budget": PropertyRule(rule="bands", bands=8),
        "Music.Track.length": PropertyRule(rule="bands", bands=10),
    }
    schema = GraphSchema(knowledge=found)
    assert GraphSchema.model_validate(schema.model_dump()) == schema
    assert GraphSchema.model_validate_json(schema.model_dump_json()) == schema


def test_a_section_without_the_new_entries_is_stored_as_by_earlier_versions() -> None:
    assert list(KnowledgeSchema(keys={"Actor": "id"}).model_dump()) == ["relationships", "users", "include", "keys"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[knowledge]\nexclude = "A"', r"\[knowledge\] exclude: expected a list such as .*, found 'A'\."),
        (
            '[knowledge.patterns]\nA = "(head)-->(b)"',
            r"\[knowledge\.patterns\] A: pattern '\(head\)-->\(b\)' has no node \(tail\)\. Expected a pattern between",
        ),
        ('[knowledge.patterns]\nA = "(b)-->(tail)"', r"\[knowledge\.patterns\] A: pattern .* has no node \(head\)"),
        (
            '[knowledge.patterns]\nA = { pattern = "(head)-->(tail)", least_count = 0 }',
            r"\[knowledge\.patterns\] A least_count: expected a whole number of at least 1, found 0\.",
        ),
        (
            '[knowledge.patterns]\nA = { pattern = "(head)-->(tail)", least_count = 1.5 }',
            r"\[knowledge\.patterns\] A least_count: expected a whole number, found 1\.5\.",
        ),
        (
            '[knowledge.patterns]\nA = { pattern = "(head)-->(tail)", count = 2 }',
            r"\[knowledge\.patterns\] A has no setting count\. Did you mean least_count\?",
        ),
        ('[knowledge.patterns]\nA = { where = "true" }', r"\[knowledge\.patterns\] A has no pattern\."),
        ("[knowledge.patterns]\nA = 3", r"\[knowledge\.patterns\] A: expected a pattern in quotes or a table, found 3"),
        (
            '[knowledge.patterns]\nA = "(head)-->(tail) SET head.x = 1"',
            r"\[knowledge\.patterns\] A: pattern would change the graph \(SET\)\. Expected Cypher that only reads\.",
        ),
        (
            '[knowledge.patterns]\nA = { pattern = "(head)-->(tail)", where = "true DETACH DELETE head" }',
            r"\[knowledge\.patterns\] A: where would change the graph \(DETACH\)",
        ),
        (
            '[knowledge.properties]\n"Movie.year" = "decade"',
            r'\[knowledge\.properties\] Movie\.year: expected "values", "decades", "bands" or \{ bands = 8 \}, found',
        ),
        (
            '[knowledge.properties]\n"Movie.year" = { bands = 1 }',
            r"\[knowledge\.properties\] Movie\.year bands: expected a whole number of at least 2, found 1\.",
        ),
        ('[knowledge.properties]\nyear = "values"', r"'year' does not name a label and a property\. Expected"),
        ('[knowledge.properties]\n".year" = "values"', r"'\.year' does not name a label and a property"),
        (
            '[knowledge.properties]\n"A.b" = "values"\n[knowledge.patterns]\n"A.b" = "(head)-->(tail)"',
            r"\[knowledge\]: patterns and properties both have 'A\.b'\. Rename the pattern\.",
        ),
    ],
)
def test_a_wrong_entry_is_reported_with_what_was_expected_and_found(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load(tmp_path, text)


def test_a_label_or_property_may_have_dots() -> None:
    assert splits_of("Movie.year") == [("Movie", "year")]
    assert splits_of("a.b.c") == [("a.b", "c"), ("a", "b.c")]
    assert splits_of("Movie") == splits_of("Movie.") == splits_of(".year") == []


def test_a_pattern_is_divided_into_nodes_and_relationships() -> None:
    (path,) = paths_of(TOGETHER)
    assert path.elements == ("(head:Product)", "<-[:ORDERS]-", "(:Order)", "-[:ORDERS]->", "(tail:Product)")
    assert str(path) == TOGETHER
    first, second = paths_of("p = (head:A|B)-[r:X*1..2 {y: ['a', ')']}]->(t:Tag), (t)<-[]-(tail WHERE tail.`a)` = ')')")
    assert (first.name, first.elements[1]) == ("p", "-[r:X*1..2 {y: ['a', ')']}]->")
    assert second.elements == ("(t)", "<-[]-", "(tail WHERE tail.`a)` = ')')")
    assert list(steps_of([first, second]))[1] == ("(t:Tag)", "<-[]-", "(tail WHERE tail.`a)` = ')')")
    assert node_of([first, second], "head") == "(head:A|B)"
    assert node_of([first, second], "tail") == "(tail)"
    assert [is_typed(each) for each in ("--", "-[r]->", "<-[:X]-", "-[`a:b`]-", "-[r:`a b`]-")] == [
        *(False, False, True, False, True)
    ]
    assert [is_labelled(each) for each in ("()", "(n)", "(n {a: ':B'})", "(:A)", "(n:A {b: 1})")] == [
        *(False, False, False, True, True)
    ]


@pytest.mark.parametrize(
    "pattern",
    [
        "(head)((a)-[:X]->(b)){1,3}(tail)",
        "shortestPath((head)-[:X*]-(tail))",
        "(head)-->(x) MATCH (x)-->(tail)",
        "(head)-->(tail",
        "(head)-[:X->(tail)",
        "",
    ],
)
def test_a_pattern_that_is_not_a_list_of_plain_paths_is_not_divided(pattern: str) -> None:
    assert paths_of(pattern) == []
