"""Train a model for lists: the number of epochs is chosen with training rows only."""

from __future__ import annotations

from collections.abc import Callable

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
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
        create: Function from settings to the untrained model.
        train: Training set.
        graph: Knowledge graph, for a model that needs it.
        seed: Seed of the split and of the trainings.

    Returns:
        The model, and the model that chose the number of epochs. A model without epochs is trained once and returned as
        both.
    """
    model = create()
    if not isinstance(model.config, TrainedConfig):
        model.fit(train, graph, seed=seed, progress=False)
        return model, model
    model = create(settings="defaults")
    fitting, valid = train.split(VALIDATING, seed=seed, by="row")
    model.fit(fitting, graph, valid=valid, seed=seed, progress=False)
    chosen = create(settings="defaults", epochs=model.history["best_epoch"] + 1)
    chosen.fit(train, graph, seed=seed, progress=False)
    return chosen, model
