"""Train several models on one graph and compare them in a table or a picture."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
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
from kgplug.jobs.controls import control_pairs, refuse_controls, train_controls, with_own_controls
from kgplug.models import Model
from kgplug.training.runs import Runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTHING_IN_COMMON = "Embeddings and recommenders have no metric in common. Name models of one kind."


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
    baseline: str | None = None,
    controls: bool = False,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Train models of one kind on one split and measure them on its test set.

    A run with the same data, settings, split and seed is reused.

    Args:
        names: Names of embeddings or of recommenders, as for `kgplug.create`, or untrained models.
        settings: Settings of each model given by name.
        k: Lengths of the lists to measure; recommenders are sorted by NDCG at the first one.
        baseline: Name of the recommender with which the others are compared user by user. None: the best one.
        controls: Also train each model on two control graphs, and compare it with these two runs instead of with other
            models. All models must learn from likes and triples. The first control graph has no triples
            (`KnowledgeGraph.without_triples`) or, for a model that needs triples, one uninformative triple per item
            (`with_own_tails`). The second is a shuffled graph (`KnowledgeGraph.shuffled`). `kgplug runs` does not list
            the runs of controls.

    Returns:
        One row per model, best first: metrics of `jobs.evaluate`, training time in seconds, number of parameters,
        and run id. `attrs["differences"]` has a `kgplug.evaluation.significance.Difference` per recommender (except the
        baseline) and metric; [] for embeddings. With `controls`, the rows "… without graph" and "… with shuffled graph"
        follow their model, and `attrs["notes"]` says which are missing.

    Raises:
        UsageError: The models are of different kinds, a name or setting is wrong, or a model has no controls.
    """
    made = list({model.name: model for model in create_all(names, settings or {})}.values())
    if controls:
        refuse_controls(made, baseline)
    kind = made[0].kind
    baseline = None if baseline is None else name_among(baseline, made)
    data = jobs.read(graph, schema, model=made, progress=progress)
    trained, notes = dict[str, Path](), list[str]()
    options: dict[str, Any] = {"split": split, "seed": seed, "progress": progress}
    kept = "Run the same command again to continue. It reuses the models that are already trained."
    with when_interrupted(lambda: kept if trained else None):
        for model in made:
            untrained = copy.deepcopy(model)
            trained[model.name] = jobs.train(model, data, runs, reuse=True, **options)
            if controls:
                notes += train_controls(untrained, data, runs, trained, **options)
        pairs = control_pairs(trained) if controls else _pairs_with(baseline, trained)
        table = jobs.evaluate(graph, list(trained.values()), k=tuple(k), pairs=pairs, progress=progress)[kind]
    table.index = pd.Index(list(trained), name="model")
    named = {run_dir.name: name for name, run_dir in trained.items()}
    table.attrs["differences"] = [
        replace(each, model=named[each.model], baseline=named[each.baseline]) for each in table.attrs["differences"]
    ]
    table.attrs["notes"] = notes
    table["seconds"] = [runs.info(run_dir).seconds for run_dir in trained.values()]
    table["parameters"] = [count_numbers(run_dir, ("module.", "model.")) for run_dir in trained.values()]
    table["run"] = [run_dir.name for run_dir in trained.values()]
    metric = SORTED_BY[kind]
    table = table.sort_values(metric.column(k[0]), ascending=metric.better == Better.LOWER, kind="stable")
    return with_own_controls(table) if controls else table


def _pairs_with(baseline: str | None, trained: dict[str, Path]) -> list[tuple[Path, Path]] | None:
    """Return the pairs (run, run of the baseline) to compare.

    Return None if `baseline` is None; then `evaluate` compares each run with the best one. `trained` maps the name of
    each model to its run.
    """
    if baseline is None:
        return None
    return [(run_dir, trained[baseline]) for name, run_dir in trained.items() if name != baseline]


def name_among(name: str, made: Sequence[Model]) -> str:
    """Return the name of the model in `made` that has a given name, ignoring case.

    Raises:
        UsageError: No model has this name, or the models are embeddings, which cannot be compared user by user.
    """
    if not made[0].kind.gives_lists:
        raise UsageError("--baseline compares recommenders user by user, and embeddings have no users. Omit it.")
    found = next((model.name for model in made if model.name.lower() == name.lower()), None)
    if found is None:
        raise UsageError(f'baseline "{name}": expected one of {", ".join(model.name for model in made)}.')
    return found


def draw(run_dirs: Sequence[Path]) -> Figure:
    """Draw the training curves of runs.

    For a single embedding, also draw a map of its entities. For several runs, also draw bars of their saved metrics.

    Raises:
        UsageError: The runs are of different kinds.
        DataError: There is nothing to draw.
    """
    if len(run_dirs) == 1:
        return plots.run_figure(models.load(run_dirs[0]))
    contents = {run_dir: read_content(run_dir) for run_dir in run_dirs}
    kinds = {content["kind"] for content in contents.values()}
    if len(kinds) > 1:
        raise UsageError(NOTHING_IN_COMMON)
    named = [content["model"] for content in contents.values()]
    labels = {run_dir: c["model"] if named.count(c["model"]) == 1 else run_dir.name for run_dir, c in contents.items()}
    measured = {labels[run_dir]: metrics for run_dir in contents if (metrics := jobs.evaluation_of(run_dir))}
    table = pd.DataFrame.from_dict(measured, orient="index")
    table = table.dropna(axis="columns")
    table = table.loc[:, shown_once(table.columns, Shown.PICTURE)]
    return plots.comparison_figure({labels[run_dir]: c["history"] for run_dir, c in contents.items()}, table)


def create_all(names: Sequence[str | Model], settings: dict[str, Any]) -> list[Model]:
    """Return untrained models of one kind.

    Args:
        names: Names of models, or models, which are returned unchanged.
        settings: Settings of each model given by name.

    Raises:
        UsageError: The models are of different kinds, or a name or setting is wrong.
    """
    made: list[Model] = [models.create(name, **settings) if isinstance(name, str) else name for name in names]
    if len({model.kind for model in made}) != 1:
        raise UsageError(NOTHING_IN_COMMON)
    return made
