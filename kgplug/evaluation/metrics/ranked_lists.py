"""Metrics of one user's list: how many of the relevant items are at its top.

They are computed for all users at once. A relevant item among the first k of a user's list is a hit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kgplug.data.list_hits import ListHits, list_hits, ndcg
from kgplug.evaluation.metrics.metric import Better, Metric, Need, Shown

if TYPE_CHECKING:
    from kgplug.data.interactions import Interactions


def measure_lists(items: np.ndarray, relevant: Interactions, users: np.ndarray, k: tuple[int, ...]) -> np.ndarray:
    """Return every metric of each user's list.

    Args:
        items: int64 (n, width), the lists; best item first, -1 past a list's end.
        relevant: Rows of the relevant items.
        users: int64 (n,), user of each list, with at least one relevant row.
        k: Lengths of the lists, ascending.

    Returns:
        float64 (len(k), len(METRICS), n): for each length and each metric in `METRICS`, one value per user.
    """
    found = [[metric.measure(hits) for metric in METRICS] for hits in list_hits(items, relevant, users, k)]
    return np.array(found, dtype=np.float64)


def precision(hits: ListHits) -> np.ndarray:
    """Return each user's number of hits, divided by k even if the list is shorter."""
    return hits.n_hits / float(hits.k)


def recall(hits: ListHits) -> np.ndarray:
    """Return each user's number of hits, divided by the number of the user's relevant items."""
    return hits.n_hits / hits.n_relevant


def f1(hits: ListHits) -> np.ndarray:
    """Return the harmonic mean of each user's precision and recall, 0 where both are 0."""
    one, other = precision(hits), recall(hits)
    return 2 * one * other / np.maximum(one + other, np.finfo(float).tiny)


def hit(hits: ListHits) -> np.ndarray:
    """Return whether each user's list has a hit: bool (n,)."""
    return hits.n_hits > 0


def reciprocal_rank(hits: ListHits) -> np.ndarray:
    """Return 1 / rank of each user's first hit, 0 without a hit."""
    return np.where(hits.first_rank > 0, 1.0 / np.maximum(hits.first_rank, 1), 0.0)


_NEEDS = (Need.LIKES, Need.LISTS)
PRECISION = Metric[ListHits](
    name="precision@k",
    better=Better.HIGHER,
    needs=_NEEDS,
    shown=Shown.SUMMARY,
    description="relevant items among the first k, divided by k",
    measure=precision,
)
RECALL = Metric[ListHits](
    name="recall@k",
    better=Better.HIGHER,
    needs=_NEEDS,
    shown=Shown.PICTURE,
    description="relevant items among the first k, divided by all relevant items of the user",
    measure=recall,
    by_group=True,
)
F1 = Metric[ListHits](
    name="F1@k",
    better=Better.HIGHER,
    needs=_NEEDS,
    shown=Shown.TABLE,
    description="harmonic mean of the user's precision and recall",
    measure=f1,
)
NDCG = Metric[ListHits](
    name="NDCG@k",
    better=Better.HIGHER,
    needs=_NEEDS,
    shown=Shown.LINE,
    description="sum of 1 / log2(1 + rank) over the hits, divided by that of an ideal list",
    measure=ndcg,
    by_group=True,
)
HIT = Metric[ListHits](
    name="hit@k",
    better=Better.HIGHER,
    needs=_NEEDS,
    shown=Shown.PICTURE,
    description="share of users with a relevant item among the first k",
    measure=hit,
)
MRR = Metric[ListHits](
    name="MRR@k",
    better=Better.HIGHER,
    needs=_NEEDS,
    shown=Shown.TABLE,
    description="1 / rank of the first relevant item, 0 if none is among the first k",
    measure=reciprocal_rank,
)

METRICS: tuple[Metric[ListHits], ...] = (PRECISION, RECALL, F1, NDCG, HIT, MRR)
"""Each takes `ListHits` and returns one value per user, float64 (n,). Tables show the mean over users."""
