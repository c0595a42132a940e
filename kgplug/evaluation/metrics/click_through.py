"""Metrics of scored pairs: does a model separate liked items from items without feedback?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kgplug.data.ranking.auc import auc
from kgplug.evaluation.metrics.metric import Better, Metric, Need, Shown


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """Pairs of users and items, with true labels and a model's scores.

    Attributes:
        labels: bool (n,), whether the user liked the item.
        scores: float (n,).
        threshold: Score from which a pair counts as liked.
    """

    labels: np.ndarray
    scores: np.ndarray
    threshold: float = 0.5


def accuracy(labels: np.ndarray, scores: np.ndarray, threshold: float = 0.5) -> float:
    """Return the share of pairs on the right side of the threshold: likes at or above, others below. NaN without pairs.

    Args:
        labels: bool (n,), whether the user liked the item.
        scores: float (n,).
        threshold: Score from which a pair counts as liked.
    """
    if len(labels) == 0:
        return float("nan")
    return float(((np.asarray(scores) >= threshold) == np.asarray(labels, dtype=bool)).mean())


AUC = Metric[ScoredPairs](
    name="AUC",
    better=Better.HIGHER,
    needs=(Need.LIKES, Need.NEGATIVES),
    shown=Shown.LINE,
    description="probability that a liked item has a higher score than an item without feedback; ties count half",
    measure=lambda pairs: auc(pairs.labels, pairs.scores),
    by_group=True,
)
ACC = Metric[ScoredPairs](
    name="ACC",
    better=Better.HIGHER,
    needs=(Need.LIKES, Need.NEGATIVES),
    shown=Shown.SUMMARY,
    description="share of pairs on the right side of the threshold",
    measure=lambda pairs: accuracy(pairs.labels, pairs.scores, pairs.threshold),
)

METRICS: tuple[Metric[ScoredPairs], ...] = (AUC, ACC)
"""Each takes `ScoredPairs` and returns a float; NaN if undefined."""
