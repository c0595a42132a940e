"""Metrics of one user's list: how many of the relevant items are at its top.

They are computed for all users at once. A user has R relevant items, of which h are among the first k of the list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kgplug.evaluation.metrics.metric import Better, Metric, Need, Shown

if TYPE_CHECKING:
    from kgplug.data.interactions import Interactions


@dataclass(frozen=True, eq=False)
class ListHits:
    """The relevant items among the first k of each user's list.

    Attributes:
        k: Length of the lists; a list may be shorter.
        n_hits: int64 (n,), number of hits h.
        n_relevant: int64 (n,), number of relevant items R, at least 1.
        gain: float64 (n,), sum of 1 / log2(1 + rank) over the hits.
        ideal_gain: float64 (n,), the same sum for a list with min(R, k) hits at its top.
        first_rank: int64 (n,), rank of the first hit, from 1; 0 without a hit.
    """

    k: int
    n_hits: np.ndarray
    n_relevant: np.ndarray
    gain: np.ndarray
    ideal_gain: np.ndarray
    first_rank: np.ndarray


def list_hits(items: np.ndarray, relevant: Interactions, users: np.ndarray, k: tuple[int, ...]) -> list[ListHits]:
    """Return the hits of each user's list, once per length.

    Args:
        items: int64 (n, width), width at least max(k) or the whole catalogue; best first, -1 past a list's end.
        relevant: Rows of the relevant items.
        users: int64 (n,), user of each list, with at least one relevant row.
        k: Lengths of the lists, ascending.
    """
    pairs = np.sort(relevant.pairs)
    codes = np.where(items < 0, -1, users[:, None] * np.int64(relevant.n_items) + items)  # (n, width)
    place = np.minimum(np.searchsorted(pairs, codes), len(pairs) - 1)
    is_hit: np.ndarray = pairs[place] == codes  # (n, width)
    n_relevant = np.bincount(relevant.users, minlength=relevant.n_users)[users]  # (n,)
    width: int = items.shape[1]
    longest = max(width, min(k[-1], int(n_relevant.max())))  # k may be far longer than the catalogue
    discount = 1.0 / np.log2(np.arange(2, longest + 2))  # (width or more,)
    ideal = np.concatenate([[0.0], np.cumsum(discount)])  # ideal gain by number of hits
    gain = np.cumsum(is_hit * discount[:width], axis=1)  # (n, width)
    n_hits = np.cumsum(is_hit, axis=1)
    first: np.ndarray = is_hit.argmax(axis=1)  # position from 0
    first = np.where(is_hit.any(axis=1), first, width)
    found: list[ListHits] = []
    for length in k:
        last = min(length, width) - 1
        found.append(
            ListHits(
                k=length,
                n_hits=n_hits[:, last],
                n_relevant=n_relevant,
                gain=gain[:, last],
                ideal_gain=ideal[np.minimum(n_relevant, min(length, longest))],
                first_rank=np.where(first <= last, first + 1, 0),
            )
        )
    return found


def measure_lists(items: np.ndarray, relevant: Interactions, users: np.ndarray, k: tuple[int, ...]) -> np.ndarray:
    """Return every metric of each user's list. The arguments are those of `list_hits`.

    Returns:
        float64 (len(k), len(METRICS), n).
    """
    found = [[metric.measure(hits) for metric in METRICS] for hits in list_hits(items, relevant, users, k)]
    return np.array(found, dtype=np.float64)


def precision(hits: ListHits) -> np.ndarray:
    """h / k, even if the list is shorter than k."""
    return hits.n_hits / float(hits.k)


def recall(hits: ListHits) -> np.ndarray:
    """h / R."""
    return hits.n_hits / hits.n_relevant


def f1(hits: ListHits) -> np.ndarray:
    """Harmonic mean of the user's precision and recall, 0 where both are 0."""
    one, other = precision(hits), recall(hits)
    return 2 * one * other / np.maximum(one + other, np.finfo(float).tiny)


def ndcg(hits: ListHits) -> np.ndarray:
    """DCG / ideal DCG with binary gain (Järvelin & Kekäläinen, TOIS 2002)."""
    return hits.gain / hits.ideal_gain


def hit(hits: ListHits) -> np.ndarray:
    """1 if h > 0, otherwise 0."""
    return hits.n_hits > 0


def reciprocal_rank(hits: ListHits) -> np.ndarray:
    """1 / rank of the first hit, 0 without a hit."""
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
