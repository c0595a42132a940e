"""Options of the commands that make lists."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from kgplug.cli.completion import run_names
from kgplug.cli.console import open_runs
from kgplug.cli.this_graph import resolve_here

if TYPE_CHECKING:
    from kgplug.graph.publishing.options import Embedding, ListOptions

    Options = TypeVar("Options", bound=ListOptions)

Where = Annotated[
    str | None,
    typer.Option(help='Only items for which this Cypher predicate on item is true, such as "item.year > 1990".'),
]
ItemLabels = Annotated[
    list[str] | None,
    typer.Option("--label", help="Only items with this label. Repeat the option to allow several labels."),
]
Diversity = Annotated[float, typer.Option(help="0 to 1: penalty for being similar to items higher in the list (MMR).")]
DiverseBy = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        autocompletion=run_names,
        help="With --diversity: embedding run whose vectors measure similarity. Default: the model's own vectors.",
    ),
]


class SeenRows(StrEnum):
    """Which items with the user's feedback a list leaves out: all, those in the training set, or none."""

    all = "all"
    train = "train"
    none = "none"


Seen = Annotated[
    SeenRows,
    typer.Option(help="Items to exclude: all with the user's feedback now, only those in the training set, or none."),
]


def options_from(
    kind: type[Options],
    *,
    where: str | None,
    labels: list[str] | None,
    diversity: float,
    diverse_by: str | None,
    seen: SeenRows,
    **others: Any,
) -> Options:
    """Return an object of the class `kind` with the given options.

    `diverse_by` names an embedding's run, and the object gets the loaded embedding.
    """
    embedding = None
    if diverse_by is not None:
        from kgplug import models

        embedding = cast("Embedding", models.load(resolve_here(open_runs(), [diverse_by])[0]))
    return kind(
        where=where, labels=tuple(labels or ()), diversity=diversity, diverse_by=embedding, seen=seen.value, **others
    )
