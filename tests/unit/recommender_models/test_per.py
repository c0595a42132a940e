"""PER: PathSim, the factorisation of each meta-path, the weights of the paths."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from kgplug.errors import DataError
from kgplug.recommenders.models import per
from kgplug.recommenders.models.per import PER, factorise, item_attributes, learn_weights, path_similarity
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share

pytestmark = pytest.mark.training


def literal_similarity(a: np.ndarray) -> np.ndarray:
    """Count paths i–attribute–j, one pair at a time."""
    n = len(a)
    paths = [[sum(a[i, k] * a[j, k] for k in range(a.shape[1])) for j in range(n)] for i in range(n)]
    similar = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i != j and paths[i][j] > 0:
                similar[i, j] = 2 * paths[i][j] / (paths[i][i] + paths[j][j])
    return similar


def random_attributes(seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((9, 6)) < 0.4).astype(np.float32)


@pytest.mark.parametrize("cells", [9, 30, 1_000])
def test_items_compare_by_path_sim_in_blocks_of_any_size(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(per, "_BLOCK_CELLS", cells)
    a = random_attributes()
    found = path_similarity(sparse.csr_matrix(a), 9)
    assert np.allclose(found.toarray(), literal_similarity(a), atol=1e-6)


def test_only_the_nearest_items_are_kept() -> None:
    expected = literal_similarity(random_attributes())
    found = path_similarity(sparse.csr_matrix(random_attributes()), 2).toarray()
    assert ((found > 0).sum(axis=1) <= 2).all()
    assert np.allclose(found.sum(axis=1), np.sort(expected, axis=1)[:, -2:].sum(axis=1), atol=1e-6)


def test_updates_are_those_of_lee_and_seung_on_the_product_in_full() -> None:
    rng = np.random.default_rng(1)
    likes = (rng.random((7, 9)) < 0.4).astype(np.float32)
    similar = literal_similarity(random_attributes())
    found_p, found_q = factorise(
        sparse.csr_matrix(likes), sparse.csr_matrix(similar, dtype=np.float32), dim=3, iterations=5,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    draws, x = np.random.default_rng(0), likes.astype(float) @ similar
    p = draws.random((7, 3), dtype=np.float32).astype(float) + 0.1
    q = draws.random((9, 3), dtype=np.float32).astype(float) + 0.1
    for _ in range(5):
        p = p * (x @ q) / (p @ q.T @ q + 1e-9)
        q = q * (x.T @ p) / (q @ p.T @ p + 1e-9)
    assert np.allclose(found_p, p, atol=1e-5) and np.allclose(found_q, q, atol=1e-5)


def test_with_factors_enough_the_product_is_what_the_paths_say() -> None:
    a, likes = sparse.csr_matrix(random_attributes()), np.eye(9, dtype=np.float32)
    similar = path_similarity(a, 9)
    p, q = factorise(sparse.csr_matrix(likes), similar, dim=9, iterations=2000, rng=np.random.default_rng(0))
    assert np.abs(p @ q.T - similar.toarray()).max() < 0.1


def test_weights_are_the_least_loss_among_those_not_below_nought() -> None:
    differences = np.random.default_rng(0).normal([1.0, 0.3, -0.5], 1.0, size=(200, 3))

    def loss(theta: list[float]) -> float:
        terms = [math.log1p(math.exp(-sum(t * x for t, x in zip(theta, row, strict=True)))) for row in differences]
        return sum(terms) / len(terms) + 0.01 * sum(t * t for t in theta)

    theta = learn_weights(differences, l2=0.01)
    assert theta.min() >= 0 and theta[2] == 0 and theta[0] > theta[1] > 0
    for path in range(3):
        for step in (-0.05, 0.05):
            other = theta.copy()
            other[path] = max(0.0, other[path] + step)
            assert loss(list(theta)) <= loss(list(other)) + 1e-9


def test_relations_are_read_either_way_round() -> None:
    interactions, knowledge = tiny()
    linked = knowledge.entities_of(interactions.item_keys)
    made = list(knowledge.relations).index("made")  # "c" made item 3: the item is the tail
    matrix = item_attributes(knowledge, linked, made)
    assert matrix.shape == (5, knowledge.n_entities) and matrix.nnz == 1 and matrix[3].nnz == 1


def test_unseen_films_of_ones_director_come_first_and_not_with_shuffled_triples() -> None:
    interactions, knowledge, director, fan_of = directors_and_fans()
    model = PER().fit(interactions, knowledge)
    right = unseen_share(model, director, fan_of)
    wrong = unseen_share(PER().fit(interactions, shuffled(knowledge)), director, fan_of)
    assert right > 0.7 and wrong < right - 0.3
    weights = model.history["path_weights"]
    assert weights["DIRECTED_BY"] > weights["FROM_YEAR"] >= 0


def test_graphs_without_items_or_paths_are_one_sentence() -> None:
    interactions, knowledge = tiny()
    strange = replace(interactions, item_keys=np.array(list("vwxyz"), dtype=object))
    with pytest.raises(DataError, match=r"none of the 5 items is an entity"):
        PER().fit(strange, knowledge)
    alone = replace(knowledge, triples=knowledge.triples[:0])
    with pytest.raises(DataError, match=r"no two items share an attribute"):
        PER().fit(interactions, alone)
