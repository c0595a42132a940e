"""Every metric that kgplug computes, and which of them tables and pictures show."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from kgplug.data.kinds import Kind
from kgplug.evaluation.metrics import click_through, link_prediction, list_contents, listed_items, ranked_lists
from kgplug.evaluation.metrics.metric import Better, Metric, Shown

GROUPS = ("hot users", "cold users", "hot items", "cold items")
"""Groups that `evaluate(beyond=True)` measures separately. The name of a group's column ends with the group."""
SORTED_BY: dict[Kind, Metric[Any]] = {Kind.RECOMMENDER: ranked_lists.NDCG, Kind.EMBEDDING: link_prediction.MRR}
"""For each kind of model, the metric that sorts a table of models."""
VALIDATED_BY: dict[Kind, Metric[Any]] = {Kind.RECOMMENDER: click_through.AUC, Kind.EMBEDDING: link_prediction.MRR}
"""For each kind of model, the metric that is measured on the validation set after each epoch.

It chooses the best epoch, unless a recommender's `goal` is "lists".
"""
LISTS_VALIDATED_BY = f"{ranked_lists.NDCG.column(10)} (validation)"
"""Name of the metric that chooses epochs and settings if a recommender's `goal` is "lists"."""
_SETS = ("warm ", "valid ")  # prefixes of columns of `evaluate_ctr`: test pairs with a warm item; validation pairs


def metrics() -> tuple[Metric[Any], ...]:
    """Return every metric, in the order of tables."""
    return (
        *click_through.METRICS,
        *ranked_lists.METRICS,
        *listed_items.METRICS,
        *list_contents.METRICS,
        *link_prediction.METRICS,
    )


def metric_of(column: str) -> Metric[Any] | None:
    """Return the metric of a column such as "NDCG@10", "NDCG@10 cold users" or "warm AUC"; None for other columns.

    Case is ignored.
    """
    name = column.lower()
    for group in GROUPS:
        name = name.removesuffix(f" {group}")
    for prefix in _SETS:
        name = name.removeprefix(prefix)
    by_name = {metric.name.lower(): metric for metric in metrics()}
    return by_name.get(name) or by_name.get(re.sub(r"@\d+$", "@k", name))


def better(column: str) -> Better:
    """Return whether higher or lower values of a column are better.

    `NEITHER` means that the metric has no better direction, or that the column shows no metric.
    """
    metric = metric_of(column)
    return Better.NEITHER if metric is None else metric.better


def shown(columns: Iterable[str], view: Shown) -> list[str]:
    """Return the columns that a view (such as the tables of `kgplug evaluate`) shows, in the given order.

    Columns for a group of users or items, such as "NDCG@10 cold users", and columns that show no metric are left out.
    """
    found = ((column, metric_of(column)) for column in columns if not column.endswith(GROUPS))
    return [column for column, metric in found if metric is not None and metric.shown <= view]


def shown_once(columns: Iterable[str], view: Shown) -> list[str]:
    """Return the columns that a view (such as the bars of `kgplug plot`) shows, with one list length per metric.

    The length is 10, or the first one in `columns` if 10 is missing. Metrics that earlier views (in the order of
    `Shown`) also show come first.
    """
    by_metric: dict[str, list[str]] = {}
    level: dict[str, Shown] = {}
    for column in shown(columns, view):
        metric = metric_of(column)
        assert metric is not None
        by_metric.setdefault(metric.name, []).append(column)
        level[metric.name] = metric.shown
    names = sorted(by_metric, key=level.__getitem__)
    return [
        next((column for column in by_metric[name] if column.endswith("@10")), by_metric[name][0]) for name in names
    ]
