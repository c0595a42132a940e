"""RKGE-CF: its three lists and their fusion."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.errors import DataError
from kgplug.recommenders.models.item_knn import similar_rows
from kgplug.recommenders.models.rkge import RKGE
from kgplug.recommenders.models.rkge_cf import RKGECF
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share

pytestmark = pytest.mark.training

QUICK = {
    "side": False, "epochs": 12, "batch_size": 64, "embedding_dim": 16, "bias": False, "l2": 1e-3,
    "learning_rate": 0.02, "device": "cpu",
}  # fmt: skip


def high_replaces_low(first: list[int], second: list[int], share: float, n: int) -> list[int]:
    """Fuse two lists for n places as CKCF says it: heads of both, duplicates skipped, back-filled."""
    fused = first[: int(n * share + 1e-9)]
    for item in [*second, *first]:
        if len(fused) < n and item not in fused:
            fused.append(item)
    return fused


def nested(first: list[int], second: list[int], share: float) -> list[int]:
    """Return the ranking whose beginnings are the fused lists of 1, 2, 3, … places."""
    ranking: list[int] = []
    for n in range(1, len({*first, *second}) + 1):
        ranking += [item for item in high_replaces_low(first, second, share, n) if item not in ranking]
    return ranking


def literal_cosine(likes: np.ndarray, x: int, y: int) -> float:
    norms = np.linalg.norm(likes[:, x]) * np.linalg.norm(likes[:, y])
    return float(likes[:, x] @ likes[:, y] / norms) if norms and x != y else 0.0


def literal_lists(likes: np.ndarray, user: int) -> tuple[list[int], list[int]]:
    """Return the lists of item-CF and user-CF of one user, item by item."""
    unseen = [i for i in range(likes.shape[1]) if not likes[user, i]]
    by_items = {i: sum(literal_cosine(likes, j, i) for j in np.flatnonzero(likes[user]).tolist()) for i in unseen}
    by_users = {
        i: sum(literal_cosine(likes.T, user, w) for w in np.flatnonzero(likes[:, i]).tolist() if w != user)
        for i in unseen
    }
    return ranked(by_items), ranked(by_users)


def ranked(scores: dict[int, float]) -> list[int]:
    """Return items with a score, best first, equal ones by number."""
    return sorted((i for i in scores if scores[i] > 1e-9), key=lambda i: (-round(scores[i], 6), i))


def long_lists() -> tuple[Interactions, KnowledgeGraph]:
    """Return 12 users whose CF lists hold 8 of 20 items or more, no two equally good, and a graph of genres."""
    rng = np.random.default_rng(249)
    rows = np.nonzero(rng.random((12, 20)) < rng.uniform(0.2, 0.6, 20))
    interactions = Interactions.from_arrays(np.arange(12).astype(object), np.arange(20).astype(object), *rows)
    tails = [f"genre {genre}" for genre in rng.integers(0, 4, 20)]
    triples = pd.DataFrame({"head": np.arange(20).astype(object), "relation": "is", "tail": tails})
    return interactions, KnowledgeGraph.from_dataframe(triples)


def test_lists_are_the_fusion_of_the_three_lists_for_any_length():
    interactions, knowledge = long_lists()
    settings = {"side": False, "epochs": 3, "batch_size": 64, "embedding_dim": 5, "device": "cpu", "neighbours": 20}
    model = RKGECF(**settings, cf_share=0.8, item_share=0.7).fit(interactions, knowledge, progress=False)
    likes, differ = interactions.likes().matrix().toarray(), 0
    paths = RKGE._score_block(model, np.arange(12))
    for user in range(12):
        by_items, by_users = literal_lists(likes, user)
        by_paths = [i for i in np.argsort(-paths[user], kind="stable").tolist() if not likes[user, i]]
        assert min(len(by_items), len(by_users)) >= 8 and by_paths not in (by_items, by_users)
        items, scores = model.recommend(np.array([user]), 20, exclude_seen=False)
        length, cf = len(by_paths), nested(by_items, by_users, 0.7)
        differ += cf not in (by_items, by_users, nested(by_items, by_users, 0.5), nested(by_users, by_items, 0.7))
        for n in range(1, length + 1):
            assert set(items[0, :n]) == set(high_replaces_low(cf, by_paths, 0.8, n))
        np.testing.assert_allclose(scores[0, :length], 1 / np.arange(1, length + 1), rtol=1e-6)
        assert set(items[0, length:]) == set(np.flatnonzero(likes[user]))  # liked ones last
    assert differ > 4  # each list and share counts


def test_a_new_users_list_is_the_fusion_of_three_lists_of_the_given_likes():
    interactions, knowledge = long_lists()
    settings = {"side": False, "epochs": 3, "batch_size": 64, "embedding_dim": 5, "device": "cpu", "neighbours": 20}
    model = RKGECF(**settings, cf_share=0.8, item_share=0.7).fit(interactions, knowledge, progress=False)
    likes = interactions.likes().matrix().toarray()
    for liked in ([0, 7, 11], [3, 4], []):
        row = np.zeros(20, dtype=np.float32)
        row[liked] = 1
        unseen = [i for i in range(20) if not row[i]]
        by_items = {i: sum(literal_cosine(likes, j, i) for j in liked) for i in unseen}
        _, by_users = literal_lists(np.vstack([likes, row]), 12)
        paths = RKGE._score_new_users(model, sparse.csr_matrix(row[None]))[0]
        items, scores = model.recommend_for(np.array(liked, dtype=np.int64), 20)
        cf = nested(ranked(by_items), by_users, 0.7)
        by_paths = sorted(unseen, key=lambda i: -paths[i])
        assert bool(liked) == bool(cf) == bool(by_users)
        for n in range(1, len(unseen) + 1):
            assert set(items[:n]) == set(high_replaces_low(cf, by_paths, 0.8, n))
        np.testing.assert_allclose(scores, 1 / np.arange(1, len(unseen) + 1), rtol=1e-6)


def test_only_the_nearest_are_kept_and_nothing_is_its_own_neighbour():
    likes = directors_and_fans()[0].matrix()
    kept = similar_rows(likes.T.tocsr(), "cosine", 2).toarray()
    dense = likes.toarray()
    for x in range(12):
        row = np.array([literal_cosine(dense, x, y) for y in range(dense.shape[1])])
        assert kept[x, x] == 0 and (kept[x] > 0).sum() == min(2, (row > 0).sum())
        np.testing.assert_allclose(np.sort(kept[x])[-2:], np.sort(row)[-2:], atol=1e-6)


def test_films_of_a_liked_director_are_found_through_the_graph():
    interactions, knowledge, film_director, fan_of = directors_and_fans()
    true, false = (
        unseen_share(RKGECF(**QUICK).fit(interactions, graph, progress=False), film_director, fan_of)
        for graph in (knowledge, shuffled(knowledge))
    )
    assert true > 0.5 and true > 2 * false


def test_without_cf_it_is_rkge_and_a_graph_is_needed():
    interactions, knowledge = tiny()
    settings = {"side": False, "epochs": 3, "batch_size": 4, "embedding_dim": 5, "device": "cpu"}
    fused = RKGECF(**settings, cf_share=0).fit(interactions, knowledge, progress=False)
    alone = RKGE(**settings).fit(interactions, knowledge, progress=False)
    likes = interactions.likes()
    for mine, other in zip(
        fused.recommend(np.arange(4), 5, also_seen=likes)[0], alone.recommend(np.arange(4), 5)[0], strict=True
    ):
        assert mine.tolist() == other.tolist()
    with pytest.raises(DataError, match="needs a knowledge graph"):
        RKGECF(**settings).fit(interactions)
