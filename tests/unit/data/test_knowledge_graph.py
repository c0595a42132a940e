"""Knowledge graphs: triples in any order give the same arrays."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgplug.data import knowledge_graph
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.errors import DataError

keys = st.one_of(st.integers(-3, 3), st.sampled_from(["a", "a\0", "b", "1"]))
some_triples = st.lists(st.tuples(keys, st.sampled_from(["r", "r\0", "s"]), keys), min_size=1)


def _read(rows: list[tuple]) -> KnowledgeGraph:
    return KnowledgeGraph.from_dataframe(pd.DataFrame(rows, columns=["head", "relation", "tail"], dtype=object))


@settings(max_examples=30)
@given(some_triples, st.randoms(use_true_random=False))
def test_shuffled_triples_give_equal_arrays_and_fingerprints(rows, random) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    first, second = _read(rows), _read(shuffled)
    for name in ("entity_keys", "entity_labels", "relations", "triples"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
    assert first.fingerprint == second.fingerprint


@settings(max_examples=30)
@given(some_triples)
def test_every_triple_is_kept_once(rows) -> None:
    found = _read(rows).to_dataframe().itertuples(index=False, name=None)
    assert sorted(map(repr, found)) == sorted({repr(row) for row in rows})


def test_triples_are_sorted_even_if_their_codes_do_not_fit_in_64_bits() -> None:
    rng = np.random.default_rng(0)
    triples = rng.integers(0, 5, (200, 3))
    small = knowledge_graph._unique_triples(triples)
    wide = knowledge_graph._unique_triples(np.vstack([triples, [[2**31, 2**31, 2**31]]]))
    assert np.array_equal(small, wide[:-1]) and (wide[-1] == 2**31).all()
    assert [tuple(row) for row in small] == sorted({tuple(row) for row in triples})


def test_an_integer_and_a_text_are_different_entities_but_one_relation() -> None:
    graph = _read([(1, 7, "1"), ("1", "7", 1)])
    assert list(graph.entity_keys) == [1, "1"] and list(graph.relations) == ["7"] and graph.n_triples == 2


def test_columns_of_different_kinds_share_their_entities() -> None:
    frame = pd.DataFrame({"head": [1, 2], "relation": "r", "tail": pd.Series([2, 3], dtype="float64")})
    assert list(KnowledgeGraph.from_dataframe(frame).entity_keys) == [1, 2, 3]


def test_entities_are_identified_by_label_and_key() -> None:
    labels = np.array(["Movie", "Actor", "Movie"], dtype=object)
    graph = KnowledgeGraph.from_arrays(
        np.array([2, 1, 1], dtype=object), labels, np.array(["r"]), np.array([[0, 0, 1]])
    )
    assert list(graph.entity_labels) == ["Actor", "Movie", "Movie"]
    assert list(graph.entities_of(np.array([1, 2, 9], dtype=object), label="Movie")) == [1, 2, -1]
    assert list(graph.entities_of(np.array([1], dtype=object), label="Actor")) == [0]
    assert graph.triples.tolist() == [[2, 0, 0]]


def test_the_order_of_entities_and_relations_does_not_matter() -> None:
    keys, labels = np.array([1, 2], dtype=object), np.array(["A", "A\0"], dtype=object)
    relations = np.array(["r", "r\0"], dtype=object)
    first = KnowledgeGraph.from_arrays(keys, labels, relations, np.array([[0, 0, 1], [1, 1, 0]]))
    second = KnowledgeGraph.from_arrays(keys[::-1], labels[::-1], relations[::-1], np.array([[1, 1, 0], [0, 0, 1]]))
    assert first.fingerprint == second.fingerprint


def test_a_graph_without_labels_finds_entities_under_any_label() -> None:
    graph = _read([("a", "r", "b")])
    assert list(graph.entities_of(np.array(["b", "c"], dtype=object), label="Movie")) == [1, -1]


def test_missing_columns_null_keys_and_empty_frames_are_refused() -> None:
    with pytest.raises(DataError, match=r"missing: relation, tail. Columns found: head"):
        KnowledgeGraph.from_dataframe(pd.DataFrame({"head": [1]}))
    with pytest.raises(DataError, match=r'column "tail".*no value in row 1'):
        _read([(1, "r", 2), (1, "r", None)])
    with pytest.raises(DataError, match=r"at least one row"):
        _read([])


def test_a_graph_without_triples_keeps_its_entities_and_relations() -> None:
    graph = _read([(1, "r", 2), (2, "s", 3)])
    bare = graph.without_triples()
    assert bare.triples.shape == (0, 3) and graph.n_triples == 2
    assert list(bare.entity_keys) == [1, 2, 3] and list(bare.relations) == ["r", "s"]
