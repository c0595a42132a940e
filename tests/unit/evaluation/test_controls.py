"""Controls: a graph that says nothing, and what a model gains over it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kgplug
from kgplug import jobs, models
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.errors import UsageError
from kgplug.graph.schema import GraphSchema
from kgplug.jobs.controls import SHUFFLED, WITHOUT, control_pairs, refuse_controls, train_controls, with_own_controls
from kgplug.recommenders.models.cease import CEASE
from kgplug.training.runs import Runs
from tests.unit.helpers import contract
from tests.unit.helpers.planted import directors_and_fans, tiny

rows = st.lists(st.tuples(st.integers(0, 8), st.sampled_from("rs"), st.integers(0, 8)), min_size=1, max_size=40)


def _degrees(graph: KnowledgeGraph, end: int) -> np.ndarray:
    return np.bincount(graph.triples[:, 1] * graph.n_entities + graph.triples[:, end])


@settings(max_examples=50)
@given(rows, st.integers(0, 5))
def test_a_shuffled_graph_has_no_triple_twice_and_only_tails_of_the_same_relation(triples, seed) -> None:
    graph = KnowledgeGraph.from_dataframe(pd.DataFrame(triples, columns=["head", "relation", "tail"]))
    found = graph.shuffled(seed=seed)
    assert len(np.unique(found.triples, axis=0)) == found.n_triples <= graph.n_triples
    for end in (0, 2):
        before, after = _degrees(graph, end), _degrees(found, end)
        assert (np.pad(after, (0, len(before) - len(after))) <= before).all()
    assert found.fingerprint == graph.shuffled(seed=seed).fingerprint


def test_a_shuffled_graph_keeps_degrees_and_relations_but_hardly_any_triple() -> None:
    rng = np.random.default_rng(0)
    triples = np.stack([rng.integers(0, 400, 6000), rng.integers(0, 3, 6000), rng.integers(400, 460, 6000)], axis=1)
    names = np.array(["a", "b", "c"], dtype=object)
    graph = KnowledgeGraph.from_arrays(np.arange(460).astype(object), np.full(460, "", dtype=object), names, triples)
    found = graph.shuffled(seed=3)
    for end in (0, 2):
        assert np.array_equal(_degrees(graph, end), _degrees(found, end))
    kept = len({*map(tuple, graph.triples)} & {*map(tuple, found.triples)}) / graph.n_triples
    assert kept < 0.12  # by chance: 5 of 60 tails
    assert graph.shuffled(seed=4).fingerprint != found.fingerprint


def test_a_graph_of_own_tails_links_no_two_items() -> None:
    interactions, knowledge = tiny()
    found = knowledge.with_own_tails(interactions.item_keys)
    assert found.n_triples == 4 and len(set(found.triples[:, 2])) == 4  # item 4 has no entity
    assert (found.entities_of(interactions.item_keys) >= 0).tolist() == [True, True, True, True, False]
    labelled = KnowledgeGraph.from_arrays(
        np.array([1, 2, 1], dtype=object), np.array(["Film", "Film", "Person"], dtype=object),
        np.array(["BY"], dtype=object), np.array([[0, 0, 2]]),
    )  # fmt: skip
    own = labelled.with_own_tails(np.array([1, 2], dtype=object), label="Film")
    assert (own.entities_of(np.array([1, 2], dtype=object), label="Film") >= 0).all() and own.n_triples == 2


def test_the_gain_from_a_graph_that_tells_the_taste_is_more_than_chance() -> None:
    interactions, knowledge, *_ = directors_and_fans(fans=6)
    train, test = interactions.split((0.75, 0.25), seed=0)
    graphs = {"with": knowledge, "without": knowledge.without_triples(), "shuffled": knowledge.shuffled()}
    fitted = {name: CEASE(settings="defaults").fit(train, graph) for name, graph in graphs.items()}
    found = kgplug.evaluate(fitted, train, test, baseline="with", warn=False).attrs["differences"]
    for each in found:
        if each.metric in ("AUC", "NDCG@10"):
            assert each.more_than_chance and each.difference < 0, str(each)


@pytest.mark.training
@pytest.mark.parametrize(
    "name", [info.name for info in models.available() if "triples" in info.needs and "likes" in info.needs]
)
def test_every_model_with_a_graph_has_its_controls(name: str, tmp_path: Path) -> None:
    quick = {**contract.SETTINGS[name]}
    quick |= {"epochs": 1} if "epochs" in quick else {}
    data = jobs.GraphData(GraphSchema(), contract.interactions(), contract.knowledge())
    runs, trained = Runs(tmp_path), {}
    model = models.create(name, **quick)
    notes = train_controls(model, data, runs, trained, seed=0, split=jobs.Split((1.0, 0.0, 0.0)), progress=False)
    missing = {f"PER {WITHOUT}"} if name == "PER" else set()  # all its features are attributes that items share
    assert set(trained) == {f"{name} {control}" for control in (WITHOUT, SHUFFLED)} - missing
    assert len(notes) == len(missing) and all(f"There is no row {name}" in note for note in notes)
    assert not runs.list()
    again: dict[str, Path] = {}
    train_controls(model, data, runs, again, seed=0, split=jobs.Split((1.0, 0.0, 0.0)), progress=False)
    assert again == trained


def test_models_without_a_graph_have_no_controls() -> None:
    made = [models.create("CEASE"), models.create("ItemKNN"), models.create("EASE")]
    with pytest.raises(UsageError, match=r"recommenders that learn from likes and triples. Omit ItemKNN, EASE "):
        refuse_controls(made, None)
    with pytest.raises(UsageError, match=r"Omit --baseline"):
        refuse_controls(made[:1], "CEASE")


def test_controls_follow_their_model_and_are_compared_with_it() -> None:
    names = [f"A {SHUFFLED}", "B", f"A {WITHOUT}", f"B {WITHOUT}", "A"]
    table = with_own_controls(pd.DataFrame({"NDCG@10": range(5)}, index=names))
    assert list(table.index) == ["B", f"B {WITHOUT}", "A", f"A {WITHOUT}", f"A {SHUFFLED}"]
    pairs = control_pairs({name: Path(name) for name in names})
    assert pairs == [(Path(one), Path(one[0])) for one in names if len(one) > 1]
