"""Several models on one graph: trained, measured, and put side by side in a table or a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from kgplug import jobs, models, plots
from kgplug.data.artefact import count_numbers, read_content
from kgplug.errors import UsageError, when_interrupted
from kgplug.evaluation.metrics.catalogue import SORTED_BY, shown_once
from kgplug.evaluation.metrics.metric import Better, Shown
from kgplug.graph.graph import Graph
from kgplug.graph.schema import GraphSchema
from kgplug.models import Model
from kgplug.training.runs import Runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTHING_IN_COMMON = "Embeddings and recommenders have no figure in common. Name models of one kind."


def compare(
    names: Sequence[str | Model],
    graph: Graph,
    schema: GraphSchema,
    runs: Runs,
    *,
    settings: dict[str, Any] | None = None,
    split: jobs.Split | None = None,
    seed: int = 0,
    k: Sequence[int] = (10,),
    progress: bool | None = None,
) -> pd.DataFrame:
    """Train models of one kind on one split and measure them on its test part.

    A run that was trained on just this is taken as it is.

    Args:
        names: of embeddings, or of recommenders, as in `kgplug.create`; or untrained models.
        settings: of each model given by name.
        k: Lengths of the lists to measure; recommenders are sorted by NDCG at the first.

    Returns:
        One row a model, the best first: the figures of `jobs.evaluate`, the seconds of its training, how many
        numbers it keeps ("parameters"), its run.
    """
    made = list({model.name: model for model in create_all(names, settings or {})}.values())
    kind = made[0].kind
    data = jobs.read(graph, schema, model=made, progress=progress)
    trained: dict[Path, str] = {}
    kept = "The same command, given again, keeps the models that are trained."
    with when_interrupted(lambda: kept if trained else None):
        for model in made:
            folder = jobs.train(model, data, runs, split=split, seed=seed, reuse=True, progress=progress)
            trained[folder] = model.name
        table = jobs.evaluate(graph, list(trained), k=tuple(k), progress=progress)[kind]
    table.index = pd.Index(list(trained.values()), name="model")
    table["seconds"] = [runs.info(folder).seconds for folder in trained]
    table["parameters"] = [count_numbers(folder, ("module.", "model.")) for folder in trained]
    table["run"] = [folder.name for folder in trained]
    metric = SORTED_BY[kind]
    return table.sort_values(metric.column(k[0]), ascending=metric.better == Better.LOWER, kind="stable")


def draw(folders: Sequence[Path]) -> Figure:
    """Draw one run (training curve, map of its entities) or several (curves, figures of `jobs.evaluate` as bars).

    Raises:
        UsageError: the runs are of both kinds.
        DataError: there is nothing to draw.
    """
    if len(folders) == 1:
        return plots.run_figure(models.load(folders[0]))
    contents = {folder: read_content(folder) for folder in folders}
    kinds = {content["kind"] for content in contents.values()}
    if len(kinds) > 1:
        raise UsageError(NOTHING_IN_COMMON)
    named = [content["model"] for content in contents.values()]
    labels = {folder: c["model"] if named.count(c["model"]) == 1 else folder.name for folder, c in contents.items()}
    measured = {labels[folder]: figures for folder in contents if (figures := jobs.evaluation_of(folder))}
    table = pd.DataFrame.from_dict(measured, orient="index")
    table = table.dropna(axis="columns")
    table = table.loc[:, shown_once(table.columns, Shown.PICTURE)]
    return plots.comparison_figure({labels[folder]: c["history"] for folder, c in contents.items()}, table)


def create_all(names: Sequence[str | Model], settings: dict[str, Any]) -> list[Model]:
    """Return untrained models of one kind.

    Args:
        names: of models, or models, which stay as they are.
        settings: of each model given by name.

    Raises:
        UsageError: they are of both kinds, or a name or setting is wrong.
    """
    made: list[Model] = [models.create(name, **settings) if isinstance(name, str) else name for name in names]
    if len({model.kind for model in made}) != 1:
        raise UsageError(NOTHING_IN_COMMON)
    return made
