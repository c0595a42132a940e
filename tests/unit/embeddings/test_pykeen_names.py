"""Names of entities in PyKEEN: label and key come back from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgplug.data.knowledge_graph import KnowledgeGraph, triple_hashes
from kgplug.data.splitting import hash_keys
from kgplug.errors import DataError, UsageError
from kgplug.pykeen_bridge.dataset import held_out, triples_factory
from kgplug.pykeen_bridge.names import entity_names, entity_of
from kgplug.pykeen_bridge.result import PykeenResult

pytestmark = pytest.mark.training

labels = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\\\0"), max_size=8)
some_keys = st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.tuples(labels | st.sampled_from(["Movie", "a:b", ":", ""]), some_keys), unique_by=repr))
def test_label_and_key_come_back_and_different_nodes_have_different_names(entities) -> None:
    names = entity_names([label for label, _ in entities], [key for _, key in entities])
    assert [entity_of(name) for name in names] == entities
    assert len(set(names)) == len(entities)


def test_names_distinguish_integer_and_text_keys() -> None:
    assert entity_names(["Movie", "Movie", "Music Track"], [12, "12", "a:b\t"]) == [
        "Movie:12",
        'Movie:"12"',
        'Music Track:"a:b\\t"',
    ]


@pytest.mark.parametrize("name", ["brazil", "Movie:", "Movie:1.5", "Movie:true", "Movie:null", 'Movie:"open', ""])
def test_a_name_of_another_data_set_is_refused(name: str) -> None:
    with pytest.raises(DataError, match='dataset="neo4j"'):
        entity_of(name)


def a_graph(triples: list[tuple[int, int, int]]) -> KnowledgeGraph:
    keys, labels = [1, "1", 2, 7], ["Movie", "Movie", "Movie", "Alone"]
    relations = ["next", "next_inverse"]
    return KnowledgeGraph.from_arrays(*(np.array(part, dtype=object) for part in (keys, labels, relations)), triples)


def test_triples_keep_relations_that_end_in_inverse_and_omit_entities_without_triples() -> None:
    factory = triples_factory(a_graph([(0, 0, 1), (1, 0, 2), (1, 1, 0), (2, 1, 1)]), create_inverse_triples=True)
    assert factory.entity_to_id == {"Movie:1": 0, "Movie:2": 1, 'Movie:"1"': 2}
    assert factory.relation_to_id == {"next": 0, "next_inverse": 1}
    assert {tuple(row) for row in factory.triples.tolist()} == {
        ("Movie:1", "next", 'Movie:"1"'),
        ('Movie:"1"', "next", "Movie:2"),
        ('Movie:"1"', "next_inverse", "Movie:1"),
        ("Movie:2", "next_inverse", 'Movie:"1"'),
    }


def hashes_of(triples: np.ndarray) -> np.ndarray:
    heads, relations, tails = (hash_keys(column.astype(object)) for column in triples.T)
    return triple_hashes(heads, relations, tails)


@given(
    st.integers(0, 9),
    st.lists(
        st.tuples(st.integers(0, 12), st.integers(0, 2), st.integers(0, 12)), min_size=1, max_size=60, unique=True
    ),
)
def test_up_to_a_tenth_is_held_out_and_training_sees_every_entity_and_relation(seed: int, rows: list) -> None:
    triples = np.array(rows)
    try:
        part = held_out(triples, hashes=hashes_of(triples), seed=seed)
    except DataError as error:
        assert "can be held out" in str(error)
        assert len(rows) < 13 + 3 + 1  # so many triples, at most, are needed
        return
    assert np.array_equal(part, held_out(triples, hashes=hashes_of(triples), seed=seed))
    trained_on, tenth = triples[part == 0], max(1, round(len(rows) / 10))
    assert set(triples[:, [0, 2]].flat) == set(trained_on[:, [0, 2]].flat)
    assert set(triples[:, 1]) == set(trained_on[:, 1])
    assert 1 <= (part == 1).sum() <= tenth and (part == 2).sum() <= tenth


def test_a_dense_graph_is_split_80_10_10() -> None:
    triples = np.array([(head, 0, tail) for head in range(20) for tail in range(20)])
    parts = [held_out(triples, hashes=hashes_of(triples), seed=seed) for seed in (0, 1)]
    assert [np.bincount(part).tolist() for part in parts] == [[320, 40, 40]] * 2
    assert not np.array_equal(*parts)


def test_one_more_triple_and_another_order_move_few_triples_between_the_sets() -> None:
    triples = np.array([(head, 0, tail) for head in range(20) for tail in range(20)])
    hashes = hashes_of(triples)
    part = held_out(triples, hashes=hashes, seed=0)
    more, stirred = np.vstack([[(5, 0, 21)], triples]), np.random.default_rng(0).permutation(len(triples))
    assert (held_out(more, hashes=hashes_of(more), seed=0)[1:] != part).sum() <= 4
    assert (held_out(triples[stirred], hashes=hashes[stirred], seed=0) != part[stirred]).sum() <= 4


def test_anything_but_a_pipeline_result_is_refused() -> None:
    with pytest.raises(UsageError, match="result of a PyKEEN pipeline"):
        PykeenResult(object())
