"""SLIM: sparse, non-negative weights between items, learnt by regression on the likes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field
from scipy import sparse

from kgplug.data.ranking.threads import row_blocks, share
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.models._slim_columns import solve_columns
from kgplug.recommenders.parts.choosing.chosen_by_lists import ListsConfig
from kgplug.recommenders.parts.choosing.chosen_similarity import ChosenSimilarity
from kgplug.training.config import Grid, Range, Space

_BLOCK_COLUMNS = 32  # columns that a thread solves at a time; Ctrl-C takes effect after them


class SLIMConfig(ListsConfig):
    """Settings of SLIM. In the paper, all users have weight 1 (user_power=0), so l1 and l2 are its λ and β."""

    tuning: ClassVar[Space] = {
        "l1": Range(0.03, 10.0, log=True), "l2": Range(3.0, 2000.0, log=True), "user_power": Range(0.0, 1.0),
    }  # fmt: skip

    grid: ClassVar[Grid] = {"user_power": (0.5, 0.25, 0.0), "l2": 4.0, "l1": 3.0, **ListsConfig.grid}

    l1: float = Field(
        1.0, ge=0, description="weight of the sum of item-item weights (L1), as a multiple of the mean weight of a like"
    )
    l2: float = Field(
        50.0,
        gt=0,
        description="weight of the squared item-item weights (L2), as a multiple of the mean weight of a like",
    )
    user_power: float = Field(
        0.5,
        ge=0,
        le=1,
        description="a user's likes have the weight 1 / (number of likes)^user_power in training; "
        "0: equal weights, as in the paper",
    )


class SLIM(ChosenSimilarity):
    """Sparse linear method: score(u, ·) = x_u W, where the item-item weights W ≥ 0 predict the likes X from X.

    W has a zero diagonal and minimises ½ ‖D^½ (X − X W)‖² + ½ m l2 ‖W‖² + m l1 ‖W‖₁ (eq. 3), where D is the diagonal
    matrix of the users' weights (I in the paper), and m is the mean of these weights over all likes (1 in the paper).
    Each column is solved separately, by coordinate descent, until no weight changes by more than 1e-6. W_ji can be
    positive only if the users who like both items, i and j, have a total weight above m l1. So other weights are never
    computed, and memory is needed only for the likes and the positive weights.

    Source: X. Ning, G. Karypis, "SLIM: Sparse Linear Methods for Top-N Recommender Systems", ICDM 2011; coordinate
    descent: J. Friedman, T. Hastie, R. Tibshirani, "Regularization Paths for Generalized Linear Models via Coordinate
    Descent", J. Stat. Softw. 33(1), 2010. Our additions: the weights of users, and `popularity`.
    """

    name = "SLIM"
    inputs = RECOMMENDERS["SLIM"].inputs
    config_class = SLIMConfig
    config: SLIMConfig

    def _weights(self) -> np.ndarray:
        """Return the weight of each user, float64 (n_users,)."""
        return np.maximum(np.diff(self.likes.indptr), 1.0) ** -self.config.user_power

    def _penalties(self) -> tuple[float, float]:
        """Return m l1 and m l2, where m is the mean weight of a like, which has its user's weight."""
        mean_weight = float(self._weights() @ np.diff(self.likes.indptr)) / self.likes.nnz
        return self.config.l1 * mean_weight, self.config.l2 * mean_weight

    def _similarity_of(self, likes: sparse.csr_matrix, *, fraction: float) -> sparse.csr_matrix:
        by_user = sparse.csr_matrix(sparse.diags(np.sqrt(self._weights())) @ likes.astype(np.float64))  # D^½ X
        by_item, (l1, l2) = sparse.csr_matrix(by_user.T), self._penalties()
        l2 *= fraction  # with fewer items each weight is larger, as in EASE
        n_items, squares = by_item.indptr.size - 1, np.asarray(by_item.power(2).sum(axis=1)).ravel()
        blocks = row_blocks(n_items, _BLOCK_COLUMNS)
        found: dict[int, sparse.csr_matrix] = {}

        def solve(columns: slice) -> None:
            counts, rows, values = solve_columns(
                columns.start, columns.stop,
                by_item.indptr, by_item.indices, by_item.data, by_user.indptr, by_user.indices, by_user.data,
                squares, l1, l2,
            )  # fmt: skip
            starts = np.concatenate([[0], np.cumsum(counts)])
            found[columns.start] = sparse.csr_matrix((values, rows, starts), shape=(len(counts), n_items))

        share(solve, blocks)
        columns = sparse.vstack([found[block.start] for block in blocks], format="csr")  # row i is column i of W
        similarity = sparse.csr_matrix(columns.T)
        similarity.sort_indices()
        return similarity
