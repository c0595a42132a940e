"""Options of the commands that make lists."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, cast

import typer

from kgplug.cli.completion import run_names
from kgplug.cli.console import open_runs
from kgplug.cli.this_graph import resolve_here

if TYPE_CHECKING:
    from kgplug.graph.publishing.list_options import Embedding, ListOptions

Where = Annotated[
    str | None,
    typer.Option(help='Only items for which this Cypher predicate over item is true, such as "item.year > 1990".'),
]
ItemLabels = Annotated[
    list[str] | None, typer.Option("--label", help="Only items with this label; repeated, with one of the labels.")
]
Diversity = Annotated[
    float, typer.Option(help="From 0 to 1: how much likeness to the items before it counts against an item (MMR).")
]
DiverseBy = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        autocompletion=run_names,
        help="With --diversity: an embedding's run, by whose vectors items are alike; else the model's own.",
    ),
]


class SeenRows(StrEnum):
    """What a user is not recommended again."""

    all = "all"
    train = "train"
    none = "none"


Seen = Annotated[
    SeenRows,
    typer.Option(help="What is left out: all that the user has feedback on now, the training part, or nothing."),
]


def list_options(
    where: str | None, labels: list[str] | None, diversity: float, diverse_by: str | None, seen: SeenRows
) -> ListOptions:
    """Return how lists are to be made, as the options say."""
    from kgplug.graph.publishing.list_options import ListOptions

    options = ListOptions(seen.value, where, tuple(labels or ()), diversity)
    if diverse_by is None:
        return options
    from kgplug import models

    return replace(options, diverse_by=cast("Embedding", models.load(resolve_here(open_runs(), [diverse_by])[0])))
