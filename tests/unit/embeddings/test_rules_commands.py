"""Rules in the commands that are made for trained weights: each works, or says in one sentence why not."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from kgplug import jobs
from kgplug.data.graph_identity import GraphIdentity
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.publication import PathRule
from kgplug.embeddings import Rules
from kgplug.errors import DataError, RunError, UsageError
from kgplug.graph.rule_query import rule_query
from kgplug.graph.schema import FeedbackSchema, GraphSchema, ItemSchema
from kgplug.jobs import compare
from kgplug.training.runs import Runs
from tests.unit.helpers.planted import directors_and_fans
from tests.unit.helpers.printed import printed

pytestmark = pytest.mark.training

BOOKS = GraphSchema(item=ItemSchema(label="Book"), feedback=FeedbackSchema(type="READ"))


@pytest.fixture(scope="module")
def data() -> jobs.GraphData:
    interactions, knowledge, _, _ = directors_and_fans()
    return jobs.GraphData(GraphSchema(), interactions, knowledge)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("home") / "runs")


@pytest.fixture(scope="module")
def run_dir(data: jobs.GraphData, runs: Runs) -> Path:
    return jobs.train("Rules", data, runs, progress=False)


def test_a_final_run_learns_all_triples(data: jobs.GraphData, runs: Runs, run_dir: Path) -> None:
    final = Rules.load(jobs.train("Rules", data, runs, final=True, progress=False))
    assert final.run != run_dir.name and len(final._triples) == data.knowledge.n_triples  # type: ignore[union-attr]


def test_a_run_of_rules_is_not_continued_and_rules_continue_no_other_run(
    data: jobs.GraphData, runs: Runs, run_dir: Path
) -> None:
    with pytest.raises(UsageError, match="Rules, and only an embedding can be continued"):
        jobs.train("TransE", data, runs, start=run_dir, progress=False)
    other = jobs.train("TransE", data, runs, settings={"epochs": 1, "embedding_dim": 4}, progress=False)
    with pytest.raises(UsageError, match="Rules cannot continue from a run; only embeddings can"):
        jobs.train("Rules", data, runs, start=other, progress=False)


def test_a_search_of_settings_is_refused(data: jobs.GraphData, runs: Runs) -> None:
    with pytest.raises(UsageError, match="Rules has no settings to search"):
        jobs.tune("Rules", data, runs, trials=1, progress=False)


def test_rules_alone_have_nothing_to_draw_and_next_to_others_no_curve(
    data: jobs.GraphData, runs: Runs, run_dir: Path
) -> None:
    with pytest.raises(DataError, match="nothing to draw of Rules"):
        compare.draw([run_dir])
    other = jobs.train("TransE", data, runs, settings={"epochs": 2, "embedding_dim": 4}, progress=False)
    assert len(compare.draw([run_dir, other]).axes) == 1  # the curve of TransE


def test_a_damaged_run_is_refused(run_dir: Path, tmp_path: Path) -> None:
    for name in ("manifest.json", "content.json", "arrays.safetensors"):
        damaged = tmp_path / name
        damaged.mkdir()
        for file in run_dir.iterdir():
            content = file.read_bytes()
            (damaged / file.name).write_bytes(content[: len(content) // 2] if file.name == name else content)
        with pytest.raises(RunError):
            jobs.rules(damaged)


def test_the_rules_shown_are_those_of_this_graphs_newest_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(tmp_path / "runs")
    for day, (relation, schema) in enumerate([("DIRECTED", GraphSchema()), ("WROTE", BOOKS)], start=1):
        rows = [(f"a{n}", name, f"b{n}") for n in range(9) for name in (relation, f"{relation}_TOO")]
        graph = KnowledgeGraph.from_dataframe(pd.DataFrame(rows, columns=["head", "relation", "tail"]))
        model, shape = Rules().fit(graph, progress=False), schema.model_dump()
        here = GraphIdentity.of_schema(shape, store="AAAA1111BBBB").to_dict()
        model.save(runs.path(model.run), created=f"2026-11-0{day}", schema=shape, graph=here, metrics={}, split=None)
    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert "WROTE(X, Y) <- WROTE_TOO(X, Y)" in printed("rules").out
    (tmp_path / "kgplug.toml").write_text("")  # films
    assert "DIRECTED(X, Y) <- DIRECTED_TOO(X, Y)" in printed("rules").out
    query = printed("rules", "--relation", "DIRECTED", "--cypher").out
    assert "MATCH (x)-[:`DIRECTED_TOO`]->(y)" in query
    asked = printed("rules", "--relation", "DIRECTD")
    assert asked.code == 2 and "DIRECTED" in asked.err and not asked.out


def test_a_query_has_rules_of_one_relation() -> None:
    rules = [PathRule(name, [("OTHER", True)], 0.5, 1, 2, f"{name}(X, Y) <- OTHER(X, Y)") for name in "AB"]
    with pytest.raises(UsageError, match="these rules conclude 2 types"):
        rule_query(rules)


def test_names_cannot_end_their_quotes_in_a_query() -> None:
    name = "a`]->() DETACH DELETE x //' \\u0060"
    query = rule_query([PathRule(name, [(name, True)], 0.5, 1, 2, f"{name}(X, Y) <- {name}(X, Y)")])
    quoted = "`a``]->() DETACH DELETE x //' \\u005Cu0060`"
    assert query.count(f"[:{quoted}]") == 2 and "//\\' \\\\u0060(X, Y)' AS rule" in query
