"""Relationships, properties and labels of the user's own are the user's, whatever they are called."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kgplug.embeddings.model import EmbeddingModel
from kgplug.embeddings.prediction import ask, predict
from kgplug.errors import UsageError
from kgplug.graph import catalog
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.check import check
from kgplug.graph.graph import Graph
from kgplug.graph.ownership import count_own, own_runs
from kgplug.graph.publishing.publisher import publish
from kgplug.graph.reading.reader import read_interactions, read_knowledge
from kgplug.graph.schema import FeedbackSchema, GraphSchema
from kgplug.serving import explain
from tests.integration.helpers.publishing import publication
from tests.integration.helpers.sample_graphs import FILM_KEYS, FILMS, build
from tests.integration.helpers.sample_graphs import FILM_SCHEMA as SCHEMA

pytestmark = [pytest.mark.training, FILM_KEYS]

THEIRS = """
MATCH (a:Movie {id: 1}), (b:Movie) WHERE b.id > 4
CREATE (a)-[:SIMILAR_TO {run: 7, model: 'MKR', edition: 1, rank: 1, score: 0.5}]->(b),
       (a)-[:PREDICTED {run: ['x'], model: 'TransE', relation: 'ACTED_IN', rank: 1}]->(b)
WITH count(*) AS n
MATCH (a:User), (b:Movie) WHERE a.id < 9
CREATE (a)-[:RECOMMENDS {run: b.id, model: 'MKR', edition: 1, rank: b.id, score: 0.5, stars: 4}]->(b)
"""
MINE = "MATCH ()-[r:RECOMMENDS|SIMILAR_TO|PREDICTED]->() WHERE NOT coalesce(r.run IN $runs, false) RETURN count(r) AS n"


@pytest.fixture
def graph(connection: Connection) -> Iterator[Graph]:
    build(connection, FILMS)
    connection.write(THEIRS)
    connection.write("MATCH (n:User) SET n.kgplug_note = 'a friend', n.kgplug_mkr_0_score = 1.0")
    yield Graph(connection).use(SCHEMA)


def theirs(graph: Graph) -> int:
    """Relationships of kgplug's types that kgplug did not write."""
    runs = [row["id"] for row in graph.connection.rows("MATCH (run:KgplugRun) RETURN run.id AS id")]
    runs += [
        run for row in graph.connection.rows("MATCH (m:KgplugModel) RETURN m.predicted AS p") for run in row["p"] or []
    ]
    return graph.connection.rows(MINE, runs=runs)[0]["n"]


def trained(graph: Graph) -> EmbeddingModel:
    model = EmbeddingModel("TransE", embedding_dim=6, epochs=2, batch_size=16, device="cpu")
    return model.fit(graph.read_knowledge(SCHEMA))


def small_publication(run: str, seed: int = 0):
    return publication(run, seed=seed, n_users=9)


def test_own_relationships_of_the_user_are_trained_on_and_counted_as_knowledge(graph: Graph) -> None:
    connection = graph.connection
    recommended = GraphSchema(feedback=FeedbackSchema(type="RECOMMENDS", rating="stars", like_threshold=4))
    before = read_interactions(connection, recommended), read_knowledge(connection, SCHEMA)
    assert len(before[0]) == 8 * 12
    assert {"SIMILAR_TO", "PREDICTED"} <= set(before[1].relations)
    model = trained(graph)
    graph.publish(model, similar=3)
    graph.write_predictions(predict(model, ask(model, graph.read_knowledge(SCHEMA), "ACTED_IN"), k=5))
    publish(connection, SCHEMA, small_publication("mkr-1"), progress=False)
    after = read_interactions(connection, recommended), read_knowledge(connection, SCHEMA)
    assert [one.fingerprint for one in after] == [one.fingerprint for one in before]
    assert count_own(connection, "PREDICTED") == 5
    found = {row.finding for row in check(connection, recommended).findings if row.check == "feedback"}
    assert any(f"{8 * 12} :RECOMMENDS" in text for text in found)


