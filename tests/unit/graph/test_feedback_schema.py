"""[[feedback]] in kgplug.toml: what is read, what is refused, and how it is stored."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgplug.cypher_text import names_in, parts, prefixes, renamed, uses, variables, write_clause
from kgplug.data.graph_identity import GraphIdentity
from kgplug.errors import UsageError
from kgplug.graph import queries
from kgplug.graph.schema import FeedbackSchema, GraphSchema

BOUGHT = "(user)-[:PURCHASED]->(order:Order)-[line:ORDERS]->(item)"
SEVERAL = f"""
[[feedback]]
type = "VIEWED"
weight = "seconds"

[[feedback]]
name = "bought"
pattern = "{BOUGHT}"
where = "order.status <> 'cancelled'"
rating = "line.stars"
weight = "line.quantity"
timestamp = "order.date"
like_threshold = 4
strength = 5
repeated = "decay"
half_life = 30
"""


def load(folder: Path, text: str) -> GraphSchema:
    path = folder / "kgplug.toml"
    path.write_text(text, encoding="utf-8")
    return GraphSchema.load(path)


def test_several_kinds_of_feedback_are_read_and_stored(tmp_path: Path) -> None:
    schema = load(tmp_path, SEVERAL)
    viewed, bought = schema.feedback
    assert (viewed.known_as, viewed.strength, viewed.is_plain) == ("VIEWED", 1, True)
    assert (bought.known_as, bought.type, bought.strength, bought.is_plain) == ("bought", "", 5, False)
    assert GraphSchema.model_validate(schema.model_dump()) == schema
    assert GraphSchema.model_validate_json(schema.model_dump_json(by_alias=True)) == schema
    assert schema.feedback_types == {"VIEWED", "PURCHASED", "ORDERS"} and schema.feedback_labels == {"Order"}
    assert schema.direct_types == {"VIEWED"}
    assert schema.pattern == f"(:User)-[:VIEWED]->(:Movie) and {BOUGHT}"


def test_one_table_means_the_same_with_one_or_two_brackets(tmp_path: Path) -> None:
    one = load(tmp_path, '[feedback]\ntype = "SAW"')
    assert one == load(tmp_path, '[[feedback]]\ntype = "SAW"') == GraphSchema(feedback=FeedbackSchema(type="SAW"))
    assert one.model_dump()["feedback"]["type"] == "SAW"
    assert one.model_copy(update={"feedback": FeedbackSchema()}) == GraphSchema()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pattern = '(user)-->(x)'", r"pattern '.*' has no node \(item\). Expected a pattern between \(user\) and"),
        ("pattern = '(u)-[user:SAW]->(item)'", r"has no node \(user\)"),
        (f"pattern = '{BOUGHT}'\ntype = 'SAW'", "pattern says where the feedback is, so type cannot be set as well"),
        (f"pattern = '{BOUGHT}'\ndirection = 'item_to_user'", "so direction cannot be set as well"),
        (f"pattern = '{BOUGHT} set user.x = 1'", r"pattern would change the graph \(SET\). Expected Cypher that only"),
        ("where = 'true DETACH DELETE user'", r"where would change the graph \(DETACH\)"),
        ("weight = 'rated.x REMOVE rated.x'", r"weight would change the graph \(REMOVE\)"),
        ("where = ''", "where is empty. Remove it, or give it a text"),
        ("pattern = ' // none'", "pattern is empty"),
        ("name = ''", "name is empty"),
        ("type = ''", "expected a type or a pattern, found neither"),
        ("half_life = 30", r'half_life is 30, which is used only with repeated = "decay"'),
        ("repeated = 'decay'\nhalf_life = 30", 'repeated = "decay" also needs timestamp'),
        ("repeated = 'decay'\ntimestamp = 'at'", 'repeated = "decay" also needs half_life'),
        ("repeated = 'often'", "repeated: expected 'last', 'sum', 'mean', 'max', 'count' or 'decay', found 'often'"),
        ("strength = 0", "strength: expected a number above 0, found 0"),
        ("strength = -2", "strength: expected a number above 0, found -2"),
        ("strength = nan", "strength: expected a (finite )?number"),
        ("strength = 'much'", "strength: expected a number, found 'much'"),
        ("half_life = 0\nrepeated = 'decay'\ntimestamp = 'at'", "half_life: expected a number above 0, found 0"),
        (
            "patern = 'x'",
            r"\[feedback\] has no setting patern. Did you mean pattern\? The settings of \[feedback\] are",
        ),
    ],
)
def test_a_wrong_table_is_refused_with_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        load(tmp_path, f"[feedback]\n{text}")
    assert ": [feedback]" in str(error.value) and "\n" not in str(error.value).replace(text, "")
    with pytest.raises(UsageError, match=message.replace(r"\[feedback\]", r"\[\[feedback\]\] number 2")) as error:
        load(tmp_path, f"[[feedback]]\nname = 'x'\n[[feedback]]\n{text}")
    assert "[[feedback]] number 2" in str(error.value)


@pytest.mark.parametrize("second", ["", "type = 'RATED'", "pattern = '(user)-->(item)'\nname = 'RATED'"])
def test_two_tables_with_the_same_name_are_refused(tmp_path: Path, second: str) -> None:
    with pytest.raises(UsageError, match=r"two \[\[feedback\]\] tables have the name 'RATED'. Set name"):
        load(tmp_path, f"[[feedback]]\n[[feedback]]\n{second}")


@pytest.mark.parametrize("text", ["feedback = []", "feedback = 3", "feedback = ['RATED']"])
def test_feedback_that_is_not_a_table_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"Expected a section \[feedback\], found feedback = "):
        load(tmp_path, text)


def test_the_old_name_of_like_threshold_is_read_in_every_table(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="is now called like_threshold"):
        schema = load(tmp_path, "[[feedback]]\nrating = 'a'\nlike = 3\n[[feedback]]\ntype = 'X'\nlike = 4")
    assert [kind.like_threshold for kind in schema.feedback] == [3, 4]


def test_a_type_has_expressions_only_if_they_use_its_variables() -> None:
    plain = FeedbackSchema(rating="stars", weight="user rating", timestamp="rated")
    assert plain.is_plain and not any(map(plain.is_cypher, ("rating", "weight", "timestamp")))
    kind = FeedbackSchema(rating="rated.stars * 2", weight="size(labels(item))", timestamp="at")
    assert [kind.is_cypher(name) for name in ("rating", "weight", "timestamp")] == [True, True, False]
    assert not kind.is_plain and not FeedbackSchema(where="rated.ok").is_plain


def test_graphs_are_told_apart_by_their_feedback() -> None:
    def identity(*kinds: FeedbackSchema) -> GraphIdentity:
        return GraphIdentity.of_schema(GraphSchema(feedback=kinds).model_dump(), store="A")

    bought, saw = FeedbackSchema(pattern=BOUGHT), FeedbackSchema(type="SAW")
    assert identity(bought, saw).same_graph(identity(saw, bought.model_copy(update={"strength": 3.0})))
    assert not identity(bought).same_graph(identity(saw)) and not identity(bought).same_graph(identity(bought, saw))
    assert not identity(saw).same_graph(identity(saw.model_copy(update={"where": "rated.ok"})))
    holds = GraphIdentity(store="A", holds=frozenset({"User", "Movie", "PURCHASED", "ORDERS"}))
    assert holds.same_graph(identity(bought)) and not holds.same_graph(identity(bought, saw))
    assert str(identity(bought)) == f"{BOUGHT} (store A)"


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("x SET y = 1", "SET"), ("n.x = 1 delete n", "DELETE"), ("EXISTS { CREATE (n) }", "CREATE"),
        ("MERGE(n)", "MERGE"), ("FOREACH (x IN [1] | SET n.a = 1)", "FOREACH"), ("a LOAD  CSV FROM 'x'", "LOAD CSV"),
        ("order.set = 1", None), ("(n:Set)-[:SET|DELETE]->(set)", None), ("'SET x'", None), ('"a \\" SET b"', None),
        ("// SET\n x", None), ("/* CREATE */ x", None), ("`CREATE (n)`", None), ("n.created > 1", None),
        ("$set", None), ("n.x // ' \n SET n.y = 1 // '", "SET"),
    ],
)  # fmt: skip
def test_a_write_clause_is_found_outside_of_strings_comments_and_names(text: str, clause: str | None) -> None:
    assert write_clause(text) == clause


def test_the_names_in_a_pattern_are_found() -> None:
    names = names_in("(user:Customer)-[:PURCHASED|`GOT: IT`]->(o:Order&Paid {a: ':X'})<-[l:!LINE*1..3]-()-->(item)")
    assert names.nodes == {"user", "o", "item"} and names.types == {"PURCHASED", "GOT: IT"}
    assert names.labels == {"Order"} and names.has_unlabelled
    assert not names_in("(user)-[:A]->(o:Order), (o)-[:B]->(item)").has_unlabelled
    assert variables("p = (user)-[l:X]->(o), q = (o)-[`m n` {y: 1}]->(item)") == {
        "p", "user", "l", "o", "q", "m n", "item",
    }  # fmt: skip


def test_a_pattern_is_cut_into_parts_and_beginnings() -> None:
    pattern = "(user)-[:A]->(o:Order {a: '),('}), (o)<-[l:B {x: [1, 2]}]-(item)"
    first, second = parts(pattern)
    assert (first, second) == ("(user)-[:A]->(o:Order {a: '),('})", "(o)<-[l:B {x: [1, 2]}]-(item)")
    assert prefixes(pattern) == ["(user)", first, f"{first}, (o)", pattern]


def test_variables_are_renamed_and_nothing_else() -> None:
    text = (
        "(user)-[:order]->(order:Order|order {order: order.id, x: 'order'})-[line]->(item) WHERE order.order > 1 AND "
        "order:order AND order('x') = $order AND [x IN order.l | order.y] = [order] AND {a: order}.order = `order`"
    )
    assert renamed(text, {"order": "K", "user": "U"}) == (
        "(U)-[:order]->(K:Order|order {order: K.id, x: 'order'})-[line]->(item) WHERE K.order > 1 AND "
        "K:order AND order('x') = $order AND [x IN K.l | K.y] = [K] AND {a: K}.order = K"
    )
    assert uses("rated.stars", "rated") and uses("labels(rated)", "rated") and not uses("stars rated", "rated")


PIECES = st.sampled_from(
    ["(", ")", "[", "]", "{", "}", "'", '"', "`", "//", "/*", "*/", ":", "|", ",", "user", " ", "\\"]
)


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_any_text_can_be_looked_into(text: str) -> None:
    assert renamed(text, {}) == text
    names_in(text), variables(text), write_clause(text), prefixes(text), parts(text), uses(text, "user")


def test_a_long_list_of_labels_is_no_trouble() -> None:
    labels = " | ".join(f"L{number}" for number in range(60))
    assert renamed(f"(user: {labels} x) y", {"y": "z"}).endswith(" x) z")


def test_names_in_a_users_cypher_are_not_replaced_in_shipped_queries() -> None:
    kind = FeedbackSchema(pattern="(user)-[:RATED]->(:`Movie`)-[:`RATED`]->(item)", where="user.`id` > 1")
    schema = GraphSchema(feedback=kind).model_copy(
        update={"item": GraphSchema().item.model_copy(update={"label": "F"})}
    )
    text = queries.load("popular_unseen", schema)
    assert "(user)-[:RATED]->(:`Movie`)-[:`RATED`]->(item) WHERE user:`User` AND item:`F` AND (user.`id` > 1)" in text
    assert "\0" not in text and "MATCH (item:`F`)" in text


def test_the_reference_lists_every_setting_of_feedback_with_its_default() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "kgplug-toml.md").read_text(encoding="utf-8")
    part = page.partition("## [[feedback]]")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", part, re.MULTILINE))
    assert rows.keys() == FeedbackSchema.model_fields.keys()
    for name, setting in FeedbackSchema.model_fields.items():
        if setting.default is not None:
            assert str(setting.default).removesuffix(".0") in rows[name]
