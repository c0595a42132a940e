"""Train models for lists, and measure the lists of many lengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.values.keys import distinct
from kgplug.evaluation.metrics.ranked_lists import METRICS, measure_lists
from kgplug.evaluation.ranking import BLOCK_USERS
from kgplug.recommenders.base import Recommender
from kgplug.training.config import TrainedConfig

VALIDATING = (7 / 8, 1 / 8)


def fit_for_lists(
    create: Callable[..., Recommender],
    train: Interactions,
    graph: KnowledgeGraph | None,
    *,
    seed: int,
) -> tuple[Recommender, Recommender]:
    """Train on all rows, for the number of epochs that was best on an eighth of the rows.

    Args:
        create: function from settings to the untrained model.
        train: training set.
        graph: knowledge graph, for a model that needs it.
        seed: seed of the split and of the trainings.

    Returns:
        The model, and the model that chose the number of epochs. A model without epochs is trained once and returned as
        both.
    """
    model = create()
    if not isinstance(model.config, TrainedConfig):
        model.fit(train, graph, seed=seed, progress=False)
        return model, model
    fixed: dict[str, Any] = {"settings": "defaults"}
    model = create(**fixed)
    fitting, valid = train.split(VALIDATING, seed=seed, by="row")
    model.fit(fitting, graph, valid=valid if len(valid) else None, seed=seed, progress=False)
    chosen = create(**fixed, epochs=model.history["best_epoch"] + 1)
    chosen.fit(train, graph, seed=seed, progress=False)
    return chosen, model


def list_metrics(
    model: Recommender,
    test: Interactions,
    lengths: Sequence[int],
    *,
    only_neighbours: bool = False,
) -> dict[str, float]:
    """Return every list metric at every length, as means over the users with a row in `test`.

    Args:
        model: fitted model. Lists leave out the items that it was fitted on.
        test: relevant rows.
        lengths: lengths of the lists, ascending.
        only_neighbours: as in `Contender`.
    """
    users = distinct(test.users)
    total = np.zeros((len(lengths), len(METRICS)))
    for start in range(0, len(users), BLOCK_USERS):
        block = users[start : start + BLOCK_USERS]
        items, scores = model.recommend(block, lengths[-1])
        if only_neighbours:
            items = np.where(scores > 0, items, -1)
        total += measure_lists(items, test, block, tuple(lengths)).sum(axis=2)
    return {
        metric.column(length): float(total[row, column] / len(users))
        for row, length in enumerate(lengths)
        for column, metric in enumerate(METRICS)
    }
