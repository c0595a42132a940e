"""Metrics of ranks: how high a model ranks the true head and the true tail of triples it has not seen.

Ranks are filtered (Bordes et al., NeurIPS 2013): other entities that would also make a known triple are left out. An
entity with the same score as the true one counts half (realistic rank).
"""

from __future__ import annotations

from functools import partial

import numpy as np

from kgplug.evaluation.metrics.metric import Better, Metric, Need, Shown

HITS = (1, 3, 10)
_HEAD, _TAIL = 0, 1


def mean_reciprocal_rank(ranks: np.ndarray) -> float:
    """Return the mean of 1 / rank over heads and tails. `ranks`: float64 (n, 2), columns head and tail."""
    return float((1 / ranks).mean(axis=0).mean())


def mean_reciprocal_rank_of(ranks: np.ndarray, end: int) -> float:
    """Return the mean of 1 / rank over the heads (end 0) or the tails (end 1). `ranks`: float64 (n, 2)."""
    return float((1 / ranks).mean(axis=0)[end])


def hits(ranks: np.ndarray, k: int) -> float:
    """Return the share of ranks that are at most k. `ranks`: float64 (n, 2), columns head and tail."""
    return float((ranks <= k).mean())


MRR = Metric[np.ndarray](
    name="MRR",
    better=Better.HIGHER,
    needs=(Need.TRIPLES,),
    shown=Shown.LINE,
    description="mean of 1 / rank of the true head and the true tail among all entities",
    measure=mean_reciprocal_rank,
)

METRICS: tuple[Metric[np.ndarray], ...] = (
    MRR,
    *(
        Metric[np.ndarray](
            name=f"hits@{k}",
            better=Better.HIGHER,
            needs=(Need.TRIPLES,),
            shown=Shown.PICTURE,
            description=f"share of true heads and tails at a rank up to {k}",
            measure=partial(hits, k=k),
        )
        for k in HITS
    ),
    *(
        Metric[np.ndarray](
            name=f"MRR {ends}",
            better=Better.HIGHER,
            needs=(Need.TRIPLES,),
            shown=Shown.SUMMARY,
            description=f"MRR of the true {ends} alone",
            measure=partial(mean_reciprocal_rank_of, end=end),
        )
        for end, ends in ((_HEAD, "heads"), (_TAIL, "tails"))
    ),
)
"""Each takes ranks from 1, float64 (n, 2), of the heads and the tails of n triples, and returns a float."""
