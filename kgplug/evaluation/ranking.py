"""Full ranking: how many of a user's test likes are at the top of the user's list.

The metrics are defined in `kgplug.evaluation.metrics.ranked_lists` and `kgplug.evaluation.metrics.listed_items`. Lists
come from the model's `recommend`, which orders tied items by their training likes, then by index. Only users who have a
relevant item are measured; the others are only counted. Metrics of single lists are means over users.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from kgplug.data.interactions import Interactions
from kgplug.data.values.keys import distinct
from kgplug.data.values.whole_numbers import is_whole
from kgplug.errors import DataError, UsageError
from kgplug.evaluation.metrics import listed_items, ranked_lists
from kgplug.evaluation.metrics.metric import Shown
from kgplug.evaluation.metrics.ranked_lists import measure_lists as measure_lists
from kgplug.recommenders.base import Recommender

BLOCK_USERS = 100_000  # number of users whose lists are in memory at a time


@dataclass(frozen=True)
class RankingResult:
    """Metrics of one model.

    Attributes:
        metrics: "precision@10" and so on → mean over users; "coverage@10" and so on → coverage by all lists together.
        users: Number of users measured.
        left_out: Number of users of the test set without a relevant row.
        by_user: Metrics of single lists, float64: one row per measured user, indexed by the user's index. The means of
            its columns are in `metrics`.
    """

    metrics: dict[str, float]
    users: int
    left_out: int
    by_user: pd.DataFrame


def check_lengths(k: int | Iterable[int]) -> tuple[int, ...]:
    """Return list lengths, ascending and without duplicates.

    Raises:
        UsageError: no length is given, or one is not a whole number of at least 1.
    """
    lengths = [k] if not isinstance(k, Iterable) else list(k)
    if not lengths or any(not is_whole(n) or n < 1 for n in lengths):
        raise UsageError(f"k: expected whole numbers from 1 on, such as (10, 20); found {k!r}.")
    return tuple(sorted({int(n) for n in lengths}))


def evaluate_ranking(
    model: Recommender,
    train: Interactions,
    test: Interactions,
    *,
    valid: Interactions | None = None,
    k: int | Iterable[int] = (10, 20),
    relevant: Literal["likes", "all"] = "likes",
) -> RankingResult:
    """Measure the lists of all users who have a relevant test row. Lists are ranked from the whole catalogue.

    Args:
        model: Model fitted on `train`.
        train, test, valid: Sets of one split. A user's list leaves out the items that this user has in `train` and
            `valid`.
        k: Lengths of the lists.
        relevant: Which test rows are relevant: "likes" for those that are likes, or "all".

    Raises:
        UsageError: `k` or `relevant` is wrong.
        DataError: no test row is relevant.
    """
    lengths = check_lengths(k)
    right = relevant_rows(test, relevant)
    measured: list[np.ndarray] = []
    found: list[np.ndarray] = []  # (lengths, metrics, b) each
    counts = np.zeros((len(lengths), test.n_items), dtype=np.int64)  # number of lists that contain each item
    for block, items in list_blocks(model, right, train, valid, lengths[-1]):
        measured.append(block)
        found.append(measure_lists(items, right, block, lengths))
        for number, length in enumerate(lengths):
            counts[number] += count_listed(items[:, :length], test.n_items)
    users, values = np.concatenate(measured), np.concatenate(found, axis=2)  # (n,), (lengths, metrics, n)
    columns = [metric.column(length) for length in lengths for metric in ranked_lists.METRICS]
    by_user = pd.DataFrame(values.reshape(len(columns), -1).T, index=users, columns=columns)
    metrics: dict[str, float] = {}
    for number, length in enumerate(lengths):
        for metric, total in zip(ranked_lists.METRICS, values[number].sum(axis=1), strict=True):
            metrics[metric.column(length)] = float(total / len(users))
        for metric in listed_items.METRICS:
            if metric.shown <= Shown.TABLE:
                metrics[metric.column(length)] = metric.measure(counts[number])
    return RankingResult(metrics, len(users), len(distinct(test.users)) - len(users), by_user)


def count_listed(lists: np.ndarray, n_items: int) -> np.ndarray:
    """Return how many lists contain each item: int64 (n_items,).

    Args:
        lists: int64 (n, k), item indices; -1 past a list's end.
        n_items: Number of items.
    """
    return np.bincount(lists[lists >= 0], minlength=n_items)


def relevant_rows(test: Interactions, relevant: Literal["likes", "all"]) -> Interactions:
    """Return the test rows that are relevant.

    Raises:
        UsageError: `relevant` is not "likes" or "all".
        DataError: no test row is relevant.
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
    """Yield the lists of all users with a row in `right`, in blocks (users, items): int64 (b,), int64 (b, width).

    Lists have at most `width` items, -1 past their end. A user's list leaves out the items that this user has in
    `train` and `valid`.
    """
    users = distinct(right.users)
    seen = _joined(train, *(() if valid is None else (valid,)))
    for start in range(0, len(users), BLOCK_USERS):
        block = users[start : start + BLOCK_USERS]
        yield block, model.recommend(block, width, also_seen=seen)[0]


def _joined(*parts: Interactions) -> Interactions:
    """Join the rows of several sets of one split; their ratings and timestamps are dropped.

    A user who is also an item gets one more row, which pairs the user with itself. So this item counts as seen.
    """
    first = parts[0]
    return replace(
        first,
        users=np.concatenate([*(part.users for part in parts), first.own_pairs // max(first.n_items, 1)]),
        items=np.concatenate([*(part.items for part in parts), first.own_pairs % max(first.n_items, 1)]),
        ratings=None,
        timestamps=None,
        counts=None,
        ratings_are_counts=False,
        weights=None,
    )
