"""Search the settings of a model on the data of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kgplug import models
from kgplug.errors import UsageError
from kgplug.jobs.data import GraphData, Split
from kgplug.training.runs import Runs

if TYPE_CHECKING:
    from kgplug.tuning import Tuning


def tune(
    name: str,
    data: GraphData,
    runs: Runs,
    *,
    trials: int = 20,
    epochs: int | None = None,
    settings: dict[str, Any] | None = None,
    split: Split | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Tuning:
    """Search a model's settings on the training and validation part of a split; see `kgplug.tune`.

    The study stands in the runs' folder, so that the same call, given again, goes on.

    Args:
        epochs: at most so many in a trial.
        settings: not to be searched.
    """
    from kgplug import tuning

    model = models.create(name, **(settings or {}))
    sets = data.sets(model, split or Split(fractions=model.kind.fractions))
    if sets.valid is None:
        raise UsageError("Settings are chosen by the validation set, and this split has none. Use --split 0.8,0.1,0.1.")
    return tuning.tune(
        model.name, *data.inputs_of(model, sets), valid=sets.valid,
        trials=trials, seed=seed, epochs=epochs, folder=runs.folder / ".tuning", progress=progress, **(settings or {}),
    )  # fmt: skip
