"""Variables that a kind of feedback binds do not meet those of the query in which its Cypher stands."""

from __future__ import annotations

from kgplug.graph.feedback_match import as_part, expression_of, has_feedback
from kgplug.graph.schema import FeedbackSchema, GraphSchema

HIDDEN = "NOT EXISTS { (item)<-[r:HIDES]-(n:List) }"


def test_a_condition_of_a_type_binds_names_of_its_own() -> None:
    schema = GraphSchema(feedback=FeedbackSchema(where=f"{HIDDEN} AND any(x IN rated.tags WHERE x = 'n')"))
    found = has_feedback(schema, user="n", item="r")
    assert "NOT EXISTS { (r)<-[kgplug_r:HIDES]-(kgplug_n:List) }" in found
    assert "any(kgplug_x IN kgplug_rated.tags WHERE kgplug_x = 'n')" in found and "(n:`User`)" in found


def test_a_condition_and_expressions_of_a_pattern_bind_names_of_their_own() -> None:
    kind = FeedbackSchema(
        pattern="(user)-[:BOUGHT]->(order:Order)-[:OF]->(item)",
        where=HIDDEN,
        weight="COUNT { (order)-->(n:Line) }",
    )
    found = has_feedback(GraphSchema(feedback=kind), user="n", item="m")
    assert "(m)<-[kgplug_r:HIDES]-(kgplug_n:List)" in found and "(n)-[:BOUGHT]->(kgplug_order:Order)" in found
    weight = expression_of(kind, "weight")
    assert weight is not None and "COUNT { (kgplug_order)-->(kgplug_n:Line) }" in as_part(kind, weight, user="n")


def test_names_of_properties_are_no_variables() -> None:
    kind = FeedbackSchema(rating="stars")
    assert as_part(kind, expression_of(kind, "rating") or "") == "kgplug_rated.`stars`"
