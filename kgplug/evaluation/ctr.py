"""Click-through: pairs of users and items to score, and the threshold from which a pair counts as liked.

The metrics are in `kgplug.evaluation.metrics.click_through`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kgplug.data.interactions import Interactions
from kgplug.data.ranking.auc import auc as auc
from kgplug.data.sampling import ComplementSampler
from kgplug.data.values.keys import distinct
from kgplug.errors import DataError
from kgplug.evaluation.metrics.click_through import accuracy as accuracy


@dataclass(frozen=True, eq=False)
class LabelledPairs:
    """Pairs of users and items with their true labels.

    Attributes:
        users, items: int64 (n,), user and item indices.
        labels: bool (n,), whether the user liked the item.
    """

    users: np.ndarray
    items: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.users)


def best_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the threshold with the highest accuracy.

    It is midway between two neighbouring scores, or the lowest score (every pair counts as liked), or just above
    the highest (none does).

    Args:
        labels: bool (n,), n at least 1.
        scores: float (n,), finite.
    """
    values, number = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True)
    liked = np.bincount(number, weights=np.asarray(labels, dtype=np.float64), minlength=len(values))
    other = np.bincount(number, minlength=len(values)) - liked
    # Number of correct pairs if the threshold is just below values[c]: non-likes below it, likes above it.
    right = np.concatenate([[0.0], np.cumsum(other)]) + liked.sum() - np.concatenate([[0.0], np.cumsum(liked)])
    cut = int(right.argmax())
    if cut == 0:
        return float(values[0])
    beyond = np.nextafter(values[cut - 1], np.inf)
    return float(beyond if cut == len(values) else max(beyond, (values[cut - 1] + values[cut]) / 2))


def label_pairs(part: Interactions, parts: Sequence[Interactions], rng: np.random.Generator) -> LabelledPairs:
    """Return the likes of one set, and for each like a negative of the same user.

    Negatives are items on which the user has no feedback in any set. A user with too few such items gets fewer
    negatives (`sample_negatives_for_evaluation`).

    Args:
        part: The set whose likes are the positives.
        parts: All sets of the split (training, validation, test).
        rng: Generator of the negatives.

    Raises:
        DataError: the set has no like.
    """
    likes = part.likes()
    if len(likes) == 0:
        raise DataError(f"Click-through needs likes, and none of the {len(part):,} rows is a like.")
    users, items = sample_negatives_for_evaluation(likes, parts, rng)
    labels = np.repeat([True, False], [len(likes), len(users)])
    return LabelledPairs(np.concatenate([likes.users, users]), np.concatenate([likes.items, items]), labels)


def sample_negatives_for_evaluation(
    positives: Interactions, parts: Sequence[Interactions], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw as many negative items for each user as the user has positives, uniformly and without repetition.

    Items with the user's feedback in any set, whatever the rating, are never drawn. If users are items, a user is never
    drawn for itself. A user who has more positives than remaining items gets all remaining items; a user with feedback
    on every item gets none.

    Args:
        positives: The positives, one row each.
        parts: All sets of the split.
        rng: Generator of the draws.

    Returns:
        (users, items): int64 (m,) each, one entry per negative, sorted by user and then by item.
    """
    n_users, n_items = positives.n_users, positives.n_items
    taken = distinct(np.concatenate([positives.own_pairs, *(rows.pairs for rows in (positives, *parts))]))
    free = n_items - np.bincount(taken // n_items, minlength=n_users)
    missing = np.minimum(np.bincount(positives.users, minlength=n_users), free)
    drawn = np.empty(0, dtype=np.int64)
    while missing.any():  # items drawn twice are dropped, so their users need another round
        users = np.repeat(np.arange(n_users), missing)
        taken = taken[missing[taken // n_items] > 0]
        sampler = ComplementSampler(taken // n_items, taken % n_items, n_groups=n_users, n_members=n_items)
        new = distinct(users * np.int64(n_items) + sampler.draw(users, rng))
        missing = missing - np.bincount(new // n_items, minlength=n_users)
        taken, drawn = np.concatenate([taken, new]), np.concatenate([drawn, new])
    drawn.sort()
    return drawn // n_items, drawn % n_items


def warm_items(train: Interactions) -> np.ndarray:
    """Return whether each item has a like in the training set: bool (n_items,)."""
    return np.bincount(train.items[train.is_like], minlength=train.n_items) > 0
