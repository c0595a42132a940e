"""PyKEEN's own pipeline and command line on a real Neo4j, and what they trained written back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from kgplug.errors import DataError, UsageError
from kgplug.graph import catalog
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.schema import GraphSchema, KnowledgeSchema
from kgplug.graph.server.home import Endpoint
from kgplug.pykeen_bridge.dataset import Neo4j
from tests.integration.helpers.sample_graphs import FILMS, build

pytestmark = pytest.mark.training

SCHEMA = GraphSchema(knowledge=KnowledgeSchema(keys={"Actor": "id", "Genre": "id", "Other": "id"}))
TOML = '[knowledge.keys]\nActor = "id"\nGenre = "id"\nOther = "id"\n'
# Beside the film club's: text keys that read as integers, and relations that PyKEEN would take for its own inverses.
MORE = """
UNWIND range(1, 6) AS i CREATE (:Other {id: toString(i)});
MATCH (m:Movie), (o:Other) WHERE m.id % 3 = toInteger(o.id) % 3
CREATE (m)-[:LIKE]->(o), (o)-[:LIKE_inverse]->(m);
"""


@pytest.fixture
def graph(
    connection: Connection, neo4j_server: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Graph]:
    """The film club and more, with the environment and the folder of somebody who works on it."""
    build(connection, FILMS + MORE)
    (tmp_path / "kgplug.toml").write_text(TOML, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEO4J_URI", neo4j_server.uri)
    monkeypatch.setenv("NEO4J_USERNAME", neo4j_server.username)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password.get_secret_value())
    monkeypatch.setenv("PYKEEN_HOME", str(tmp_path / "pykeen"))
    return Graph(connection).use(SCHEMA)


def run_pipeline(model: str, **options: object) -> object:
    from pykeen.pipeline import pipeline

    return pipeline(
        dataset="neo4j",
        dataset_kwargs={"schema": str(Path("kgplug.toml").absolute()), **options},
        model=model,
        model_kwargs={"embedding_dim": 4},
        training_kwargs={"num_epochs": 1, "use_tqdm": False},
        evaluation_kwargs={"use_tqdm": False},
        random_seed=0,
        device="cpu",
    )


def test_a_pipeline_reads_the_graph_by_name_and_its_result_is_published_under_the_right_nodes(graph: Graph) -> None:
    result = run_pipeline("RotatE")
    report = graph.publish(result)
    run = catalog.serving(graph.connection, "RotatE")
    assert run is not None and run["id"] == report.run and report.missing == 0
    vectors = result.model.entity_representations[0]().detach()  # type: ignore[attr-defined]
    vectors = torch.cat([vectors.real, vectors.imag], dim=-1).numpy()
    ids = result.training.entity_to_id  # type: ignore[attr-defined]
    rows = graph.connection.rows(
        "MATCH (n) WHERE n[$name] IS NOT NULL RETURN labels(n)[0] AS label, n.id AS key, n[$name] AS vector",
        name=run["properties"][0],
    )
    assert len(rows) == report.vectors == len(ids) == 12 + 4 + 2 + 6
    for row in rows:
        number = ids[f"{row['label']}:{json.dumps(row['key'])}"]
        assert np.array_equal(np.array(row["vector"], dtype=np.float32), vectors[number])
    relations = graph.query("MATCH (:KgplugRun {id: $run})-[:HAS_RELATION]->(r) RETURN r.name AS name, r.rotation AS v "
                            "ORDER BY name", run=run["id"])  # fmt: skip
    assert relations["name"].tolist() == ["ACTED_IN", "IN_GENRE", "LIKE", "LIKE_inverse"]
    assert run["details"]["settings"]["dataset"] == "neo4j" and run["details"]["metrics"]["MRR"] > 0

    again = graph.publish(result)
    assert (again.run, again.vectors, again.relations) == (report.run, 0, 0)


def test_the_sets_hold_all_triples_and_training_covers_the_test_set(graph: Graph) -> None:
    one, same, other = Neo4j("kgplug.toml"), Neo4j(), Neo4j(seed=5, create_inverse_triples=True)
    parts = [one.training, one.testing, one.validation]
    knowledge = graph.read_knowledge(SCHEMA)
    assert sum(part.num_triples for part in parts) == knowledge.n_triples == 24 + 2 * 24
    assert one.training.num_triples == pytest.approx(0.8 * knowledge.n_triples, abs=2)
    trained_on = one.training.mapped_triples
    for part in parts[1:]:
        assert part.num_triples > 0 and part.entity_to_id == one.training.entity_to_id
        assert set(part.mapped_triples[:, [0, 2]].flatten().tolist()) <= set(trained_on[:, [0, 2]].flatten().tolist())
        assert set(part.mapped_triples[:, 1].tolist()) <= set(trained_on[:, 1].tolist())
    assert same.training == one.training and same.testing == one.testing
    assert not torch.equal(other.training.mapped_triples, trained_on)
    assert other.create_inverse_triples and not one.create_inverse_triples


def test_pykeens_own_command_trains_on_the_graph(graph: Graph, tmp_path: Path) -> None:
    output = tmp_path / "result"
    finished = subprocess.run(
        [sys.executable, "-m", "pykeen", "train", "distmult", "--dataset", "neo4j", "--number-epochs", "1",
         "--embedding-dim", "4", "--device", "cpu", "--create-inverse-triples", "--output-directory", str(output)],
        cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    results = json.loads((output / "results.json").read_text(encoding="utf-8"))
    assert len(results["losses"]) == 1
    from pykeen.triples import TriplesFactory

    training = TriplesFactory.from_path_binary(output / "training_triples")
    assert set(training.relation_to_id) == {"ACTED_IN", "IN_GENRE", "LIKE", "LIKE_inverse"}
    assert 'Other:"3"' in training.entity_to_id and "Movie:3" in training.entity_to_id


def test_a_model_trained_with_inverse_triples_publishes_both_directions_of_a_relation(graph: Graph) -> None:
    result = run_pipeline("TransE", create_inverse_triples=True)
    report = graph.publish(result)
    rows = graph.query("MATCH (:KgplugRun {id: $run})-[:HAS_RELATION]->(r) RETURN r.name AS name, r.translation AS t, "
                       "r.inverse_translation AS i ORDER BY name", run=report.run)  # fmt: skip
    vectors = result.model.relation_representations[0]().detach().numpy()  # type: ignore[attr-defined]
    number = result.training.relation_to_id["LIKE"]  # type: ignore[attr-defined]
    row = rows.set_index("name").loc["LIKE"]
    np.testing.assert_array_equal(np.float32(row["t"]), vectors[2 * number])
    np.testing.assert_array_equal(np.float32(row["i"]), vectors[2 * number + 1])


def test_the_result_of_another_data_set_or_library_is_refused_before_anything_is_written(graph: Graph) -> None:
    from types import SimpleNamespace

    from kgplug.pykeen_bridge.result import PykeenResult

    before = graph.query("MATCH (n) RETURN count(n) AS n")["n"][0]
    model = SimpleNamespace(entity_representations=[lambda: torch.ones(2, 3)], relation_representations=[])
    training = SimpleNamespace(num_entities=2, entity_id_to_label={0: "brazil", 1: "china"}, relation_to_id={})
    with pytest.raises(DataError, match="'brazil' does not name a node"):
        graph.publish(PykeenResult(SimpleNamespace(model=model, training=training)))
    with pytest.raises(UsageError, match="found a dict of builtins"):
        graph.publish({})
    assert graph.query("MATCH (n) RETURN count(n) AS n")["n"][0] == before


def test_a_graph_in_which_every_triple_is_needed_is_refused(graph: Graph) -> None:
    graph.connection.write("MATCH (n) WHERE NOT n:Genre AND NOT n:Movie DETACH DELETE n")
    with pytest.raises(DataError, match="can be held out for testing"):
        _ = Neo4j().training
