"""Full ranking: how much of what a user liked in the test part stands at the top of its list.

For one user with R relevant items, and a list whose first K places hold h of them:

    precision@K  h / K, also where the list is shorter than K
    recall@K     h / R
    F1@K         harmonic mean of the user's precision and recall, 0 where both are 0
    NDCG@K       DCG / ideal DCG; DCG sums 1 / log2(1 + place) over hits, and the ideal list
                 has min(R, K) hits at its top (Järvelin & Kekäläinen, TOIS 2002, binary gain)
    hit@K        1 where h > 0
    MRR@K        1 / place of the first hit, 0 without one
    coverage@K   share of the catalogue that stands in at least one list (not a mean over users)

Lists are those that `recommend` gives: tied items stand by their training likes, then by number, so rounding decides
no figure. Figures are means over the users that have a relevant item; the others are counted, not measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from kgplug.data.interactions import Interactions
from kgplug.data.values.keys import distinct
from kgplug.errors import DataError, UsageError
from kgplug.recommenders.base import Recommender

BLOCK_USERS = 100_000  # whose lists are held at a time


@dataclass(frozen=True)
class RankingResult:
    """Figures of one model.

    Attributes:
        figures: "precision@10" and so on → mean over users.
        users: how many users were measured.
        left_out: how many users of the test part had no relevant row.
    """

    figures: dict[str, float]
    users: int
    left_out: int


def check_lengths(k: int | Iterable[int]) -> tuple[int, ...]:
    """Return list lengths, ascending and once each.

    Raises:
        UsageError: none is given, or one is not a whole number from 1 on.
    """
    lengths = [k] if not isinstance(k, Iterable) else list(k)
    if not lengths or any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1 for n in lengths):
        raise UsageError(f"k: expected whole numbers from 1 on, such as (10, 20); found {k!r}.")
    return tuple(sorted({int(n) for n in lengths}))


def measure_lists(items: np.ndarray, relevant: Interactions, users: np.ndarray, k: tuple[int, ...]) -> np.ndarray:
    """Return the figures of each user's list.

    Args:
        items: int64 (n, at least max(k), or the whole catalogue), best first, -1 past a list's end.
        relevant: rows that count as right.
        users: int64 (n,), each with at least one relevant row, whose lists these are.
        k: ascending list lengths.

    Returns:
        float64 (len(k), 6, n): precision, recall, F1, NDCG, hit, MRR.
    """
    pairs = np.sort(relevant.pairs)
    codes = np.where(items < 0, -1, users[:, None] * np.int64(relevant.n_items) + items)  # (n, width)
    place = np.minimum(np.searchsorted(pairs, codes), len(pairs) - 1)
    hits = pairs[place] == codes  # (n, width)
    n_relevant = np.bincount(relevant.users, minlength=relevant.n_users)[users]  # (n,)
    width = items.shape[1]
    longest = max(width, min(k[-1], int(n_relevant.max())))  # k may be far longer than the catalogue
    discount = 1.0 / np.log2(np.arange(2, longest + 2))  # (width or more,)
    ideal = np.concatenate([[0.0], np.cumsum(discount)])  # by number of hits
    gained = np.cumsum(hits * discount[:width], axis=1)  # (n, width)
    found = np.cumsum(hits, axis=1)
    first = np.where(hits.any(axis=1), hits.argmax(axis=1), width)  # place from 0
    figures = np.empty((len(k), 6, len(users)))
    for number, length in enumerate(k):
        last = min(length, width) - 1
        h = found[:, last]
        precision, recall = h / float(length), h / n_relevant
        both = np.maximum(precision + recall, np.finfo(float).tiny)
        ndcg = gained[:, last] / ideal[np.minimum(n_relevant, min(length, longest))]
        reciprocal = np.where(first <= last, 1.0 / (first + 1), 0.0)
        figures[number] = precision, recall, 2 * precision * recall / both, ndcg, h > 0, reciprocal
    return figures


def evaluate_ranking(
    model: Recommender,
    train: Interactions,
    test: Interactions,
    *,
    valid: Interactions | None = None,
    k: int | Iterable[int] = (10, 20),
    relevant: Literal["likes", "all"] = "likes",
) -> RankingResult:
    """Measure the lists of every user that has a relevant test row, against the whole catalogue.

    Args:
        model: fitted on `train`.
        train, test, valid: parts of one split; rows of `train` and `valid` are left out of the lists.
        k: list lengths.
        relevant: "likes": the test rows that are likes; "all": all of them.

    Raises:
        UsageError: a word or length is wrong.
        DataError: no test row is relevant.
    """
    lengths = check_lengths(k)
    right = relevant_rows(test, relevant)
    n_users = 0
    totals = np.zeros((len(lengths), 6))
    listed = np.zeros((len(lengths), test.n_items), dtype=bool)
    for block, items in list_blocks(model, right, train, valid, lengths[-1]):
        n_users += len(block)
        totals += measure_lists(items, right, block, lengths).sum(axis=2)
        for number, length in enumerate(lengths):
            shown = items[:, :length]
            listed[number, shown[shown >= 0]] = True
    figures: dict[str, float] = {}
    for number, length in enumerate(lengths):
        for name, total in zip(("precision", "recall", "F1", "NDCG", "hit", "MRR"), totals[number], strict=True):
            figures[f"{name}@{length}"] = float(total / n_users)
        figures[f"coverage@{length}"] = float(listed[number].mean())
    return RankingResult(figures, n_users, len(distinct(test.users)) - n_users)


def relevant_rows(test: Interactions, relevant: Literal["likes", "all"]) -> Interactions:
    """Return the test rows that count as right.

    Raises:
        UsageError: the word is neither.
        DataError: there is no such row.
    """
    if relevant not in ("likes", "all"):
        raise UsageError(f'relevant: expected "likes" or "all", found {relevant!r}.')
    right = test.likes() if relevant == "likes" else test
    if len(right) == 0:
        raise DataError(f"Ranking needs a relevant test row, and none of the {len(test):,} rows is a like.")
    return right


def list_blocks(
    model: Recommender, right: Interactions, train: Interactions, valid: Interactions | None, width: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (users, items) of the lists of everybody with a row in `right`: int64 (b,), int64 (b, width)."""
    users = distinct(right.users)
    seen = _joined(train, *(() if valid is None else (valid,)))
    for start in range(0, len(users), BLOCK_USERS):
        block = users[start : start + BLOCK_USERS]
        yield block, model.recommend(block, width, also_seen=seen)[0]


def _joined(*parts: Interactions) -> Interactions:
    """Return the pairs of parts of one split, and of each user with itself, without ratings and timestamps."""
    first = parts[0]
    return replace(
        first,
        users=np.concatenate([*(part.users for part in parts), first.own_pairs // max(first.n_items, 1)]),
        items=np.concatenate([*(part.items for part in parts), first.own_pairs % max(first.n_items, 1)]),
        ratings=None,
        timestamps=None,
        counts=None,
        ratings_are_counts=False,
    )
