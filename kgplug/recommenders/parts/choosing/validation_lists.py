"""The quality of a trained model's lists on the validation set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from kgplug.data.interactions import Interactions
from kgplug.data.list_hits import list_hits, ndcg
from kgplug.data.ranking.auc import auc
from kgplug.data.sampling import negative_sampler
from kgplug.data.values.keys import distinct
from kgplug.recommenders.base import Recommender

LISTED = 10  # length of the lists
MOST_USERS = 2_000  # maximum number of users whose lists are compared
AS_GOOD = 0.02  # relative loss of NDCG up to which lists count as equally good
# Number of sampled users for the standard deviation of scores, and number of scores in memory at a time.
_SPREAD_USERS, _SPREAD_CELLS = 256, 2_000_000
_USERS_STREAM, _NEGATIVES_STREAM = 0x115D, 0x7A11D  # make these draws independent of all others


@dataclass(frozen=True, eq=False)
class Measured:
    """Quality of the lists that a model makes with one choice of settings.

    Attributes:
        ndcg: NDCG@10 of each compared user's list, float64 (n,).
        auc: AUC of these users' validation likes against random negatives, one per like.
    """

    ndcg: np.ndarray
    auc: float

    @property
    def mean(self) -> float:
        return float(self.ndcg.mean())

    def ties(self, other: Measured) -> bool:
        """Return whether these lists count as equally good as `other`.

        They do if their mean NDCG is higher, or lower by at most 2 % of the mean NDCG of `other` and by at most the
        standard error of the difference.
        """
        loss, chance = self.loss(other)
        return loss <= min(chance, AS_GOOD * other.mean)

    def loss(self, other: Measured) -> tuple[float, float]:
        """Return by how much the mean NDCG is below that of `other`, and the standard error of this difference.

        The first number is negative if the mean NDCG is above that of `other`.
        """
        loss = other.ndcg - self.ndcg
        return float(loss.mean()), float(loss.std()) / math.sqrt(len(loss))


class Validation:
    """Data to compare models: validation likes of at most `MOST_USERS` users, with a random negative per like.

    Args:
        train, valid: Training and validation set of one split.
        seed: Seed of the choice of users and of the negatives.
        items: Mask of the items that likes and lists may contain, bool (n_items,); None for all.
    """

    def __init__(self, train: Interactions, valid: Interactions, *, seed: int, items: np.ndarray | None) -> None:
        self._items, likes = items, valid.likes()
        if items is not None:
            likes = likes.take(items[likes.items])
        users = distinct(likes.users)
        if len(users) > MOST_USERS:
            rng = np.random.default_rng([seed, _USERS_STREAM])
            users = np.sort(rng.choice(users, MOST_USERS, replace=False))
            likes = likes.take(np.isin(likes.users, users))
        self._users, self._likes = users, likes
        self._rows, self._seed = (train, valid), seed

    @cached_property
    def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """(users, items) of the likes, followed by those of the negatives: int64 (n,) each."""
        likes, rng = self._likes, np.random.default_rng([self._seed, _NEGATIVES_STREAM])
        negatives = negative_sampler(*self._rows).draw(likes.users, rng)
        usable = negatives >= 0 if self._items is None else (negatives >= 0) & self._items[negatives]
        return (
            np.concatenate([likes.users, likes.users[usable]]),
            np.concatenate([likes.items, negatives[usable]]),
        )

    def ndcg(self, model: Recommender) -> np.ndarray:
        """Return the NDCG@10 of each compared user's list, float64 (n,); [0.0] without validation likes."""
        if not len(self._users):
            return np.zeros(1)
        items, _ = model.recommend(self._users, LISTED, only=self._items)
        return ndcg(list_hits(items, self._likes, self._users, (LISTED,))[0])

    def measure(self, model: Recommender) -> Measured:
        """Measure the lists and scores of a trained model. Without validation likes, return NDCG 0 and AUC 0.5."""
        if not len(self._users):
            return Measured(np.zeros(1), 0.5)
        is_like = np.arange(len(self._pairs[0])) < len(self._likes)
        scores = model.score(*self._pairs)
        return Measured(self.ndcg(model), 0.5 if is_like.all() else auc(is_like, scores))


def spread_of_scores(model: Recommender, liked: sparse.csr_matrix, items: np.ndarray | None = None) -> float:
    """Return the standard deviation of a user's scores before any sigmoid, averaged over a sample of users with likes.

    Args:
        model: A trained model.
        liked: Training likes, CSR (n_users, n_items).
        items: Mask of the items to look at, bool (n_items,); None for all.
    """
    users = np.flatnonzero(np.diff(liked.indptr))
    users = users[:: max(1, -(-len(users) // _SPREAD_USERS))]
    rows = max(1, _SPREAD_CELLS // max(1, liked.get_shape()[1]))
    blocks = (model._unfinished_block(users[at : at + rows])[0] for at in range(0, len(users), rows))
    spreads = [(block if items is None else block[:, items]).std(axis=1) for block in blocks]
    return float(np.concatenate(spreads).mean(dtype=np.float64))
