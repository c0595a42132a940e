"""The area under the ROC curve."""

from __future__ import annotations

import numpy as np


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the area under the ROC curve: the probability that a positive scores above a negative, ties counting half.

    The result is exact: it is computed from ranks (Mann–Whitney U). NaN if all labels are equal, or a score is NaN.

    Args:
        labels: bool (n,), true for positives.
        scores: float (n,).
    """
    labels = np.asarray(labels, dtype=bool)
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if positives == 0 or negatives == 0 or np.isnan(scores).any():
        return float("nan")
    ranks = _mean_ranks(np.asarray(scores, dtype=np.float64))
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / positives / negatives)


def auc_by_group(labels: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split the AUC of n scores into one value per group, such as per user. The mean of these values is the AUC.

    The placement of a positive is the share of negatives with a lower score. The placement of a negative is the share
    of positives with a higher score. Ties count half. With G groups, the value of a group is AUC + G · (sum over its
    positives of (placement - AUC) / number of all positives + sum over its negatives of (placement - AUC) / number of
    all negatives).

    The variance of the mean of these values estimates the variance of the AUC, even if the scores of one group depend
    on each other. To compare two models that scored the same examples, test the differences between their values per
    group.

    Source: N. A. Obuchowski, Biometrics 53(2), 1997; placements: DeLong, DeLong & Clarke-Pearson, Biometrics 44(3),
    1988.

    Args:
        labels: bool (n,), true for positives.
        scores: float (n,).
        groups: int64 (n,), the group of each score, such as its user.

    Returns:
        (groups, values): int64 (G,), ascending, and float64 (G,). All values are NaN if the AUC is undefined:
        if all n labels are equal, or a score is NaN.
    """
    labels = np.asarray(labels, dtype=bool)
    names, place = np.unique(groups, return_inverse=True)
    whole = auc(labels, scores)
    if np.isnan(whole):
        return names, np.full(len(names), np.nan)
    scores = np.asarray(scores, dtype=np.float64)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    above = _mean_ranks(scores)
    placement = np.empty(len(labels))
    placement[labels] = (above[labels] - _mean_ranks(scores[labels])) / negatives
    placement[~labels] = 1 - (above[~labels] - _mean_ranks(scores[~labels])) / positives
    weight = np.where(labels, 1 / positives, 1 / negatives)
    values = np.bincount(place, weights=(placement - whole) * weight, minlength=len(names))
    return names, whole + len(names) * values


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
