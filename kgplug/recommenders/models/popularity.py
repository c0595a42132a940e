"""Popularity: the same list for all users."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from kgplug.data.erasure.item_arrays import ItemArrays
from kgplug.data.erasure.user_arrays import UserArrays
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import ModelConfig


class PopularityConfig(ModelConfig):
    """Settings of Popularity, which has none."""


class Popularity(Recommender):
    """Ranks items by their number of likes: the baseline that every other model must beat.

    Source: the non-personalised baseline "TopPop" of P. Cremonesi, Y. Koren, R. Turrin, "Performance of
    Recommender Algorithms on Top-N Recommendation Tasks", RecSys 2010, section 3.1.
    """

    name = "Popularity"
    inputs = RECOMMENDERS["Popularity"].inputs
    config_class = PopularityConfig
    scores_are_exact = True
    personal = False

    likes_per_item: np.ndarray  # float32 (n_items,)

    def _fit(self, data: TrainingData) -> None:
        liked = data.interactions.items[data.interactions.is_like]
        self.likes_per_item = np.bincount(liked, minlength=data.interactions.n_items).astype(np.float32)

    def score(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return the number of likes of each item in the training set, float32 (n,)."""
        _, items = self._pair_rows(users, items)
        return self.likes_per_item[items]

    def _score_block(self, users: np.ndarray) -> np.ndarray:
        return np.tile(self.likes_per_item, (len(users), 1))

    def _score_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        return np.tile(self.likes_per_item, (len(likes.indptr) - 1, 1))

    @classmethod
    def user_arrays(cls) -> UserArrays:
        return UserArrays(items=ItemArrays(rows=("likes_per_item",)))  # holds only counts per item

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"likes_per_item": self.likes_per_item}

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        self.likes_per_item = arrays["likes_per_item"]
