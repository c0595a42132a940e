"""PER: likes propagate along the meta-paths of the knowledge graph. Each meta-path has its own factorisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.sampling import negative_sampler
from kgplug.errors import DataError
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.factors import FactorRecommender, Factors
from kgplug.recommenders.parts.similarity import nearest
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import ModelConfig, Range, Space

_BLOCK_CELLS = 8_000_000  # item similarities in memory at a time
_MOST_PAIRS = 500_000  # maximum number of likes for learning the path weights
_TINY = 1e-9  # keeps divisors above zero


class PERConfig(ModelConfig):
    """Settings of PER."""

    tuning: ClassVar[Space] = {"embedding_dim": (5, 10, 20, 40), "neighbours": Range(20, 400, log=True)}

    old_names: ClassVar[Mapping[str, str]] = {"iterations": "epochs"}

    embedding_dim: int = Field(20, ge=1, description="length of a vector per meta-path")
    neighbours: int = Field(100, ge=1, description="number of similar items per item and meta-path")
    epochs: int = Field(60, ge=1, description="number of updates of each factorisation")
    l2: float = Field(1e-3, ge=0, description="weight of the squared norm of the path weights")


class PER(FactorRecommender):
    """Score = Σ_l θ_l P_l[u] · Q_l[i], summed over the meta-paths l: user–item–attribute–item, one per relation.

    1. The similarity of items i and j along l is PathSim, (S_l)_ij = 2 (A Aᵀ)_ij / ((A Aᵀ)_ii + (A Aᵀ)_jj). A is the
       item–attribute matrix of the relation, whose triples count in both directions. An item is not its own neighbour,
       so no like predicts itself.
    2. P_l and Q_l are a non-negative factorisation, R S_l ≈ P_l Q_lᵀ, where R is the matrix of likes. Each P_l is
       scaled so that the mean squared score of a like is one, which makes all θ_l comparable.
    3. The path weights θ ≥ 0 are learnt by BPR. `history["path_weights"]` holds θ by relation.

    Source: X. Yu et al., "Personalized Entity Recommendation: A Heterogeneous Information Network Approach", WSDM
    2014, eqs. 2, 4 and 6, with one θ for all users.
    """

    name = "PER"
    inputs = RECOMMENDERS["PER"].inputs
    config_class = PERConfig
    config: PERConfig
    vectors_of_all = False

    def _fit(self, data: TrainingData) -> None:
        rng, likes = np.random.default_rng(data.seed), data.interactions.likes()
        linked = data.linked
        names, users, items = [], [], []
        for relation, name in enumerate(data.graph.relations):
            similar = path_similarity(item_attributes(data.graph, linked, relation), self.config.neighbours)
            if similar.nnz == 0:
                continue
            p, q = factorise(
                likes.matrix(), similar, dim=self.config.embedding_dim, iterations=self.config.epochs, rng=rng
            )
            size = np.sqrt(np.square(np.einsum("nd,nd->n", p[likes.users], q[likes.items])).mean())
            names, users, items = [*names, str(name)], [*users, p / (size + _TINY)], [*items, q]
        if not names:
            raise DataError(
                "PER: no two items share an attribute in the knowledge graph, so there is no meta-path. Add "
                "relationships from items to shared attributes, or choose another model."
            )
        theta = learn_weights(_differences(likes, users, items, rng), l2=self.config.l2)
        self.history = {"path_weights": dict(zip(names, theta.tolist(), strict=True))}
        weighted = [weight * p for weight, p in zip(theta, users, strict=True)]
        self.factors = Factors.without_bias(np.hstack(weighted), np.hstack(items)).averaged(self.liked)


def item_attributes(knowledge: KnowledgeGraph, linked: np.ndarray, relation: int) -> sparse.csr_matrix:
    """Return the item–attribute matrix of a relation.

    An item's attributes are all entities that a triple of the relation connects with the item, in either direction.

    Args:
        knowledge: Triples.
        linked: Entity of each item, int64 (n_items,), -1 if missing.
        relation: Index of the relation.

    Returns:
        CSR float32 (n_items, n_entities): 1 if the entity is an attribute of the item.
    """
    item_of = np.full(knowledge.n_entities, -1, dtype=np.int64)
    item_of[linked[linked >= 0]] = np.flatnonzero(linked >= 0)
    head, kind, tail = knowledge.triples.T
    rows = kind == relation
    items = np.concatenate([item_of[head[rows]], item_of[tail[rows]]])
    others = np.concatenate([tail[rows], head[rows]])
    known = items >= 0
    ones = np.ones(int(known.sum()), dtype=np.float32)
    matrix = sparse.csr_matrix((ones, (items[known], others[known])), shape=(len(linked), knowledge.n_entities))
    matrix.data[:] = 1
    return matrix


def path_similarity(attributes: sparse.csr_matrix, neighbours: int) -> sparse.csr_matrix:
    """Return the PathSim of each item to its nearest items: CSR float32 (n_items, n_items), zero diagonal.

    Args:
        attributes: Matrix A, CSR (n_items, n_attributes).
        neighbours: Maximum number of nearest items per item.
    """
    n_items, _ = attributes.get_shape()
    own = np.asarray(attributes.multiply(attributes).sum(axis=1)).ravel()  # (A Aᵀ)_ii
    turned, blocks = attributes.T.tocsr(), []
    rows = max(1, _BLOCK_CELLS // max(1, n_items))
    for start in range(0, n_items, rows):
        common = (attributes[start : start + rows] @ turned).tocoo()
        similar = 2 * common.data / (own[start + common.row] + own[common.col])
        shape = (n_items, n_items)  # full shape, so that `nearest` knows the diagonal
        block = sparse.csr_matrix((similar, (common.row + start, common.col)), shape=shape)
        blocks.append(nearest(block, neighbours)[start : start + rows])
    return sparse.csr_matrix(sparse.vstack(blocks, format="csr"))


def factorise(
    likes: sparse.csr_matrix, similar: sparse.csr_matrix, *, dim: int, iterations: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return matrices P, Q ≥ 0 with R S ≈ P Qᵀ, by multiplicative updates. The product R S is never computed.

    Source: D. Lee, H. S. Seung, "Algorithms for Non-negative Matrix Factorization", NIPS 2000, eq. 4.

    Args:
        likes: Matrix R, CSR (n_users, n_items).
        similar: Matrix S, CSR (n_items, n_items).
        dim: Number of factors.
        iterations: Number of updates of P and Q.
        rng: Random generator of the initial P and Q.

    Returns:
        (P, Q): float32 (n_users, dim) and (n_items, dim).
    """
    n_users, n_items = likes.get_shape()
    p = rng.random((n_users, dim), dtype=np.float32) + 0.1
    q = rng.random((n_items, dim), dtype=np.float32) + 0.1
    likes_turned, similar_turned = likes.T.tocsr(), similar.T.tocsr()
    for _ in range(iterations):
        p *= (likes @ (similar @ q)) / (p @ (q.T @ q) + _TINY)
        q *= (similar_turned @ (likes_turned @ p)) / (q @ (p.T @ p) + _TINY)
    return p, q


