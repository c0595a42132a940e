"""A trained recommender that treats every user as a new one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

from kgplug.data.interactions import Interactions
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.lists import ListMaker


class ByProfile(ListMaker):
    """A trained recommender that scores every user as a new one, by the user's likes alone.

    Args:
        model: The trained model.
        known: Interactions of the users, with the same keys as the model. Scores are computed from the likes among
            them. Lists leave out all items that the user has in these interactions, liked or not.
    """

    def __init__(self, model: Recommender, known: Interactions) -> None:
        self._model = model
        self.name, self.config = model.name, model.config
        self.user_keys, self.item_keys = model.user_keys, model.item_keys
        self.user_label, self.item_label = model.user_label, model.item_label
        self.own_items, self.erased_items = model.own_items, model.erased_items
        self.scores_are_probabilities, self.personal = model.scores_are_probabilities, model.personal
        self.seen, self._likes = known.matrix(), known.likes().matrix()

    def score(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Score pairs of a user and an item, as `Recommender.score` does: int64 (n,), int64 (n,) → float32 (n,)."""
        users, items = self._pair_rows(users, items)
        scores = np.empty(len(users), dtype=np.float32)
        order = np.argsort(users, kind="stable")
        who, starts = np.unique(users[order], return_index=True)
        ends = np.append(starts[1:], len(users))
        for block in self._blocks(len(who)):
            pairs = order[starts[block][0] : ends[block][-1]]
            of_all = self._score_block(who[block])  # (b, n_items)
            scores[pairs] = of_all[np.searchsorted(who[block], users[pairs]), items[pairs]]
        return scores

    def _score_block(self, users: np.ndarray) -> np.ndarray:
        return self._model._score_new_users(self._likes[users])

    def _unfinished_block(self, users: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray] | None]:
        return self._model._unfinished_new_users(self._likes[users])

    def _score_sizes(self, users: np.ndarray | None, scores: np.ndarray) -> np.ndarray:  # noqa: ARG002
        return self._model._score_sizes(None, scores)

    @property
    def _tie_places(self) -> np.ndarray:
        return self._model._tie_places

    def _score_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        return self._model._score_new_users(likes)
