"""Models of item similarity whose settings are chosen on the validation set."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from scipy import sparse

from kgplug.data.values.keys import distinct
from kgplug.recommenders.parts.choosing.chosen_by_lists import ChosenByLists, items_to_try
from kgplug.recommenders.parts.similarity import SimilarityRecommender
from kgplug.recommenders.training_data import TrainingData


class ChosenSimilarity(ChosenByLists, SimilarityRecommender):
    """A recommender that scores item i for user u by `Σ_j∈likes(u) s(j, i)` plus `popularity` · log1p(likes of i).

    s(j, i) is the similarity of items j and i, and `popularity` is a setting. A choice of settings is tried on half of
    the liked items (at least 1,000).
    """

    n_trials = 8  # each trial uses half of the items, and takes about a quarter of the time of the full training

    def _learn(self, data: TrainingData, *, cheaply: bool = False) -> np.ndarray | None:
        self.likes = likes = data.interactions.likes().matrix()
        if not cheaply:
            self.similarity = self._similarity_of(likes, fraction=1.0)
            return None
        some = items_to_try(distinct(likes.indices), likes.get_shape()[1], data.seed)
        part = sparse.csr_matrix(likes @ sparse.diags(some.astype(np.float32)))
        part.eliminate_zeros()
        self.similarity = self._similarity_of(part, fraction=part.nnz / max(likes.nnz, 1))
        return some

    @abstractmethod
    def _similarity_of(self, likes: sparse.csr_matrix, *, fraction: float) -> sparse.csr_matrix:
        """Compute the item similarities from likes, with the settings in `config`.

        Args:
            likes: 1 for each like, CSR float32 (n_users, n_items).
            fraction: Fraction of all likes that these are. In a trial, some items are left out.

        Returns:
            s(j, i) in row j and column i, CSR float32 (n_items, n_items), with sorted indices and no duplicates.
        """

    def _score_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        scores = super()._score_new_users(likes)
        if self.config.popularity > 0:
            scores += np.float32(self.config.popularity) * self.log_likes
        return scores
