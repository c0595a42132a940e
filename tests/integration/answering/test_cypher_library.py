"""The shipped queries, run on published data of the demo's schema and of a stranger's."""

from __future__ import annotations

import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from kgplug.data.publication import NodeVectors, Publication, TopLists
from kgplug.errors import UsageError
from kgplug.graph import queries
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.publishing.publisher import publish
from kgplug.graph.schema import DEMO_SCHEMA, FeedbackSchema, GraphSchema, ItemSchema, KnowledgeSchema, UserSchema
from kgplug.serving import explain
from tests.conftest import empty
from tests.integration.helpers.sample_graphs import FILM_KEYS, FILMS, MUSIC, build

MUSIC_SCHEMA = GraphSchema(
    user=UserSchema(label="听众"),
    item=ItemSchema(label="Music Track", key="编号", title="歌名"),
    feedback=FeedbackSchema(type="PLAYED"),
    knowledge=KnowledgeSchema(keys={"Artist": "id", "Person": "id"}),
)
GRAPHS = {"the demo's schema": (FILMS, DEMO_SCHEMA, 1), "a stranger's schema": (MUSIC, MUSIC_SCHEMA, 11)}

Prepared = tuple[Connection, GraphSchema, int, np.ndarray]


@pytest.fixture(scope="module", params=GRAPHS)
def published(shared_connection: Connection, request: pytest.FixtureRequest) -> Prepared:
    """A graph with published vectors and lists: (connection, schema, a user, the vectors of items 1 … 10)."""
    connection = shared_connection
    script, schema, user = GRAPHS[request.param]
    empty(connection)
    build(connection, script)
    rng = np.random.default_rng(0)
    keys = np.arange(1, 11).astype(object)
    vectors = rng.normal(size=(10, 8)).astype(np.float32)
    shared = ("Actor", np.array(["a1", "a2"], dtype=object)) if script is FILMS else ("Artist", keys[:2])
    publish(
        connection,
        schema,
        Publication(
            model="MKR",
            run="mkr-1",
            vectors=[
                NodeVectors(schema.item.label, keys, vectors),
                NodeVectors(shared[0], shared[1], rng.normal(size=(2, 8)).astype(np.float32)),
            ],
            lists=TopLists(
                schema.user.label,
                schema.item.label,
                np.array([user, user + 1], dtype=object),
                keys,
                np.array([[4, 2, 7], [0, 9, -1]]),
                np.array([[0.9, 0.5, 0.25], [0.75, 0.5, 0.0]], dtype=np.float32),
            ),
        ),
        progress=False,
    )
    return connection, schema, user, vectors


def run(prepared: Prepared, name: str, **parameters: object) -> pd.DataFrame:
    connection, schema, _, _ = prepared
    return connection.frame(queries.load(name, schema), **parameters)


def title(schema: GraphSchema, key: int) -> str:
    return f"Film {key}" if schema is DEMO_SCHEMA else f'歌曲 "{key}"'


def test_recommend_returns_the_published_list_best_first(published: Prepared) -> None:
    _, schema, user, _ = published
    frame = run(published, "recommend", user=user, model="MKR", k=10)
    assert frame.to_dict("list") == {
        "rank": [1, 2, 3],
        "id": [5, 3, 8],
        "title": [title(schema, key) for key in (5, 3, 8)],
        "score": pytest.approx([0.9, 0.5, 0.25]),
        "run": ["mkr-1"] * 3,
    }
    assert len(run(published, "recommend", user=user, model="MKR", k=2)) == 2
    assert list(run(published, "recommend", user=-1, model="MKR", k=2).columns) == list(frame.columns)


def test_similar_ranks_exactly_by_cosine_without_the_item_itself(published: Prepared) -> None:
    _, schema, _, vectors = published
    frame = run(published, "similar", item=3, model="MKR", k=4)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit[2]
    cosine[2] = -2
    best = np.argsort(-cosine)[:4]
    assert frame["id"].tolist() == (best + 1).tolist()
    assert frame["title"].tolist() == [title(schema, key) for key in best + 1]
    assert frame["similarity"].to_numpy() == pytest.approx((1 + cosine[best]) / 2, abs=1e-4)
    assert frame["rank"].tolist() == [1, 2, 3, 4]
    assert run(published, "similar", item=3, model="other", k=4).empty


