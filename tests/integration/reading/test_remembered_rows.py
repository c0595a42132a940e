"""Runs are measured on the test rows that they remember, in a graph that has changed since."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kgplug import jobs
from kgplug.data.artefact import read_artefact, write_artefact
from kgplug.data.row_memory import HASHES, SETS, TEST, RowMemory
from kgplug.errors import DataError, KgplugError, RunError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.schema import FeedbackSchema, GraphSchema, KnowledgeSchema
from kgplug.jobs import compare as comparing
from kgplug.jobs.erase_user import erase_user
from kgplug.training.runs import Runs

SCHEMA = GraphSchema(
    feedback=FeedbackSchema(rating="rating", like_threshold=4.0), knowledge=KnowledgeSchema(keys={"Genre": "id"})
)
RATINGS = """UNWIND range(1, 40) AS u UNWIND range(1, 30) AS i WITH u, i WHERE (u * 7 + i * 3) % 4 < 2
MERGE (a:User {id: u}) MERGE (b:Movie {id: i}) CREATE (a)-[:RATED {rating: 2 + (u + i) % 4}]->(b)"""
GENRES = "MATCH (m:Movie) UNWIND range(0, 3) AS n MERGE (g:Genre {id: (m.id * n) % 11}) MERGE (m)-[:IN_GENRE]->(g)"
SMALL = {"embedding_dim": 4, "epochs": 2, "device": "cpu"}


@pytest.fixture
def graph(connection: Connection) -> Iterator[Graph]:
    connection.write(RATINGS)
    connection.write(GENRES)
    yield Graph(connection).use(SCHEMA)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs")


def train(graph: Graph, runs: Runs, name: str = "ItemKNN", *, schema: GraphSchema = SCHEMA, **options: object) -> Path:
    settings = {} if name in ("ItemKNN", "Popularity") else SMALL
    return jobs.train(name, jobs.read(graph, schema, name=name), runs, settings=settings, progress=False, **options)  # type: ignore[arg-type]


def memory_of(folder: Path) -> RowMemory:
    memory = RowMemory.from_arrays(read_artefact(folder)[0])
    assert memory is not None
    return memory


def some_rows(graph: Graph, folder: Path, part: int, n: int) -> list[dict]:
    """Return keys of rows of a part of a run."""
    rows = graph.read_interactions(SCHEMA)
    chosen = np.flatnonzero(memory_of(folder).sets_of(rows.row_hashes) == part)[:n]
    return [{"u": int(rows.user_keys[rows.users[row]]), "i": int(rows.item_keys[rows.items[row]])} for row in chosen]


def forget(folder: Path) -> None:
    """Make of a run one of an earlier version, which remembers no rows."""
    arrays, content = read_artefact(folder)
    kept = {name: array for name, array in arrays.items() if name not in (HASHES, SETS)}
    del content["split"]["method"], content["graph"]
    write_artefact(folder, kept, content)


def test_a_run_is_measured_as_before_when_rows_users_and_items_have_come(graph: Graph, runs: Runs) -> None:
    folder = train(graph, runs)
    before = jobs.evaluate(graph, [folder])["recommender"].iloc[0]
    graph.connection.write(
        "MATCH (a:User {id: 1}), (b:Movie {id: 2}) MERGE (new:User {id: 99}) MERGE (film:Movie {id: 98}) "
        "CREATE (a)-[:RATED {rating: 5}]->(film), (new)-[:RATED {rating: 5}]->(b), (new)-[:RATED {rating: 4}]->(film)"
    )
    after = jobs.evaluate(graph, [folder])["recommender"].iloc[0]
    assert (after["test rows"], after["gone"]) == (before["test rows"], 0)
    assert after.drop(["coverage@10", "coverage@20"]).to_dict() == before.drop(["coverage@10", "coverage@20"]).to_dict()


@pytest.mark.parametrize("repeated", [None, "count", "sum", "mean", "last"])
def test_runs_are_measured_where_feedback_is_repeated(graph: Graph, runs: Runs, repeated: str | None) -> None:
    like = {None: 4.0, "mean": 4.0, "last": 4.0, "count": 2.0, "sum": 8.0}[repeated]
    merged = FeedbackSchema.model_validate({"rating": "rating", "like_threshold": like, "repeated": repeated or "last"})
    schema = SCHEMA.model_copy(update={"feedback": merged})
    again = (
        "MATCH (a:User)-[r:RATED]->(b:Movie) WHERE (a.id + b.id) % 3 = 0 CREATE (a)-[:RATED {rating: r.rating}]->(b)"
    )
    if repeated:
        graph.connection.write(again)
    folder = train(graph, runs, schema=schema)
    before = jobs.evaluate(graph, [folder], beyond=True)["recommender"].iloc[0]
    if repeated is None:
        graph.connection.write(again)  # after the training
    graph.connection.write("MATCH (a:User {id: 1}), (b:Movie {id: 2}) CREATE (a)-[:RATED {rating: 5}]->(b)")
    newer = train(graph, runs, schema=schema)
    after = jobs.evaluate(graph, [folder])["recommender"].iloc[0]
    assert (after["test rows"], after["NDCG@10"]) == (before["test rows"], pytest.approx(before["NDCG@10"]))
    both = jobs.evaluate(graph, [folder, newer])["recommender"]
    assert both["test rows"].nunique() == 1 and both["gone"].tolist() == [0, 0]


def test_test_rows_that_have_disappeared_are_counted_and_skipped(graph: Graph, runs: Runs) -> None:
    folder = train(graph, runs)
    n_test = memory_of(folder).count(TEST)
    rows = some_rows(graph, folder, TEST, 5)
    graph.connection.write(
        "UNWIND $rows AS row MATCH (:User {id: row.u})-[r:RATED]->(:Movie {id: row.i}) DELETE r", rows=rows
    )
    table = jobs.evaluate(graph, [folder])["recommender"]
    assert table.iloc[0][["test rows", "gone"]].tolist() == [n_test - 5, 5]
    assert table.attrs["notes"] == [
        f"Skipped 5 of the {n_test} test rows of run {folder.name}: no longer in the graph."
    ]
    assert json.loads((folder / "evaluation.json").read_text())["gone"] == 5


def test_training_rows_that_have_disappeared_are_still_left_out_of_the_lists(graph: Graph, runs: Runs) -> None:
    folder = train(graph, runs)
    before = jobs.evaluate(graph, [folder])["recommender"]["NDCG@10"].iloc[0]
    rows = some_rows(graph, folder, 0, 50)
    graph.connection.write(
        "UNWIND $rows AS row MATCH (:User {id: row.u})-[r:RATED]->(:Movie {id: row.i}) DELETE r", rows=rows
    )
    assert jobs.evaluate(graph, [folder])["recommender"]["NDCG@10"].iloc[0] == before


def test_a_run_reports_that_its_whole_test_set_is_gone(graph: Graph, runs: Runs) -> None:
    folder = train(graph, runs)
    graph.connection.write("MATCH (m:Movie) SET m.id = m.id + 1000")
    with pytest.raises(RunError, match=r"no longer has: none of its \d+ test rows is left\. Train again"):
        jobs.evaluate(graph, [folder])
    graph.connection.write("MATCH ()-[r:RATED]->() DELETE r")
    with pytest.raises(KgplugError, match=folder.name):
        jobs.evaluate(graph, [folder])


def test_two_runs_are_compared_on_rows_that_neither_has_learnt(graph: Graph, runs: Runs) -> None:
    old = train(graph, runs, split=jobs.Split(seed=0))
    graph.connection.write("MATCH (a:User {id: 1}), (b:Movie) WHERE NOT (a)-->(b) CREATE (a)-[:RATED {rating: 5}]->(b)")
    new = train(graph, runs, split=jobs.Split((0.6, 0.2, 0.2), seed=7))
    hashes = graph.read_interactions(SCHEMA).row_hashes
    parts = [memory_of(folder).sets_of(hashes) for folder in (old, new)]
    common = ((parts[0] == 2) | (parts[1] == 2)) & ~np.isin(parts[0], [0, 1]) & ~np.isin(parts[1], [0, 1])
    table = jobs.evaluate(graph, [old, new])["recommender"]
    assert 0 < common.sum() < (parts[0] == 2).sum() + (parts[1] == 2).sum()
    assert table["test rows"].tolist() == [common.sum()] * 2 and list(table.index) == [old.name, new.name]
    assert table["users"].nunique() == 1
    assert (
        f"compared on {common.sum()} rows that are in at least one test set and in no training"
        in table.attrs["notes"][0]
    )


def test_runs_of_one_split_are_measured_on_its_whole_test_set(graph: Graph, runs: Runs) -> None:
    folders = [train(graph, runs, name) for name in ("ItemKNN", "Popularity")]
    table = jobs.evaluate(graph, folders)["recommender"]
    assert table["test rows"].tolist() == [memory_of(folder).count(TEST) for folder in folders]
    assert table.attrs["notes"] == []


def test_runs_without_a_common_row_are_measured_one_by_one_and_not_called_comparable(graph: Graph, runs: Runs) -> None:
    one = train(graph, runs, split=jobs.Split((0.5, 0.0, 0.5), seed=0))
    arrays, content = read_artefact(one)
    swapped = np.where(arrays[SETS] == 0, 2, 0).astype(np.uint8)
    two = runs.path("itemknn-other")
    write_artefact(two, {**arrays, SETS: swapped}, content)
    failures: dict[Path, KgplugError] = {}
    table = jobs.evaluate(graph, [one, two], on_failure=failures.__setitem__)["recommender"]
    assert "Do not compare their metrics" in table.attrs["notes"][0]
    assert "leaks" in str(failures[two])  # what it calls its test set is what it has learnt


def test_runs_with_different_like_thresholds_are_compared_at_the_newest_one(graph: Graph, runs: Runs) -> None:
    old = train(graph, runs)
    schema = SCHEMA.model_copy(update={"feedback": FeedbackSchema(rating="rating", like_threshold=3.0)})
    new = train(graph, runs, schema=schema)
    alone = jobs.evaluate(graph, [new])["recommender"].iloc[0]
    table = jobs.evaluate(graph, [old, new])["recommender"]
    assert "ratings of at least 3 are likes" in table.attrs["notes"][0]
    assert table.loc[new.name].to_dict() == alone.to_dict()


def test_a_run_of_an_earlier_version_is_measured_on_unchanged_data_and_refused_on_others(
    graph: Graph, runs: Runs
) -> None:
    folder = train(graph, runs, split=jobs.Split(method="positions"))
    expected = jobs.evaluate(graph, [folder])["recommender"]
    forget(folder)
    assert jobs.evaluate(graph, [folder])["recommender"].equals(expected)
    graph.connection.write("MATCH (a:User {id: 1}) MERGE (b:Movie {id: 99}) CREATE (a)-[:RATED {rating: 5}]->(b)")
    with pytest.raises(
        RunError, match=r"is of an earlier version .*, and the graph has changed since\. Train again, then"
    ):
        jobs.evaluate(graph, [folder])


def test_a_run_whose_labels_are_gone_is_reported_without_advice_on_kgplug_toml(graph: Graph, runs: Runs) -> None:
    folder = train(graph, runs)
    graph.connection.write("MATCH (u:User) DETACH DELETE u")
    with pytest.raises(RunError, match=r"cannot be measured: No :User nodes in database .*\. Train again") as raised:
        jobs.evaluate(graph, [folder])
    assert "Set " not in str(raised.value)


def test_a_run_without_a_test_set_says_so(graph: Graph, runs: Runs) -> None:
    with pytest.raises(DataError, match="was trained without a test set"):
        jobs.evaluate(graph, [train(graph, runs, split=jobs.Split((1.0, 0.0, 0.0)))])
    with pytest.raises(DataError, match=r"has no test set: its fraction, 1e-09, gave it no rows, or they were erased"):
        jobs.evaluate(graph, [train(graph, runs, split=jobs.Split((1 - 1e-9, 0.0, 1e-9)))])


def test_embeddings_are_measured_on_the_triples_that_they_remember(graph: Graph, runs: Runs) -> None:
    folder = train(graph, runs, "TransE", split=jobs.Split((0.7, 0.1, 0.2)))
    before = jobs.evaluate(graph, [folder])["embedding"].iloc[0]
    assert before["test rows"] == memory_of(folder).count(TEST)
    graph.connection.write(
        "MATCH (m:Movie {id: 1}) CREATE (m)-[:IN_GENRE]->(:Genre {id: 77})-[:PART_OF]->(:Genre {id: 78})"
    )
    after = jobs.evaluate(graph, [folder])["embedding"].iloc[0]
    assert after.to_dict() == before.to_dict()
    graph.connection.write("MATCH (:Movie {id: 3})-[r:IN_GENRE]->() DELETE r")
    fewer = jobs.evaluate(graph, [folder])["embedding"].iloc[0]
    assert fewer["test rows"] + fewer["gone"] == before["test rows"]
    again = train(graph, runs, "TransE", split=jobs.Split((0.7, 0.1, 0.2)))
    table = jobs.evaluate(graph, [folder, again])["embedding"]
    assert table["test rows"].nunique() == 1


def test_a_comparison_can_be_made_after_the_graph_has_changed(graph: Graph, runs: Runs) -> None:
    comparing.compare(["ItemKNN", "Popularity"], graph, SCHEMA, runs, progress=False)
    graph.connection.write("MATCH (a:User {id: 1}) MERGE (b:Movie {id: 99}) CREATE (a)-[:RATED {rating: 5}]->(b)")
    comparing.compare(["ItemKNN", "Popularity"], graph, SCHEMA, runs, progress=False)
    folders = [info.path for info in runs.list()]
    assert len(folders) == 4
    assert jobs.evaluate(graph, folders)["recommender"]["test rows"].nunique() == 1


def test_an_erased_user_is_no_test_user_any_more(graph: Graph, runs: Runs) -> None:
    folder = train(graph, runs)
    before = jobs.evaluate(graph, [folder])["recommender"].iloc[0]
    user = some_rows(graph, folder, TEST, 1)[0]["u"]
    own = graph.read_interactions(SCHEMA)
    own = own.row_hashes[own.user_keys[own.users] == user]
    n_own = int((memory_of(folder).sets_of(own) == TEST).sum())
    assert erase_user(graph, runs, user).runs == [folder.name]
    after = jobs.evaluate(graph, [folder])["recommender"].iloc[0]
    assert (after["test rows"], after["gone"]) == (before["test rows"] - n_own, 0)


def test_a_common_test_row_may_be_unknown_to_one_run(graph: Graph, runs: Runs) -> None:
    old = train(graph, runs)
    new = train(graph, runs, split=jobs.Split((0.6, 0.2, 0.2), seed=7))
    parts = [memory_of(folder).sets_of(graph.read_interactions(SCHEMA).row_hashes) for folder in (old, new)]
    rows = graph.read_interactions(SCHEMA)
    common = ((parts[0] == TEST) | (parts[1] == TEST)) & ~np.isin(parts[0], [0, 1]) & ~np.isin(parts[1], [0, 1])
    users, counts = np.unique(rows.users[common], return_counts=True)
    gone = users[counts == 1][0]
    arrays, content = read_artefact(old)
    content["user_keys"] = [-1 if key == rows.user_keys[gone] else key for key in content["user_keys"]]
    write_artefact(old, arrays, content)
    notes = jobs.evaluate(graph, [old, new])["recommender"].attrs["notes"]
    assert any(" Skipped 1 more, because a run does not have their keys." in note for note in notes)
