"""Publish a run from this machine: preview, write, resume; and compare the lists of two runs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

import numpy as np

from kgplug import models
from kgplug.data.artefact import MANIFEST, read_artefact, sha256_of
from kgplug.data.publication import TopLists
from kgplug.data.ranking.list_difference import ListDifference, compare_lists
from kgplug.errors import UsageError
from kgplug.evaluation.metrics.catalogue import shown_once
from kgplug.evaluation.metrics.metric import Shown
from kgplug.graph import catalog
from kgplug.graph.graph import Graph
from kgplug.graph.identity import graph_identity
from kgplug.graph.publishing.options import (
    Embedding,
    OptionsByName,
    PublishOptions,
    shows_options,
    with_options,
)
from kgplug.jobs.data import evaluation_of, refuse_other_graph
from kgplug.jobs.health import found_at_evaluation
from kgplug.renamed import renamed
from kgplug.training.runs import Runs

if TYPE_CHECKING:
    from kgplug.embeddings.link_predictor import LinkPredictor
    from kgplug.graph.publishing.preview import Preview
    from kgplug.graph.publishing.report import PublishReport
    from kgplug.recommenders.base import Recommender


@shows_options
def publish(
    graph: Graph,
    run_dir: Path,
    options: PublishOptions | None = None,
    *,
    progress: bool | None = None,
    **options_by_name: Unpack[OptionsByName],
) -> PublishReport:
    """Write a run into the graph that it was trained on.

    Args:
        graph: the graph to publish in.
        run_dir: The run's folder.
        options: how to publish; options given by name take precedence. The graph keeps all of them for `resume`.
        progress: Whether to show progress bars. None: only on a terminal.
        options_by_name: fields of `PublishOptions`.

    Raises:
        RunError: the run was trained on another database, or is damaged.
        KgplugError: any error of `Graph.publish`.
    """
    options = with_options(options, options_by_name)
    model, details = open_run(graph, run_dir, force=options.force)
    return graph.publish(model, options, details=details, progress=progress)


@shows_options
def preview(
    graph: Graph,
    run_dir: Path,
    options: PublishOptions | None = None,
    *,
    progress: bool | None = None,
    **options_by_name: Unpack[OptionsByName],
) -> Preview:
    """Return what `publish` with the same arguments would change; nothing is written."""
    options = with_options(options, options_by_name)
    model, details = open_run(graph, run_dir, force=options.force)
    return graph.preview(model, options, details=details, progress=progress)


def open_run(graph: Graph, run_dir: Path, *, force: bool = False) -> tuple[Recommender | LinkPredictor, dict[str, Any]]:
    """Return a run's model, and the facts about the run that the graph's catalogue keeps.

    Args:
        graph: the graph in which the run will be published.
        run_dir: The run's folder.
        force: accept a run that was trained on another database.

    Raises:
        RunError: the run was trained on another database, or is damaged.
        UsageError: the run does not record the graph that it was trained on.
    """
    arrays, content = read_artefact(run_dir)
    if not force:
        refuse_other_graph(graph_identity(graph.connection, None), run_dir, content)
    if not content.get("schema"):
        raise UsageError(
            f"Run {run_dir.name} does not say on which graph it was trained. Publish it from Python: "
            "graph.publish(kgplug.load(folder), schema=…)."
        )
    model = models.restored(run_dir, arrays, content)
    model.health = [*model.health, *found_at_evaluation(run_dir)]
    metrics = evaluation_of(run_dir)
    return model, {
        "settings": content["settings"],
        "seed": content["seed"],
        "metrics": {**content.get("metrics", {}), **metrics},
        "summary": _summary(content, metrics),
        "artefact": sha256_of(run_dir / MANIFEST),
        "graph": {**content.get("data", {}), **_counts(content)},
    }


def _summary(content: Mapping[str, Any], metrics: Mapping[str, float]) -> str:
    """Return one sentence about a run: when it was trained and its main metrics."""
    measured = [f"{name} {metrics[name]:.4g}" for name in shown_once(metrics, Shown.PICTURE) if name in metrics]
    trained = f"{content['model']}, trained {str(content.get('created', ''))[:10] or 'at an unknown time'}"
    return f"{trained}; on the test set: {', '.join(measured) or 'not measured'}."


def resume(graph: Graph, runs: Runs, name: str | None = None, *, progress: bool | None = None) -> PublishReport:
    """Finish an interrupted publish, with its original options.

    Args:
        graph: the graph in which the publish began.
        runs: the runs on this machine; the run to publish must be among them.
        name: name of the model, or id of the run; None if only one publish was interrupted.

    Raises:
        UsageError: nothing was interrupted, several publishes were, or the run is not on this machine.
    """
    found = [catalog.unfinished_run(graph.connection, model) for model in catalog.known_models(graph.connection)]
    unfinished = [run for run in found if run is not None]
    fitting = [run for run in unfinished if name is None or name.lower() in (run.model.lower(), run.id.lower())]
    if not fitting:
        of = f" of {name}" if name else ""
        there = f" Unfinished: {', '.join(run.id for run in unfinished)}." if unfinished else ""
        raise UsageError(f"No publish{of} was interrupted in this graph, so there is nothing to resume.{there}")
    if len(fitting) > 1:
        names = ", ".join(f"{run.model} ({run.id})" for run in fitting)
        raise UsageError(f"Several publishes were interrupted: {names}. Name the one to resume.")
    (run,) = fitting
    run_dir = runs.path(run.id)
    if not (run_dir / MANIFEST).is_file():
        raise UsageError(
            f"Run {run.id}, whose publish was interrupted, is not among the runs on this machine. Resume it on the "
            f"machine that has the run, or undo the publish: `kgplug rollback {shlex.quote(run.model)}`."
        )

    def load(run: str) -> Embedding:
        return cast("Embedding", models.load(runs.path(run)))

    options = PublishOptions.from_details(run.details, load=load)
    return publish(graph, run_dir, options, name=run.model, replace=True, progress=progress)


@renamed(top="k")
def diff(runs: Sequence[Path], *, k: int = 10) -> ListDifference:
    """Compare the lists of two runs.

    A list leaves out the items on which its user has feedback in the training set of the same run.

    Args:
        runs: folders of two recommender runs.
        k: length of a list.

    Raises:
        UsageError: one of them is an embedding, or their users or items have different labels.
    """
    both = [cast("Recommender", models.load(run_dir)) for run_dir in runs]
    for model in both:
        if not model.kind.gives_lists:
            raise UsageError(f"Run {model.run} is an embedding and gives no lists. Name two runs of recommenders.")
    if len({(model.user_label, model.item_label) for model in both}) > 1:
        raise UsageError("The two runs have users or items of different labels, so their lists share nothing.")
    before, after = (_lists_of(model, k) for model in both)
    return compare_lists(before, after, k=tuple(dict.fromkeys((1, min(5, k), k))))


def _lists_of(model: Recommender, k: int) -> TopLists:
    items, scores = model.recommend(np.arange(len(model.user_keys)), k)
    return TopLists(model.user_label, model.item_label, model.user_keys, model.item_keys, items, scores)


def _counts(content: dict[str, Any]) -> dict[str, int]:
    """Return how many users, items, entities and relations a run has."""
    keys = {"users": "user_keys", "items": "item_keys", "entities": "entity_keys", "relations": "relations"}
    return {name: len(content[key]) for name, key in keys.items() if key in content}
