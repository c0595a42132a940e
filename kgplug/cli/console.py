"""What commands share: where the database and the runs are, and how things are printed."""

from __future__ import annotations

import codecs
import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from kgplug.errors import UsageError
from kgplug.graph.schema import DEFAULT_FILE, GraphSchema
from kgplug.settings import Settings
from kgplug.strict_json import dumps

if TYPE_CHECKING:
    import pandas as pd

    from kgplug.graph.graph import Graph
    from kgplug.jobs import Split
    from kgplug.training.runs import Runs

_INT64 = range(-(2**63), 2**63)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
SchemaFile = Annotated[
    Path | None, typer.Option("--schema", help="What the graph means. Default: kgplug.toml; without one, a guess.")
]
ModelSettings = Annotated[
    list[str] | None, typer.Option("--set", "-s", help="A setting of the model, as name=value; may be repeated.")
]
Shares = Annotated[str | None, typer.Option("--split", help="Shares of training, validation, test.", metavar="A,B,C")]


class SplitBy(StrEnum):
    """Whose rows are split in the given shares."""

    user = "user"
    row = "row"


class SplitOrder(StrEnum):
    """What decides which rows go to the test part."""

    random = "random"
    time = "time"


By = Annotated[SplitBy, typer.Option(help="Split each user's rows in these shares, or all rows.")]
Order = Annotated[SplitOrder, typer.Option(help="Which rows become test: random ones, or the latest.")]


def parse_split(kind: str, shares: str | None, *, seed: int, by: SplitBy, order: SplitOrder) -> Split:
    """Return the split that the options ask for; the default shares are those of the kind of model."""
    from kgplug.jobs import DEFAULT_FRACTIONS, Split

    return Split(_fractions(shares) if shares else DEFAULT_FRACTIONS[kind], seed, by.value, order.value)


def _fractions(text: str) -> tuple[float, float, float]:
    try:
        parts = tuple(float(part) for part in text.split(","))
    except ValueError:
        parts = ()
    if len(parts) != 3:
        raise UsageError(f"--split {text}: expected three shares, such as 0.8,0.1,0.1.")
    return parts


def open_graph() -> Graph:
    """Connect to the database of the environment; the local one is started if need be."""
    from kgplug.graph.graph import connect

    return connect()


def open_runs() -> Runs:
    """Return the runs of this user."""
    from kgplug.training.runs import Runs

    return Runs(Settings().runs_dir)


def load_schema(graph: Graph, path: Path | None) -> GraphSchema:
    """Load the schema file, or guess one (saying so) where there is none and none was named."""
    if path is not None or DEFAULT_FILE.exists():
        return GraphSchema.load(path or DEFAULT_FILE)
    from kgplug.graph.guess import guess_schema

    schema, _ = guess_schema(graph.connection)
    kind = f"-[:{schema.feedback.type}]-"
    arrow = f"{kind}>" if schema.feedback.direction == "user_to_item" else f"<{kind}"
    err.print(
        f"No {DEFAULT_FILE} here; guessed from the graph: (:{schema.user.label}){arrow}(:{schema.item.label}). "
        "`kgplug init` writes the guess for you to change.",
        style="dim",
        markup=False,
    )
    return schema


def print_frame(frame: pd.DataFrame, *, as_json: bool, title: str | None = None) -> None:
    """Print a table, or its rows as JSON."""
    from kgplug.evaluation.report import to_table

    if as_json:
        print_json(frame)
    elif frame.empty:
        out.print(f"{title or 'Result'}: nothing.", markup=False)
    else:
        out.print(to_table(frame, title=title))


def print_json(value: Any) -> None:
    """Print a value as JSON; characters that the output's encoding may not hold are escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    print(dumps(value, ascii_only=codecs.lookup(encoding).name != "utf-8", indent=2))


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """Return settings from `name=value` texts; a value is JSON where it can be read so, else text."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise UsageError(f'--set {pair}: expected name=value, such as "embedding_dim=32".')
        try:
            settings[name] = json.loads(value, parse_constant=str)
        except (ValueError, RecursionError):  # no JSON; a number too long or lists too deep to be meant as such
            settings[name] = value
    return settings


def parse_key(text: str) -> int | str:
    """Return a node key from the command line: an integer where it is written as one of 64 bits, else the text."""
    if re.fullmatch(r"0|-?[1-9][0-9]{0,18}", text) and int(text) in _INT64:
        return int(text)
    return text


@contextmanager
def step(title: str) -> Iterator[list[str]]:
    """Print what a step did and how long it took; the caller appends what it did to the list."""
    began, done = time.perf_counter(), list[str]()
    if sys.stdout.isatty():
        out.print(f"[bold]▸ {title}[/bold]")
    yield done
    seconds = time.perf_counter() - began
    out.print(f"[green]✓[/green] [bold]{title}[/bold] [dim]({seconds:.1f} s)[/dim]")
    for line in done:
        out.print(Padding(Text(line), (0, 0, 0, 2)))
