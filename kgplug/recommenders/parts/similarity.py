"""Models whose score is the sum of similarities between an item and the user's likes."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from kgplug.data.erasure.item_arrays import ItemArrays
from kgplug.data.erasure.user_arrays import UserArrays
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.parts.csr_arrays import csr_arrays, csr_of


class SimilarityRecommender(Recommender):
    """A recommender that scores item i for user u by `Σ_j∈likes(u) s(j, i)`, where s is an item similarity.

    Attributes:
        similarity: Similarities s(j, i) in row j and column i, CSR float32 (n_items, n_items).
        likes: Training likes, CSR float32 (n_users, n_items).
    """

    similarity: sparse.csr_matrix
    likes: sparse.csr_matrix

    def score(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return the sum of the item's similarities to the user's likes, for each pair: float32 (n,)."""
        return self._score_by_blocks(users, items)

    def _score_block(self, users: np.ndarray) -> np.ndarray:
        return self._score_new_users(self.likes[users])

    def _score_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        scores = sparse.csr_matrix(likes @ self.similarity).toarray()
        cold = np.diff(likes.indptr) == 0
        if cold.any():
            scores[cold] = self.likes.mean(axis=0) @ self.similarity  # scores of the average user
        return scores

    @classmethod
    def user_arrays(cls) -> UserArrays:
        return UserArrays(matrices=("likes",), items=ItemArrays(neighbours=("similarity",), columns=("likes",)))

    def _arrays(self) -> dict[str, np.ndarray]:
        return csr_arrays(similarity=self.similarity, likes=self.likes)

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        n_users, n_items = len(self.user_keys), len(self.item_keys)
        self.similarity = csr_of("similarity", arrays, (n_items, n_items))
        self.likes = csr_of("likes", arrays, (n_users, n_items))


def nearest(similarity: sparse.csr_matrix, neighbours: int, *, first: int = 0) -> sparse.csr_matrix:
    """Return the largest positive similarities in each row. The similarity of an item to itself is left out.

    Args:
        similarity: Similarities of some items to all items, CSR (b, n_items).
        neighbours: Maximum number of similarities per row.
        first: Item index of the first row. The next rows are those of the next items.

    Returns:
        CSR float32 (b, n_items), with sorted indices and no duplicates.
    """
    found = similarity.tocoo()
    keep = (found.row + first != found.col) & (found.data > 0)
    row, column, value = found.row[keep], found.col[keep], found.data[keep].astype(np.float32)
    order = np.lexsort((column, -value, row))  # best first; ties by item index
    row, column, value = row[order], column[order], value[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    near = place < neighbours
    matrix = sparse.csr_matrix((value[near], (row[near], column[near])), shape=found.shape, dtype=np.float32)
    matrix.sort_indices()
    return matrix
