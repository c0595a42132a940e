"""One long key, name or word among many short ones costs only its own length in memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import kgplug
from kgplug import models
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.values.keys import as_keys, factorize
from kgplug.data.values.texts import as_texts
from kgplug.recommenders.models._dkn_titles import read_titles

N, LONG = 20_000, "x" * 20_000
MOST_BYTES = 100 * 2**20  # text of fixed width would take 1,600 million bytes


@contextmanager
def _little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MOST_BYTES, f"{peak / 2**20:,.0f} MiB"


def _keys() -> list[str]:
    return [f"key {number}" for number in range(N - 1)] + [LONG]


def _rows(*, long: str) -> Interactions:
    keys = {"user": [f"user {number % 50}" for number in range(N)], "item": [f"item {number}" for number in range(N)]}
    return Interactions.from_dataframe(pd.DataFrame({**keys, long: _keys()}), user="user", item="item")


@pytest.mark.parametrize("kind", [object, "str", "category"])
def test_a_long_key_is_read(kind) -> None:
    column = pd.Series(_keys()).astype(kind)
    with _little_memory():
        assert len(factorize(as_keys(column, what="keys"))[1]) == N


@pytest.mark.parametrize("long", ["user", "item"])
def test_interactions_with_a_long_key_are_built_split_fingerprinted_and_written(long: str) -> None:
    with _little_memory():
        rows = _rows(long=long)
        for by in ("user", "row"):
            assert sum(map(len, rows.split((0.8, 0.2), by=by))) == N
        assert len(rows.fingerprint) == 64 and len(np.unique(rows.row_hashes)) == N
        assert len(rows.to_dataframe()) == N
        assert len(rows.aligned_to(rows.user_keys[::2], rows.item_keys)) < N or long == "item"
        assert rows.with_texts({LONG: LONG}).texts_fingerprint


def test_a_knowledge_graph_with_a_long_key_label_and_relation_is_built_split_and_written() -> None:
    frame = pd.DataFrame({"head": _keys(), "relation": _keys(), "tail": _keys()[::-1]})
    with _little_memory():
        graph = KnowledgeGraph.from_dataframe(frame)
        assert sum(part.n_triples for part in graph.split((0.9, 0.1))) == N
        assert len(graph.fingerprint) == 64 and len(graph.to_dataframe()) == N
        assert (graph.indices_in(graph)[0] == np.arange(N)).all()
        labels = np.array(_keys(), dtype=object)
        labelled = KnowledgeGraph.from_arrays(graph.entity_keys, labels, graph.relations, graph.triples)
        assert len(labelled.split((0.9, 0.1))) == 2
        assert (labelled.entities_of(labelled.entity_keys[:1], label=labelled.entity_labels[0]) >= 0).all()


def test_a_run_with_a_long_key_is_saved_and_loaded(tmp_path: Path) -> None:
    model = kgplug.create("Popularity").fit(_rows(long="item"))
    with _little_memory():
        model.save(tmp_path / "run")
        assert LONG in set(models.load(tmp_path / "run").item_keys)


def test_a_long_word_in_a_title_is_read() -> None:
    with _little_memory():
        titles = read_titles(as_texts(_keys()), most=10)
    assert titles.n_words == N + 2  # "key", the numbers, the long word, and one for no word


def test_words_are_indexed_alphabetically() -> None:
    titles = read_titles(np.array(["b a", "", "c B"], dtype=object), most=2)
    assert titles.words.tolist() == [[2, 1], [0, 0], [3, 2]]
