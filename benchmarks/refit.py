"""Training for lists, where nothing but the training rows may tell the number of epochs."""

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
    """Train on all rows, for as many epochs as were best on an eighth of them; a model without epochs at once.

    Args:
        create: returns the untrained model; it takes settings.

    Returns:
        (the model, the one that chose the epochs); both are one where there is nothing to choose.
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
