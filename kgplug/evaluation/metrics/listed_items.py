"""Metrics of all lists together: which items are listed, and how often."""

from __future__ import annotations

import numpy as np

from kgplug.evaluation.metrics.metric import Better, Metric, Need, Shown


def coverage(counts: np.ndarray) -> float:
    """Return the share of the catalogue that is in at least one list.

    Args:
        counts: (n_items,), number of lists that contain each item.
    """
    return float((counts > 0).mean())


def gini(counts: np.ndarray) -> float:
    """Return the Gini index of `counts`: 0 if items are listed equally often, 1 if only one is listed. NaN if none is.

    Shani & Gunawardana, "Evaluating Recommendation Systems", Recommender Systems Handbook 2011, section 8.3.6.

    Args:
        counts: (n_items,), number of lists that contain each item; n_items is at least 2.
    """
    n, total = len(counts), float(counts.sum())
    if n < 2 or total == 0:
        return float("nan")
    ascending = np.sort(counts).astype(np.float64)
    return float(((2 * np.arange(1, n + 1) - n - 1) * ascending).sum() / total / (n - 1))


COVERAGE = Metric[np.ndarray](
    name="coverage@k",
    better=Better.HIGHER,
    needs=(Need.LISTS,),
    shown=Shown.TABLE,
    description="share of the catalogue that is in at least one list",
    measure=coverage,
)
GINI = Metric[np.ndarray](
    name="Gini@k",
    better=Better.NEITHER,
    needs=(Need.LISTS,),
    shown=Shown.BEYOND,
    description="Gini index of how often items are listed: 0, all equally; 1, all lists hold the same item",
    measure=gini,
)

METRICS: tuple[Metric[np.ndarray], ...] = (COVERAGE, GINI)
"""Each takes the number of lists that contain each item, (n_items,), and returns a float."""
