"""A recommender with two item similarities: by common users, and by the knowledge graph."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from kgplug.data.erasure.item_arrays import ItemArrays
from kgplug.data.erasure.user_arrays import UserArrays
from kgplug.data.kinds import LIKES_AND_TRIPLES
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.ranking.threads import processors
from kgplug.data.ranking.top_k import top_k
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.parts.csr_arrays import csr_arrays, csr_of
from kgplug.recommenders.parts.libgomp import load_libgomp
from kgplug.recommenders.parts.pretrained import ItemEntities, item_entities
from kgplug.recommenders.parts.similarity import nearest
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import ModelConfig, Range, Space

_BLOCK_ROWS, _BLOCK_CELLS = 1024, 16_000_000  # cosines in memory at a time: at most 64 MB of float32


class TwoNeighbourhoodsConfig(ModelConfig):
    """Settings of the two similarities. The defaults are those of CKCF's paper, where the paper gives values."""

    tuning: ClassVar[Space] = {
        "neighbours": Range(10, 100, log=True),
        "hot_exponent": Range(0.2, 0.8),
        "cf_share": Range(0.1, 0.9),
    }

    embedding: str = Field("TransE", description="PyKEEN model to train on the triples, or an embedding's run folder")
    embedding_settings: dict[str, Any] = Field(default_factory=dict, description="settings of that PyKEEN model")
    neighbours: int = Field(20, ge=1, description="number of nearest items per item, for both similarities")
    hot_penalty: bool = Field(
        True, description="whether to divide by the numbers of users of both items; False: of the first item only"
    )
    hot_exponent: float = Field(0.5, ge=0, le=1, description="exponent of the product of both items' numbers of users")
    active_penalty: bool = Field(True, description="whether a user has weight 1 / log(1 + likes); False: 1")
    cold_below: int = Field(2, ge=0, description="number of ratings below which an item is new")
    cold_boost: Literal["printed", "midpoint", "none"] = Field(
        "printed",
        description="which similarities of an item to new items are raised: those above the sum of its largest and "
        "smallest similarity, those above half of this sum, or none",
    )
    cold_raise: float = Field(
        0.5,
        ge=0,
        le=1,
        description="weight of the item's largest similarity in a raised similarity; the paper gives no value",
    )
    linked_only: bool = Field(
        False, description="whether to learn only from items with an entity, as in the paper's data"
    )
    aggregate: Literal["sum", "max"] = Field("sum", description="aggregation of an item's similarities to all likes")
    cf_share: float = Field(
        0.5, ge=0, le=1, description="weight of collaborative filtering; of the graph: 1 - cf_share"
    )
    back_fill: Literal["popularity", "none"] = Field(
        "popularity", description='order of items that are not similar to any like; "none": all of them score 0'
    )


