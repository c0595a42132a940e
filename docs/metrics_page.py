"""Generates the reference page of the metrics (docs/reference/metrics.md) from their registry."""

from __future__ import annotations

from kgplug.evaluation.metrics.catalogue import metrics

INTRODUCTION = (
    "This page defines the metrics in the tables of `kgplug evaluate`, `kgplug compare` and `kgplug.evaluate`. It "
    "is generated from the program. In a metric's name, `@k` stands for the length of the lists. Metrics of lists are "
    "means over the users who have at least one relevant item. By default, an item is relevant to a user if the user "
    "likes it in the test set."
)
TITLES = {"recommender": "Recommenders", "embedding": "Embeddings"}
GROUPS = (
    "With `--beyond`, the metrics marked * are also measured separately for cold and hot users, and for cold and hot "
    "items. Users and items are cold if they have fewer than five likes in the training set; all others are hot."
)


def page() -> str:
    """Return the reference page, in Markdown."""
    lines = ["# Metrics", "", INTRODUCTION, "", GROUPS, ""]
    for kind, title in TITLES.items():
        lines += [f"## {title}", "", "| metric | better | computed from | definition |", "|-|-|-|-|"]
        for metric in metrics():
            if metric.kind == kind:
                name = f"{metric.name} *" if metric.by_group else metric.name
                lines.append(f"| {name} | {metric.better} | {', '.join(metric.needs)} | {metric.description} |")
        lines.append("")
    return "\n".join(lines)
