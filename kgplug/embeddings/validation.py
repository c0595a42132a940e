"""The held-out triples that decide when a training stops."""

from __future__ import annotations

import numpy as np

from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.errors import DataError

VALIDATION_TRIPLES = 300  # ranked after each epoch, at most …
VALIDATION_FLOATS = 2_000_000_000  # … and no more than need so many numbers, but …
FEWEST_TRIPLES = 50


def validation_triples(
    valid: KnowledgeGraph | np.ndarray,
    knowledge: KnowledgeGraph,
    *,
    floats_per_score: int,
    seed: int,
    max_triples: int = VALIDATION_TRIPLES,
) -> np.ndarray:
    """Return a sample of the validation triples in the numbers of `knowledge`: int64 (n, 3).

    Args:
        floats_per_score: how many numbers the model holds for one score; costly models get a smaller sample.

    Raises:
        DataError: no validation triple is about entities and relations of `knowledge`.
    """
    triples = _renumbered(valid, knowledge) if isinstance(valid, KnowledgeGraph) else np.asarray(valid, dtype=np.int64)
    if len(triples) == 0:
        raise DataError("None of the validation triples is about entities and relations of the training triples.")
    affordable = VALIDATION_FLOATS // (2 * knowledge.n_entities * floats_per_score)
    max_triples = min(max_triples, max(FEWEST_TRIPLES, affordable))
    if len(triples) > max_triples:
        chosen = np.random.default_rng([seed, len(triples)]).choice(len(triples), max_triples, replace=False)
        triples = triples[np.sort(chosen)]
    return np.ascontiguousarray(triples)


def _renumbered(valid: KnowledgeGraph, knowledge: KnowledgeGraph) -> np.ndarray:
    """Return the triples of one graph in the numbers of another; those about anything it lacks are left out."""
    entities, relations = valid.indices_in(knowledge)
    head, relation, tail = valid.triples.T
    triples = np.stack([entities[head], relations[relation], entities[tail]], axis=1)
    return triples[(triples >= 0).all(axis=1)]
