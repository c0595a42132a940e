"""CKCF-relational: its similarity equals its formula, and it knows relations apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.embeddings.model import EmbeddingModel
from kgplug.errors import UsageError
from kgplug.recommenders.models.ckcf import CKCF
from kgplug.recommenders.models.ckcf_relational import CKCFRelational
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share

pytestmark = pytest.mark.training

SMALL = {"embedding_settings": {"embedding_dim": 6, "epochs": 3, "device": "cpu"}}
QUICK = {"embedding_settings": {"embedding_dim": 16, "epochs": 60, "learning_rate": 0.05, "device": "cpu"}}
N_ITEMS = 9


def data(seed: int = 0) -> tuple[Interactions, KnowledgeGraph]:
    """Return likes of items 0 … 8, and a graph in which item 8 has no entity and items stand at both ends."""
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((12, N_ITEMS)) < 0.4)
    triples = [(int(i), f"r{rng.integers(3)}", f"e{rng.integers(4)}") for i in rng.integers(0, N_ITEMS - 1, 20)]
    triples += [(f"e{rng.integers(4)}", f"r{rng.integers(3)}", int(i)) for i in rng.integers(0, N_ITEMS - 1, 12)]
    triples += [(0, "r0", 1), (2, "r0", 1), (4, "a relation of one item", "e0")]
    frame = pd.DataFrame(triples, columns=["head", "relation", "tail"])
    interactions = Interactions.from_arrays(np.arange(12), np.arange(N_ITEMS), users, items)
    return interactions, KnowledgeGraph.from_dataframe(frame)


def embedding_of(knowledge: KnowledgeGraph) -> EmbeddingModel:
    return EmbeddingModel("TransE", **SMALL["embedding_settings"]).fit(knowledge, progress=False)


def literal_similarity(knowledge: KnowledgeGraph, *, compare: str, translate: bool, relations: int) -> np.ndarray:
    """Return sim(A, B) of the docstring, one triple and one pair at a time."""
    model = embedding_of(knowledge)
    e, r = model.entity_vectors().astype(float), model.relation_vectors()["translation"].astype(float)
    sums: dict[tuple[int, int], dict[object, np.ndarray]] = {}
    for h, rel, t in knowledge.triples.tolist():
        for item, other, sign in ((h, t, 1), (t, h, -1)):
            key = knowledge.entity_keys[item]
            if isinstance(key, int):
                pulled = e[other] - (sign * r[rel] if translate else 0)
                part = sums.setdefault((rel, sign), {})
                part[key] = part.get(key, 0) + pulled
    kept = sorted(sums, key=lambda k: (-len(sums[k]), k[0], -k[1]))[:relations]
    kept = [k for k in kept if len(sums[k]) > 1]
    similarity = np.zeros((N_ITEMS, N_ITEMS))
    for a in range(N_ITEMS):
        for b in range(N_ITEMS):
            mine, theirs = ([k for k in kept if item in sums[k]] for item in (a, b))
            if a == b or not mine or not theirs:
                continue
            if compare == "mean":
                x, y = (np.sum([sums[k][item] for k in ks], axis=0) for item, ks in ((a, mine), (b, theirs)))
                similarity[a, b] = x @ y / (np.linalg.norm(x) * np.linalg.norm(y))
                continue
            for k in set(mine) & set(theirs):
                x, y = sums[k][a], sums[k][b]
                similarity[a, b] += x @ y / (np.linalg.norm(x) * np.linalg.norm(y)) / (len(mine) * len(theirs)) ** 0.5
    return similarity


@pytest.mark.parametrize("compare", ["relations", "mean"])
@pytest.mark.parametrize("translate", [True, False])
@pytest.mark.parametrize("relations", [2, 16])
def test_the_similarity_equals_the_formula(compare: str, translate: bool, relations: int) -> None:
    interactions, knowledge = data()
    options = {"compare": compare, "translate": translate, "relations": relations}
    model = CKCFRelational(**SMALL, neighbours=N_ITEMS, cold_boost="none", **options)
    model.fit(interactions, knowledge, progress=False)
    expected = literal_similarity(knowledge, **options)
    assert (expected > 0).sum() > N_ITEMS
    np.testing.assert_allclose(model.semantic.toarray(), np.maximum(expected, 0), atol=1e-5)


def test_without_relations_it_compares_as_ckcf_does() -> None:
    interactions, knowledge = data()
    own, plain = (
        model(**SMALL, neighbours=N_ITEMS, cold_boost="none", **options).fit(interactions, knowledge, progress=False)
        for model, options in ((CKCFRelational, {"compare": "own"}), (CKCF, {}))
    )
    assert plain.semantic.nnz > 0 and np.array_equal(own.semantic.toarray(), plain.semantic.toarray())


def test_the_graph_may_be_numbered_otherwise_than_the_run(tmp_path: Path) -> None:
    interactions, knowledge = data()
    embedding_of(knowledge).save(tmp_path / "run")
    frame = knowledge.to_dataframe()
    more = pd.DataFrame([(-5, "a new relation", "e0"), (3, "r1", "a new entity")], columns=frame.columns)
    grown = KnowledgeGraph.from_dataframe(pd.concat([more, frame], ignore_index=True))
    assert not np.array_equal(grown.entity_keys[: knowledge.n_entities], knowledge.entity_keys)
    first, again = (
        CKCFRelational(embedding=str(tmp_path / "run")).fit(interactions, graph, progress=False)
        for graph in (knowledge, grown)
    )
    np.testing.assert_allclose(again.semantic.toarray(), first.semantic.toarray(), atol=1e-6)


def test_films_of_a_liked_director_are_found_through_the_graph() -> None:
    interactions, knowledge, film_director, fan_of = directors_and_fans()
    true, false = (
        unseen_share(CKCFRelational(**QUICK).fit(interactions, graph, progress=False), film_director, fan_of)
        for graph in (knowledge, shuffled(knowledge))
    )
    assert true > 0.6 and true > false + 0.2  # by chance 0.05; feedback alone finds 0.4


@pytest.mark.parametrize("embedding", ["DistMult", "TransR", "TransD"])  # the two translate in spaces of their own
def test_an_embedding_that_does_not_translate_is_refused_unless_translation_is_off(embedding: str) -> None:
    interactions, knowledge = tiny()
    with pytest.raises(UsageError, match=rf"such as TransE or TransH; found {embedding}"):
        CKCFRelational(embedding=embedding, **SMALL).fit(interactions, knowledge, progress=False)
    model = CKCFRelational(embedding=embedding, translate=False, **SMALL).fit(interactions, knowledge, progress=False)
    assert np.isfinite(model.score(np.arange(4), np.arange(4))).all()


def test_a_graph_whose_relations_join_no_two_items_falls_back_on_the_items_own_vectors() -> None:
    interactions, _ = tiny()
    triples = pd.DataFrame([(0, "r", "a"), (1, "s", "b"), ("c", "t", 2)], columns=["head", "relation", "tail"])
    model = CKCFRelational(**SMALL).fit(interactions, KnowledgeGraph.from_dataframe(triples), progress=False)
    assert np.isfinite(model.score(np.arange(4), np.arange(4))).all() and model.item_vectors()[:3].any(axis=1).all()
