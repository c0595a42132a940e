"""What a run stores of its split, and what is removed from it when a person is erased."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kgplug
from kgplug import jobs
from kgplug.data.artefact import read_arrays, read_artefact
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.row_memory import HASHES, NEW, SETS, TEST, TRAINING, VALIDATION, RowMemory, common_test_rows
from kgplug.embeddings.model import EmbeddingModel
from kgplug.graph.schema import GraphSchema
from kgplug.jobs.erase_user import erase_from_run
from kgplug.training.runs import Runs
from tests.unit.helpers.planted import directors_and_fans

pytestmark = pytest.mark.training

HASH = st.integers(0, 2**64 - 1)


def numbers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


@given(st.lists(HASH, unique=True, max_size=30), st.lists(HASH, max_size=5))
def test_every_row_is_found_again_with_its_set_and_others_are_new(rows: list[int], others: list[int]) -> None:
    parts = [numbers(*rows[number::3]) for number in range(3)]
    memory = RowMemory.of_sets(*parts)
    for number, part in enumerate(parts):
        assert (memory.sets_of(part) == number).all() and memory.count(number) == len(part)
    new = [other for other in others if other not in rows]
    assert (memory.sets_of(numbers(*new)) == NEW).all()
    kept = RowMemory.from_arrays(memory.to_arrays())
    assert kept is not None and np.array_equal(kept.hashes, memory.hashes) and np.array_equal(kept.sets, memory.sets)


def test_a_set_may_be_empty_and_a_run_may_have_no_memory() -> None:
    memory = RowMemory.of_sets(numbers(5, 3), None, None)
    assert memory.sets_of(numbers(3, 4, 5)).tolist() == [TRAINING, NEW, TRAINING]
    assert RowMemory.of_sets(None, None, None).sets_of(numbers(1)).tolist() == [NEW]
    assert RowMemory.from_arrays({"seen.indptr": numbers()}) is None


def test_runs_are_compared_on_rows_that_some_run_tests_and_none_has_learnt_from() -> None:
    old = np.array([TRAINING, VALIDATION, TEST, TEST, TEST, NEW, NEW], dtype=np.int8)
    new = np.array([TEST, TEST, TRAINING, TEST, NEW, TEST, NEW], dtype=np.int8)
    assert common_test_rows([old, new]).tolist() == [False, False, False, True, True, True, False]
    assert np.array_equal(common_test_rows([old]), old == TEST)


def test_a_triple_has_the_same_hash_in_every_graph_that_contains_it() -> None:
    rows = [("a", "R", "b"), ("b", "R", "a"), ("a", "S", "b"), (1, "R", "1"), ("1", "R", 1)]
    few = KnowledgeGraph.from_dataframe(pd.DataFrame(rows, columns=["head", "relation", "tail"]))
    more = KnowledgeGraph.from_dataframe(
        pd.DataFrame([("0", "A", "c"), *reversed(rows)], columns=["head", "relation", "tail"])
    )
    assert len(set(few.row_hashes)) == len(rows)
    assert set(few.row_hashes) < set(more.row_hashes)


def trained(name: str, runs: Runs) -> tuple[Path, jobs.GraphData]:
    interactions, knowledge, *_ = directors_and_fans()
    data = jobs.GraphData(GraphSchema(), interactions, knowledge)
    settings = {"embedding_dim": 4, "epochs": 1, "device": "cpu"} if name != "Popularity" else {}
    return jobs.train(name, data, runs, settings=settings, progress=False), data


def test_a_run_stores_nine_bytes_per_row_of_its_split(tmp_path: Path) -> None:
    for name in ("Popularity", "TransE"):
        folder, data = trained(name, Runs(tmp_path))
        found = read_arrays(folder, (HASHES, SETS))
        memory = RowMemory.from_arrays(found)
        assert memory is not None and sum(array.itemsize for array in found.values()) == 9
        split = jobs.Split(fractions=jobs.DEFAULT_FRACTIONS["embedding" if name == "TransE" else "recommender"])
        if name == "TransE":
            hashes = [part.row_hashes for part in split.triples(data.knowledge)]  # type: ignore[union-attr,arg-type]
        else:
            hashes = [part.row_hashes for part in split.interactions(data.interactions)]  # type: ignore[union-attr,arg-type]
        for number, part in enumerate(hashes):
            assert len(part) and (memory.sets_of(part) == number).all()


def test_erasing_a_user_removes_the_hashes_of_its_rows(tmp_path: Path) -> None:
    folder, data = trained("Popularity", Runs(tmp_path))
    rows: Interactions = data.interactions  # type: ignore[assignment]
    own = rows.user_keys[rows.users] == 7
    before = RowMemory.from_arrays(read_artefact(folder)[0])
    assert before is not None and (before.sets_of(rows.row_hashes) != NEW).all()
    assert erase_from_run(folder, "", 7)
    after = RowMemory.from_arrays(read_artefact(folder)[0])
    assert after is not None
    assert (after.sets_of(rows.row_hashes[own]) == NEW).all()
    assert np.array_equal(after.sets_of(rows.row_hashes[~own]), before.sets_of(rows.row_hashes[~own]))
    assert len(after.hashes) == len(before.hashes) - own.sum()


def test_erasing_an_entity_removes_the_hashes_of_its_triples(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        [(u, "KNOWS", v) for u in range(6) for v in range(6) if u != v], columns=["head", "relation", "tail"]
    )
    knowledge = KnowledgeGraph.from_dataframe(frame)
    model = kgplug.create("TransE", embedding_dim=4, epochs=1, device="cpu")
    assert isinstance(model, EmbeddingModel)
    model.fit(knowledge, progress=False)
    model.save(tmp_path / "run", memory=RowMemory.of_sets(knowledge.row_hashes, None, None), metrics={})
    concerned = (knowledge.entity_keys[knowledge.triples[:, [0, 2]]] == 4).any(axis=1)
    assert erase_from_run(tmp_path / "run", "", 4)
    after = RowMemory.from_arrays(read_artefact(tmp_path / "run")[0])
    assert after is not None
    assert np.array_equal(after.sets_of(knowledge.row_hashes) == NEW, concerned)
