"""Bring a run of this machine into the graph, tell beforehand what that would change, go on where it was cut off."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from kgplug import models
from kgplug.data.artefact import MANIFEST, read_content, sha256_of
from kgplug.data.publication import TopLists
from kgplug.data.ranking.list_difference import ListDifference, compare_lists
from kgplug.errors import UsageError
from kgplug.graph import catalog
from kgplug.graph.graph import Graph
from kgplug.graph.identity import graph_identity
from kgplug.graph.publishing.list_options import ListOptions
from kgplug.graph.schema import GraphSchema
from kgplug.jobs.data import evaluation_of, refuse_other_graph
from kgplug.jobs.health import found_at_evaluation
from kgplug.training.runs import Runs

if TYPE_CHECKING:
    from kgplug.embeddings.model import EmbeddingModel
    from kgplug.graph.publishing.list_options import Embedding
    from kgplug.graph.publishing.preview import Preview
    from kgplug.graph.publishing.publisher import PublishReport
    from kgplug.recommenders.base import Recommender


@dataclass(frozen=True)
class PublishOptions:
    """How a run is written into the graph; see `Graph.publish`."""

    top: int = 10
    similar: int | None = None
    similar_label: str | None = None
    lists: ListOptions = field(default_factory=ListOptions)
    keep_previous: bool = True
    force: bool = False


def publish(
    graph: Graph,
    folder: Path,
    *,
    top: int = 10,
    similar: int | None = None,
    similar_label: str | None = None,
    lists: ListOptions | None = None,
    keep_previous: bool = True,
    force: bool = False,
    name: str | None = None,
    replace: bool = False,
    progress: bool | None = None,
) -> PublishReport:
    """Write a run into the graph it was trained on; by default whatever a user has feedback on now counts as seen.

    The other arguments are those of `Graph.publish`; the catalogue keeps them, for `resume`.
    """
    options = PublishOptions(top, similar, similar_label, lists or ListOptions(), keep_previous, force)
    model, arguments = _what_to_publish(graph, folder, options, progress)
    return graph.publish(model, keep_previous=keep_previous, name=name, replace=replace, **arguments)


def preview(
    graph: Graph,
    folder: Path,
    *,
    top: int = 10,
    similar: int | None = None,
    similar_label: str | None = None,
    lists: ListOptions | None = None,
    force: bool = False,
    name: str | None = None,
    replace: bool = False,
    progress: bool | None = None,
) -> Preview:
    """Tell what `publish` with the same arguments would change; nothing is written."""
    options = PublishOptions(top, similar, similar_label, lists or ListOptions(), force=force)
    model, arguments = _what_to_publish(graph, folder, options, progress)
    del arguments["progress"], arguments["details"]
    return graph.preview(model, name=name, replace=replace, **arguments)


def resume(graph: Graph, runs: Runs, name: str | None = None, *, progress: bool | None = None) -> PublishReport:
    """Bring an interrupted publish to its end, as it was begun.

    Args:
        graph: where it was begun.
        runs: of this machine, where the run must stand.
        name: of a model or a run; the interrupted one, if only one is.

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
    folder = runs.path(run.id)
    if not (folder / MANIFEST).is_file():
        raise UsageError(
            f"Run {run.id}, whose publish was interrupted, is not among the runs on this machine. Resume it where it "
            f"is, or undo the publish: `kgplug rollback {shlex.quote(run.model)}`."
        )
    options = _options_of(run.details, runs)
    return publish(graph, folder, **vars(options), name=run.model, replace=True, progress=progress)


def diff(runs: Sequence[Path], *, top: int = 10) -> ListDifference:
    """Compare the lists that two runs give, their own training rows left out.

    Raises:
        UsageError: one of them is an embedding, or they recommend other things to others.
    """
    both = [cast("Recommender", models.load(folder)) for folder in runs]
    for model in both:
        if models.kind(model) != "recommender":
            raise UsageError(f"Run {model.run} is an embedding and gives no lists; name two runs of recommenders.")
    if len({(model.user_label, model.item_label) for model in both}) > 1:
        raise UsageError("The two runs recommend other kinds of items, or to other users: their lists share nothing.")
    before, after = (_lists_of(model, top) for model in both)
    return compare_lists(before, after, k=tuple(dict.fromkeys((1, min(5, top), top))))


def _lists_of(model: Recommender, top: int) -> TopLists:
    items, scores = model.recommend(np.arange(len(model.user_keys)), top)
    return TopLists(model.user_label, model.item_label, model.user_keys, model.item_keys, items, scores)


def _what_to_publish(
    graph: Graph, folder: Path, options: PublishOptions, progress: bool | None
) -> tuple[Recommender | EmbeddingModel, dict[str, Any]]:
    """Return a run's model and the arguments for `Graph.publish`."""
    content = read_content(folder)
    if not options.force:
        refuse_other_graph(graph_identity(graph.connection, None), folder, content)
    if not content.get("schema"):
        raise UsageError(
            f"Run {folder.name} does not say on which graph it was trained. Publish it from Python: "
            "graph.publish(kgplug.load(folder), schema=…)."
        )
    model: Recommender | EmbeddingModel = models.load(folder)
    model.health = [*getattr(model, "health", []), *found_at_evaluation(folder)]
    schema = GraphSchema.model_validate(content["schema"])
    has_lists = content["kind"] == "recommender"
    details: dict[str, Any] = {
        "settings": content["settings"],
        "seed": content["seed"],
        "metrics": {**content.get("metrics", {}), **evaluation_of(folder)},
        "artefact": sha256_of(folder / MANIFEST),
        "schema": content["schema"],
        "graph": {**content.get("data", {}), **_counts(content)},
        "publish": {
            "similar": options.similar,
            "similar_label": options.similar_label,
            "keep_previous": options.keep_previous,
            "force": options.force,
        },
    }
    if has_lists:
        details["lists"] = {"top": options.top, **options.lists.to_dict()}
    return model, {
        "top": options.top,
        "similar": options.similar,
        "similar_label": options.similar_label,
        "schema": schema,
        "lists": options.lists,
        "force": options.force,
        "details": details,
        "progress": progress,
    }


def _counts(content: dict) -> dict[str, int]:
    """Return how many users, items, entities and relations a run knows."""
    keys = {"users": "user_keys", "items": "item_keys", "entities": "entity_keys", "relations": "relations"}
    return {name: len(content[key]) for name, key in keys.items() if key in content}


def _options_of(details: dict, runs: Runs) -> PublishOptions:
    """Return the options that a publish was begun with, as the catalogue keeps them."""
    kept = {"top": 10, **details.get("lists", {})}
    top, diverse_by = kept.pop("top"), kept.pop("diverse_by", None)
    by = None if diverse_by is None else cast("Embedding", models.load(runs.path(diverse_by)))
    lists = ListOptions(**{**kept, "labels": tuple(kept.get("labels", ()))}, diverse_by=by)
    return PublishOptions(top=top, lists=lists, **details.get("publish", {}))
