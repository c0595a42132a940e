"""Lists under filters, with other ideas of what is seen, and diverse ones, in a real Neo4j."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from kgplug import jobs, models
from kgplug.cli import app
from kgplug.embeddings.model import EmbeddingModel
from kgplug.errors import UsageError
from kgplug.graph import catalog
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.publishing.list_options import matching_items
from kgplug.graph.publishing.options import ListOptions, PublishOptions
from kgplug.graph.schema import FeedbackSchema
from kgplug.graph.server.home import Endpoint
from kgplug.recommenders.base import Recommender
from kgplug.serving import explain
from kgplug.serving.live import live_recommendations
from kgplug.training.runs import Runs
from tests.integration.helpers.sample_graphs import ALL_EDGES, ALL_NODES, FILM_KEYS, FILMS, LISTED, build, listed
from tests.integration.helpers.sample_graphs import FILM_SCHEMA as SCHEMA

pytestmark = [pytest.mark.training, FILM_KEYS]

SEEN = "MATCH (u:User)-[r:RATED]->(m:Movie) RETURN u.id AS user, m.id AS film"


@pytest.fixture
def graph(connection: Connection) -> Iterator[Graph]:
    """Films of the years 1990 to 1992, those of an even number of two genres; films 1 to 3 are classics."""
    build(connection, FILMS)
    connection.write("MATCH (m:Movie) WHERE m.id <= 3 SET m:Classic")
    connection.write("MATCH (m:Movie) WHERE m.id = 12 SET m:Rarity")
    yield Graph(connection).use(SCHEMA)


@pytest.fixture
def run(graph: Graph, tmp_path: Path) -> tuple[Runs, Path]:
    """A small MF, trained on half of the feedback."""
    runs = Runs(tmp_path / "home" / "runs")
    data = jobs.read(graph, SCHEMA, name="MF")
    settings = {"embedding_dim": 4, "epochs": 3, "device": "cpu"}
    return runs, jobs.train("MF", data, runs, settings=settings, split=jobs.Split((0.5, 0.2, 0.3)))


def passing(graph: Graph, where: str | None = None, *labels: str) -> list:
    return sorted(matching_items(graph.connection, SCHEMA, ListOptions(where=where, labels=labels)))


def seen(graph: Graph) -> dict[int, set[int]]:
    films: dict[int, set[int]] = {}
    for row in graph.connection.rows(SEEN):
        films.setdefault(row["user"], set()).add(row["film"])
    return films


def test_a_predicate_and_labels_select_items(graph: Graph) -> None:
    assert passing(graph, "item.year > 1991") == [2, 5, 8, 11]
    assert passing(graph, None, "Classic") == [1, 2, 3]
    assert passing(graph, None, "Classic", "Rarity") == [1, 2, 3, 12]
    assert passing(graph, "item.year > 1991 OR item.id = 12", "Classic", "Rarity") == [2, 12]
    assert passing(graph, "EXISTS { (item)-[:IN_GENRE]->(:Genre {name: 'Genre 1'}) } // ends here") == [
        2,
        4,
        6,
        8,
        10,
        12,
    ]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("m.year > 1990", "is not a valid Cypher predicate on item, such as .* Neo4j says: .*`m` not defined"),
        ("item.year >", "is not a valid Cypher predicate on item"),
        ("5", "is not a valid Cypher predicate on item"),
        ("item.year + 1", "No Movie passes"),
        ("item.year > $year", "is not a valid Cypher predicate on item.*[Pp]arameter"),
        ("item.jahr > 1990", r"No Movie passes 'item.jahr > 1990'. Properties of Movie nodes: id, title, year\."),
        (
            "true) MATCH (n) DETACH DELETE n RETURN 1 AS key UNION MATCH (item) WHERE (true",
            "is no Cypher|writes to the graph",
        ),
        ("true) SET item.year = 0 RETURN item.id AS key UNION MATCH (item) WHERE (true", "writes to the graph"),
        ("true) CREATE (item2:Movie) RETURN 1 AS key UNION MATCH (item:Movie) WHERE (true", "writes to the graph"),
    ],
)
def test_an_invalid_predicate_gets_one_sentence_and_no_predicate_can_write(graph: Graph, where: str, said: str) -> None:
    before = graph.connection.rows(ALL_NODES)
    with pytest.raises(UsageError, match=said) as error:
        passing(graph, where)
    assert "\n" not in str(error.value)
    assert graph.connection.rows(ALL_NODES) == before


def test_unknown_labels_and_empty_predicates_get_one_sentence(graph: Graph) -> None:
    with pytest.raises(UsageError, match=r'Unknown label "Clasic". Did you mean "Classic"\?'):
        passing(graph, None, "Clasic")
    with pytest.raises(UsageError, match=r"No Movie passes the label Actor"):
        passing(graph, None, "Actor")
    with pytest.raises(UsageError, match=r"where: expected a Cypher predicate"):
        ListOptions(where=" ")
    with pytest.raises(UsageError, match=r"""seen: expected "all", "train" or "none", found 'test'"""):
        ListOptions(seen="test")  # type: ignore[arg-type]


def test_the_option_seen_decides_which_items_are_left_out(graph: Graph, run: tuple[Runs, Path]) -> None:
    """By default nothing with feedback in the graph; "train": only the training set is left out; "none": nothing."""
    _, folder = run
    had = seen(graph)
    trained_on = _training_rows(folder)
    jobs.publish(graph, folder, k=20)
    assert all(not had.get(user, set()) & set(films) for user, films in listed(graph).items())
    assert all(len(films) == 12 - len(had.get(user, set())) for user, films in listed(graph).items())
    jobs.publish(graph, folder, k=20, seen="train")
    assert all(set(films) == set(range(1, 13)) - trained_on[user] for user, films in listed(graph).items())
    assert any(had[user] & set(films) for user, films in listed(graph).items() if user in had)
    jobs.publish(graph, folder, k=20, seen="none")
    assert all(len(films) == 12 for films in listed(graph).values())
    run_record = catalog.serving(graph.connection, "MF")
    assert run_record is not None
    assert run_record["details"]["lists"] == {
        "k": 20,
        "seen": "none",
        "where": None,
        "labels": [],
        "diversity": 0.0,
        "diverse_by": None,
    }


def _training_rows(folder: Path) -> dict[int, set[int]]:
    model = models.load(folder)
    assert isinstance(model, Recommender)
    return {
        user: set(model.item_keys[model.seen[number].indices].tolist()) for number, user in enumerate(model.user_keys)
    }


def test_published_lists_are_filtered_and_publishing_them_again_changes_nothing(
    graph: Graph, run: tuple[Runs, Path]
) -> None:
    _, folder = run
    options = PublishOptions(k=5, where="item.year > 1990", labels=("Classic", "Rarity"), diversity=0.4)
    jobs.publish(graph, folder, options)
    allowed = {film for film in (1, 2, 3, 12) if 1990 + film % 3 > 1990}
    assert {film for films in listed(graph).values() for film in films} == allowed
    before = graph.connection.rows(ALL_NODES), graph.connection.rows(ALL_EDGES)
    report = jobs.publish(graph, folder, options)
    assert report.edges == 0
    after = graph.connection.rows(ALL_NODES), graph.connection.rows(ALL_EDGES)
    assert [row["id"] for part in after for row in part] == [row["id"] for part in before for row in part]


def test_an_embedding_has_no_lists_to_filter(graph: Graph) -> None:
    model = EmbeddingModel("TransE", embedding_dim=4, epochs=1, device="cpu").fit(graph.read_knowledge(SCHEMA))
    with pytest.raises(UsageError, match="TransE gives no lists, so there is nothing to filter"):
        graph.publish(model, where="item.year > 1990")


def test_a_model_without_item_vectors_is_diversified_by_the_vectors_of_an_embedding(
    graph: Graph, tmp_path: Path
) -> None:
    runs = Runs(tmp_path / "home" / "runs")
    data = jobs.read(graph, SCHEMA)
    small = {"embedding_dim": 4, "epochs": 2, "device": "cpu"}
    knn, transe = jobs.train("ItemKNN", data, runs), jobs.train("TransE", data, runs, settings=small)
    with pytest.raises(UsageError, match=r"ItemKNN has no item vectors .*--diverse-by RUN"):
        jobs.publish(graph, knn, diversity=0.7)
    model, embedding = models.load(knn), models.load(transe)
    with pytest.raises(UsageError, match=r"diverse_by: expected an embedding, such as .*; found ItemKNN"):
        ListOptions(diversity=0.7, diverse_by=model)
    with pytest.raises(UsageError, match="Set diversity as well"):
        ListOptions(diverse_by=embedding)
    jobs.publish(graph, knn, k=4, diversity=0.7, diverse_by=embedding)
    assert isinstance(model, Recommender) and isinstance(embedding, EmbeddingModel)
    entities = embedding.vocabulary.entities_of(model.item_keys, label="Movie")
    vectors = embedding.entity_vectors()[entities]
    items, _ = model.recommend(
        np.arange(len(model.user_keys)), 4, also_seen=data.interactions, diversity=0.7, vectors=vectors
    )
    expected = {user: model.item_keys[row[row >= 0]].tolist() for user, row in zip(model.user_keys, items, strict=True)}
    assert listed(graph, "ItemKNN") == {user: films for user, films in expected.items() if films}


def test_a_live_list_equals_the_published_one_and_filters_can_reach_further_items(
    graph: Graph, run: tuple[Runs, Path]
) -> None:
    runs, folder = run
    jobs.publish(graph, folder, k=2)
    before = graph.connection.rows(ALL_NODES), graph.connection.rows(ALL_EDGES)
    frame = live_recommendations(graph, runs, 3, k=2)
    assert list(frame.columns) == ["rank", "id", "title", "score", "because"]
    assert frame["id"].tolist() == listed(graph)[3] and frame["title"].tolist() == [f"Film {n}" for n in frame["id"]]
    rows = graph.connection.rows(LISTED, model="MF")
    np.testing.assert_allclose(frame["score"], [row["score"] for row in rows if row["user"] == 3], atol=1e-6)
    filtered = live_recommendations(graph, runs, 3, k=9, options=ListOptions(where="item.id > 6"), reasons=False)
    assert sorted(filtered["id"]) == sorted(set(range(7, 13)) - seen(graph)[3])
    graph.connection.write("MATCH (u:User {id: 3}), (m:Movie {id: $id}) CREATE (u)-[:RATED {rating: 5}]->(m)", id=12)
    assert 12 not in live_recommendations(graph, runs, 3, k=12, reasons=False)["id"].tolist()
    train_only = live_recommendations(graph, runs, 3, k=12, options=ListOptions(seen="train"), reasons=False)
    assert set(train_only["id"]) == set(range(1, 13)) - _training_rows(folder)[3]
    graph.connection.write("MATCH (:User {id: 3})-[r:RATED]->(:Movie {id: 12}) DELETE r")
    assert len(graph.connection.rows(ALL_NODES)) == len(before[0])
    assert len(graph.connection.rows(ALL_EDGES)) == len(before[1])


def test_a_user_newer_than_the_run_gets_a_live_list_from_what_they_like(graph: Graph, run: tuple[Runs, Path]) -> None:
    runs, folder = run
    jobs.publish(graph, folder, k=2)
    graph.connection.write(
        "CREATE (u:User {id: 77}) WITH u MATCH (m:Movie) WHERE m.id IN [2, 4, 5] "
        "CREATE (u)-[:RATED {rating: CASE m.id WHEN 5 THEN 1 ELSE 5 END}]->(m)"
    )
    with pytest.raises(UsageError, match=r"added, the user was erased, or .*`kgplug recommend 77 --live --model MF`"):
        explain.recommendations(graph, 77, model="MF")
    liking = SCHEMA.model_copy(update={"feedback": FeedbackSchema(rating="rating", like_threshold=4)})
    frame = live_recommendations(graph.use(liking), runs, 77, k=12)
    assert sorted(frame["id"]) == sorted(set(range(1, 13)) - {2, 4, 5})
    model = models.load(folder)
    assert isinstance(model, Recommender)
    items, scores = model.recommend_for(model.item_indices([2, 4]), 12, exclude=model.item_indices([5]))
    assert frame["id"].tolist() == model.item_keys[items].tolist()
    np.testing.assert_allclose(frame["score"], scores, atol=1e-6)


def test_a_run_of_another_machine_makes_no_live_list(graph: Graph, run: tuple[Runs, Path], tmp_path: Path) -> None:
    _, folder = run
    jobs.publish(graph, folder)
    with pytest.raises(
        UsageError, match=rf"Run {folder.name}, which serves as MF, is not among the runs on this machine"
    ):
        live_recommendations(graph, Runs(tmp_path / "elsewhere"), 3)


def kgplug(*arguments: str) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None:
        raise result.exception
    return result


def test_the_command_line_takes_every_option(
    graph: Graph, run: tuple[Runs, Path], neo4j_server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEO4J_URI", neo4j_server.uri)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password.get_secret_value())
    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    kgplug(
        "publish",
        "MF",
        "--top",
        "3",
        "--where",
        "item.id > 2",
        "--label",
        "Movie",
        "--diversity",
        "0.2",
        "--seen",
        "train",
    )
    assert {film for films in listed(graph).values() for film in films} <= set(range(3, 13))
    shown = json.loads(kgplug("recommend", "3", "--json", "--label", "Classic", "--seen", "none").stdout)
    assert sorted(row["id"] for row in shown) == [1, 2, 3]
    shown = json.loads(kgplug("recommend", "3", "--json", "--where", "item.id = 12", "--no-reasons").stdout)
    assert [(row["rank"], row["id"], row["title"]) for row in shown] == [(1, 12, "Film 12")]
    for wrong in (("--where", ""), ("--diversity", "2"), ("--label", "Unknown")):
        with pytest.raises(UsageError):
            kgplug("recommend", "3", *wrong)
