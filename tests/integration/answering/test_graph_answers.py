"""`Graph.recommend`, `similar` and `explain`: keys in, tables out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kgplug import create
from kgplug.errors import UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.publishing.options import PublishOptions
from kgplug.graph.server.home import Endpoint
from kgplug.serving import explain
from tests.integration.helpers.sample_graphs import FILM_KEYS, FILM_SCHEMA, FILMS, build

pytestmark = FILM_KEYS

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "publish.md"
SMALL = {"embedding_dim": 4, "epochs": 3, "device": "cpu"}


def films_with_lists(connection: Connection) -> Graph:
    """Films with a published MF, by a graph whose schema was given once."""
    build(connection, FILMS)
    graph = Graph(connection).use(FILM_SCHEMA)
    graph.publish(create("MF", **SMALL).fit(graph.read_interactions(), seed=0), k=4, progress=False)
    return graph


@pytest.fixture(scope="module")
def graph(shared_connection: Connection) -> Graph:
    """The films, for tests that only read."""
    return films_with_lists(shared_connection)


@pytest.fixture
def own_graph(connection: Connection) -> Graph:
    """The films, for a test that changes them."""
    return films_with_lists(connection)


def test_recommended_items_are_the_published_list_with_keys_ranks_and_scores(graph: Graph) -> None:
    found = graph.recommend(3, 3)
    assert found.columns.tolist() == ["user", "item", "rank", "score", "title"]
    assert found["user"].tolist() == [3] * 3 and found["rank"].tolist() == [1, 2, 3]
    rows = graph.cypher("recommend", user=3, model="MF", k=3)
    assert found["item"].tolist() == rows["id"].tolist() and found["score"].tolist() == rows["score"].tolist()
    assert len(graph.recommend(3, model="mf")) == 4
    assert explain.recommendations(graph, 3, k=3)["id"].tolist() == found["item"].tolist()


def test_reasons_are_a_column_on_request_and_a_table_of_their_own(graph: Graph) -> None:
    found = graph.recommend(3, 4, reasons=True)
    assert found.columns.tolist() == ["user", "item", "rank", "score", "title", "because"]
    for item, because in zip(found["item"], found["because"], strict=True):
        paths = graph.explain(3, item, k=1)
        assert bool(because) == bool(len(paths))
        assert not len(paths) or str(paths["shared"][0]) in because
    paths = graph.explain(3, found["item"][0], k=50)
    assert paths.columns.tolist() == ["liked", "via", "shared_label", "shared", "to", "weight"]
    assert paths["weight"].is_monotonic_decreasing
    assert paths.equals(graph.explain(3, found["item"][0], k=50))


def test_similar_items_are_nearest_first_and_never_the_item_itself(graph: Graph) -> None:
    found = graph.similar(5, 6)
    assert found.columns.tolist() == ["item", "rank", "score", "title"]
    assert found["rank"].tolist() == [1, 2, 3, 4, 5, 6] and 5 not in found["item"].tolist()
    assert found["score"].is_monotonic_decreasing
    assert explain.similar_items(graph, 5, k=6)["similarity"].tolist() == found["score"].tolist()


def test_the_schema_is_given_once_or_is_that_of_the_published_model(graph: Graph) -> None:
    fresh = Graph(graph.connection)
    assert fresh.recommend(3).equals(graph.recommend(3))  # the published models have stored it
    assert fresh.recommend(3, model="MF").equals(graph.recommend(3))
    assert fresh.similar(5, model="MF").equals(graph.similar(5))
    with pytest.raises(UsageError, match="not known yet"):
        fresh.explain(3, 5)
    fresh.read_interactions(FILM_SCHEMA)
    assert fresh.recommend(3).equals(graph.recommend(3))


def test_a_user_without_a_list_is_told_how_to_get_one(own_graph: Graph) -> None:
    own_graph.connection.write("MATCH (m:Movie) WHERE m.id <= 3 MERGE (u:User {id: 100}) CREATE (u)-[:RATED]->(m)")
    with pytest.raises(
        UsageError, match=r"MF has no list for user 100.*`kgplug recommend 100 --live --model MF` makes"
    ):
        own_graph.recommend(100)
    own_graph.publish(
        create("Popularity").fit(own_graph.read_interactions(), seed=0), where="item.id = 1", progress=False
    )
    own_graph.publish(create("ItemKNN").fit(own_graph.read_interactions(), seed=0), where="item.id = 1", progress=False)
    own_graph.connection.write("CREATE (:User {id: 101})")
    with pytest.raises(
        UsageError, match=r"No published model has a list for that user.*`kgplug recommend 101 --live` makes"
    ):
        own_graph.recommend(101)
    with pytest.raises(UsageError, match="102"):
        own_graph.recommend(102)


def test_options_are_one_object_or_names(own_graph: Graph) -> None:
    model = create("MF", **SMALL).fit(own_graph.read_interactions(), seed=1)
    before = own_graph.preview(model, PublishOptions(k=2), seen="none")
    report = own_graph.publish(model, PublishOptions(k=2, seen="none"), progress=False)
    assert report.edges == before.edges == 2 * report.lists
    assert own_graph.preview(model, k=2, seen="none").edges == 0
    with pytest.warns(DeprecationWarning, match="top is now called k"):
        assert own_graph.preview(model, top=2, seen="none").edges == 0  # type: ignore[call-arg]


def test_the_page_on_publishing_works_from_python(
    own_graph: Graph,
    neo4j_server: Endpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    (shown,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    shown = shown.replace('create("MKR"', f'create("MF", **{SMALL}').replace("MKR", "MF").replace("42", "3")
    schema = '[item]\ntitle = "title"\n[knowledge.keys]\nActor = "id"\nGenre = "id"\n'
    (tmp_path / "kgplug.toml").write_text(schema, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEO4J_URI", neo4j_server.uri)
    monkeypatch.setenv("NEO4J_USERNAME", neo4j_server.username)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password.get_secret_value())
    exec(compile(shown.replace("(50,", "(5,").replace(", 50)", ", 5)"), PAGE.name, "exec"), {})  # the page itself
    out = capsys.readouterr().out
    assert "Dry run: nothing was written." in out
    assert re.search(r"MF is served by run mf-\S+ again\.", out)
