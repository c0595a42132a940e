"""What the commands share: common options, access to the database and the runs, and printing."""

from __future__ import annotations

import codecs
import json
import logging
import sys
import time
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.text import Text

from kgplug import progress
from kgplug.cli.completion import model_names
from kgplug.data.kinds import Kind
from kgplug.errors import UsageError
from kgplug.graph.schema import DEFAULT_FILE, GraphSchema
from kgplug.renamed import RenamedWarning
from kgplug.settings import Settings
from kgplug.strict_json import dumps

if TYPE_CHECKING:
    import pandas as pd

    from kgplug.evaluation.report import Marks
    from kgplug.evaluation.significance import Difference
    from kgplug.graph.graph import Graph
    from kgplug.jobs import Split
    from kgplug.training.runs import Runs

_BOX_COLUMNS = 80
_NO_LIMIT = 1_000_000  # columns: wider than any table
# Lines are printed unwrapped and unchanged: users copy commands from them, and programs read them.
out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


class _Notes(Console):
    """A console that prints notes: as text for people or, with --log-json, as one JSON object per line."""

    def print(self, *objects: Any, **options: Any) -> None:
        if progress.style() == "json":
            progress.message(" ".join(map(str, objects)))
        else:
            super().print(*objects, **options)


err = _Notes(highlight=False, soft_wrap=True, markup=False, emoji=False, stderr=True)


def report_renamed() -> None:
    """Make kgplug report the use of an old name, for example in kgplug.toml, on standard error, once per name."""
    show_other = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, RenamedWarning):
            err.print(str(message))
        else:
            show_other(message, category, filename, lineno, file, line)

    warnings.simplefilter("once", RenamedWarning)
    warnings.showwarning = show


def note(text: str) -> None:
    """Print a note on standard error, except with --quiet."""
    if progress.style() != "quiet":
        err.print(text, style="dim")


ModelName = Annotated[
    str, typer.Argument(help="A name from `kgplug models`, such as MKR or TransE.", autocompletion=model_names)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
ListLength = Annotated[int, typer.Option("--k", "-k", "--top", help="Length of a list.", min=1)]
SchemaFile = Annotated[
    Path | None,
    typer.Option("--schema", help="Schema of the graph. Default: kgplug.toml, or a guess."),
]
ModelSettings = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="Setting of the model, as name=value. Can be repeated."),
]
Fractions = Annotated[
    str | None,
    typer.Option("--split", help="Fractions of the training, validation and test set.", metavar="A,B,C"),
]


class SplitBy(StrEnum):
    """Whether the fractions apply to the rows of each user, to all rows together, or to the users."""

    user = "user"
    row = "row"
    new_users = "new-users"


class SplitOrder(StrEnum):
    """The rows that become the test set: random ones, or the latest."""

    random = "random"
    time = "time"


By = Annotated[
    SplitBy,
    typer.Option(help="Split the rows of each user, all rows together, or the users (the test users are then new)."),
]
Order = Annotated[SplitOrder, typer.Option(help="Rows of the test set: random ones, or the latest.")]


def parse_split(kind: Kind, fractions: str | None, *, seed: int, by: SplitBy, order: SplitOrder) -> Split:
    """Return the split that the options describe; the default fractions depend on the kind of model."""
    from kgplug.jobs import Split

    if not kind.gives_lists and (by != SplitBy.user or order != SplitOrder.random):
        err.print("Triples are split by their keys: --by and --order are not used.")
    return Split(_fractions(fractions) if fractions else kind.fractions, seed, by.value, order.value)


def _fractions(text: str) -> tuple[float, float, float]:
    try:
        parts = tuple(float(part) for part in text.split(","))
    except ValueError:
        parts = ()
    if len(parts) != 3:
        raise UsageError(f"--split {text}: expected three fractions, such as 0.8,0.1,0.1.")
    return parts


def open_graph() -> Graph:
    """Connect to the database named by the NEO4J_ environment variables.

    If NEO4J_URI is not set, use the local Neo4j, and start it if needed.
    """
    from kgplug.graph.graph import connect

    return connect()


def open_runs() -> Runs:
    """Return the runs on this machine."""
    from kgplug.training.runs import Runs

    return Runs(Settings().runs_dir)


def load_schema(graph: Graph, path: Path | None) -> GraphSchema:
    """Load the schema file; if none was named and kgplug.toml does not exist, guess a schema and report the guess."""
    if path is not None or DEFAULT_FILE.exists():
        return GraphSchema.load(path or DEFAULT_FILE)
    from kgplug.graph.guessing.schema import guess_schema

    schema, _ = guess_schema(graph.connection)
    note(
        f"No {DEFAULT_FILE} here; guessed from the graph: {schema.pattern}. "
        "`kgplug init` writes this guess to a file, where you can change it."
    )
    return schema


def log_as_json() -> None:
    """Report progress, notes and warnings on standard error as one JSON object per line."""
    progress.report_as("json")

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            progress.message(record.getMessage())

    logging.basicConfig(handlers=[Lines()], level=logging.WARNING, force=True)
    logging.captureWarnings(True)