def _differences(
    likes: Interactions, users: list[np.ndarray], items: list[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Return, for each meta-path, the scores of likes minus those of random items that the same users do not like.

    Args:
        likes: Training likes.
        users, items: User and item factors of each meta-path, float32 (n_users, dim) and (n_items, dim).
        rng: Random generator of the sample of likes and of the random items.

    Returns:
        float64 (n, number of meta-paths), for a sample of n likes (at most `_MOST_PAIRS`).
    """
    rows = rng.permutation(len(likes))[:_MOST_PAIRS]
    negatives = negative_sampler(likes).draw(likes.users[rows], rng)
    rows, negatives = rows[negatives >= 0], negatives[negatives >= 0]
    u, i = likes.users[rows], likes.items[rows]
    columns = [np.einsum("nd,nd->n", p[u], q[i] - q[negatives]) for p, q in zip(users, items, strict=True)]
    return np.stack(columns, axis=1).astype(np.float64)


def learn_weights(differences: np.ndarray, *, l2: float) -> np.ndarray:
    """Return the path weights θ ≥ 0 that minimise mean −log σ(D θ) + l2 ‖θ‖².

    The problem is convex, so this is the global minimum.

    Args:
        differences: Matrix D: score of a like minus score of another item, along each of p paths, float64 (n, p).
        l2: Weight of the L2 penalty.

    Returns:
        θ, float64 (p,); all 1 if n is 0, or if all weights would be 0.
    """
    n, paths = differences.shape
    if n == 0:
        return np.ones(paths)

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        margins = differences @ theta
        gradient = -(expit(-margins) @ differences) / n + 2 * l2 * theta
        return float(np.logaddexp(0, -margins).mean() + l2 * theta @ theta), gradient

    theta = minimize(loss, np.ones(paths), jac=True, method="L-BFGS-B", bounds=[(0, None)] * paths).x
    return theta if theta.any() else np.ones(paths)
