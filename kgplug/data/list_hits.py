"""Find relevant items in users' lists, and compute NDCG, the metric used to choose settings and to sort tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kgplug.data.interactions import Interactions


@dataclass(frozen=True, eq=False)
class ListHits:
    """The hits in n users' lists. A hit is a relevant item among the first k items of its user's list.

    Attributes:
        k: Length at which the lists are cut; a list may be shorter.
        n_hits: int64 (n,), number of hits.
        n_relevant: int64 (n,), number R of the user's relevant items, at least 1.
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
    """Return the hits in users' lists: one `ListHits` per length in `k`.

    Args:
        items: int64 (n, width), item indices, best first, -1 past a list's end; width ≥ min(max(k), n_items).
        relevant: One row per user and relevant item.
        users: int64 (n,), user of each list. Every one of them has a row in `relevant`.
        k: Lengths at which the lists are cut, ascending.
    """
    pairs = np.sort(relevant.pairs)
    codes = np.where(items < 0, -1, users[:, None] * np.int64(relevant.n_items) + items)  # (n, width)
    place = np.minimum(np.searchsorted(pairs, codes), len(pairs) - 1)
    is_hit: np.ndarray = pairs[place] == codes  # (n, width)
    n_relevant = np.bincount(relevant.users, minlength=relevant.n_users)[users]  # (n,)
    width: int = items.shape[1]
    longest = max(width, min(k[-1], int(n_relevant.max())))  # k may be far greater than the number of items
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


def ndcg(hits: ListHits) -> np.ndarray:
    """Return DCG / ideal DCG of each list, float64 (n,), with binary gain (Järvelin & Kekäläinen, TOIS 2002)."""
    return hits.gain / hits.ideal_gain