def has_keyboard() -> bool:
    """Return whether a user can be asked: standard input and standard output are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


@contextmanager
def printed_queries(asked: bool) -> Generator[None]:
    """Context manager that prints, if asked for, each query that is sent to the server, on standard error."""
    from kgplug.graph.bolt.connection import QUERIES

    class Printer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            err.print(f"{record.getMessage().strip()};", style="dim")

    log, printer = logging.getLogger(QUERIES), Printer()
    if not asked:
        yield
        return
    level, passed_on = log.level, log.propagate
    log.addHandler(printer)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(printer)
        log.setLevel(level)
        log.propagate = passed_on


def has_wide_terminal() -> bool:
    """Return whether standard output and standard error are terminals that are wide enough for boxes."""
    return sys.stdout.isatty() and sys.stderr.isatty() and out.width >= _BOX_COLUMNS


def print_help_in_whole_lines(command: Any) -> None:
    """Make a command and its subcommands print help and usage errors without boxes, one unwrapped line per option."""
    command.rich_markup_mode = None
    command.context_settings["terminal_width"] = _NO_LIMIT
    for sub in getattr(command, "commands", {}).values():
        print_help_in_whole_lines(sub)


def print_frame(frame: pd.DataFrame, *, as_json: bool, title: str | None = None, marks: Marks = frozenset()) -> None:
    """Print a table, or its rows as JSON.

    Cells are never wrapped. Without a terminal, a row is one line of any length. On a terminal narrower than the table,
    each row becomes a block of lines. `marks` has (row, column) of each value that gets a star.
    """
    if as_json:
        print_json(frame)
        return
    if frame.empty:
        out.print(f"{title or 'Result'}: none.")
        return
    from kgplug.evaluation.report import to_blocks, to_table

    if title:
        out.print(title, style="italic")
    table = to_table(frame, encoding=out.encoding, marks=marks)
    width = Measurement.get(out, out.options.update(max_width=_NO_LIMIT), table).maximum
    if sys.stdout.isatty() and width > out.width:
        out.print(to_blocks(frame, marks=marks))
    else:
        Console(file=out.file, width=width, highlight=False, emoji=False).print(table)


def print_compared(
    table: pd.DataFrame, *, title: str, sorted_by: int, differences: Sequence[Difference], in_words: bool = False
) -> None:
    """Print a table of models, with a star at each difference that is more than chance, and what the stars mean.

    If two models are compared, each difference is also printed as a sentence.

    Args:
        table: One row per model.
        title: Title of the table.
        sorted_by: The k of NDCG@k, the metric by which the best model was found.
        differences: Differences between the models and their baselines; may be empty.
        in_words: Also print the differences in NDCG as sentences, if there are more than two models.
    """
    from kgplug.evaluation.metrics.catalogue import SORTED_BY
    from kgplug.evaluation.significance import legend, marks

    print_frame(table, as_json=False, title=title, marks=marks(differences))
    by = SORTED_BY[Kind.RECOMMENDER].column(sorted_by)
    for line in legend(differences, by):
        out.print(line)
    of_two = len({each.model for each in differences}) == 1
    for each in differences:
        if of_two or (in_words and each.metric == by):
            out.print(str(each))


def with_differences(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table for JSON. If models were compared, a new column has each row's differences from the baseline."""
    found: list[Difference] = table.attrs.get("differences", [])
    if not found:
        return table
    of_rows: Any = [[each for each in found if each.model == name] for name in table.index]
    return table.assign(differences=of_rows)


def print_json(value: Any) -> None:
    """Print a value as JSON; if the output is not UTF-8, non-ASCII characters are escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    print(dumps(value, ascii_only=codecs.lookup(encoding).name != "utf-8", indent=2))


def parse_lengths(text: str) -> tuple[int, ...]:
    """Parse a text with lengths of lists, such as "10,20"."""
    try:
        lengths = tuple(int(part) for part in text.split(","))
    except ValueError:
        lengths = ()
    if not lengths or min(lengths) < 1:
        raise UsageError(f"--k {text}: expected whole numbers of at least 1, such as 10,20.")
    return lengths


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """Return settings from `name=value` texts; a value is read as JSON if possible, otherwise as text."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise UsageError(f'--set {pair}: expected name=value, such as "embedding_dim=32".')
        try:
            settings[name] = json.loads(value, parse_constant=str)
        except (ValueError, RecursionError):  # not JSON, or a number too long or lists too deep to be meant as JSON
            settings[name] = value
    return settings


@contextmanager
def step(title: str) -> Generator[list[str]]:
    """Context manager for one step of a command: when the step is done, print its title and its duration.

    Below these, print the lines that the step has added to the yielded list.
    """
    began, done = time.perf_counter(), list[str]()
    if sys.stdout.isatty():
        out.print(f"▸ {title}", style="bold")
    yield done
    seconds = time.perf_counter() - began
    out.print(Text.assemble(("✓", "green"), " ", (title, "bold"), " ", (f"({seconds:.1f} s)", "dim")))
    for line in done:
        out.print(f"  {line}")
