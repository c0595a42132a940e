"""Recompute one user's list with the published model, applying filters the stored list does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from kgplug import models
from kgplug.errors import RunError, UsageError
from kgplug.graph.answering.lookups import feedback_of, own_item, titles_of
from kgplug.graph.find_key import require_user
from kgplug.graph.publishing.list_options import recommend_options
from kgplug.graph.publishing.options import ListOptions
from kgplug.renamed import renamed
from kgplug.serving import explain

if TYPE_CHECKING:
    import pandas as pd

    from kgplug.graph.graph import Graph
    from kgplug.recommenders.base import Recommender
    from kgplug.training.runs import Runs


@renamed(lists="options")
def live_recommendations(
    graph: Graph,
    runs: Runs,
    user: int | str,
    *,
    model: str | None = None,
    k: int = 10,
    options: ListOptions | None = None,
    reasons: bool = True,
) -> pd.DataFrame:
    """Compute a user's list now, with the run that a published model serves.

    For a user who is newer than the run, the list is computed from their current likes in the graph
    (`Recommender.recommend_for`).

    Args:
        graph: graph with a schema (`graph.use(schema)`). Feedback is read with the run's own schema if it differs.
        runs: the runs on this machine; the published run must be among them.
        user: key of the user.
        model: a published recommender; by default the one published last whose run is on this machine.
        k: maximum number of items.
        options: filters and diversity of the list.
        reasons: also look up why each item is listed, one path per item.

    Returns:
        One row per item, best first, as in `explain.recommendations`.

    Raises:
        UsageError: unknown user, model or label, a bad predicate, or the run is not on this machine.
    """
    run = _serving_run(graph, runs, model)
    graph, recommender = explain.as_published(graph, run), _recommender(runs, run)
    options, schema = options or ListOptions(), graph.schema
    require_user(graph.connection, schema, user)
    feedback = feedback_of(graph.connection, schema, user)
    rated, likes = (recommender.item_indices(keys, skip_unknown=True) for keys in feedback)
    rules = recommend_options(graph.connection, schema, recommender, options)
    own = recommender.item_indices(own_item(graph.connection, schema, user), skip_unknown=True)
    rules["exclude"] = np.concatenate([own, rated if options.seen == "all" else rated[:0]])
    users = np.flatnonzero(recommender.user_keys == user)
    if len(users):
        found = recommender.recommend(users, k, exclude_seen=options.seen != "none", **rules)
        items, scores = (part[0][found[0][0] >= 0] for part in found)
    else:
        items, scores = recommender.recommend_for(likes, k, **rules)
    frame = _with_titles(graph, recommender.item_keys[items], scores)
    return explain.with_reasons(graph, user, frame) if reasons else frame


def _serving_run(graph: Graph, runs: Runs, model: str | None) -> dict[str, Any]:
    """Return the run that a model serves; without `model`, the newest served run that is on this machine."""
    recommenders = {info.id for info in runs.list() if info.gives_lists}
    return explain.published(
        graph, model, can_serve=lambda run: run["id"] in recommenders, wanted="lists and its run on this machine"
    )


def _recommender(runs: Runs, run: dict[str, Any]) -> Recommender:
    """Load the recommender of a serving run from the runs on this machine."""
    here = {info.id: info for info in runs.list()}
    if run["id"] not in here:
        raise UsageError(
            f"Run {run['id']}, which serves as {run['model']}, is not among the runs on this machine, so no live list "
            "can be made here. Make it on the machine that has the run, or give the list's options to `kgplug publish` "
            "there."
        )
    info = here[run["id"]]
    if info.damage:
        raise RunError(info.damage)
    if not info.gives_lists:
        raise UsageError(f"{run['model']} is an embedding and gives no lists. Name a recommender with --model.")
    return cast("Recommender", models.load(info.path))


def _with_titles(graph: Graph, keys: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    """Return a table of items: rank, id, title, score. Items that are no longer in the graph are left out."""
    import pandas as pd

    titles = titles_of(graph.connection, graph.schema, keys.tolist())
    there = [number for number, key in enumerate(keys) if key in titles]
    return pd.DataFrame(
        {
            "rank": range(1, len(there) + 1),
            "id": keys[there],
            "title": [titles[key] for key in keys[there]],
            "score": scores[there],
        }
    )
