"""Publishes that were killed, taken up again by the command line; dry runs, differences, erasing: from runs on disk."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kgplug import jobs, models
from kgplug.errors import UsageError
from kgplug.graph import catalog
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.publishing import publisher
from kgplug.graph.publishing.options import PublishOptions
from kgplug.graph.server.home import Endpoint
from kgplug.jobs.erase_user import erase_user
from kgplug.training.runs import Runs
from tests import warm_python
from tests.integration.helpers.published import Died
from tests.integration.helpers.sample_graphs import ALL_EDGES, ALL_NODES, FILM_KEYS, FILMS, build, listed
from tests.integration.helpers.sample_graphs import FILM_SCHEMA as SCHEMA

pytestmark = [pytest.mark.training, FILM_KEYS]


@pytest.fixture
def graph(connection: Connection) -> Iterator[Graph]:
    build(connection, FILMS)
    yield Graph(connection).use(SCHEMA)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs")


def trained(graph: Graph, runs: Runs, name: str = "MF", seed: int = 0) -> Path:
    settings = {} if name == "Popularity" else {"embedding_dim": 4, "epochs": 3, "device": "cpu"}
    return jobs.train(name, jobs.read(graph, SCHEMA, name=name), runs, settings=settings, seed=seed)


def interrupt(work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(publisher, "count_edges", die)
        with pytest.raises(Died):
            work()


def test_an_interrupted_publish_is_finished_with_its_original_options(
    graph: Graph, runs: Runs, monkeypatch: pytest.MonkeyPatch
):
    first, second = trained(graph, runs), trained(graph, runs, seed=1)
    jobs.publish(graph, first)
    options = PublishOptions(k=4, similar=2, similar_label="Movie", seen="none", where="item.id <= 9", diversity=0.3)
    interrupt(lambda: jobs.publish(graph, second, options), monkeypatch)
    served = catalog.serving(graph.connection, "MF")
    assert served is not None
    assert served["id"] == first.name
    report = jobs.resume(graph, runs)
    assert (report.run, report.previous, report.lists) == (second.name, first.name, 0)
    whole = graph.connection.rows(ALL_EDGES), listed(graph)
    assert all(len(films) == 4 and max(films) <= 9 for films in listed(graph).values())
    jobs.publish(graph, second, options)
    assert (graph.connection.rows(ALL_EDGES), listed(graph)) == whole
    with pytest.raises(UsageError, match="No publish was interrupted"):
        jobs.resume(graph, runs)


def test_a_publish_that_version_0_1_0_began_is_resumed_with_its_options(
    graph: Graph, runs: Runs, monkeypatch: pytest.MonkeyPatch
):
    folder = trained(graph, runs)
    interrupt(lambda: jobs.publish(graph, folder, k=4, where="item.id <= 9"), monkeypatch)
    renamed = (
        "MATCH (r:KgplugRun {id: $id}) SET r.params = replace(r.params, '\"k\":', '\"top\":') RETURN r.params AS p"
    )
    (row,) = graph.connection.write_rows(renamed, id=folder.name)
    assert json.loads(row["p"])["lists"]["top"] == 4
    jobs.resume(graph, runs)
    assert all(len(films) == 4 and max(films) <= 9 for films in listed(graph).values())


def test_resume_needs_exactly_one_interrupted_publish_whose_run_is_on_this_machine(
    graph: Graph, runs: Runs, monkeypatch: pytest.MonkeyPatch, tmp_path
):
    mf, popularity = trained(graph, runs), trained(graph, runs, "Popularity")
    for folder in (mf, popularity):
        interrupt(lambda folder=folder: jobs.publish(graph, folder), monkeypatch)
    with pytest.raises(UsageError, match=rf"Several publishes were interrupted: MF \({mf.name}\), Popularity"):
        jobs.resume(graph, runs)
    with pytest.raises(UsageError, match=r"No publish of BPR was interrupted.* Unfinished: mf-.*, popularity-"):
        jobs.resume(graph, runs, "BPR")
    with pytest.raises(UsageError, match=rf"Run {mf.name}, whose publish was .* is not among .* `kgplug rollback MF`"):
        jobs.resume(graph, Runs(tmp_path / "elsewhere"), "MF")
    assert jobs.resume(graph, runs, "popularity").run == popularity.name
    assert graph.rollback("MF").undone == mf.name
    assert catalog.known_models(graph.connection) == ["Popularity"]


def test_the_catalogue_describes_a_run(graph: Graph, runs: Runs):
    folder = trained(graph, runs)
    jobs.publish(graph, folder)
    (row,) = graph.connection.rows(
        "MATCH (m:KgplugModel {name: 'MF'}) MATCH (r:KgplugRun {number: m.serves}) RETURN properties(r) AS p"
    )
    run = row["p"]
    assert (run["id"], run["status"], len(run["artefact"])) == (folder.name, "serving", 64)
    assert json.loads(run["params"])["settings"]["embedding_dim"] == 4
    assert "AUC (validation)" in json.loads(run["metrics"])
    assert json.loads(run["schema"])["user"]["label"] == "User"
    counts = json.loads(run["graph"])
    assert (counts["users"], counts["items"]) == (9, 12)
    assert run["created"] <= run["published"]


def test_two_runs_are_compared_by_the_lists_they_give(graph: Graph, runs: Runs):
    one, other = trained(graph, runs), trained(graph, runs, "Popularity")
    same = jobs.diff([one, one], k=5)
    assert (same.changed, same.overlap) == (0, {1: 1.0, 5: 1.0})
    found = jobs.diff([one, other], k=5)
    assert found.changed > 0
    assert found.added == found.removed > 0
    assert jobs.diff([other, one], k=5).overlap == found.overlap
    embedding = jobs.train("TransE", jobs.read(graph, SCHEMA, name="TransE"), runs, settings={"epochs": 1})
    with pytest.raises(UsageError, match="is an embedding and gives no lists"):
        jobs.diff([one, embedding])


def test_an_erased_user_is_in_no_run_and_the_query_proves_it_of_the_graph(graph: Graph, runs: Runs):
    folder = trained(graph, runs)
    jobs.publish(graph, folder)
    (runs.folder / ".checkpoints").mkdir(exist_ok=True)
    (runs.folder / ".checkpoints" / "unfinished.safetensors").write_bytes(b"")
    (runs.folder / ".checkpoints" / ".killed.1").mkdir()  # while a checkpoint was written
    damaged = trained(graph, runs, "Popularity")
    (damaged / "arrays.safetensors").write_bytes(b"")
    found = erase_user(graph, runs, 3)
    assert (found.runs, found.damaged, found.checkpoints) == ([folder.name], [damaged.name], 2)
    assert found.graph.edges > 0
    assert found.graph.found == (0, [])
    assert 3 not in listed(graph)
    assert 3 not in models.load(folder).user_keys  # type: ignore[union-attr]
    assert graph.connection.rows(found.graph.proof) == [{"edges": 0, "vectors": []}]
    assert found.graph.proof in str(found)


def kgplug(server: Endpoint, home: Path, *arguments: str) -> warm_python.Process:
    environment = {
        **os.environ,
        "NEO4J_URI": server.uri,
        "NEO4J_USERNAME": server.username,
        "NEO4J_PASSWORD": server.password.get_secret_value(),
        "KGPLUG_HOME": str(home),
    }
    return warm_python.Process(*arguments, env=environment, cwd=home)


def test_a_command_that_was_killed_is_resumed_by_a_command(graph: Graph, neo4j_server: Endpoint, tmp_path: Path):
    runs = Runs(tmp_path / "runs")
    first, second = trained(graph, runs), trained(graph, runs, seed=1)
    jobs.publish(graph, first)
    before = listed(graph)
    publishing = kgplug(neo4j_server, tmp_path, "publish", second.name)
    for _ in range(3000):
        if catalog.unfinished_run(graph.connection, "MF") is not None:
            break
        time.sleep(0.01)
    publishing.kill()
    publishing.communicate(60)
    assert publishing.poll() == -signal.SIGKILL
    unfinished = catalog.unfinished_run(graph.connection, "MF")
    assert unfinished is not None, "the publish was done before it could be killed"
    assert listed(graph) == before
    resumed = kgplug(neo4j_server, tmp_path, "publish", "--resume", "--json")
    out, err = resumed.communicate(timeout=120)
    assert resumed.poll() == 0, err
    assert json.loads(out)["previous"] == first.name
    assert listed(graph) != before
    whole = graph.connection.rows(ALL_NODES), graph.connection.rows(ALL_EDGES)
    back = kgplug(neo4j_server, tmp_path, "rollback", "MF")
    out, err = back.communicate(timeout=120)
    assert back.poll() == 0, err
    assert out.startswith(f"MF is served by run {first.name} again.")
    assert listed(graph) == before
    refused = kgplug(neo4j_server, tmp_path, "publish", "--resume")
    out, err = refused.communicate(timeout=120)
    assert (refused.poll(), out) == (2, "")
    assert err.startswith("Error: No publish was interrupted in this graph")
    assert len(whole[0]) == len(graph.connection.rows(ALL_NODES))
