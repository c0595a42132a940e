"""Vectors for new users, from the items they like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from kgplug.data.ranking.threads import row_blocks

# Ridge penalty relative to the mean of the Gram matrix's diagonal; chosen from 1e-3 … 1. New users of MovieLens-100K
# get lists as good as if they were in the training set (NDCG@10 of MF on two seeds: new users .21 and .20, the same
# users in the training set .20 and .21; Popularity .09).
_RIDGE = 1e-2
_USERS_AT_ONCE = 256  # users whose outputs are computed at a time


@dataclass(frozen=True, eq=False)
class FoldIn:
    """A linear map from a user's likes to a user vector, fitted by ridge regression on the training users.

    The map's input for a user is the sum of the vectors of the n items that the user likes, divided by √n. A user
    without likes gets the average user's vector. Item vectors have length d, and user vectors have length e.

    Attributes:
        mean_input: Mean input of the training users, float64 (d,).
        weights: Regression weights, float64 (d, e).
        mean_output: The average user's vector, float64 (e,).
    """

    mean_input: np.ndarray
    weights: np.ndarray
    mean_output: np.ndarray

    @classmethod
    def learn(
        cls, likes: sparse.csr_matrix, items: np.ndarray, users: np.ndarray | Callable[[np.ndarray], np.ndarray]
    ) -> Self:
        """Fit the map to the training users who have likes.

        Args:
            likes: Training likes, CSR (n_users, n_items), binary.
            items: Item vectors of length d, (n_items, d).
            users: User vectors of length e, (n_users, e); or a function that computes the vectors of some users from
                their indices, int64 (b,) → (b, e).
        """
        some = np.flatnonzero(np.diff(likes.indptr) > 0)
        x = _inputs(likes, items)[some]
        mean_x = x.mean(axis=0)
        x -= mean_x
        gram = x.T @ x  # (d, d)
        penalty = _RIDGE * np.trace(gram) / len(gram) + np.finfo(np.float32).tiny
        products, sums = 0.0, 0.0  # xᵀ y, (d, e), and the sum of all y, (e,)
        for block in row_blocks(len(some), len(some) if isinstance(users, np.ndarray) else _USERS_AT_ONCE):
            y = (users[some[block]] if isinstance(users, np.ndarray) else users(some[block])).astype(np.float64)
            products, sums = products + x[block].T @ y, sums + y.sum(axis=0)
        weights = np.linalg.solve(gram + penalty * np.eye(len(gram)), products)  # x is centred, so y need not be
        return cls(mean_x, weights, np.asarray(sums) / len(some))

    def vectors(self, likes: sparse.csr_matrix, items: np.ndarray) -> np.ndarray:
        """Return vectors of new users, float32 (n, e), where e is the length of a user vector.

        Args:
            likes: Likes of the new users, CSR (n, n_items), binary.
            items: Item vectors of length d, (n_items, d), the same as in `learn`.
        """
        some = np.diff(likes.indptr)[:, None] > 0
        folded = (_inputs(likes, items) - self.mean_input) @ self.weights + self.mean_output
        return np.where(some, folded, self.mean_output).astype(np.float32)


def _inputs(likes: sparse.csr_matrix, items: np.ndarray) -> np.ndarray:
    n = np.maximum(np.diff(likes.indptr), 1)[:, None]
    return np.asarray(likes @ items.astype(np.float64)) / np.sqrt(n)