class TwoNeighbourhoods(Recommender):
    """A recommender that stores each item's nearest items, by feedback and by the knowledge graph.

    Attributes:
        cf: Similarities to the nearest items by penalised co-occurrence, CSR float32 (n_items, n_items).
        semantic: Similarities to the nearest items by the cosine of vectors, CSR float32 (n_items, n_items).
        likes: Training likes, CSR float32 (n_users, n_items).
        vectors: Vectors of the items' entities, float32 (n_items, d); zeros if an item has none.
        base: Popularity score of each item, float32 (n_items,) in [0, 1): proportional to its number of likes. It
            orders the items that are not similar to any of a user's likes. With back_fill="none", all are 0.
    """

    config: TwoNeighbourhoodsConfig
    inputs = LIKES_AND_TRIPLES
    vectors_of_all = False
    cf: sparse.csr_matrix
    semantic: sparse.csr_matrix
    likes: sparse.csr_matrix
    vectors: np.ndarray
    base: np.ndarray

    def _fit(self, data: TrainingData) -> None:
        c = self.config
        entities = item_entities(c.embedding, data, settings=c.embedding_settings, progress=data.progress)
        self.likes = data.interactions.likes().matrix()
        if c.linked_only:
            self.likes = sparse.csr_matrix(self.likes @ sparse.diags(entities.linked.astype(np.float32)))
            self.likes.eliminate_zeros()
        self.cf = co_occurrence(
            self.likes, c.neighbours, hot_penalty=c.hot_penalty, hot_exponent=c.hot_exponent,
            active_penalty=c.active_penalty,
        )  # fmt: skip
        self.vectors = entities.vectors
        ratings = np.bincount(data.interactions.items, minlength=data.interactions.n_items)
        self.semantic = nearest_vectors(
            self._compared(entities, data.graph), c.neighbours, new=ratings < c.cold_below, cold_boost=c.cold_boost,
            cold_raise=c.cold_raise,
        )  # fmt: skip
        liked = np.bincount(data.interactions.likes().items, minlength=data.interactions.n_items) / len(
            data.interactions
        )
        self.base = (liked * (0.5 if c.back_fill == "popularity" else 0.0)).astype(np.float32)

    def _compared(self, entities: ItemEntities, knowledge: KnowledgeGraph) -> np.ndarray:  # noqa: ARG002
        """Return the item vectors whose cosine is the semantic similarity, float32 (n_items, any length).

        An item with a zero vector is not similar to any item.
        """
        return entities.vectors

    def candidates(self, similarity: sparse.csr_matrix, likes: sparse.csr_matrix) -> sparse.csr_matrix:
        """Return the similarity of each item to each user's likes: CSR float32 (b, n_items).

        This is the sum or the maximum (setting `aggregate`) of the item's similarities to the single likes. Items that
        the user likes are not left out.

        Args:
            similarity: `cf` or `semantic`.
            likes: Likes of each user, CSR float32 (b, n_items).
        """
        return sparse.csr_matrix(likes @ similarity) if self.config.aggregate == "sum" else _largest(likes, similarity)

    def score(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        return self._score_by_blocks(users, items)

    def item_vectors(self) -> np.ndarray:
        return self.vectors

    @classmethod
    def user_arrays(cls) -> UserArrays:
        return UserArrays(
            matrices=("likes",),
            items=ItemArrays(rows=("base", "vectors"), neighbours=("cf", "semantic"), columns=("likes",)),
        )

    def _arrays(self) -> dict[str, np.ndarray]:
        matrices = csr_arrays(cf=self.cf, semantic=self.semantic, likes=self.likes)
        return {"vectors": self.vectors, "base": self.base, **matrices}

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        n_users, n_items = len(self.user_keys), len(self.item_keys)
        self.vectors, self.base = arrays["vectors"], arrays["base"]
        self.likes = csr_of("likes", arrays, (n_users, n_items))
        self.cf, self.semantic = (csr_of(name, arrays, (n_items, n_items)) for name in ("cf", "semantic"))


def co_occurrence(
    likes: sparse.csr_matrix,
    neighbours: int,
    *,
    hot_penalty: bool = True,
    hot_exponent: float = 0.5,
    active_penalty: bool = True,
) -> sparse.csr_matrix:
    """Return each item's nearest items by common users (the item-CF similarity of CKCF).

    w_xy = Σ_{u ∈ N(x) ∩ N(y)} 1 / log(1 + |N(u)|) / (|N(x)| |N(y)|)^hot_exponent

    Here w_xy is the similarity of items x and y, N(x) are the users who like item x, and N(u) are the items that user u
    likes.

    The library `implicit` finds the largest values of each row without the whole matrix in memory.

    Args:
        likes: Training likes, CSR (n_users, n_items), 0 and 1.
        neighbours: Maximum number of neighbours per row.
        hot_penalty: If false, the divisor is |N(x)|.
        hot_exponent: Exponent of the divisor, if `hot_penalty` is true.
        active_penalty: If false, each user has weight 1 instead of 1 / log(1 + |N(u)|).

    Returns:
        Similarities w_xy in row x and column y, CSR float32 (n_items, n_items), with sorted indices and no diagonal.
    """
    load_libgomp()
    from implicit.nearest_neighbours import ItemItemRecommender

    of_user, of_item = (np.asarray(likes.sum(axis=axis)).ravel() for axis in (1, 0))
    user = 1 / np.log1p(np.maximum(of_user, 1)) if active_penalty else np.ones(len(of_user))
    item = np.maximum(of_item, 1) ** -(hot_exponent if hot_penalty else 0.0)
    factor = sparse.csr_matrix(sparse.diags(np.sqrt(user)) @ likes.astype(np.float64) @ sparse.diags(item))  # Mᵀ
    knn = ItemItemRecommender(K=neighbours + 1, num_threads=processors())  # one more: the item itself
    knn.fit(factor, show_progress=False)
    assert knn.similarity is not None  # set by fit
    found = nearest(sparse.csr_matrix(knn.similarity), neighbours)
    if not hot_penalty:
        found = sparse.csr_matrix(sparse.diags((1 / np.maximum(of_item, 1)).astype(np.float32)) @ found)
    return found


def nearest_vectors(
    vectors: np.ndarray,
    neighbours: int,
    *,
    new: np.ndarray,
    cold_boost: Literal["printed", "midpoint", "none"],
    cold_raise: float = 0.5,
) -> sparse.csr_matrix:
    """Return each item's nearest items by cosine, after raising similarities to new items (CKCF's cold start).

    A similarity sim(A, B) to a new item B is raised if it is above max_A + min_A (cold_boost="printed") or above half
    of this sum (cold_boost="midpoint"). It then becomes (1 − w) sim(A, B) + w max_A. Here max_A and min_A are the
    largest and the smallest similarity of A to any other item.

    Args:
        vectors: Item vectors, float32 (n_items, d); an item with a zero vector is not a neighbour.
        neighbours: Maximum number of neighbours per row; only positive cosines count.
        new: Whether each item is new, bool (n_items,).
        cold_boost: Rule by which similarities are raised, as above; "none" raises none.
        cold_raise: Weight w, from 0 to 1.

    Returns:
        Similarities of A to B in row A and column B, CSR float32 (n_items, n_items), with sorted indices and no
        diagonal.
    """
    norms = np.linalg.norm(vectors, axis=1)
    known = np.flatnonzero(norms > 0)
    unit, cold = vectors[known] / norms[known, None], new[known]
    n = len(known)
    found: list[tuple[np.ndarray, ...]] = []
    rows = max(1, min(_BLOCK_ROWS, _BLOCK_CELLS // max(1, n)))
    for start in range(0, n, rows):
        block = unit[start : start + rows] @ unit.T  # (b, n)
        own = np.arange(len(block)), np.arange(start, start + len(block))
        if cold_boost != "none" and n > 1:
            _raise_new(block, own, cold, cold_boost, np.float32(cold_raise))
        block[own] = -np.inf
        columns, values = top_k(block, min(neighbours, n))
        at, place = np.nonzero(values > 0)
        found.append((known[start + at], known[columns[at, place]], values[at, place]))
    row, column, value = (np.concatenate(part) for part in zip(*found, strict=True)) if found else ([], [], [])
    matrix = sparse.csr_matrix((value, (row, column)), shape=(len(vectors), len(vectors)), dtype=np.float32)
    matrix.sort_indices()
    return matrix


def _raise_new(
    block: np.ndarray, own: tuple[np.ndarray, np.ndarray], cold: np.ndarray, rule: str, share: np.float32
) -> None:
    """Raise similarities to new items, in place (see `nearest_vectors`).

    Args:
        block: Similarities of b items to all n items, float32 (b, n).
        own: Row and column indices of the cells in `block` that compare an item with itself.
        cold: Whether each item is new, bool (n,).
        rule: "printed" or "midpoint".
        share: Weight w of the largest similarity.
    """
    block[own] = -np.inf
    largest = block.max(axis=1, keepdims=True)  # (b, 1)
    block[own] = np.inf
    limit = largest + block.min(axis=1, keepdims=True)
    if rule == "midpoint":
        limit /= 2
    columns = np.flatnonzero(cold)
    part = block[:, columns]
    block[:, columns] = np.where(part > limit, (1 - share) * part + share * largest, part)


def _largest(likes: sparse.csr_matrix, similarity: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the largest similarity of each item to one of the user's likes: CSR float32 (b, n_items).

    Args:
        likes: Likes of b users, CSR float32 (b, n_items).
        similarity: Similarities of items, CSR float32 (n_items, n_items).
    """
    n_users, n_items = likes.indptr.size - 1, similarity.indptr.size - 1
    rows = sparse.csr_matrix(similarity[likes.indices])  # one row per like
    user_of_like = np.repeat(np.arange(n_users), np.diff(likes.indptr))
    codes = np.repeat(user_of_like, np.diff(rows.indptr)) * np.int64(n_items) + rows.indices
    order = np.argsort(codes, kind="stable")
    distinct, starts = np.unique(codes[order], return_index=True)
    values = np.maximum.reduceat(rows.data[order], starts) if len(starts) else rows.data
    return sparse.csr_matrix((values, (distinct // n_items, distinct % n_items)), shape=(n_users, n_items))
