"""UserKNN: items that similar users like. The `implicit` library finds the similar users."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from kgplug.data.erasure.item_arrays import ItemArrays
from kgplug.data.erasure.user_arrays import UserArrays
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.models.item_knn import rows_near, similar_rows
from kgplug.recommenders.parts.csr_arrays import csr_arrays, csr_of
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import ModelConfig, Range, Space


class UserKNNConfig(ModelConfig):
    """Settings of UserKNN."""

    tuning: ClassVar[Space] = {"similarity": ("bm25", "tfidf", "cosine"), "neighbours": Range(10, 400, log=True)}

    similarity: Literal["bm25", "tfidf", "cosine"] = Field(
        "tfidf", description="similarity of two users by their likes"
    )
    neighbours: int = Field(100, ge=1, description="number of similar users per user")


class UserKNN(Recommender):
    """Scores an item by the similarity of the users who liked it: Σ s(u, w) over all w in near(u) who like i.

    near(u) are the `neighbours` users most similar to u, without u itself. The similarity s of two users comes from
    their likes: cosine, cosine after TF-IDF weighting, or dot product after BM25 weighting.

    Source: P. Resnick et al., "GroupLens: An Open Architecture for Collaborative Filtering of Netnews", CSCW 1994,
    applied to likes instead of ratings. The `implicit` library weights the likes and finds the neighbours.

    Attributes:
        near: Similarities s(u, w), in row u: CSR float32 (n_users, n_users).
        likes: Training likes, CSR float32 (n_users, n_items).
    """

    name = "UserKNN"
    inputs = RECOMMENDERS["UserKNN"].inputs
    config_class = UserKNNConfig
    config: UserKNNConfig
    near: sparse.csr_matrix
    likes: sparse.csr_matrix

    def _fit(self, data: TrainingData) -> None:
        self.likes = data.interactions.likes().matrix()
        self.near = similar_rows(
            self.likes, self.config.similarity, self.config.neighbours, progress=bool(data.progress)
        )

    def score(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return the summed similarity of the neighbours who liked each item, float32 (n,)."""
        return self._score_by_blocks(users, items)

    def _score_block(self, users: np.ndarray) -> np.ndarray:
        return self._scores_of(self.near[users], self.likes[users])

    def _score_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        near = rows_near(likes, self.likes, self.config.similarity, self.config.neighbours)
        return self._scores_of(near, likes)

    def _scores_of(self, near: sparse.csr_matrix, likes: sparse.csr_matrix) -> np.ndarray:
        """Return the scores of all items for b users, float32 (b, n_items).

        Users without likes get the scores of the average user.

        Args:
            near: Similarities of b users to their neighbours, CSR (b, n_users).
            likes: Likes of the b users, CSR (b, n_items).
        """
        scores = sparse.csr_matrix(near @ self.likes).toarray()
        cold = np.diff(likes.indptr) == 0
        if cold.any():
            scores[cold] = self.near.mean(axis=0) @ self.likes  # scores of the average user
        return scores

    @classmethod
    def user_arrays(cls) -> UserArrays:
        return UserArrays(matrices=("likes",), neighbours=("near",), items=ItemArrays(columns=("likes",)))

    def _arrays(self) -> dict[str, np.ndarray]:
        return csr_arrays(near=self.near, likes=self.likes)

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        n_users, n_items = len(self.user_keys), len(self.item_keys)
        self.near, self.likes = csr_of("near", arrays, (n_users, n_users)), csr_of("likes", arrays, (n_users, n_items))
