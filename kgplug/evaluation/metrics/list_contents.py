"""Metrics of all items in a list, relevant or not: novelty, diversity, popularity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from kgplug.evaluation.metrics.metric import Better, Metric, Need, Shown

_BLOCK_CELLS = 16_000_000  # maximum number of floats in memory at a time: the summed features of a block of lists
Features = np.ndarray | sparse.csr_matrix


@dataclass(frozen=True, eq=False)
class ListContents:
    """Lists, with facts about their items.

    Attributes:
        items: int64 (n, k), -1 past a list's end.
        likes: int64 (n_items,), number of each item's likes in the training set.
        n_users: Number of users in the training set.
        features: float (n_items, f), dense or CSR, for the similarity of items.
    """

    items: np.ndarray
    likes: np.ndarray
    n_users: int
    features: Features


def novelty(items: np.ndarray, likes: np.ndarray, n_users: int) -> np.ndarray:
    """Return the mean of log2(n_users / likes), the self-information in bits, over each list's items: float64 (n,).

    It is NaN for an empty list. An item without likes counts as having one. Zhou et al., "Solving the apparent
    diversity-accuracy dilemma of recommender systems", PNAS 2010.

    Args:
        items: int64 (n, k), -1 past a list's end.
        likes: int64 (n_items,), number of each item's likes in the training set.
        n_users: Number of users in the training set.
    """
    return _means(items, np.log2(n_users / np.maximum(likes, 1)))


def mean_popularity(items: np.ndarray, likes: np.ndarray) -> np.ndarray:
    """Return the mean number of training likes of each list's items: float64 (n,), NaN for an empty list.

    Yin et al., "Challenging the Long Tail Recommendation", VLDB 2012.
    """
    return _means(items, likes.astype(np.float64))


def _means(items: np.ndarray, values: np.ndarray) -> np.ndarray:
    listed = items >= 0
    sums = np.where(listed, values[items], 0.0).sum(axis=1)
    n = listed.sum(axis=1)
    return np.where(n > 0, sums / np.maximum(n, 1), np.nan)


def intra_list_diversity(items: np.ndarray, features: Features) -> np.ndarray:
    """Return the mean of 1 - cosine over the pairs of items in each list: float64 (n,), NaN for fewer than two items.

    After the intra-list similarity of Ziegler et al., "Improving Recommendation Lists Through Topic Diversification",
    WWW 2005, but as a distance.

    Args:
        items: int64 (n, k), -1 past a list's end.
        features: float (n_items, f), dense or CSR; an item without features has cosine 0 with every item.
    """
    # The cosines of all ordered pairs of unit vectors add up to the squared length of the sum of the vectors, minus the
    # sum of their squared lengths. So no pair has to be computed.
    unit = _unit(features)
    has = _squared(unit)  # (n_items,), 1 for items with features, otherwise 0
    diversity = np.full(len(items), np.nan)
    n_features = unit.get_shape()[1]
    rows = max(1, _BLOCK_CELLS // max(1, n_features))
    for start in range(0, len(items), rows):
        block = items[start : start + rows]
        listed = block >= 0
        n = listed.sum(axis=1)
        places = (np.repeat(np.arange(len(block)), n), block[listed])
        chosen = sparse.csr_matrix((np.ones(len(places[0])), places), shape=(len(block), len(has)))
        cosines = _squared(sparse.csr_matrix(chosen @ unit)) - chosen @ has  # (b,), sums over ordered pairs
        several = n > 1
        diversity[start : start + rows][several] = 1 - (cosines[several] / (n * (n - 1))[several])
    return diversity


def _unit(features: Features) -> sparse.csr_matrix:
    matrix = sparse.csr_matrix(features, dtype=np.float64)
    norms = np.sqrt(_squared(matrix))
    inverse = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return sparse.csr_matrix(sparse.diags(inverse) @ matrix)


def _squared(rows: sparse.csr_matrix) -> np.ndarray:
    """Return the squared length of each row, float64 (n,)."""
    return np.asarray(rows.multiply(rows).sum(axis=1)).ravel()


NOVELTY = Metric[ListContents](
    name="novelty@k",
    better=Better.NEITHER,
    needs=(Need.LISTS, Need.TRAINING_LIKES),
    shown=Shown.BEYOND,
    description="mean of log2(users / likes) of the listed items, in bits",
    measure=lambda lists: novelty(lists.items, lists.likes, lists.n_users),
)
DIVERSITY = Metric[ListContents](
    name="diversity@k",
    better=Better.NEITHER,
    needs=(Need.LISTS, Need.FEATURES),
    shown=Shown.BEYOND,
    description=(
        "mean of 1 - cosine over the pairs of items in a list; the vector of an item has one entry per user, 1 if the "
        "user liked it in training"
    ),
    measure=lambda lists: intra_list_diversity(lists.items, lists.features),
)
POPULARITY = Metric[ListContents](
    name="popularity@k",
    better=Better.NEITHER,
    needs=(Need.LISTS, Need.TRAINING_LIKES),
    shown=Shown.BEYOND,
    description="mean number of training likes of the listed items",
    measure=lambda lists: mean_popularity(lists.items, lists.likes),
)

METRICS: tuple[Metric[ListContents], ...] = (NOVELTY, DIVERSITY, POPULARITY)
"""Each takes `ListContents` and returns float64 (n,), NaN where undefined. Tables show the mean without NaN."""
