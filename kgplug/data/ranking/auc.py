"""The area under the ROC curve."""

from __future__ import annotations

import numpy as np


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the area under the ROC curve: the probability that a positive scores above a negative, ties counting half.

    Exact, from ranks (Mann–Whitney U). NaN if all labels are equal, or a score is NaN.

    Args:
        labels: bool (n,).
        scores: float (n,).
    """
    labels = np.asarray(labels, dtype=bool)
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if positives == 0 or negatives == 0 or np.isnan(scores).any():
        return float("nan")
    ranks = _mean_ranks(np.asarray(scores, dtype=np.float64))
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / positives / negatives)


def _mean_ranks(scores: np.ndarray) -> np.ndarray:
    """Return ranks, 1 for the lowest score; equal scores share their mean rank: (n,) → float64 (n,), n ≥ 1.

    `scipy.stats.rankdata` does the same, but importing it takes 40 MB.
    """
    order = np.argsort(scores)
    ascending = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]]))  # of groups of equal scores
    ends = np.append(starts[1:], len(scores))
    ranks = np.empty(len(scores))
    ranks[order] = np.repeat((starts + 1 + ends) / 2, ends - starts)
    return ranks
