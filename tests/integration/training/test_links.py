"""Similar nodes, predicted links and relation vectors in a real Neo4j."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kgplug import jobs
from kgplug.cli import app
from kgplug.embeddings.model import EmbeddingModel
from kgplug.embeddings.prediction import ask, predict
from kgplug.errors import UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.catalog import OWN_RELATIONSHIPS
from kgplug.graph.graph import Graph
from kgplug.graph.guessing.schema import guess_schema
from kgplug.graph.publishing import predictions
from kgplug.graph.queries import load, queries_dir
from kgplug.graph.server.home import Endpoint
from kgplug.training.runs import Runs
from tests.integration.helpers.sample_graphs import ALL_EDGES, ALL_NODES, FILM_KEYS, FILMS, build
from tests.integration.helpers.sample_graphs import FILM_SCHEMA as SCHEMA

pytestmark = [pytest.mark.training, FILM_KEYS]

SMALL = {"embedding_dim": 6, "epochs": 2, "batch_size": 16, "device": "cpu"}


@pytest.fixture
def graph(connection: Connection) -> Iterator[Graph]:
    build(connection, FILMS)
    return Graph(connection).use(SCHEMA)


def trained(graph: Graph, name: str = "TransE", *, seed: int = 0, **settings: object) -> EmbeddingModel:
    return EmbeddingModel(name, **{**SMALL, **settings}).fit(graph.read_knowledge(SCHEMA), seed=seed)


def similar(graph: Graph) -> dict[tuple[str, object], list[tuple]]:
    """(label, key) → its list as (run, rank, label, key, score)."""
    found: dict[tuple[str, object], list[tuple]] = {}
    for row in graph.connection.rows(
        "MATCH (model:KgplugModel {name: 'TransE'}) WITH model.edition AS edition LIMIT 1 "
        "MATCH (a)-[r:SIMILAR_TO {model: 'TransE', edition: edition}]->(b) RETURN labels(a)[0] AS head_label, "
        "a.id AS head, r.run AS run, r.rank AS rank, labels(b)[0] AS label, b.id AS key, r.score AS score "
        "ORDER BY head_label, head, rank"
    ):
        head_label, head, *rest = row.values()
        found.setdefault((head_label, head), []).append(tuple(rest))
    return found


def predicted(graph: Graph) -> list[tuple]:
    rows = graph.connection.rows(
        "MATCH (a)-[r:PREDICTED]->(b) RETURN r.relation AS relation, r.model AS model, r.run AS run, r.rank AS rank, "
        "a.id AS head, b.id AS tail, r.score AS score ORDER BY relation, rank"
    )
    return [tuple(row.values()) for row in rows]


def test_each_node_gets_its_nearest_of_its_label_and_a_second_publish_changes_nothing(graph: Graph) -> None:
    model = trained(graph)
    report = graph.publish(model, similar=3)
    lists = similar(graph)
    assert len(lists) == report.similar == model.entity_keys.size == 18
    assert report.similar_edges == 12 * 3 + 4 * 3 + 2 * 1  # a genre has one other
    for entity, (label, key) in enumerate(zip(model.entity_labels, model.entity_keys, strict=True)):
        nearest, cosines = model.nearest(entity, 3, label=label)
        assert [(run, rank, of) for run, rank, of, *_ in lists[label, key]] == [
            (model.run, rank + 1, label) for rank in range(len(nearest))
        ]
        assert {to for *_, to, _ in lists[label, key]} == set(model.entity_keys[nearest])
        np.testing.assert_allclose([score for *_, score in lists[label, key]], cosines, atol=1e-6)
    before = graph.connection.rows(ALL_EDGES), graph.connection.rows(ALL_NODES)
    again = graph.publish(model, similar=3)
    assert (graph.connection.rows(ALL_EDGES), graph.connection.rows(ALL_NODES)) == before
    assert (again.similar, again.similar_kept, again.similar_edges, again.relations) == (0, 18, 0, 0)


def test_lists_of_an_earlier_run_go_and_those_of_others_stay(graph: Graph) -> None:
    graph.connection.write("MATCH (a:Movie {id: 1}), (b:Movie {id: 2}) CREATE (a)-[:SIMILAR_TO {by: 'an editor'}]->(b)")
    graph.publish(trained(graph, "DistMult"), similar=1)
    first, second = trained(graph), trained(graph, seed=1)
    graph.publish(first, similar=4)
    report = graph.publish(second, similar=2, similar_label="Movie")
    lists = similar(graph)
    assert {label for label, _ in lists} == {"Movie"}
    assert {entry[0] for entries in lists.values() for entry in entries} == {second.run}
    assert report.similar_edges == 24
    graph.publish(second)
    assert similar(graph) == {}
    left = graph.connection.rows("MATCH ()-[r:SIMILAR_TO]->() RETURN r.model AS model, count(*) AS n ORDER BY model")
    assert [tuple(row.values()) for row in left] == [
        ("DistMult", 18),
        ("TransE", 12 * 4 + 4 * 3 + 2),
        (None, 1),
    ]  # the previous run's


def test_a_type_that_the_model_does_not_know_is_refused_before_anything_is_written(graph: Graph) -> None:
    before = graph.connection.rows(ALL_NODES)
    with pytest.raises(UsageError, match='Did you mean "Movie"'):
        graph.publish(trained(graph), similar=3, similar_label="Movies")
    with pytest.raises(UsageError, match="needs similar"):
        graph.publish(trained(graph), similar_label="Movie")
    assert graph.connection.rows(ALL_NODES) == before


def test_predictions_replace_those_of_the_same_relation_and_contain_no_known_triple(graph: Graph) -> None:
    model, known = trained(graph), graph.read_knowledge(SCHEMA)
    acted, in_genre = (predict(model, ask(model, known, name), k=5) for name in ("ACTED_IN", "IN_GENRE"))
    counts = graph.write_predictions(acted)
    graph.write_predictions(in_genre)
    assert (counts.edges, counts.edges_deleted, counts.not_written) == (5, 0, 0)
    wanted = [
        (one.relation, "TransE", model.run, rank + 1, head, tail, float(score))
        for one in (acted, in_genre)
        for rank, (head, tail, score) in enumerate(zip(one.head_keys, one.tail_keys, one.scores, strict=True))
    ]
    assert predicted(graph) == wanted
    counts = graph.write_predictions(acted)
    assert (counts.edges, counts.edges_deleted) == (5, 5)
    assert predicted(graph) == wanted

    # Whoever says so before they are written makes them known.
    head, tail = acted.head_keys[0], acted.tail_keys[0]
    graph.connection.write(
        "MATCH (a:Actor {id: $head}), (m:Movie {id: $tail}) CREATE (a)-[:ACTED_IN]->(m)", head=head, tail=tail
    )
    assert graph.write_predictions(acted).not_written == 1
    both = "MATCH (a)-[p:PREDICTED]->(b) WHERE EXISTS { (a)-[k]->(b) WHERE type(k) = p.relation } RETURN count(*) AS n"
    assert graph.connection.rows(both) == [{"n": 0}]
    newer = predict(model, ask(model, graph.read_knowledge(SCHEMA), "ACTED_IN"), k=10_000).to_dataframe()
    assert not ((newer["head"] == head) & (newer["tail"] == tail)).any()
    assert len(newer) == 4 * 12 - 12 - 1


def test_predictions_by_others_stay_and_too_many_are_refused(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    graph.connection.write(
        "MATCH (a:Actor {id: 'a1'}), (m:Movie {id: 2}) "
        "CREATE (a)-[:PREDICTED {relation: 'ACTED_IN', by: 'a friend'}]->(m), "
        "(a)-[:PREDICTED {relation: 'ACTED_IN', model: 'RotatE', run: 'r', rank: 1}]->(m)"
    )
    model = trained(graph)
    found = predict(model, ask(model, graph.read_knowledge(SCHEMA), "ACTED_IN"), k=3)
    graph.write_predictions(found)
    graph.write_predictions(found)
    assert len(predicted(graph)) == 3 + 2
    monkeypatch.setattr(predictions, "MOST_EDGES", 2)
    with pytest.raises(UsageError, match="maximum to write at once is 2"):
        graph.write_predictions(found)


def test_a_dropped_run_takes_its_edges_and_relations_with_it(graph: Graph) -> None:
    models = [trained(graph, seed=seed) for seed in range(3)]
    graph.publish(models[0], similar=2)
    graph.write_predictions(predict(models[0], ask(models[0], graph.read_knowledge(SCHEMA), "ACTED_IN"), k=4))
    graph.publish(models[1], similar=2)
    assert len(predicted(graph)) == 4  # the first run is kept, and what it says
    graph.publish(models[2], similar=2)
    runs = "MATCH (run:KgplugRun)-[:HAS_RELATION]->() RETURN DISTINCT run.id AS run ORDER BY run"
    assert [row["run"] for row in graph.connection.rows(runs)] == sorted(model.run for model in models[1:])
    assert graph.connection.rows("MATCH (r:KgplugRelation) RETURN count(r) AS n") == [{"n": 4}]
    on_edges = "MATCH ()-[r]->() WHERE r.run IS NOT NULL RETURN DISTINCT r.run AS run, type(r) AS type"
    found = {(row["run"], row["type"]) for row in graph.connection.rows(on_edges)}
    assert found == {(model.run, "SIMILAR_TO") for model in models[1:]}


@pytest.mark.parametrize("name", ["TransR", "ConvE"])
def test_relation_vectors_stand_in_the_catalogue_flat_and_with_their_shape(graph: Graph, name: str) -> None:
    settings = {"embedding_dim": 16} if name == "ConvE" else {}
    model = trained(graph, name, epochs=1, **settings)
    report = graph.publish(model)
    rows = graph.connection.rows(
        "MATCH (:KgplugModel {name: $model})-[:SERVES]->(:KgplugRun)-[:HAS_RELATION]->(r:KgplugRelation) "
        "RETURN properties(r) AS p ORDER BY r.name",
        model=name,
    )
    assert [row["p"].pop("name") for row in rows] == ["ACTED_IN", "IN_GENRE"]
    assert report.relations == 2
    for meaning, tensor in model.relation_vectors().items():
        for row, expected in zip(rows, tensor, strict=True):
            found = np.array(row["p"].pop(meaning), dtype=np.float32)
            assert found.ndim == 1
            assert np.array_equal(found.reshape(row["p"].pop(f"{meaning}_shape", expected.shape)), expected)
    assert all(row["p"] == {} for row in rows)


def test_links_are_scored_in_cypher_as_the_model_scores_them(graph: Graph) -> None:
    model = trained(graph)
    graph.publish(model)
    frame = graph.cypher("predict_links", item=3, relation="IN_GENRE", label="Genre", model="TransE", k=5)
    question = ask(model, graph.read_knowledge(SCHEMA), "IN_GENRE", head_label="Movie", head=3, tail_label="Genre")
    expected = predict(model, question, k=5)
    assert len(expected) == 1  # of two genres one is known
    assert frame["name"].tolist() == [f"Genre {expected.tail_keys[0][1:]}"]
    frame = graph.cypher("predict_links", item=3, relation="IN_GENRE", label="Actor", model="TransE", k=3)
    question = ask(model, graph.read_knowledge(SCHEMA), "IN_GENRE", head_label="Movie", head=3, tail_label="Actor")
    expected = predict(model, question, k=3)
    assert frame["name"].tolist() == [f"Actor {key[1:]}" for key in expected.tail_keys]
    np.testing.assert_allclose(frame["score"], expected.scores, atol=1e-4)
    assert frame["rank"].tolist() == [1, 2, 3]
    assert "gds.ml.kge.predict.stream" in load("predict_links")


def test_what_kgplug_wrote_is_neither_read_back_nor_guessed(graph: Graph) -> None:
    connection = graph.connection
    before = graph.read_knowledge(SCHEMA).fingerprint, guess_schema(connection)[0]
    model = trained(graph)
    graph.publish(model, similar=3)
    graph.write_predictions(predict(model, ask(model, graph.read_knowledge(SCHEMA), "ACTED_IN"), k=9))
    assert graph.read_knowledge(SCHEMA).fingerprint == before[0]
    schema, text = guess_schema(connection)
    assert schema == before[1]
    assert not any(name in text for name in (*OWN_RELATIONSHIPS, "Kgplug", "HAS_RELATION"))


def test_the_explaining_query_leaves_out_every_relationship_of_kgplugs() -> None:
    text = (queries_dir() / "explain.cypher").read_text(encoding="utf-8")
    assert text.count(str(list(OWN_RELATIONSHIPS))) == 2


def test_the_command_prints_and_writes_the_same_triples(
    graph: Graph, neo4j_server: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NEO4J_URI", neo4j_server.uri)
    monkeypatch.setenv("NEO4J_USERNAME", neo4j_server.username)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password.get_secret_value())
    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path))
    run = CliRunner().invoke
    nothing = run(app, ["predict", "--relation", "ACTED_IN"])
    assert isinstance(nothing.exception, UsageError) and "kgplug train TransE" in str(nothing.exception)
    data = jobs.read(graph, SCHEMA, name="TransE")
    folder = jobs.train("TransE", data, Runs(tmp_path / "runs"), settings=SMALL, progress=False)
    result = run(app, ["predict", "--relation", "ACTED_IN", "--tail-type", "Movie", "--top", "4", "--write", "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [(row["rank"], row["head"], row["tail"]) for row in rows] == [
        (rank, head, tail) for _, _, _, rank, head, tail, _ in predicted(graph)
    ]
    assert {run for _, _, run, *_ in predicted(graph)} == {folder.name}
    one = run(app, ["predict", folder.name, "--relation", "ACTED_IN", "--head", "a1", "--top", "2"])
    assert one.exit_code == 0 and "a1" in one.output and "TransE predicts" in one.output
    wrong = run(app, ["predict", "--relation", "ACTED"])
    assert 'Did you mean "ACTED_IN"' in str(wrong.exception)
