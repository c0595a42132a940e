"""Train a recommender without its graph and with a shuffled one, to measure how much it gains from its graph."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgplug import jobs
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.errors import DataError, UsageError
from kgplug.models import Model
from kgplug.training.runs import Runs

if TYPE_CHECKING:
    import pandas as pd

WITHOUT, SHUFFLED = "without graph", "with shuffled graph"
CONTROLS = (WITHOUT, SHUFFLED)
"""Names of the controls. The row of a control is named by the model, followed by one of these."""


def refuse_controls(made: Sequence[Model], baseline: str | None) -> None:
    """Raise UsageError if the models cannot be compared with their controls.

    Controls are the same models, trained without their graph or with a shuffled one.
    """
    others = [model.name for model in made if not model.inputs.likes_and_triples]
    if others:
        raise UsageError(
            "--controls compares a recommender with itself without its graph, so it needs recommenders that learn from "
            f"likes and triples. Omit {', '.join(others)} (`kgplug models` shows what each model needs)."
        )
    if baseline is not None:
        raise UsageError("--controls compares each model with its own controls. Omit --baseline.")


def train_controls(
    model: Model, data: jobs.GraphData, runs: Runs, trained: dict[str, Path], **options: Any
) -> list[str]:
    """Train the controls of a model: the same model without its graph, and with a shuffled graph.

    A run with the same data, settings, split and seed is reused. The runs are stored in the folder of checkpoints, so
    kgplug does not list them with the other runs.

    Args:
        model: The untrained model.
        data: Data with the graph.
        runs: The runs on this machine.
        trained: Name of each row of the table that compares the models → folder of its run. The runs of the controls
            are added.
        options: `split`, `seed` and `progress` of `jobs.train`.

    Returns:
        A sentence for each control that the model cannot be trained on.
    """
    assert data.interactions is not None and data.knowledge is not None
    own_tails = data.knowledge.with_own_tails(data.interactions.item_keys, label=data.interactions.item_label)
    graphs = {
        WITHOUT: (data.knowledge.without_triples(), own_tails),
        SHUFFLED: (data.knowledge.shuffled(seed=options["seed"]),),
    }
    notes: list[str] = []
    for control, candidates in graphs.items():
        store = Runs(runs.folder / ".checkpoints" / control.replace(" ", "-"))
        found = _train_on_first(model, data, candidates, store, options)
        if isinstance(found, Path):
            trained[f"{model.name} {control}"] = found
        else:
            notes.append(f"There is no row {model.name} {control}: {found}")
    return notes


def _train_on_first(
    model: Model, data: jobs.GraphData, graphs: Sequence[KnowledgeGraph], runs: Runs, options: dict[str, Any]
) -> Path | str:
    """Train a model on the first graph that it can learn from. Return its run, or why there is none."""
    reason = ""
    for knowledge in graphs:
        try:
            return jobs.train(copy.deepcopy(model), replace(data, knowledge=knowledge), runs, reuse=True, **options)
        except DataError as error:
            reason = str(error)
    return reason


def control_pairs(trained: dict[str, Path]) -> list[tuple[Path, Path]]:
    """Return the pairs of runs to compare: (run of a control, run of its model). `trained`: see `train_controls`."""
    return [(run_dir, trained[_model_of(name)]) for name, run_dir in trained.items() if _model_of(name) != name]


def with_own_controls(table: pd.DataFrame) -> pd.DataFrame:
    """Sort the rows of a table so that each model is followed by its controls. The order of the models is kept."""
    models = [name for name in table.index if _model_of(name) == name]
    place = {name: number for number, name in enumerate(models)}
    order = sorted(table.index, key=lambda name: (place[_model_of(name)], name != _model_of(name), _control(name)))
    return table.loc[order]


def _model_of(row: str) -> str:
    """Return the model's name, given the name of its row or of the row of one of its controls."""
    for control in CONTROLS:
        row = row.removesuffix(f" {control}")
    return row


def _control(row: str) -> int:
    return next((number for number, control in enumerate(CONTROLS) if row.endswith(control)), -1)
