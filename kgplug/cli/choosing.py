"""Commands that help to choose a model and its settings: tune, compare, plot, card."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kgplug.cli.completion import model_names, run_names
from kgplug.cli.console import (
    By,
    Fractions,
    Json,
    ModelName,
    ModelSettings,
    Order,
    SchemaFile,
    SplitBy,
    SplitOrder,
    err,
    load_schema,
    open_graph,
    open_runs,
    out,
    parse_lengths,
    parse_settings,
    parse_split,
    print_compared,
    print_frame,
    print_json,
    with_differences,
)
from kgplug.cli.this_graph import resolve_here
from kgplug.errors import UsageError
from kgplug.plain_text import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kgplug.tuning import Tuning

SHOWN_TRIALS = 10


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to the command line `app`."""
    for command in (tune, compare, plot, card):
        app.command(rich_help_panel="Models")(command)


def tune(
    model: ModelName,
    trials: Annotated[int, typer.Option(min=1, help="Number of trials, including those of earlier calls.")] = 20,
    epochs: Annotated[int | None, typer.Option(min=1, help="Maximum number of epochs per trial.")] = None,
    settings: ModelSettings = None,
    fractions: Fractions = None,
    by: By = SplitBy.user,
    order: Order = SplitOrder.random,
    seed: Annotated[int, typer.Option(help="Seed of the split, the search and the trainings.")] = 0,
    schema_file: SchemaFile = None,
    picture: Annotated[
        Path | None,
        typer.Option("--plot", help="Picture of the search. Default: in the runs' folder, next to the search's file."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Search for the settings with the best metric on the validation set. The test set is not used.

    Settings given by --set are fixed. If interrupted, run the same command again to continue. A larger --trials
    continues a finished search.

    Examples: `kgplug tune TransE --trials 30`, `kgplug tune MKR --epochs 20 -s embedding_dim=32`
    """
    from kgplug import jobs, models, plots

    chosen = parse_settings(settings or [])
    made = models.create(model, **chosen)  # wrong names are refused before the database is asked
    split = parse_split(made.kind, fractions, seed=seed, by=by, order=order)
    _check_picture(picture)
    with open_graph() as graph:
        data = jobs.read(graph, load_schema(graph, schema_file), model=made)
        found = jobs.tune(
            model, data, open_runs(), trials=trials, epochs=epochs, settings=chosen, split=split, seed=seed
        )
    assert found.path is not None
    picture = picture or found.path.with_suffix(".png")
    title = f"{found.model}: {counted(len(found.trials), 'trial')}"
    _save(plots.trials_figure(found.trials, found.searched, title=title, metric=found.metric), picture)
    given = {
        "--split": fractions,
        "--by": by.value if by != SplitBy.user else None,
        "--order": order.value if order != SplitOrder.random else None,
        "--seed": str(seed) if seed else None,
        "--schema": None if schema_file is None else str(schema_file),
    }
    _print_tuning(found, _train_command(found, given), picture, as_json=as_json)


def _train_command(found: Tuning, given: dict[str, str | None]) -> str:
    """Return the command that trains with the best settings and the options in `given`, except those that are None."""
    words = ["kgplug", "train", found.model]
    for name, value in found.settings.items():
        words += ["-s", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    for option, value in given.items():
        words += [option, value] if value is not None else []
    return shlex.join(words)


def _print_tuning(found: Tuning, command: str, picture: Path, *, as_json: bool) -> None:
    trials = found.trials
    if as_json:
        facts = {"model": found.model, "metric": found.metric, "best": found.best, "settings": found.settings}
        rows = trials.drop(columns="best")
        print_json({**facts, "command": command, "plot": picture, "study": found.path, "trials": rows})
        return
    shown = found.ranked.head(SHOWN_TRIALS).drop(columns=["state", "best", "reason"]).reset_index(drop=True)
    shown.columns = [found.metric if name == "metric" else name.partition(".")[2] or name for name in shown.columns]
    title = f"{found.model}: the best {len(shown)} of {counted(len(trials), 'trial')}; trial 1 has the default settings"
    print_frame(shown, as_json=False, title=title)
    if pruned := list(trials["state"]).count("pruned"):
        out.print(f"{counted(pruned, 'trial')} stopped early: in the worst quarter of trials at the same epoch.")
    if found.reasons:
        out.print(f"{counted(len(found.reasons), 'trial')} failed. The first reason: {found.reasons[0]}")
    out.print(f"Picture: {picture}")
    out.print(f"Next: {command}")


def compare(
    names: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Names from `kgplug models`.", autocompletion=model_names)
    ],
    settings: ModelSettings = None,
    fractions: Fractions = None,
    by: By = SplitBy.user,
    order: Order = SplitOrder.random,
    seed: Annotated[int, typer.Option(help="Seed of the split and the trainings.")] = 0,
    k: Annotated[
        str, typer.Option("--k", "-k", "--top", help="Lengths of the lists to measure. The first one sorts the table.")
    ] = "10",
    baseline: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Model with which the others are compared. Default: the best one."),
    ] = None,
    controls: Annotated[
        bool, typer.Option("--controls", help="Also train each model without its graph and with a shuffled one.")
    ] = False,
    schema_file: SchemaFile = None,
    as_json: Json = False,
) -> None:
    """Train several models on one split of the graph and rank them by their metrics on the test set.

    A run with the same data, settings, split and seed is reused. If interrupted, run the same command again.

    For recommenders, a star marks each AUC and list metric whose difference from the best model, or from --baseline, is
    more than chance: paired bootstrap over the test users, p < 0.05 after Holm's correction for all comparisons of the
    table. A star means that other users would show a difference too. It does not mean that models trained with another
    --seed would. With --json, each row has its differences with 95 % intervals.

    --controls shows what a model gains from its graph. Each model gets two more rows: without the graph, and with a
    shuffled graph, in which the tails of each relation are shuffled among its heads. Stars then mark differences from
    the same model with its graph. `kgplug runs` does not list the runs of these rows.

    Examples: `kgplug compare TransE TransH TransR DistMult -s embedding_dim=32`, `kgplug compare MKR KGCN ItemKNN`,
    `kgplug compare MKR KGCN ItemKNN --baseline ItemKNN`, `kgplug compare MKR --controls`
    """
    from kgplug.jobs import compare as comparing

    chosen, lengths = parse_settings(settings or []), parse_lengths(k)
    made = comparing.create_all(names, chosen)  # wrong names are refused before the database is asked
    if controls:
        comparing.refuse_controls(made, baseline)
    baseline = None if baseline is None else comparing.name_among(baseline, made)
    split = parse_split(made[0].kind, fractions, seed=seed, by=by, order=order)
    if not made[0].kind.gives_lists and lengths != (10,):
        err.print("Embeddings do not make lists: -k is not used.")
    with open_graph() as graph:
        table = comparing.compare(
            made,
            graph,
            load_schema(graph, schema_file),
            open_runs(),
            split=split,
            seed=seed,
            k=lengths,
            baseline=baseline,
            controls=controls,
        )
    notes: list[str] = table.attrs["notes"]
    if as_json:
        for text in notes:
            err.print(text)
        print_json(with_differences(table))
        return
    print_compared(
        table.drop(columns="run"),
        title="On the test set",
        sorted_by=lengths[0],
        differences=table.attrs["differences"],
        in_words=controls,
    )
    for text in notes:
        out.print(text)
    out.print(f"Next: kgplug plot {' '.join(model.name for model in made)} --to comparison.png")


def plot(
    run: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Runs, or models' names for their newest run.", autocompletion=run_names),
    ],
    to: Annotated[Path, typer.Option(help="The picture: .png, .svg or .pdf.", metavar="FILE")],
) -> None:
    """Draw the training curves of runs.

    For a single embedding, also draw a map of its entities. For several runs, also draw bars of their metrics, if
    `kgplug evaluate` has measured them.

    Examples: `kgplug plot TransE --to transe.png`, `kgplug plot TransE TransH --to both.svg`
    """
    from kgplug import jobs
    from kgplug.jobs import compare as comparing

    _check_picture(to)
    store = open_runs()
    run_dirs = list(dict.fromkeys(resolve_here(store, run)))
    _save(comparing.draw(run_dirs), to)
    bare = [run_dir.name for run_dir in run_dirs if len(run_dirs) > 1 and not jobs.evaluation_of(run_dir)]
    if bare:
        out.print(f"No bars for {', '.join(bare)}: not evaluated yet (`kgplug evaluate`).")
    out.print(f"Picture: {to}")


def _check_picture(path: Path | None) -> None:
    if path is not None and path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise UsageError(f"{path}: expected a name that ends in .png, .svg or .pdf.")
    if path is not None and not path.parent.is_dir():
        raise UsageError(f"{path}: folder {path.parent} does not exist. Create it, or choose another one.")


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=150)


def card(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Run, or a model's name for its newest run.", autocompletion=run_names)
    ],
    controls: Annotated[
        bool, typer.Option("--controls", help="Also train the model without its graph and with a shuffled one.")
    ] = False,
    folder: Annotated[Path, typer.Option("--out", help="Folder for the page.")] = Path("cards"),
    schema_file: SchemaFile = None,
) -> None:
    """Describe a run on one page (HTML and Markdown): data, settings, metrics with intervals, curves, lists, limits.

    The run is measured on its test set, on the graph that it was trained on.

    Examples: `kgplug card MKR`, `kgplug card MKR --controls --out docs`
    """
    from kgplug.jobs import card as cards

    store = open_runs()
    store.resolve(run)  # an unknown run is refused before the database is asked
    with open_graph() as graph:
        (run_dir,) = resolve_here(store, [run], graph, schema_file)
        page, text = cards.card(graph, run_dir, store, controls=controls).write(folder, run_dir.name)
    out.print(f"Page: {page}\nMarkdown: {text}", highlight=False)
