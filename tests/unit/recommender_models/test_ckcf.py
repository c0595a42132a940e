"""CKCF: each step is the paper's, the lists are the fusion's, new items get in."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.embeddings.model import EmbeddingModel
from kgplug.errors import DataError, UsageError
from kgplug.recommenders.models.ckcf import CKCF
from kgplug.recommenders.parts.fusion import fuse
from kgplug.recommenders.parts.two_neighbourhoods import co_occurrence, nearest_vectors
from tests.unit.helpers.literal_fusion import literal_fusion
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share

pytestmark = pytest.mark.training

QUICK = {"embedding_settings": {"embedding_dim": 16, "epochs": 60, "learning_rate": 0.05, "device": "cpu"}}
SMALL = {"embedding_settings": {"embedding_dim": 6, "epochs": 3, "device": "cpu"}}
N_USERS, N_ITEMS = 14, 11


def random_likes(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    table = (rng.random((N_USERS, N_ITEMS)) < rng.uniform(0.1, 0.6, (N_USERS, 1))).astype(int)
    table[:, 3], table[0, 5:7] = 0, 1  # nobody likes item 3
    return table


# The paper's steps, with plain loops.


def literal_cf(likes: np.ndarray, *, hot: bool = True, exponent: float = 0.5, active: bool = True) -> np.ndarray:
    n_users, n_items = likes.shape
    w = np.zeros((n_items, n_items))
    users_of = [{u for u in range(n_users) if likes[u, x]} for x in range(n_items)]
    for x in range(n_items):
        for y in range(n_items):
            both = users_of[x] & users_of[y]
            if x != y and both:
                total = sum(1 / math.log(1 + likes[u].sum()) if active else 1.0 for u in both)
                divisor = (len(users_of[x]) * len(users_of[y])) ** exponent if hot else len(users_of[x])
                w[x, y] = total / divisor
    return w


def literal_semantic(vectors: np.ndarray, new: np.ndarray, rule: str, share: float = 0.5) -> np.ndarray:
    n = len(vectors)
    known = [a for a in range(n) if np.abs(vectors[a]).sum() > 0]
    sim = np.zeros((n, n))
    for a in known:
        norms = {b: math.sqrt(vectors[b] @ vectors[b]) for b in known}
        row = {b: vectors[a] @ vectors[b] / (norms[a] * norms[b]) for b in known if b != a}
        largest, limit = max(row.values()), max(row.values()) + min(row.values())
        for b, value in row.items():
            raised = new[b] and rule != "none" and value > (limit if rule == "printed" else limit / 2)
            sim[a, b] = value + share * (largest - value) if raised else value
    return sim


def literal_nearest(similarity: np.ndarray, k: int) -> np.ndarray:
    kept = np.zeros_like(similarity)
    for a, row in enumerate(similarity):
        for b in sorted(range(len(row)), key=lambda b: (-row[b], b))[:k]:
            kept[a, b] = max(row[b], 0.0)
    return kept


def literal_list(
    near: np.ndarray, history: list[int], seen: list[int], aggregate: str, popularity: np.ndarray
) -> list[int]:
    got: dict[int, list[float]] = {}
    for j in history:
        for i in range(len(near)):
            if near[j, i] > 0 and i not in seen:
                got.setdefault(i, []).append(near[j, i])
    total = {i: sum(values) if aggregate == "sum" else max(values) for i, values in got.items()}
    return sorted(total, key=lambda i: (-round(total[i], 6), -popularity[i], i))


@pytest.mark.parametrize("hot", [True, False])
@pytest.mark.parametrize("active", [True, False])
def test_the_penalised_co_occurrence_equals_the_formula(hot: bool, active: bool) -> None:
    likes = random_likes()
    options = {"hot_penalty": hot, "hot_exponent": 0.7, "active_penalty": active}
    expected = literal_cf(likes, hot=hot, exponent=0.7, active=active)
    whole = co_occurrence(sparse.csr_matrix(likes), N_ITEMS, **options)
    np.testing.assert_allclose(whole.toarray(), expected, atol=1e-5)
    few = co_occurrence(sparse.csr_matrix(likes), 3, **options).toarray()  # which of equal ones stay is open
    np.testing.assert_allclose(np.sort(few)[:, -3:], np.sort(expected)[:, -3:], atol=1e-5)
    assert ((few > 0).sum(axis=1) <= 3).all() and (np.abs(few - expected)[few > 0] < 1e-5).all()


@pytest.mark.parametrize(("rule", "share"), [("printed", 0.5), ("midpoint", 0.5), ("midpoint", 0.8), ("none", 0.5)])
@pytest.mark.parametrize(("rows", "neighbours"), [(2, 4), (1024, 4), (5, 12)])
def test_the_semantic_neighbours_equal_the_rule_in_blocks_of_any_size(
    rule, share, rows, neighbours, monkeypatch
) -> None:
    monkeypatch.setattr("kgplug.recommenders.parts.two_neighbourhoods._BLOCK_ROWS", rows)
    rng = np.random.default_rng(3)
    vectors = rng.normal(0.3, size=(13, 5)).astype(np.float32)
    vectors[4] = 0
    new = rng.random(13) < 0.4
    expected = literal_semantic(vectors.astype(float), new, rule, share)
    found = nearest_vectors(vectors, neighbours, new=new, cold_boost=rule, cold_raise=share)
    np.testing.assert_allclose(found.toarray(), literal_nearest(expected, neighbours), atol=1e-5)
    plain = literal_semantic(vectors.astype(float), new, "none")
    assert (rule == "none") == np.allclose(expected, plain)  # else the rule did something here
    assert found[4].nnz == 0 and found[:, [4]].nnz == 0


@pytest.mark.parametrize("aggregate", ["sum", "max"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_lists_equal_the_paper_step_by_step(aggregate: str, share: float) -> None:
    likes = random_likes(2)
    interactions = Interactions.from_arrays(np.arange(N_USERS), np.arange(N_ITEMS), *np.nonzero(likes))
    model = CKCF(**SMALL, neighbours=N_ITEMS, aggregate=aggregate, cf_share=share, back_fill="none")
    rng = np.random.default_rng(0)
    triples = {"head": rng.integers(0, N_ITEMS - 1, 40), "relation": "r", "tail": rng.choice(list("abcde"), 40)}
    model.fit(interactions, KnowledgeGraph.from_dataframe(pd.DataFrame(triples)), progress=False)
    assert not model.item_vectors()[-1].any() and model.item_vectors()[:-1].any(axis=1).all()  # one has no entity
    semantic = literal_semantic(model.item_vectors().astype(float), likes.sum(axis=0) < 2, "printed")
    near = [literal_cf(likes), literal_nearest(semantic, N_ITEMS)]
    for user in range(N_USERS):
        history = np.flatnonzero(likes[user]).tolist()
        cf, kg = (literal_list(similarity, history, history, aggregate, likes.sum(axis=0)) for similarity in near)
        for n in (1, 2, 3, 5, 8):
            items, scores = model.recommend(np.array([user]), n)
            listed = items[0, scores[0] > 0].tolist()
            assert set(listed) == set(literal_fusion(cf, kg, n, share))


def test_a_score_is_one_over_the_place_and_the_rest_stands_below_by_its_likes() -> None:
    interactions, knowledge, *_ = directors_and_fans()
    model = CKCF(**SMALL).fit(interactions, knowledge, progress=False)
    users = np.arange(interactions.n_users)
    items, scores = model.recommend(users, interactions.n_items)
    rows = model.likes[users], model.seen[users]
    fused = fuse(*(model._ranked(similarity, *rows) for similarity in (model.cf, model.semantic)), share=0.5)
    counts = np.bincount(interactions.items, minlength=interactions.n_items)
    for user in users:
        n = int((fused[user] >= 0).sum())
        assert items[user, :n].tolist() == fused[user, :n].tolist()
        np.testing.assert_allclose(scores[user, :n], 1 / np.arange(1, n + 1), rtol=1e-6)
        rest = items[user, n:][items[user, n:] >= 0]
        assert (np.diff(counts[rest]) <= 0).all() and scores[user, n] < scores[user, n - 1]


def test_the_most_popular_item_of_all_stands_below_those_that_are_near() -> None:
    interactions, knowledge, _, fan_of = directors_and_fans()
    crowd = np.arange(900)  # who like film 0 and nothing else
    both = Interactions.from_arrays(
        np.arange(interactions.n_users + len(crowd)),
        interactions.item_keys,
        np.concatenate([interactions.users, interactions.n_users + crowd]),
        np.concatenate([interactions.items, np.zeros(len(crowd), dtype=np.int64)]),
    )
    model = CKCF(**QUICK).fit(both, knowledge, progress=False)
    fans = np.flatnonzero(fan_of == 7)
    items, _ = model.recommend(fans, interactions.n_items)
    rows = model.likes[fans], model.seen[fans]
    fused = fuse(*(model._ranked(similarity, *rows) for similarity in (model.cf, model.semantic)), share=0.5)
    for row, listed in zip(items, fused, strict=True):
        n = int((listed >= 0).sum())
        assert n > 8 and 0 not in listed and row[n] == 0


def test_films_of_a_liked_director_are_found_through_the_graph() -> None:
    interactions, knowledge, film_director, fan_of = directors_and_fans()
    true, false = (
        unseen_share(CKCF(**QUICK).fit(interactions, graph, progress=False), film_director, fan_of)
        for graph in (knowledge, shuffled(knowledge))
    )
    assert true > 0.8  # by chance 0.05; feedback alone finds 0.4
    assert false < 0.45


def test_a_film_that_nobody_has_rated_is_recommended_and_collaborative_filtering_cannot() -> None:
    interactions, knowledge, film_director, fan_of = directors_and_fans()
    new = np.setdiff1d(np.arange(interactions.n_items), interactions.items)
    assert len(new)
    model, alone = (CKCF(**QUICK, cf_share=s).fit(interactions, knowledge, progress=False) for s in (0.5, 1.0))
    fans = [int(np.flatnonzero(fan_of == film_director[film])[0]) for film in new]
    assert np.mean([film in model.recommend(np.array([fan]), 10)[0] for film, fan in zip(new, fans, strict=True)]) > 0.8
    assert alone.cf[:, new].nnz == 0


def test_an_item_without_an_entity_is_recommended_by_feedback_or_left_out_as_in_the_paper() -> None:
    interactions, knowledge = tiny()
    model = CKCF(**SMALL).fit(interactions, knowledge, progress=False)
    assert model.semantic[:, [4]].nnz == 0 and model.cf[:, [4]].nnz > 0
    assert CKCF(**SMALL, linked_only=True).fit(interactions, knowledge, progress=False).cf[:, [4]].nnz == 0


def test_low_rated_items_are_no_history_but_ratings() -> None:
    interactions, knowledge = tiny()  # item 2 has two ratings and no like
    model = CKCF(**SMALL).fit(interactions, knowledge, progress=False)
    assert model.likes[:, [2]].nnz == 0 and 2 not in model.recommend(np.array([1]), 5)[0]


def test_a_graph_of_other_things_and_a_wrong_embedding_are_one_sentence(tmp_path, monkeypatch) -> None:
    interactions, knowledge = tiny()
    monkeypatch.setenv("KGPLUG_RUNS_DIR", str(tmp_path))
    other = knowledge.from_dataframe(knowledge.to_dataframe().assign(head="x", tail="y"))
    with pytest.raises(DataError, match=r"none of the 5 items is an entity of the knowledge graph"):
        CKCF(**SMALL).fit(interactions, other, progress=False)
    with pytest.raises(UsageError, match=r'embedding="TransX": expected a model of PyKEEN'):
        CKCF(embedding="TransX").fit(interactions, knowledge, progress=False)


def test_a_run_of_an_embedding_serves_as_well_as_its_name(tmp_path) -> None:
    interactions, knowledge = tiny()
    by_name = CKCF(**SMALL).fit(interactions, knowledge, seed=3, progress=False)
    EmbeddingModel("TransE", **SMALL["embedding_settings"]).fit(knowledge, seed=3).save(tmp_path / "run")
    by_run = CKCF(embedding=str(tmp_path / "run")).fit(interactions, knowledge, progress=False)
    assert np.array_equal(by_run.item_vectors(), by_name.item_vectors())
