"""ItemKNN: more of what was liked together, through the `implicit` library."""

from __future__ import annotations

import os
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.recommenders.base import SCORE_BLOCK_CELLS, FitOptions, Recommender
from kgplug.training.config import ModelConfig, Range, Space

_BM25_K1, _BM25_B = 1.2, 0.75  # S. Robertson, H. Zaragoza, "The Probabilistic Relevance Framework", 2009


class ItemKNNConfig(ModelConfig):
    """Settings of ItemKNN."""

    tuning: ClassVar[Space] = {"similarity": ("bm25", "tfidf", "cosine"), "neighbours": Range(10, 400, log=True)}

    similarity: Literal["bm25", "tfidf", "cosine"] = Field("bm25", description="how the users of two items compare")
    neighbours: int = Field(100, ge=1, description="similar items kept for each item")


class ItemKNN(Recommender):
    """Scores an item by its similarity to the items that the user liked, `Σ_j∈likes(u) s(j, i)`.

    s(j, i) is kept for the `neighbours` items i most similar to j, j itself not among them. Two items compare
    by the users who liked both: cosine, cosine after TF-IDF weighting, or dot product after BM25 weighting.

    Source: M. Deshpande, G. Karypis, "Item-Based Top-N Recommendation Algorithms", ACM TOIS 22(1), 2004;
    weightings as in the `implicit` library, which does the work.
    """

    name = "ItemKNN"
    config_class = ItemKNNConfig
    config: ItemKNNConfig

    similarity: sparse.csr_matrix  # float32 (n_items, n_items)
    likes: sparse.csr_matrix  # float32 (n_users, n_items)

    def _fit(
        self,
        interactions: Interactions,
        knowledge: KnowledgeGraph | None,  # noqa: ARG002
        valid: Interactions | None,  # noqa: ARG002
        seed: int,  # noqa: ARG002
        options: FitOptions,
    ) -> None:
        from implicit.nearest_neighbours import ItemItemRecommender, bm25_weight, normalize, tfidf_weight

        self.likes = interactions.likes().matrix()
        liked_by = self.likes.T.astype(np.float64)  # (n_items, n_users)
        weighted = {
            "bm25": lambda: bm25_weight(liked_by, _BM25_K1, _BM25_B),  # type: ignore[arg-type]
            "tfidf": lambda: normalize(tfidf_weight(liked_by)),
            "cosine": lambda: normalize(liked_by),
        }[self.config.similarity]()
        # One more than wanted: an item is its own nearest neighbour.
        knn = ItemItemRecommender(K=self.config.neighbours + 1, num_threads=_threads())
        knn.fit(weighted.T.tocsr(), show_progress=bool(options.progress))
        self.similarity = _nearest(sparse.csr_matrix(knn.similarity), self.config.neighbours)

    def score(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return the summed similarity of each item to the user's likes, float32 (n,)."""
        users, items = np.asarray(users, dtype=np.int64), np.asarray(items, dtype=np.int64)
        scores = np.empty(len(users), dtype=np.float32)
        order = np.argsort(users, kind="stable")
        distinct, starts = np.unique(users[order], return_index=True)
        ends = np.append(starts[1:], len(users))
        rows = max(1, SCORE_BLOCK_CELLS // max(1, len(self.item_keys)))
        for start in range(0, len(distinct), rows):
            stop = min(start + rows, len(distinct))
            pairs = order[starts[start] : ends[stop - 1]]
            block = self._score_block(distinct[start:stop])  # (b, n_items)
            scores[pairs] = block[np.searchsorted(distinct, users[pairs]) - start, items[pairs]]
        return scores

    def _score_block(self, users: np.ndarray) -> np.ndarray:
        return (self.likes[users] @ self.similarity).toarray()

    def _arrays(self) -> dict[str, np.ndarray]:
        return {
            f"{name}.{part}": getattr(matrix, part)
            for name, matrix in (("similarity", self.similarity), ("likes", self.likes))
            for part in ("data", "indices", "indptr")
        }

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        n_users, n_items = len(self.user_keys), len(self.item_keys)
        self.similarity = _csr("similarity", arrays, (n_items, n_items))
        self.likes = _csr("likes", arrays, (n_users, n_items))


def _nearest(similarity: sparse.csr_matrix, neighbours: int) -> sparse.csr_matrix:
    """Return the positive similarities off the diagonal, at most so many a row, as float32 in canonical order."""
    found = similarity.tocoo()
    keep = (found.row != found.col) & (found.data > 0)
    row, column, value = found.row[keep], found.col[keep], found.data[keep].astype(np.float32)
    order = np.lexsort((column, -value, row))  # best first; equal ones by item number
    row, column, value = row[order], column[order], value[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    near = place < neighbours
    matrix = sparse.csr_matrix((value[near], (row[near], column[near])), shape=found.shape, dtype=np.float32)
    matrix.sort_indices()
    return matrix


def _csr(name: str, arrays: dict[str, np.ndarray], shape: tuple[int, int]) -> sparse.csr_matrix:
    return sparse.csr_matrix(tuple(arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr")), shape=shape)


def _threads() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
