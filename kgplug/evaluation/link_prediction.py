"""Link prediction: how high a model ranks true triples it has not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kgplug.errors import DataError
from kgplug.evaluation.metrics import link_prediction

if TYPE_CHECKING:
    from kgplug.data.knowledge_graph import KnowledgeGraph
    from kgplug.embeddings.link_predictor import LinkPredictor


def evaluate_link_prediction(model: LinkPredictor, test: np.ndarray, known: np.ndarray) -> dict[str, float]:
    """Rank the true head and the true tail of each test triple among all entities, and return the metrics of the ranks.

    Ranks are filtered (Bordes et al., NeurIPS 2013): other entities that would also make a known triple are left out.
    An entity with the same score as the true one counts half (realistic rank).

    Args:
        model: Trained model.
        test: int64 (n, 3), head, relation and tail as indices of the model.
        known: int64 (m, 3), all true triples: training, validation and test set.

    Returns:
        "MRR", "hits@1", "hits@3", "hits@10" over heads and tails together; "MRR heads" and "MRR tails" separately.

    Raises:
        DataError: there is no test triple.
    """
    if len(test) == 0:
        raise DataError("Link prediction needs at least one test triple; found none.")
    ranks = model.ranks(test, known)  # (n, 2)
    return {metric.name: metric.measure(ranks) for metric in link_prediction.METRICS}


def count_untrained(train: KnowledgeGraph, test: np.ndarray) -> int:
    """Return the number of test triples whose head, relation or tail is in no training triple.

    The ranks of such triples are random.

    Args:
        train: Training set.
        test: int64 (n, 3), indices as in the training set.
    """
    entities, relations = np.zeros(train.n_entities, dtype=bool), np.zeros(train.n_relations, dtype=bool)
    entities[train.triples[:, [0, 2]]], relations[train.triples[:, 1]] = True, True
    return int((~(entities[test[:, 0]] & relations[test[:, 1]] & entities[test[:, 2]])).sum())
