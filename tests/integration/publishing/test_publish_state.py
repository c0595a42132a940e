"""What a publish leaves out of lists depends on the graph now and on the model, never on what was called before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import kgplug
from kgplug import jobs
from kgplug.data.interactions import Interactions
from kgplug.errors import UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.schema import FeedbackSchema, GraphSchema, ItemSchema
from kgplug.recommenders.base import Recommender
from kgplug.serving.live import live_recommendations
from kgplug.training.runs import Runs
from tests.integration.helpers.sample_graphs import FILM_KEYS, FILMS, build

pytestmark = FILM_KEYS

SCHEMA = GraphSchema(item=ItemSchema(title="title"))
VIEWED = GraphSchema(feedback=FeedbackSchema(type="VIEWED"))
SEEN_AND_LISTED = """
MATCH (model:KgplugModel {name: 'ItemKNN'}) WITH model.edition AS edition LIMIT 1
MATCH (u:User)-[r:RECOMMENDS {model: 'ItemKNN', edition: edition}]->(m:Movie)
RETURN count(r) AS listed, sum(CASE WHEN EXISTS { (u)-[:RATED]->(m) } THEN 1 ELSE 0 END) AS seen,
       sum(CASE WHEN EXISTS { (u)-[:VIEWED]->(m) } THEN 1 ELSE 0 END) AS viewed
"""


@pytest.fixture
def run(connection: Connection, tmp_path: Path) -> Iterator[Path]:
    """A run that was trained on half of the ratings; more came later, and views of other films are there, too."""
    build(connection, FILMS)
    connection.write("MATCH (u:User), (m:Movie) WHERE (u.id + m.id) % 3 = 0 CREATE (u)-[:VIEWED]->(m)")
    graph = Graph(connection)
    half = jobs.Split((0.5, 0.2, 0.3))
    folder = jobs.train("ItemKNN", jobs.read(graph, SCHEMA, name="ItemKNN"), Runs(tmp_path / "runs"), split=half)
    connection.write("MATCH (u:User {id: 1}), (m:Movie) WHERE m.id IN [2, 4] MERGE (u)-[:RATED {rating: 5}]->(m)")
    yield folder


def published(graph: Graph) -> tuple[int, int]:
    (row,) = graph.connection.rows(SEEN_AND_LISTED)
    assert row["listed"] > 0
    return row["seen"], row["viewed"]


BEFORE: dict[str, Callable[[Graph], object]] = {
    "nothing": lambda graph: None,
    "a read with the same schema": lambda graph: graph.read_interactions(SCHEMA),
    "a read with another schema": lambda graph: graph.read_interactions(VIEWED),
    "the use of another schema": lambda graph: graph.use(VIEWED),
    "reads with both": lambda graph: (graph.read_interactions(VIEWED), graph.read_interactions(SCHEMA)),
}


@pytest.mark.parametrize("before", BEFORE)
def test_a_published_list_holds_nothing_that_its_user_has_feedback_on_now(
    connection: Connection, run: Path, before: str
) -> None:
    graph = Graph(connection)
    BEFORE[before](graph)
    graph.publish(kgplug.load(run), k=5, progress=False)
    seen, viewed = published(graph)
    assert seen == 0 and viewed > 0
    assert graph.preview(kgplug.load(run), k=5).lists.changed == 0


def test_feedback_that_comes_after_a_read_counts_as_seen(connection: Connection, run: Path) -> None:
    graph = Graph(connection)
    graph.read_interactions(SCHEMA)
    connection.write("MATCH (u:User {id: 2}), (m:Movie) WHERE m.id IN [1, 3, 5] MERGE (u)-[:RATED {rating: 5}]->(m)")
    graph.publish(kgplug.load(run), k=5, progress=False)
    assert published(graph)[0] == 0


def test_the_schema_of_the_call_comes_before_that_of_the_model(connection: Connection, run: Path) -> None:
    graph = Graph(connection)
    graph.publish(kgplug.load(run), k=5, schema=VIEWED, progress=False)
    seen, viewed = published(graph)
    assert viewed == 0 and seen > 0
    with pytest.raises(UsageError, match=r"ItemKNN was trained to recommend :Movie to :User"):
        graph.publish(kgplug.load(run), schema=GraphSchema(item=ItemSchema(label="Genre")))


def test_with_seen_train_only_items_of_the_training_set_are_left_out(connection: Connection, run: Path) -> None:
    graph, model = Graph(connection), kgplug.load(run)
    graph.publish(model, k=5, seen="train", progress=False)
    assert published(graph)[0] > 0


def test_a_model_without_a_schema_of_its_own_needs_exactly_one_schema_of_the_graph(
    connection: Connection, run: Path
) -> None:
    graph, model = Graph(connection), kgplug.load(run)
    assert isinstance(model, Recommender)
    model.graph_schema = None
    with pytest.raises(UsageError, match="not known yet"):
        graph.publish(model)
    graph.read_interactions(VIEWED)
    graph.read_interactions(SCHEMA)
    with pytest.raises(UsageError, match=r"read with 2 schemas: .*VIEWED.*RATED.*graph\.use"):
        graph.publish(model)
    with pytest.raises(UsageError, match="read with 2 schemas"):
        graph.cypher("popular_unseen", user=1, k=3)
    graph.use(SCHEMA).publish(model, k=5, progress=False)
    assert published(graph)[0] == 0


def test_a_model_keeps_the_schema_of_what_it_learnt_through_splits_and_files(
    connection: Connection, run: Path, tmp_path: Path
) -> None:
    graph = Graph(connection)
    train, _ = graph.read_interactions(SCHEMA).split((0.5, 0.5))
    assert isinstance(train, Interactions)
    model = kgplug.create("Popularity")
    assert isinstance(model, Recommender)
    model.fit(train).save(tmp_path / "saved")
    graph.read_interactions(VIEWED)
    loaded = kgplug.load(tmp_path / "saved")
    assert loaded.graph_schema == SCHEMA.model_dump()
    report = graph.publish(loaded, k=5, progress=False)
    assert report.edges > 0
    assert kgplug.load(run).graph_schema == SCHEMA.model_dump()


def test_a_live_list_leaves_out_what_the_schema_of_its_run_names(
    connection: Connection, run: Path, tmp_path: Path
) -> None:
    graph = Graph(connection)
    jobs.publish(graph, run, k=5, progress=False)
    rated = {row["id"] for row in connection.rows("MATCH (:User {id: 1})-[:RATED]->(m) RETURN m.id AS id")}
    frame = live_recommendations(graph.use(VIEWED), Runs(tmp_path / "runs"), 1, k=12, reasons=False)
    assert len(frame) and not rated & set(frame["id"])