def test_publish_rollback_unpublish_and_erase_keep_the_users_own_relationships(graph: Graph) -> None:
    n, connection = theirs(graph), graph.connection
    for number in range(3):
        publish(connection, SCHEMA, small_publication(f"mkr-{number}", number), progress=False)
        assert theirs(graph) == n
    model = trained(graph)
    for _ in range(2):
        graph.write_predictions(predict(model, ask(model, graph.read_knowledge(SCHEMA), "ACTED_IN"), k=5))
    assert theirs(graph) == n
    report = graph.erase_user(3)
    assert (report.found, report.before[0]) == ((0, []), report.edges) and report.edges > 0
    assert theirs(graph) == n
    graph.rollback("MKR")
    health = graph.cypher("health").iloc[0]
    serving = connection.rows("MATCH ()-[r:RECOMMENDS {run: 'mkr-1'}]->() RETURN count(r) AS n")[0]["n"]
    assert (health["edges"], health["lists"], health["stray_edges"]) == (serving, 8, 0)
    n_own = count_own(connection, "RECOMMENDS")
    report = graph.unpublish("MKR")
    assert report.edges == n_own
    assert graph.unpublish("transe").edges == 5
    assert theirs(graph) == n
    assert connection.rows("MATCH (n:User) WHERE n.kgplug_note IS NOT NULL RETURN count(n) AS n") == [{"n": 9}]
    assert catalog.known_models(connection) == []


def test_lists_and_reasons_contain_only_relationships_of_kgplug(graph: Graph) -> None:
    wanted = small_publication("mkr-1")
    publish(graph.connection, SCHEMA, wanted, progress=False)
    assert catalog.serving_run(graph.connection, "MKR").edition == 1
    frame = explain.recommendations(graph, 3, k=50)
    assert wanted.lists is not None
    assert frame["id"].tolist() == [key for key in wanted.lists.item_keys[wanted.lists.items[2]] if key <= 12]
    graph.connection.write("MATCH (u:User {id: 4})-[r:RECOMMENDS {run: 'mkr-1'}]->() DELETE r")
    with pytest.raises(UsageError, match="MKR has no list for user 4"):
        explain.recommendations(graph, 4)


def test_an_index_of_theirs_is_not_listed_as_kgplugs(graph: Graph) -> None:
    publish(graph.connection, SCHEMA, small_publication("mkr-1"), progress=False)
    graph.connection.autocommit(
        "CREATE VECTOR INDEX kgplug_theirs FOR (n:User) ON (n.kgplug_theirs) OPTIONS {indexConfig: "
        "{`vector.dimensions`: 3, `vector.similarity_function`: 'cosine'}}"
    )
    assert graph.cypher("indexes")["name"].tolist() == ["kgplug_mkr_1_Movie"]


def test_predictions_between_other_labels_stay(graph: Graph) -> None:
    model = trained(graph)
    knowledge = read_knowledge(graph.connection, SCHEMA)
    for label in ("Actor", "Genre"):
        question = ask(model, knowledge, "ACTED_IN", head_label=label, tail_label="Movie")
        graph.write_predictions(predict(model, question, k=3))
    assert count_own(graph.connection, "PREDICTED") == 6


def test_predictions_of_an_unpublished_run_belong_to_kgplug(graph: Graph) -> None:
    before = read_knowledge(graph.connection, SCHEMA).fingerprint
    model = trained(graph)
    graph.write_predictions(predict(model, ask(model, graph.read_knowledge(SCHEMA), "ACTED_IN"), k=5))
    assert catalog.known_models(graph.connection) == ["TransE"]
    assert read_knowledge(graph.connection, SCHEMA).fingerprint == before
    graph.publish(model)
    assert count_own(graph.connection, "PREDICTED") == 5
    graph.unpublish("TransE")
    assert read_knowledge(graph.connection, SCHEMA).fingerprint == before
    assert catalog.known_models(graph.connection) == []


def test_the_users_own_nodes_with_catalogue_labels_are_not_taken_for_runs_or_models(graph: Graph) -> None:
    theirs_too = "CREATE (:KgplugRun {id: 17}), (:KgplugModel {title: 'mine'}), (:KgplugModel)"
    graph.connection.write(theirs_too)
    publish(graph.connection, SCHEMA, small_publication("mkr-1"), progress=False)
    n = theirs(graph)
    assert set(own_runs(graph.connection)) == {("MKR", "mkr-1")}
    assert catalog.known_models(graph.connection) == ["MKR"]
    assert "RECOMMENDS" in set(read_knowledge(graph.connection, SCHEMA).relations)
    assert graph.erase_user(3).edges > 0
    graph.unpublish("MKR")
    assert theirs(graph) == n
    assert graph.connection.rows("MATCH (n:KgplugRun|KgplugModel) RETURN count(n) AS n")[0]["n"] >= 3
