"""TransE's scores and gradients of a batch, by compiled loops (numba) that copy no vectors."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, fastmath=True)
def translation_scores(
    entities: np.ndarray, relations: np.ndarray, triples: np.ndarray, others: np.ndarray, n_tails: int
) -> np.ndarray:
    """Return −‖h + r − t‖ of each triple and of its corruptions.

    Args:
        entities: Entity vectors, float32 (n_entities, d).
        relations: Relation vectors, float32 (n_relations, d).
        triples: int64 (b, 3).
        others: int64 (b, k), entities that replace the tail in the first `n_tails` triples, and the head in all later
            triples.
        n_tails: Number of triples whose tail is replaced.

    Returns:
        float32 (b, 1 + k): in each row, the score of the triple itself, then those of its k corruptions.
    """
    b, k = others.shape
    scores = np.empty((b, 1 + k), dtype=np.float32)
    for i in range(b):
        relation = relations[triples[i, 1]]
        for c in range(1 + k):
            head = entities[others[i, c - 1] if c > 0 and i >= n_tails else triples[i, 0]]
            tail = entities[others[i, c - 1] if c > 0 and i < n_tails else triples[i, 2]]
            squared = np.float32(0)
            for j in range(len(relation)):
                squared += (head[j] + relation[j] - tail[j]) ** 2
            scores[i, c] = -np.sqrt(squared)
    return scores


@numba.njit(cache=True, nogil=True, fastmath=True)
def translation_gradients(
    entities: np.ndarray,
    relations: np.ndarray,
    triples: np.ndarray,
    others: np.ndarray,
    n_tails: int,
    scores: np.ndarray,
    grad: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of the loss with respect to `entities` and to `relations`: float32, same shapes.

    Args:
        entities, relations, triples, others, n_tails: As in `translation_scores`.
        scores: Result of `translation_scores`.
        grad: Gradient of the loss with respect to the scores, float32 (b, 1 + k).
    """
    b, k = others.shape
    to_entities, to_relations = np.zeros_like(entities), np.zeros_like(relations)
    for i in range(b):
        relation, to_relation = relations[triples[i, 1]], to_relations[triples[i, 1]]
        for c in range(1 + k):
            if grad[i, c] == 0 or scores[i, c] == 0:
                continue
            h = others[i, c - 1] if c > 0 and i >= n_tails else triples[i, 0]
            t = others[i, c - 1] if c > 0 and i < n_tails else triples[i, 2]
            head, tail, to_head, to_tail = entities[h], entities[t], to_entities[h], to_entities[t]
            factor = grad[i, c] / scores[i, c]  # the gradient of −‖v‖ is −v / ‖v‖
            for j in range(len(relation)):
                change = factor * (head[j] + relation[j] - tail[j])
                to_head[j] += change
                to_tail[j] -= change
                to_relation[j] += change
    return to_entities, to_relations