def test_explain_returns_the_paths_from_liked_items_through_shared_nodes(published: Prepared) -> None:
    connection, schema, user, _ = published
    item = 5 if schema is DEMO_SCHEMA else 3
    like = schema.feedback[0].like_threshold
    frame = run(published, "explain", user=user, item=item, like_threshold=like, k=100)
    rating = "coalesce(r.rating, 5)"
    label, key, shown = schema.item.label, schema.item.key, schema.item.title
    expected = connection.frame(
        f"MATCH (u:`{schema.user.label}` {{id: $user}})-[r:`{schema.feedback[0].type}`]->(liked:`{label}`)-[via]-(s)"
        f"-[to]-(i:`{label}` {{`{key}`: $item}}) "
        f"WHERE {rating} >= $like AND liked <> i AND NOT s:`{schema.user.label}` "
        f"RETURN liked.`{shown}` AS liked, type(via) AS via, s.name AS shared, type(to) AS to",
        user=user,
        item=item,
        like=like or 0,
    )
    columns = list(expected.columns)
    assert len(expected) > 0
    assert sorted(frame[columns].itertuples(index=False, name=None)) == sorted(
        expected.itertuples(index=False, name=None)
    )
    assert frame["weight"].is_monotonic_decreasing
    best = frame.iloc[0]
    degree = connection.rows("MATCH (s {name: $name}) RETURN COUNT { (s)--() } AS n", name=best["shared"])[0]["n"]
    n_liked = expected[expected["shared"] == best["shared"]]["liked"].nunique()
    assert best["weight"] == pytest.approx(np.log2(1 + n_liked) / (5 + degree))
    assert set(frame["shared_label"]) <= {"Actor", "Genre", "Artist", "Person"}
    assert len(run(published, "explain", user=user, item=item, like_threshold=like, k=1)) == 1


def test_popular_unseen_leaves_out_items_with_feedback_of_the_user(published: Prepared) -> None:
    connection, schema, user, _ = published
    frame = run(published, "popular_unseen", user=user, k=3)
    label, key, kind = schema.item.label, schema.item.key, schema.feedback[0].type
    expected = connection.frame(
        f"MATCH (i:`{label}`) WHERE NOT EXISTS {{ (:`{schema.user.label}` {{id: $user}})-[:`{kind}`]->(i) }} "
        f"OPTIONAL MATCH (i)<-[r:`{kind}`]-() RETURN i.`{key}` AS id, count(r) AS feedback "
        "ORDER BY feedback DESC, id LIMIT 3",
        user=user,
    )
    assert frame[["id", "feedback"]].to_dict("list") == expected.to_dict("list")
    assert frame["title"].tolist() == [title(schema, key) for key in frame["id"]]


def test_health_counts_lists_edges_strays_and_vectors(published: Prepared) -> None:
    connection, schema, _, _ = published
    row = run(published, "health").iloc[0].to_dict()
    assert row.pop("published")
    assert len(row.pop("indexes")) == 2
    assert row == {
        "model": "MKR",
        "run": "mkr-1",
        "lists": 2,
        "edges": 5,
        "previous": None,
        "stray_edges": 0,
        "vectors": 12,
    }
    edition = connection.rows("MATCH ()-[r:RECOMMENDS {rank: 1}]->() WITH r LIMIT 1 RETURN r.edition AS edition")
    connection.write("MATCH ()-[r:RECOMMENDS {rank: 1}]->() WITH r LIMIT 1 SET r.edition = 99")
    assert run(published, "health")["stray_edges"].tolist() == [1]
    connection.write("MATCH ()-[r:RECOMMENDS {edition: 99}]->() SET r.edition = $edition", **edition[0])
    indexes = run(published, "indexes")
    assert indexes["state"].tolist() == ["ONLINE", "ONLINE"]
    assert schema.item.label in set(indexes["label"])


