"""Two tenants and a library share one database: each publishes under its own names and sees nothing of the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import kgplug
from kgplug import jobs
from kgplug.cli import app
from kgplug.data.artefact import read_content
from kgplug.data.publication import Predictions
from kgplug.errors import UsageError
from kgplug.graph import catalog
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.server.home import Endpoint
from kgplug.jobs.erase_user import erase_user
from kgplug.serving.live import live_recommendations
from kgplug.training.runs import Runs
from tests.integration.helpers.published import Died, dying_after
from tests.integration.helpers.sample_graphs import build
from tests.integration.helpers.tenants import BOOKS, NORTH, READERS, SOUTH, TENANTS, owned_by, toml_of

SETTINGS = {"MF": {"embedding_dim": 4, "epochs": 2, "device": "cpu"}}
WHO = {"north": NORTH, "south": SOUTH, "books": BOOKS}


@pytest.fixture(scope="module")
def trained(shared_connection: Connection, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A run of ItemKNN and two of MF for each tenant and for the library."""
    build(shared_connection, TENANTS)
    build(shared_connection, READERS)
    runs = Runs(tmp_path_factory.mktemp("home") / "runs")
    graph = Graph(shared_connection)
    for schema in WHO.values():
        for name, seed in (("ItemKNN", 0), ("MF", 0), ("MF", 1)):
            data = jobs.read(graph, schema, name=name, progress=False)
            jobs.train(name, data, runs, settings=SETTINGS.get(name, {}), seed=seed, progress=False)
    return runs


@pytest.fixture
def graph(
    trained: Runs, connection: Connection, neo4j_server: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Graph]:
    monkeypatch.setenv("NEO4J_URI", neo4j_server.uri)
    monkeypatch.setenv("NEO4J_USERNAME", neo4j_server.username)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password.get_secret_value())
    monkeypatch.setenv("KGPLUG_HOME", str(trained.folder.parent))
    monkeypatch.chdir(tmp_path)
    build(connection, TENANTS)
    build(connection, READERS)
    yield Graph(connection)


def run_of(runs: Runs, who: str, model: str, number: int = 0) -> Path:
    from kgplug.data.graph_identity import GraphIdentity

    here = GraphIdentity.of_schema(WHO[who].model_dump())
    return [info.path for info in runs.of(here)[0] if info.model == model][number]


def publish(graph: Graph, runs: Runs, who: str, model: str, number: int = 0, **options: Any) -> str:
    name = f"{who} {model}"
    jobs.publish(graph, run_of(runs, who, model, number), name=name, progress=False, **{"k": 3, **options})
    return name


def run(*arguments: object, **options: Any) -> Result:
    return CliRunner().invoke(app, [str(word) for word in arguments], **options)


def titles(result: Result) -> list[str]:
    assert result.exit_code == 0, result.exception or result.output
    return [row["title"] for row in json.loads(result.stdout)]


def everyone(graph: Graph, names: list[str]) -> dict[str, Any]:
    return {name: owned_by(graph.connection, name) for name in names}


