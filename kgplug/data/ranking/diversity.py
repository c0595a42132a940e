"""Lists whose items differ from each other: maximal marginal relevance."""

from __future__ import annotations

import numpy as np

from kgplug.data.ranking.ties import ROUNDING

POOL = 10  # candidates a place of the list
_BLOCK_FLOATS = 4_000_000  # numbers in the candidates' vectors held at a time (16 MB)


def rerank(
    items: np.ndarray, scores: np.ndarray, vectors: np.ndarray, k: int, *, diversity: float
) -> tuple[np.ndarray, np.ndarray]:
    """Choose k of each row's candidates one after the other: the good one that is least like those chosen before.

    Each place goes to the greatest `(1 - diversity) · relevance(i) - diversity · max_{j chosen} cos(i, j)`, the
    second term being 0 at the first place. Relevance is the score, stretched so that a row's candidates run from
    0 to 1; of those that are equal but for rounding the better scored is taken.

    Source: J. Carbonell, J. Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and
    Producing Summaries", SIGIR 1998, with λ = 1 - diversity.

    Args:
        items: int64 (n, m), candidates, best first, -1 past a row's end.
        scores: float32 (n, m).
        vectors: float32 (n_items, d); an item with a zero vector is like no other.
        k: at most m.
        diversity: from 0, which changes nothing, to 1.

    Returns:
        (items, scores): int64 and float32 (n, k) in the order of choice; scores are the given ones, so they need
        not descend; -1 and -inf past a row's end.
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norms, out=np.zeros(vectors.shape, dtype=np.float32), where=norms > 0)
    chosen, values = np.empty((len(items), k), dtype=np.int64), np.empty((len(items), k), dtype=np.float32)
    rows = max(1, _BLOCK_FLOATS // max(1, items.shape[1] * vectors.shape[1]))
    for start in range(0, len(items), rows):
        block = slice(start, start + rows)
        places = _choose(_relevance(scores[block]), unit[items[block]], items[block] >= 0, k, diversity)  # (b, k)
        listed = places >= 0
        chosen[block] = np.where(listed, np.take_along_axis(items[block], places, axis=1), -1)
        values[block] = np.where(listed, np.take_along_axis(scores[block], places, axis=1), -np.inf)
    return chosen, values


def _relevance(scores: np.ndarray) -> np.ndarray:
    """Stretch each row's finite scores to run from 0 to 1: (b, m) → (b, m), 0 where a row has no spread."""
    known = np.isfinite(scores)
    low = np.where(known, scores, np.inf).min(axis=1, keepdims=True)
    high = np.where(known, scores, -np.inf).max(axis=1, keepdims=True)
    spread = np.isfinite(low) & (high > low)
    low, width = np.where(spread, low, 0), np.where(spread, high - low, 1)
    return np.where(known & spread, (np.where(known, scores, low) - low) / width, 0)


def _choose(relevance: np.ndarray, unit: np.ndarray, is_open: np.ndarray, k: int, diversity: float) -> np.ndarray:
    """Return the chosen columns, int64 (b, k), -1 past a row's end: (b, m), (b, m, d), bool (b, m)."""
    rows = np.arange(len(relevance))
    places = np.empty((len(relevance), k), dtype=np.int64)
    nearest = np.zeros_like(relevance)  # (b, m), greatest cosine to what is chosen
    for place in range(k):
        value = np.where(is_open, (1 - diversity) * relevance - diversity * nearest, -np.inf)
        # Candidates whose values differ by rounding alone: the first of them, on any processor.
        best = (value >= value.max(axis=1, keepdims=True) - np.float32(ROUNDING)).argmax(axis=1)
        places[:, place] = np.where(is_open[rows, best], best, -1)
        is_open[rows, best] = False
        cosines = np.matmul(unit, unit[rows, best][:, :, None])[:, :, 0]  # (b, m)
        nearest = cosines if place == 0 else np.maximum(nearest, cosines)
    return places
