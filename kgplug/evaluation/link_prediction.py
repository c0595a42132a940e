"""Link prediction: how high a model ranks true triples it has not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kgplug.errors import DataError

if TYPE_CHECKING:
    from kgplug.data.knowledge_graph import KnowledgeGraph
    from kgplug.embeddings.model import EmbeddingModel


def evaluate_link_prediction(model: EmbeddingModel, test: np.ndarray, known: np.ndarray) -> dict[str, float]:
    """Rank the true head and the true tail of each test triple among all entities.

    Filtered setting (Bordes et al., NeurIPS 2013): other answers known to be true do not count as
    competitors. Ties count half (realistic rank).

    Args:
        model: trained.
        test: int64 (n, 3).
        known: int64 (m, 3), all true triples (training, validation and test part).

    Returns:
        "MRR", "hits@1", "hits@3", "hits@10" over heads and tails together, and "MRR heads", "MRR tails".

    Raises:
        DataError: there is no test triple.
    """
    if len(test) == 0:
        raise DataError("Link prediction needs at least one test triple; found none.")
    ranks = model.ranks(test, known)  # (n, 2)
    reciprocal = (1 / ranks).mean(axis=0)
    return {
        "MRR": float(reciprocal.mean()),
        **{f"hits@{k}": float((ranks <= k).mean()) for k in (1, 3, 10)},
        "MRR heads": float(reciprocal[0]),
        "MRR tails": float(reciprocal[1]),
    }


def count_untrained(train: KnowledgeGraph, test: np.ndarray) -> int:
    """Return how many test triples have an end or a relation that is in no training triple: chance ranks those.

    Args:
        train: the training part.
        test: int64 (n, 3), in its numbers.
    """
    entities, relations = np.zeros(train.n_entities, dtype=bool), np.zeros(train.n_relations, dtype=bool)
    entities[train.triples[:, [0, 2]]], relations[train.triples[:, 1]] = True, True
    return int((~(entities[test[:, 0]] & relations[test[:, 1]] & entities[test[:, 2]])).sum())
