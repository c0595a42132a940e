"""Writes the reference of the metrics from their registry."""

from __future__ import annotations

from kgplug.evaluation.metrics.catalogue import metrics

INTRODUCTION = (
    "The columns that `kgplug evaluate`, `kgplug compare` and `kgplug.evaluate` give, generated from the program. "
    "`@k` stands for the length of the lists. Metrics of lists are means over the users that have a relevant item."
)
TITLES = {"recommender": "Recommenders", "embedding": "Embeddings"}
GROUPS = (
    "`--beyond` also measures the metrics marked * for cold and hot users and items: those with fewer than five likes "
    "in the training set, and the others."
)


def page() -> str:
    """Return the page, in Markdown."""
    lines = ["# Metrics", "", INTRODUCTION, "", GROUPS, ""]
    for kind, title in TITLES.items():
        lines += [f"## {title}", "", "| metric | better | computed from | definition |", "|-|-|-|-|"]
        for metric in metrics():
            if metric.kind == kind:
                name = f"{metric.name} *" if metric.by_group else metric.name
                lines.append(f"| {name} | {metric.better} | {', '.join(metric.needs)} | {metric.description} |")
        lines.append("")
    return "\n".join(lines)
