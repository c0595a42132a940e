"""The readable name of a node: the same rule for init, the shipped queries, reasons and captions."""

from __future__ import annotations

import numpy as np
import pytest

from kgplug.graph import queries
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.guessing.schema import guess_schema
from kgplug.graph.naming import label_of, name_of, title_rank
from kgplug.graph.schema import FeedbackSchema, GraphSchema, ItemSchema, KnowledgeSchema
from kgplug.serving import explain, view

SHOP = """
UNWIND range(1, 12) AS i CREATE (:Movie {id: i, title: 'Film ' + i});
UNWIND range(1, 6) AS i CREATE (:User {id: i});
MATCH (u:User), (m:Movie) WHERE (u.id + m.id) % 2 = 0 CREATE (u)-[:RATED]->(m);
UNWIND range(1, 3) AS i CREATE (s:Supplier {zone: 'Zone ' + i, code: 40 + i, town: 'Town 2' + i})
WITH s MATCH (m:Movie) WHERE m.id % 3 = s.code % 3 CREATE (m)-[:FROM]->(s);
UNWIND range(1, 3) AS i CREATE (t:Town:Place {country: 'C', townName: 'Ville ' + i, id: i, b: 'x'})
WITH t MATCH (m:Movie) WHERE m.id % 3 = t.id % 3 CREATE (m)-[:MADE_IN]->(t);
"""


@pytest.fixture
def shop(connection: Connection) -> Graph:
    for statement in filter(None, map(str.strip, SHOP.split(";"))):
        connection.autocommit(statement)
    return Graph(connection)


def test_reasons_name_every_node_of_a_label_by_the_same_property(shop: Graph) -> None:
    shop.use(guess_schema(shop.connection)[0])
    frame = explain.paths(shop, 1, 2, k=100)
    named = {(row.shared_label, row.shared) for row in frame.itertuples()}
    assert named == {("Supplier", 41), ("Place", "Ville 2")}
    assert set(frame["liked"]) == {"Film 5", "Film 11"}


def test_nodes_without_title_and_key_are_described(shop: Graph) -> None:
    shop.connection.write("MATCH (s:Supplier) SET s.number = s.code REMOVE s.code")
    shop.use(GraphSchema(item=ItemSchema(title="title")))
    frame = explain.paths(shop, 1, 2, k=100)
    assert {row.shared for row in frame.itertuples() if row.shared_label == "Supplier"} == {"a supplier they share"}
    listed = explain.with_reasons(shop, 1, frame.head(1).assign(id=2))
    because = listed["because"].iloc[0].split(" — ")[2]
    assert because in ("Place Ville 2", "Town Ville 2")  # nodes with a name come first


def test_an_item_without_a_title_shows_its_key(shop: Graph) -> None:
    shop.connection.write("MATCH (m:Movie) WHERE m.id > 4 REMOVE m.title")
    shop.use(GraphSchema(item=ItemSchema(title="title")))
    assert set(explain.paths(shop, 1, 2, k=100)["liked"]) == {5, 11}
    assert shop.cypher("popular_unseen", user=1, k=12)["title"].tolist() == ["Film 2", "Film 4", 6, 8, 10, 12]


def test_queries_and_captions_quote_names_the_same_way(connection: Connection) -> None:
    rng = np.random.default_rng(0)
    names = [
        "title",
        "Name",
        "companyName",
        "LABEL",
        "full_title",
        "town",
        "id",
        "Code",
        "code",
        "nickname",
        "entitled",
    ]
    values = ["", " ", "a", "b", 1, 2.5, True, ["x"]]
    for labels in ("Thing", "Movie", "Other:Thing", "Other"):
        rows = [
            {
                str(name): values[rng.integers(len(values))]
                for name in rng.choice(names, rng.integers(0, 6), replace=False)
            }
            for _ in range(100)
        ]
        connection.write(f"UNWIND $rows AS row CREATE (n:{labels}) SET n = row", rows=rows)
    schema = GraphSchema(item=ItemSchema(title="title"), knowledge=KnowledgeSchema(keys={"Thing": "code"}))
    query = "MATCH (tail) RETURN labels(tail) AS labels, properties(tail) AS properties,\n// label of tail\nx\n"
    query += "// end of label\nAS label,\n// name of tail\nx\n// end of name\nAS name"
    found = connection.rows(queries.render(query, schema))
    assert len(found) == 400
    for row in found:
        assert row["label"] == label_of(schema, row["labels"])
        assert row["name"] == name_of(schema, row["labels"], row["properties"]), row


@pytest.mark.parametrize(
    ("name", "sounds"),
    [("title", True), ("NAME", True), ("companyName", True), ("name_full", True), ("nickname", True), ("label", True),
     ("entitled", False), ("names", False), ("town", False), ("kgplug_name", False), ("片名", True)],
)  # fmt: skip
def test_a_title_is_recognized_by_its_name(name: str, sounds: bool) -> None:
    assert (title_rank(name) is not None) == sounds


def test_an_explanation_without_ratings_compares_no_rating() -> None:
    text = queries.load("explain", GraphSchema(feedback=FeedbackSchema(type="BOUGHT")))
    assert "$like" not in text and "null" not in text.split("RETURN")[0]
    rated = queries.load("explain", GraphSchema(feedback=FeedbackSchema(rating="stars", like_threshold=4)))
    assert "rated.`stars`))), rated.`stars`)) >= $like_threshold" in rated


def test_boolean_and_text_ratings_give_reasons(shop: Graph) -> None:
    shop.connection.write("MATCH (u:User)-[r:RATED]->(m:Movie) SET r.liked = m.id = 5, r.stars = toString(m.id)")
    for rating, like, liked in (("liked", 1, {"Film 5"}), ("stars", 6, {"Film 11"})):
        feedback = FeedbackSchema(rating=rating, like_threshold=like)
        shop.use(GraphSchema(item=ItemSchema(title="title"), feedback=feedback))
        assert set(explain.paths(shop, 1, 2, k=100)["liked"]) == liked


def test_captions_of_a_picture_are_titles_or_keys(shop: Graph) -> None:
    shop.use(guess_schema(shop.connection)[0])
    names = [
        view._caption(shop, row["labels"], row["p"], ())
        for row in shop.connection.rows(
            "MATCH (n) WHERE n:Supplier OR n:Town RETURN labels(n) AS labels, properties(n) AS p"
        )
    ]
    assert sorted(names) == ["41", "42", "43", "Ville 1", "Ville 2", "Ville 3"]
