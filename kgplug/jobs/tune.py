"""Search a model's settings on the data of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kgplug import models
from kgplug.data.interactions import Interactions
from kgplug.errors import UsageError
from kgplug.evaluation.new_users import profile_and_rest
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
    """Search a model's settings on the training and validation sets of a split; see `kgplug.tune`.

    The study is stored in the runs' folder, so the same call continues it.

    Args:
        name: The model's name.
        data: The graph's data.
        runs: The runs on this machine.
        trials: Total number of ended trials to reach, including those of earlier calls.
        epochs: Maximum number of epochs in a trial. If omitted, the model's default.
        settings: Settings that stay fixed.
        split: Fractions and method of the split. If omitted, the default of the model's kind.
        seed: Seed of the proposals and the trainings.
        progress: Whether to show a progress bar. None: only on a terminal.

    Raises:
        UsageError: the split has no validation set.
    """
    from kgplug import tuning

    model = models.create(name, **(settings or {}))
    split = split or Split(fractions=model.kind.fractions)
    sets = data.sets(model, split)
    if sets.valid is None:
        raise UsageError("Settings are chosen on the validation set, and this split has none. Use --split 0.8,0.1,0.1.")
    valid, profiles = sets.valid, None
    if split.by_users and isinstance(valid, Interactions):
        profiles, valid = profile_and_rest(valid, order=split.order)
    knowledge = data.knowledge if model.inputs.likes_and_triples else None
    return tuning.tune(
        model.name, sets.train, knowledge, valid=valid, profiles=profiles,
        trials=trials, seed=seed, epochs=epochs, folder=runs.folder / ".tuning", progress=progress, **(settings or {}),
    )  # fmt: skip
