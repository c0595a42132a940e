"""Diverse lists: maximal marginal relevance (MMR)."""

from __future__ import annotations

import numpy as np

from kgplug.data.ranking.ties import ROUNDING

POOL = 10  # candidates per list entry
_BLOCK_FLOATS = 4_000_000  # floats of candidate vectors in memory at a time (16 MB)


def rerank(
    items: np.ndarray, scores: np.ndarray, vectors: np.ndarray, k: int, *, diversity: float
) -> tuple[np.ndarray, np.ndarray]:
    """Choose k of each row's candidates one by one, trading relevance against similarity to those already chosen.

    Each step takes the candidate i with the greatest value of
    `(1 - diversity) · relevance(i) - diversity · max_{j chosen} cos(i, j)`. The second term is 0 in the first step.
    Relevance is the score, rescaled to [0, 1] over a row's candidates. If values differ only by rounding, the candidate
    with the better score is taken.

    Source: J. Carbonell, J. Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and
    Producing Summaries", SIGIR 1998, with λ = 1 - diversity.

    Args:
        items: int64 (n, m), candidates, best first; -1 fills rows that have fewer.
        scores: float32 (n, m), scores of the candidates.
        vectors: float32 (n_items, d). A zero vector is similar to nothing.
        k: length of the lists, at most m.
        diversity: 0 (no change) to 1.

    Returns:
        (items, scores): int64 and float32 (n, k) in the order of choice; -1 and -inf fill shorter lists. Scores are
        unchanged, so they may rise along a list.
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norms, out=np.zeros(vectors.shape, dtype=np.float32), where=norms > 0)
    chosen, values = np.empty((len(items), k), dtype=np.int64), np.empty((len(items), k), dtype=np.float32)
    rows = max(1, _BLOCK_FLOATS // max(1, items.shape[1] * vectors.shape[1]))
    for start in range(0, len(items), rows):
        block = slice(start, start + rows)
        positions = _choose(_relevance(scores[block]), unit[items[block]], items[block] >= 0, k, diversity)  # (b, k)
        listed = positions >= 0
        chosen[block] = np.where(listed, np.take_along_axis(items[block], positions, axis=1), -1)
        values[block] = np.where(listed, np.take_along_axis(scores[block], positions, axis=1), -np.inf)
    return chosen, values


def _relevance(scores: np.ndarray) -> np.ndarray:
    """Rescale each row's finite scores to [0, 1]: (b, m) → (b, m).

    Scores that are not finite become 0. So do a row's finite scores if all are equal.
    """
    known = np.isfinite(scores)
    low = np.where(known, scores, np.inf).min(axis=1, keepdims=True)
    high = np.where(known, scores, -np.inf).max(axis=1, keepdims=True)
    spread = np.isfinite(low) & (high > low)
    low, width = np.where(spread, low, 0), np.where(spread, high - low, 1)
    return np.where(known & spread, (np.where(known, scores, low) - low) / width, 0)


def _choose(relevance: np.ndarray, unit: np.ndarray, is_open: np.ndarray, k: int, diversity: float) -> np.ndarray:
    """Choose candidates as in `rerank`. Return their columns, int64 (b, k); -1 fills rows with fewer candidates.

    Args:
        relevance: float (b, m), from 0 to 1.
        unit: float32 (b, m, d), the candidates' vectors, scaled to length 1; zero vectors stay zero.
        is_open: bool (b, m), whether a candidate can be chosen. Overwritten.
        k, diversity: as in `rerank`.
    """
    rows = np.arange(len(relevance))
    positions = np.empty((len(relevance), k), dtype=np.int64)
    nearest = np.zeros_like(relevance)  # (b, m), greatest cosine to a chosen item
    for step in range(k):
        value = np.where(is_open, (1 - diversity) * relevance - diversity * nearest, -np.inf)
        # If values differ only by rounding, take the first candidate: the same one on any processor.
        best = (value >= value.max(axis=1, keepdims=True) - np.float32(ROUNDING)).argmax(axis=1)
        positions[:, step] = np.where(is_open[rows, best], best, -1)
        is_open[rows, best] = False
        cosines = np.matmul(unit, unit[rows, best][:, :, None])[:, :, 0]  # (b, m)
        nearest = cosines if step == 0 else np.maximum(nearest, cosines)
    return positions
