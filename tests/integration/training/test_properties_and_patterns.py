"""Properties and patterns from training to lists and reasons: they hold a planted taste, and values are not nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kgplug
from kgplug import jobs
from kgplug.embeddings.model import EmbeddingModel
from kgplug.errors import UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.schema import GraphSchema
from kgplug.jobs.erase_user import erase_user
from kgplug.training.runs import Runs
from tests.integration.helpers.sample_graphs import FILM_KEYS, FILM_SCHEMA, FILMS, build
from tests.unit.helpers.planted import directors_and_fans, unseen_share

pytestmark = pytest.mark.training

SMALL: dict[str, Any] = {"embedding_dim": 6, "epochs": 2, "device": "cpu"}
TASTE = {
    "CEASE": {},
    "MKR": {
        **{"side": False, "epochs": 30, "batch_size": 64, "kge_batch_size": 256, "kge_interval": 1, "bias": False},
        **{"l2": 1e-4, "vector_l2": 5e-3, "learning_rate": 5e-3, "kge_learning_rate": 5e-3, "init_scale": 0.1},
        "device": "cpu",
    },
}
PLANTED = """
UNWIND $films AS film CREATE (f:Film {id: film[0], director: film[1]}) MERGE (y:Year {id: film[2]})
CREATE (f)-[:FROM_YEAR]->(y)
"""


def with_properties(schema: GraphSchema, **knowledge: Any) -> GraphSchema:
    return GraphSchema.model_validate(
        {**schema.model_dump(), "knowledge": {**schema.knowledge.model_dump(), **knowledge}}
    )


def test_a_property_that_holds_the_taste_makes_models_find_it(connection: Connection) -> None:
    interactions, _, director, fan_of = directors_and_fans()
    years = np.random.default_rng(0).integers(0, 10, len(director))
    films = [[film, f"d{its}", int(year)] for film, (its, year) in enumerate(zip(director, years, strict=True))]
    connection.write(PLANTED, films=films)
    pairs = [*zip(interactions.users.tolist(), interactions.items.tolist(), strict=True)]
    connection.write(
        "UNWIND $pairs AS pair MERGE (u:User {id: pair[0]}) WITH u, pair MATCH (f:Film {id: pair[1]}) "
        "CREATE (u)-[:LIKED]->(f)",
        pairs=[list(pair) for pair in pairs],
    )
    without = GraphSchema.model_validate(
        {"item": {"label": "Film"}, "feedback": {"type": "LIKED"}, "knowledge": {"keys": {"Year": "id"}}}
    )
    graph = Graph(connection)
    likes = graph.read_interactions(without)
    for name, settings in TASTE.items():
        shares = [
            unseen_share(
                kgplug.create(name, **settings).fit(likes, graph.read_knowledge(schema), progress=False),
                director,
                fan_of,
            )
            for schema in (with_properties(without, properties={"Film.director": "values"}), without)
        ]
        assert shares[0] > 0.25 and shares[0] > 2 * shares[1], (name, shares)


FILM_VALUES = with_properties(
    FILM_SCHEMA,
    properties={"Movie.year": "decades", "User.age": "values", "Movie.tags": "values"},
    patterns={"SAME_CAST": "(head:Movie)<-[:ACTED_IN]-(:Actor)-[:ACTED_IN]->(tail:Movie)"},
)
TAGS = """
MATCH (m:Movie) SET m.tags = ['tag ' + m.id % 3, 'tag ' + m.id % 4], m.year = m.year - 10 * (m.id % 2)
"""


@pytest.fixture
def graph(connection: Connection) -> Graph:
    build(connection, FILMS + TAGS)
    return Graph(connection).use(FILM_VALUES)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs")


@FILM_KEYS
def test_values_are_trained_but_not_published_and_the_report_says_how_many(graph: Graph, runs: Runs) -> None:
    folder = jobs.train("TransE", jobs.read(graph, FILM_VALUES, name="TransE"), runs, settings=SMALL)
    model = kgplug.load(folder)
    assert isinstance(model, EmbeddingModel)
    labels, counts = np.unique(model.entity_labels.astype(str), return_counts=True)
    assert dict(zip(labels.tolist(), counts.tolist(), strict=True)) == {
        **{"Actor": 4, "Genre": 2, "Movie": 12, "User": 9},
        **{"Movie.tags": 4, "Movie.year": 2, "User.age": 4},
    }
    n_nodes = 4 + 2 + 12 + 9
    assert jobs.preview(graph, folder).not_nodes == 10
    report = jobs.publish(graph, folder, similar=2)
    assert (report.vectors, report.missing, sum(report.not_nodes.values())) == (n_nodes, 0, 10)
    assert (
        "Skipped 10 vectors of values of properties (Movie.tags, Movie.year and 1 more), which are not nodes."
        in str(report)
    )
    assert len(graph.similar(1, 3, model="TransE")) == 3
    again = jobs.publish(graph, folder, similar=2)
    assert (again.vectors, again.vectors_kept) == (0, n_nodes)
    # The model knows which entities are values, also if the schema that is given does not.
    assert graph.preview(model, schema=FILM_SCHEMA).not_nodes == 10


@FILM_KEYS
def test_predicted_values_are_shown_but_not_written(graph: Graph, runs: Runs) -> None:
    folder = jobs.train("TransE", jobs.read(graph, FILM_VALUES, name="TransE"), runs, settings=SMALL)
    found = jobs.predict(graph, folder, "Movie.tags", k=5)
    assert set(found.head_labels) == {"Movie"} and set(found.tail_labels) == {"Movie.tags"}
    known = graph.read_knowledge(FILM_VALUES).to_dataframe()
    has = {*zip(known["head"], known["relation"], known["tail"], strict=True)}
    assert not has & {(head, "Movie.tags", tail) for head, tail in zip(found.head_keys, found.tail_keys, strict=True)}
    with pytest.raises(UsageError, match=r"Movie\.tags leads to values of a property, which are not nodes"):
        graph.write_predictions(found)
    of_pattern = jobs.predict(graph, folder, "SAME_CAST", k=5)
    assert graph.write_predictions(of_pattern).edges == 5
    kept = {*zip(of_pattern.head_keys, of_pattern.tail_keys, strict=True)}
    assert not kept & {(head, tail) for head, relation, tail in has if relation == "SAME_CAST"}


@FILM_KEYS
def test_rules_about_values_and_patterns_are_mined_but_are_no_query(graph: Graph, runs: Runs) -> None:
    folder = jobs.train(
        "Rules", jobs.read(graph, FILM_VALUES, name="Rules"), runs, settings={"min_support": 1, "min_confidence": 0.0}
    )
    found = jobs.rules(folder, "SAME_CAST", k=5)
    assert len(found.rules) > 0
    with pytest.raises(UsageError, match=r"the graph has no relationships, so no query can apply them"):
        found.to_cypher()


@FILM_KEYS
@pytest.mark.parametrize("name", ["CEASE", "MKR", "KGCN", "CKE"])
def test_recommenders_are_trained_published_and_explained_with_properties(graph: Graph, runs: Runs, name: str) -> None:
    settings = {} if name == "CEASE" else SMALL
    folder = jobs.train(name, jobs.read(graph, FILM_VALUES, name=name), runs, settings=settings)
    jobs.publish(graph, folder, k=5, force=True)
    listed = graph.recommend(3, 5, model=name, reasons=True)
    assert len(listed) > 0 and (listed["because"] != "").all()
    assert erase_user(graph, runs, 3).graph.found == (0, [])


@FILM_KEYS
def test_shared_values_are_reasons_where_no_node_is_shared(graph: Graph) -> None:
    graph.connection.write("MATCH (:Actor)-[r]->() DELETE r")
    graph.connection.write("MATCH ()-[r:IN_GENRE]->() DELETE r")
    graph.connection.write("MATCH (m:Movie) WHERE m.id > 3 SET m.tags = null, m.year = 1900 + m.id * 10")
    graph.connection.write(
        "MATCH (m:Movie) WHERE m.id <= 3 "
        "SET m.tags = [['rare', 'old'], ['old'], ['rare', 'old']][m.id - 1], m.year = null"
    )
    graph.connection.write("MATCH (:User {id: 9})-[r]->() DELETE r")
    graph.connection.write("MATCH (u:User {id: 9}), (m:Movie {id: 1}) CREATE (u)-[:RATED {rating: 5}]->(m)")
    found = graph.explain(9, 3)
    assert found[["liked", "via", "shared", "to"]].to_numpy().tolist() == [
        ["Film 1", "Movie.tags", "rare", "Movie.tags"],
        ["Film 1", "Movie.tags", "old", "Movie.tags"],
    ]
    assert found["weight"].tolist() == [1 / 2, 1 / 3]
    assert graph.explain(9, 3, k=1)["shared"].tolist() == ["rare"]
    assert graph.explain(9, 2)["shared"].tolist() == ["old"]
    assert graph.explain(9, 5).empty
    graph.connection.write("MATCH (m:Movie) WHERE m.id = 1 SET m.year = 1955")
    assert graph.explain(9, 5)["shared"].tolist() == ["1950s"]


@FILM_KEYS
def test_an_erased_user_leaves_no_value_of_their_own_in_a_run(graph: Graph, runs: Runs) -> None:
    graph.connection.write("MATCH (u:User {id: 4}) SET u.age = 99")
    folder = jobs.train("TransE", jobs.read(graph, FILM_VALUES, name="TransE"), runs, settings=SMALL)
    before = kgplug.load(folder)
    assert isinstance(before, EmbeddingModel)
    assert "99" not in {str(key) for key in before.entity_keys[before.entity_labels == "User.age"]}
    assert (
        erase_user(graph, runs, 4).runs == [folder.name] or 4 not in before.entity_keys[before.entity_labels == "User"]
    )