@FILM_KEYS
def test_neo4j_can_plan_every_query(connection: Connection) -> None:
    build(connection, FILMS)
    for name in queries.names():
        text = queries.load(name)
        values = {each: "x" if each == "file" else 1 for each in queries.parameters(text)}
        connection.autocommit(f"EXPLAIN {text}", **values)


@pytest.mark.parametrize("name", queries.names())
def test_every_query_documents_its_purpose_parameters_result_and_cost(name: str) -> None:
    text = queries.load(name)
    lines = text.splitlines()
    for number, head in enumerate(("Purpose", "Parameters", "Returns", "Cost")):
        starts = [line for line in lines if line.startswith(f"// {head}: ")]
        assert len(starts) == 1, head
        assert lines.index(starts[0]) >= number
    header = "\n".join(line for line in lines if line.startswith("//"))
    body = "\n".join(line for line in lines if not line.strip().startswith("//"))
    documented = header.split("// Returns")[0].split("// Parameters")[1]
    assert set(re.findall(r"\$\w+", body)) == set(re.findall(r"\$\w+", documented))


@FILM_KEYS
@pytest.mark.parametrize("name", sorted(set(queries.names()) - {"load_nodes", "load_relationships", "schema"}))
def test_a_missing_parameter_is_reported_before_the_server_is_asked(connection: Connection, name: str) -> None:
    build(connection, FILMS)
    graph = Graph(connection).use(DEMO_SCHEMA)
    given: dict[str, object] = {"user": 1, "item": 1, "model": "MKR", "k": 3, "label": "Movie", "relation": "ACTED_IN"}
    needed = [parameter for parameter in queries.parameters(queries.load(name)) if parameter != "like_threshold"]
    for missing in needed:
        rest = {parameter: given[parameter] for parameter in needed if parameter != missing}
        with pytest.raises(
            UsageError, match=rf"^The query {name} needs a value for {missing}\. Parameters: .*\${missing}\b"
        ):
            graph.cypher(name, **rest)


@pytest.mark.parametrize("name", ["load_nodes", "load_relationships", "schema", "schema.cypher"])
def test_a_query_that_writes_is_not_run(connection: Connection, name: str) -> None:
    with pytest.raises(UsageError, match=r"^\w+ changes the graph, and only reading queries can be run here"):
        Graph(connection).cypher(name, file="file:///Movie.csv")


@FILM_KEYS
@pytest.mark.parametrize("k", [0, -1, 1.5, True, "3", 10**9, 10**23])
def test_an_invalid_length_is_refused(connection: Connection, k: object) -> None:
    build(connection, FILMS)
    graph = Graph(connection).use(DEMO_SCHEMA)
    for name, key in (("recommend", "user"), ("similar", "item")):
        with pytest.raises(UsageError, match=r"^k: expected .*, found"):
            graph.cypher(name, **{key: 1}, model="MKR", k=k)
    assert graph.cypher("popular_unseen", user=1, k=np.int64(3)) is not None


@FILM_KEYS
@pytest.mark.parametrize("key", [2**63, -(10**30), "\ud800"])
def test_a_key_that_neo4j_cannot_store_is_unknown(connection: Connection, key: int | str) -> None:
    build(connection, FILMS)
    graph = Graph(connection).use(DEMO_SCHEMA)
    for ask in (explain.recommendations, explain.similar_items):
        with pytest.raises(UsageError, match=r"^No (User|Movie) has id = "):
            ask(graph, key)
    with pytest.raises(UsageError, match=r"^No User has id = "):
        graph.erase_user(key)
    for value in (key, Decimal(3), [key], {1, 2}):
        with pytest.raises(UsageError, match=r"^Neo4j cannot store a parameter of the query: "):
            graph.query("RETURN $x AS x", x=value)
