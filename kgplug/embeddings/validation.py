"""The validation triples that decide when a training stops."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.errors import DataError, UsageError

MAX_TRIPLES = 300  # maximum number of triples ranked after each epoch
MAX_FLOATS = 2_000_000_000  # maximum number of floats computed to rank them; if 300 triples need more, fewer are ranked
MIN_TRIPLES = 50  # this many are ranked even if they need more floats


class Validation(NamedTuple):
    """Triples to rank after each epoch.

    Attributes:
        triples: int64 (n, 3), the validation triples.
        known: int64 (m, 3), further true triples. Ranks are filtered: other entities that would also make a true triple
            are left out.
    """

    triples: np.ndarray
    known: np.ndarray


class LabelledTriples(NamedTuple):
    """Validation triples that are labelled true or false. The validation metric is the AUC of their scores.

    Attributes:
        triples: int64 (n, 3), in the indices of the training graph.
        labels: bool (n,), whether each triple is true. Both values must occur.
    """

    triples: np.ndarray
    labels: np.ndarray


def labelled_triples(valid: LabelledTriples, knowledge: KnowledgeGraph) -> LabelledTriples:
    """Check labelled triples, and return them with arrays of the types int64 and bool.

    Raises:
        UsageError: An array has another shape or type, an index is not in `knowledge`, or all labels are equal.
    """
    triples, labels = np.asarray(valid.triples), np.asarray(valid.labels)
    sizes = knowledge.n_entities, knowledge.n_relations, knowledge.n_entities
    if (
        triples.shape != (len(triples), 3)
        or not np.issubdtype(triples.dtype, np.integer)
        or (triples < 0).any()
        or (triples >= sizes).any()
    ):
        raise UsageError(
            f"LabelledTriples: triples must be integers (n, 3), with entities below {sizes[0]:,} and relations below "
            f"{sizes[1]:,}; found {triples.dtype} {triples.shape}, or an index that is not in the training graph."
        )
    if labels.dtype != bool or labels.shape != (len(triples),) or labels.all() or not labels.any():
        raise UsageError(
            f"LabelledTriples: labels must be bool ({len(triples)},), some true and some false; found {labels.dtype} "
            f"{labels.shape}, {np.count_nonzero(labels):,} of them true."
        )
    return LabelledTriples(triples.astype(np.int64), labels)


def validation_triples(
    valid: KnowledgeGraph | np.ndarray,
    knowledge: KnowledgeGraph,
    *,
    floats_per_score: int,
    seed: int,
    max_triples: int = MAX_TRIPLES,
) -> np.ndarray:
    """Return a sample of the validation triples, in the indices of `knowledge`: int64 (n, 3).

    Args:
        valid: A graph, or int64 (n, 3) in the indices of `knowledge`.
        knowledge: The training triples.
        floats_per_score: Number of floats in memory for one score. If it is large, the sample is smaller.
        seed: Seed of the sample.
        max_triples: Maximum size of the sample.

    Raises:
        DataError: there is no validation triple, or each contains an entity or relation that is not in `knowledge`.
    """
    triples = _reindexed(valid, knowledge) if isinstance(valid, KnowledgeGraph) else np.asarray(valid, dtype=np.int64)
    if len(triples) == 0:
        raise DataError(
            "Every validation triple contains an entity or relation without a training triple. Use another split."
        )
    affordable = MAX_FLOATS // (2 * knowledge.n_entities * floats_per_score)
    max_triples = min(max_triples, max(MIN_TRIPLES, affordable))
    if len(triples) > max_triples:
        chosen = np.random.default_rng([seed, len(triples)]).choice(len(triples), max_triples, replace=False)
        triples = triples[np.sort(chosen)]
    return np.ascontiguousarray(triples)


def _reindexed(valid: KnowledgeGraph, knowledge: KnowledgeGraph) -> np.ndarray:
    """Return the triples of `valid` in the indices of `knowledge`. Skip those with an unknown entity or relation."""
    entities, relations = valid.indices_in(knowledge)
    head, relation, tail = valid.triples.T
    triples = np.stack([entities[head], relations[relation], entities[tail]], axis=1)
    return triples[(triples >= 0).all(axis=1)]