def test_what_happens_to_one_published_model_leaves_all_others_byte_identical(
    graph: Graph, trained: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [publish(graph, trained, who, model, similar=2) for who in WHO for model in ("ItemKNN", "MF")]
    mine = "north MF"
    before = everyone(graph, names)
    for name, (edges, nodes, vectors, indexes) in before.items():
        assert edges and len(nodes) == 2 and bool(vectors) == bool(indexes) == name.endswith("MF")

    def check_others() -> None:
        after = everyone(graph, names)
        for name in names:
            assert (after[name] == before[name]) == (name != mine), name

    publish(graph, trained, "north", "MF", 1, similar=2)
    check_others()
    graph.rollback(mine)
    check_others()
    with dying_after(monkeypatch, 25), pytest.raises(Died):
        publish(graph, trained, "north", "MF", 1, k=4)
    check_others()
    graph.rollback(mine)  # what the killed publish left is removed
    check_others()
    unpublished = graph.unpublish(mine)
    assert unpublished.indexes
    check_others()
    assert owned_by(graph.connection, mine) == ([], [], [], [])


def test_lists_and_vectors_are_those_of_the_tenant_although_keys_repeat(graph: Graph, trained: Runs) -> None:
    for who in ("north", "south"):
        publish(graph, trained, who, "MF", similar=2)
    for who in ("north", "south"):
        (edges,) = graph.connection.rows(
            "MATCH (a)-[r:RECOMMENDS|SIMILAR_TO {model: $model}]->(b) RETURN count(r) AS n, "
            "count(DISTINCT CASE WHEN r:RECOMMENDS THEN a END) AS users, "
            "collect(DISTINCT a.tenant) + collect(DISTINCT b.tenant) AS tenants",
            model=f"{who} MF",
        )
        assert set(edges["tenants"]) == {who} and edges["n"] > 12 and edges["users"] > 6
        run_record = catalog.serving(graph.connection, f"{who} MF")
        assert run_record is not None
        nodes = graph.connection.rows(
            "MATCH (n) WHERE n[$name] IS NOT NULL RETURN collect(DISTINCT n.tenant) AS tenants, count(n) AS n",
            name=run_record["properties"][0],
        )
        assert nodes == [{"tenants": [who], "n": 21}]
        mine = Graph(graph.connection).use(WHO[who])
        for found in (mine.recommend(3, reasons=True), mine.similar(3), mine.cypher("popular_unseen", user=3, k=9)):
            assert len(found) and all(title.startswith(who) for title in found["title"])
        paths = mine.explain(3, int(mine.recommend(3)["item"][0]), k=20)
        assert all(title.startswith(who) for title in paths["liked"])
        live = live_recommendations(mine, trained, 3)
        assert len(live) and all(title.startswith(who) for title in live["title"])
        popular = mine.cypher("popular_unseen", user=3, k=9).set_index("id")["feedback"].to_dict()
        raters = "MATCH (u:User {tenant: $who})-[:RATED]->(m:Movie {tenant: $who}) RETURN m.id AS id, count(*) AS n"
        counts = {row["id"]: row["n"] for row in graph.connection.rows(raters, who=who)}
        assert popular and all(counts.get(key, 0) == n for key, n in popular.items())
    filtered = jobs.preview(graph, run_of(trained, "north", "ItemKNN"), name="n", where="item.id < 3", progress=False)
    assert filtered.edges and filtered.missing == 0
    with pytest.raises(UsageError, match="No Movie passes"):  # although a film of the north has the same key
        publish(graph, trained, "north", "ItemKNN", where="item.title = 'south 1'")


def test_a_name_belongs_to_one_tenant(graph: Graph, trained: Runs) -> None:
    jobs.publish(graph, run_of(trained, "north", "ItemKNN"), progress=False)
    before = owned_by(graph.connection, "ItemKNN")
    refused = (
        r'"ItemKNN" is served by run \S+, where user\.tenant = .north. and item\.tenant = .north., and this run is '
        r"where user\.tenant = .south. and item\.tenant = .south.\. Give this run a name of its own: --as NAME"
    )
    for work in (jobs.publish, jobs.preview):
        with pytest.raises(UsageError, match=refused):
            work(graph, run_of(trained, "south", "ItemKNN"), progress=False)
    assert owned_by(graph.connection, "ItemKNN") == before
    everybody = kgplug.create("ItemKNN").fit(graph.read_interactions(NORTH))
    with pytest.raises(UsageError, match=r"and this run is without a condition on users and items"):
        graph.publish(everybody, schema=NORTH.without_conditions(), seen="train")
    assert jobs.publish(graph, run_of(trained, "south", "ItemKNN"), replace=True, progress=False).previous
    graph.rollback("ItemKNN")
    assert catalog.serving(graph.connection, "ItemKNN")["id"] == run_of(trained, "north", "ItemKNN").name  # type: ignore[index]


def test_two_publishes_at_the_same_time_both_succeed(graph: Graph, trained: Runs) -> None:
    with ThreadPoolExecutor(3) as pool:
        names = list(pool.map(lambda who: publish(graph, trained, who, "MF"), WHO))
    assert catalog.known_models(graph.connection) == sorted(names)
    for name in names:
        edges, nodes, vectors, indexes = owned_by(graph.connection, name)
        serving = catalog.serving(graph.connection, name)
        assert serving is not None and serving["status"] == "serving"
        assert edges and vectors and len(nodes) == 2 and all(one["state"] == "ONLINE" for one in indexes)


def test_publishes_that_begin_at_the_same_moment_do_not_stop_each_other(connection: Connection) -> None:
    """The server may end one of several changes of constraints as a deadlock; it is repeated."""
    with ThreadPoolExecutor(8) as pool:
        for _ in range(4):
            catalog.drop_constraints(connection)
            list(pool.map(lambda _: catalog.ensure_constraints(connection), range(8)))
            there = connection.rows("SHOW CONSTRAINTS YIELD name WHERE name STARTS WITH 'kgplug_' RETURN name")
            assert len(there) == 3


def test_commands_find_the_model_without_a_schema_file(
    graph: Graph, trained: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(graph, trained, "books", "ItemKNN")
    publish(graph, trained, "north", "ItemKNN")
    assert all(title.startswith("Book") for title in titles(run("recommend", "c3", "--json")))
    assert all(title.startswith("north") for title in titles(run("recommend", 3, "--json")))
    assert all(title.startswith("north") for title in titles(run("recommend", 3, "--live", "--json")))
    assert isinstance(run("recommend", "c99").exception, UsageError)
    publish(graph, trained, "south", "ItemKNN")
    publish(graph, trained, "south", "MF")
    publish(graph, trained, "books", "MF")
    several = run("recommend", 3)
    sentence = str(several.exception)
    assert isinstance(several.exception, UsageError) and "\n" not in sentence
    assert "Several published models know a user with the key '3': south MF, south ItemKNN: (:User)" in sentence
    assert "north ItemKNN: (:User)" in sentence and "--model 'south MF'" in sentence
    assert all(title.startswith("south") for title in titles(run("recommend", 3, "-m", "south ItemKNN", "--json")))
    assert all(title.startswith("Book") for title in titles(run("recommend", "c3", "--user-label", "Reader", "--json")))
    unknown = run("recommend", "c3", "--user-label", "Person").exception
    assert "No published model has users with the label 'Person'. Published: books MF, books ItemKNN" in str(unknown)
    assert all(title.startswith("Book") for title in titles(run("similar", "b3", "--json")))
    assert all(title.startswith("south") for title in titles(run("similar", 3, "--json")))  # north has no vectors
    nobody = run("recommend", "nobody").exception
    assert "No user of a published model has the key 'nobody'. Published: " in str(nobody)

    asked = Graph(graph.connection)
    assert asked.recommend("c3")["title"].str.startswith("Book").all()
    with pytest.raises(
        UsageError, match=r"Several published models know a user with the key 3: .*\(in Python model=…\)"
    ):
        asked.recommend(3)
    assert asked.recommend(3, model="north ItemKNN")["title"].str.startswith("north").all()
    assert asked.use(NORTH).recommend("c3", user_label="Reader")["title"].str.startswith("Book").all()

    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("kgplug.cli.serving.sys", type("", (), {"stdin": Terminal(), "stderr": Terminal()}))
    chosen = run("recommend", 3, "--json", input="7\n2\n")
    assert "1  south MF, south ItemKNN: (:User)" in chosen.stderr and "expected a number from 1 to 2" in chosen.stderr
    assert all(row["title"].startswith("north") for row in json.loads(chosen.stdout[chosen.stdout.index("[") :]))


def test_a_schema_file_decides_whose_runs_and_models_are_meant(graph: Graph, trained: Runs) -> None:
    for who in ("north", "south"):
        Path("kgplug.toml").write_text(toml_of(who))
        result = run("publish", "ItemKNN", "--as", f"{who} films")
        assert run_of(trained, who, "ItemKNN").name in result.output, result.exception
        here = {row["run"] for row in json.loads(run("runs", "--json").stdout) if row["this_graph"]}
        assert here == {run_of(trained, who, "ItemKNN").name, *(run_of(trained, who, "MF", n).name for n in (0, 1))}
    for who in ("north", "south"):
        Path("kgplug.toml").write_text(toml_of(who))
        assert all(title.startswith(who) for title in titles(run("recommend", 3, "--json")))
        found = run("cypher", "recommend", "--run", "-p", f"model={who} films", "-p", "user=3", "-p", "k=3", "--json")
        assert all(title.startswith(who) for title in titles(found))
    # a model of another tenant is read with its own conditions
    assert all(title.startswith("north") for title in titles(run("recommend", 3, "-m", "north films", "--json")))


def test_a_user_is_erased_from_one_tenant_only(graph: Graph, trained: Runs, tmp_path: Path) -> None:
    runs = Runs(tmp_path / "copies")
    for who in ("north", "south"):
        data = jobs.read(graph, WHO[who], name="ItemKNN", progress=False)
        jobs.publish(graph, jobs.train("ItemKNN", data, runs, progress=False), name=who, progress=False)
    everybody = jobs.read(graph, NORTH.model_copy(update={"user": SOUTH.user, "item": NORTH.item}), name="ItemKNN")
    assert len(everybody.interactions or ())  # the south's users rated one film of the north
    before = owned_by(graph.connection, "south")
    report = erase_user(graph.use(NORTH), runs, 3)
    assert report.graph.edges and report.graph.found == (0, []) and report.elsewhere == 1
    assert owned_by(graph.connection, "south") == before
    kept = {info.graph.user_where: 3 in read_content(info.path)["user_keys"] for info in runs.list()}
    assert kept == {NORTH.user.where: False, SOUTH.user.where: True}
    assert graph.connection.rows(report.graph.proof)[0]["edges"] == 0
    graph.connection.write("MATCH (u:User {id: 4, tenant: 'south'}) SET u.id = 44")
    only_one = erase_user(Graph(graph.connection).use(NORTH), runs, 4)  # now nobody else has this key
    assert len(only_one.runs) == 2 and only_one.elsewhere == 0


def test_predictions_replace_those_of_the_same_tenant_only(graph: Graph) -> None:
    def predictions(run: str, head: int) -> Predictions:
        def column(*values: object) -> np.ndarray:
            return np.array(values, dtype=object)

        return Predictions(
            "TransE",
            run,
            "SEQUEL_OF",
            column("Movie"),
            column(head),
            column("Movie"),
            column(9),
            np.ones(1, np.float32),
        )

    def there() -> list[tuple[str, int]]:
        query = "MATCH (a)-[r:PREDICTED]->() RETURN a.tenant AS tenant, a.id AS id ORDER BY tenant, id"
        return [(row["tenant"], row["id"]) for row in graph.connection.rows(query)]

    graph.write_predictions(predictions("transe-1", 1), schema=NORTH)
    graph.write_predictions(predictions("transe-2", 1), schema=SOUTH)
    assert there() == [("north", 1), ("south", 1)]
    graph.write_predictions(predictions("transe-3", 5), schema=NORTH)
    assert there() == [("north", 5), ("south", 1)]
