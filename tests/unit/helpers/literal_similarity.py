"""How rows of likes compare, row by row: what KNN models shall find."""

from __future__ import annotations

import math

import numpy as np


def literal_similarity(likes: np.ndarray, weighting: str) -> np.ndarray:
    """Compare all rows of a table of 0 and 1, (n, m) → (n, n), 0 on the diagonal.

    BM25 with k1 = 1.2 and b = 0.75: dot products; TF-IDF and plain likes: cosines.
    """
    n, weighted = len(likes), np.zeros(likes.shape)
    for row, column in zip(*np.nonzero(likes), strict=True):
        idf = math.log(n / (1 + likes[:, column].sum()))
        length = likes[row].sum() / (likes.sum() / n)
        bm25 = 1 * (1.2 + 1) / (1.2 * (1 - 0.75 + 0.75 * length) + 1) * idf
        weighted[row, column] = {"bm25": bm25, "tfidf": idf, "cosine": 1}[weighting]
    similar = np.zeros((n, n))
    for x in range(n):
        for y in range(n):
            norms = 1 if weighting == "bm25" else np.linalg.norm(weighted[x]) * np.linalg.norm(weighted[y])
            if x != y and norms > 0:
                similar[x, y] = weighted[x] @ weighted[y] / norms
    return similar


def nearest_only(similar: np.ndarray, neighbours: int) -> np.ndarray:
    """Return the same with all but the largest of each row 0; of equal ones the first stay."""
    kept = np.zeros(similar.shape)
    for row, values in enumerate(similar):
        for column in np.argsort(-values, kind="stable")[:neighbours]:
            kept[row, column] = values[column]
    return kept
