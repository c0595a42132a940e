"""Properties of a model's lists other than accuracy, and accuracy for cold and hot users and items.

The metrics are defined in `kgplug.evaluation.metrics.list_contents` and `kgplug.evaluation.metrics.listed_items`.

Accuracy by groups: cold items and users have fewer than `cold` (default 5) likes in the training set; all others are
hot. AUC is measured on the labelled (user, item) pairs of the group's users or items. recall@k and NDCG@k of a user
group are means over its users. For an item group, only its items count as relevant. AUC is NaN if the group has no
pairs; recall@k and NDCG@k are NaN if it has no relevant test rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np

from kgplug.data.interactions import Interactions
from kgplug.data.list_hits import list_hits
from kgplug.data.values.whole_numbers import is_whole
from kgplug.errors import UsageError
from kgplug.evaluation.ctr import LabelledPairs
from kgplug.evaluation.metrics import click_through, list_contents, listed_items, ranked_lists
from kgplug.evaluation.metrics.catalogue import GROUPS
from kgplug.evaluation.metrics.click_through import ScoredPairs
from kgplug.evaluation.metrics.list_contents import Features, ListContents
from kgplug.evaluation.metrics.list_contents import intra_list_diversity as intra_list_diversity
from kgplug.evaluation.metrics.list_contents import mean_popularity as mean_popularity
from kgplug.evaluation.metrics.list_contents import novelty as novelty
from kgplug.evaluation.metrics.listed_items import gini as gini
from kgplug.evaluation.metrics.metric import mean_of_known
from kgplug.evaluation.ranking import check_lengths, count_listed, list_blocks, relevant_rows
from kgplug.recommenders.base import Recommender

COLD = 5  # number of training likes below which a user or item is cold


def evaluate_beyond(
    model: Recommender,
    train: Interactions,
    test: Interactions,
    *,
    valid: Interactions | None = None,
    k: int | Iterable[int] = (10, 20),
    relevant: Literal["likes", "all"] = "likes",
    cold: int = COLD,
    features: Features | None = None,
    pairs: LabelledPairs | None = None,
    scores: np.ndarray | None = None,
) -> dict[str, float]:
    """Measure properties of lists other than accuracy, and accuracy by groups, for users who have a relevant test row.

    Args:
        model, train, test, valid, k: As in `evaluate_ranking`.
        relevant: Which test rows are relevant: "likes" for those that are likes, or "all".
        cold: Number of training likes below which a user or item is cold.
        features: Features of each item, float (n_items, f), dense or CSR. They give the similarity of items. If
            omitted, an item's features are the users who liked it in training.
        pairs: n labelled pairs, for AUC by groups; None: no AUC.
        scores: The model's scores of `pairs`, float32 (n,); None: no AUC.

    Returns:
        The metrics of this module by name, such as "novelty@10", "AUC cold items" and "NDCG@10 hot users". Also
        "cold items", the number of cold items in the catalogue, and "cold users", the number of cold users measured.

    Raises:
        UsageError: an argument is wrong.
        DataError: no test row is relevant.
    """
    if not is_whole(cold) or cold < 1:
        raise UsageError(
            f"cold: expected a number of training likes, a whole number of at least 1 such as 5; found {cold!r}."
        )
    lengths = check_lengths(k)
    right = relevant_rows(test, relevant)
    blocks = list(list_blocks(model, right, train, valid, lengths[-1]))
    users, items = (np.concatenate(part) for part in zip(*blocks, strict=True))  # (n,), (n, width)
    liked = train.likes()
    item_likes = np.bincount(liked.items, minlength=train.n_items)
    cold_item, cold_user = item_likes < cold, np.bincount(liked.users, minlength=train.n_users) < cold
    alike_by = liked.matrix().T.tocsr() if features is None else features  # (n_items, n_users or f)
    metrics: dict[str, float] = {}
    for length in lengths:
        lists = items[:, :length]
        metrics |= _of_lists(ListContents(lists, item_likes, train.n_users, alike_by), length)
    everybody, everything = np.ones(train.n_users, dtype=bool), np.ones(train.n_items, dtype=bool)
    members = ((~cold_user, everything), (cold_user, everything), (everybody, ~cold_item), (everybody, cold_item))
    for group, (of_users, of_items) in zip(GROUPS, members, strict=True):
        if pairs is not None and scores is not None:
            metrics |= _click_through(group, pairs, scores, of_users[pairs.users] & of_items[pairs.items])
        metrics |= _accuracy(group, items, right, users, lengths, of_users, of_items)
    return metrics | {"cold users": int(cold_user[users].sum()), "cold items": int(cold_item.sum())}


def _of_lists(lists: ListContents, k: int) -> dict[str, float]:
    """Return the metrics of lists of length k."""
    counts = count_listed(lists.items, len(lists.likes))
    all_lists = {metric: metric.measure(counts) for metric in listed_items.METRICS}
    each_list = {metric: mean_of_known(metric.measure(lists)) for metric in list_contents.METRICS}
    return {metric.column(k): value for metric, value in (each_list | all_lists).items()}


def _click_through(group: str, pairs: LabelledPairs, scores: np.ndarray, member: np.ndarray) -> dict[str, float]:
    """Return a group's click-through metrics: those of the pairs where `member`, bool (n,), is true."""
    some = ScoredPairs(pairs.labels[member], scores[member])
    return {f"{metric.name} {group}": metric.measure(some) for metric in click_through.METRICS if metric.by_group}


def _accuracy(
    group: str,
    items: np.ndarray,
    right: Interactions,
    users: np.ndarray,
    lengths: tuple[int, ...],
    of_users: np.ndarray,
    of_items: np.ndarray,
) -> dict[str, float]:
    """Return the list metrics of a group: the lists of its users are measured, and only its items count as relevant.

    For a group of users, `of_items` is all true; for a group of items, `of_users` is all true.

    Args:
        group: Name of the group.
        items: Lists, int64 (n, width).
        right: Relevant test rows.
        users: User of each list, int64 (n,).
        lengths: Lengths of the lists.
        of_users, of_items: Whether each user and each item is in the group, bool (n_users,) and (n_items,).
    """
    rows = right.take(of_items[right.items])
    wanted = of_users[users] & (np.bincount(rows.users, minlength=right.n_users)[users] > 0)
    chosen = [metric for metric in ranked_lists.METRICS if metric.by_group]
    if not wanted.any():
        return {f"{metric.column(k)} {group}": float("nan") for k in lengths for metric in chosen}
    found = list_hits(items[wanted], rows, users[wanted], lengths)
    return {
        f"{metric.column(hits.k)} {group}": float(metric.measure(hits).mean()) for hits in found for metric in chosen
    }
