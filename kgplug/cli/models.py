"""Commands about models and runs: models, train, runs, evaluate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kgplug.cli.completion import run_names
from kgplug.cli.console import (
    By,
    Json,
    ModelName,
    ModelSettings,
    Order,
    SchemaFile,
    Shares,
    SplitBy,
    SplitOrder,
    err,
    load_schema,
    open_graph,
    open_runs,
    out,
    parse_settings,
    parse_split,
    print_frame,
    print_json,
)
from kgplug.errors import UsageError
from kgplug.strict_json import plain

if TYPE_CHECKING:
    from kgplug.training.runs import RunInfo


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    for command in (models, train, runs, evaluate):
        app.command(rich_help_panel="Models")(command)


def models(as_json: Json = False) -> None:
    """List the models that `train` knows: what each needs, and its paper.

    Example: `kgplug models`
    """
    import pandas as pd

    from kgplug.models import available

    rows = [vars(entry) if not isinstance(entry, dict) else entry for entry in available()]
    print_frame(pd.DataFrame(rows).set_index("name"), as_json=as_json, title="Models")


def train(
    model: ModelName,
    settings: ModelSettings = None,
    fractions: Shares = None,
    by: By = SplitBy.user,
    order: Order = SplitOrder.random,
    seed: Annotated[int, typer.Option(help="Of the split and the training.")] = 0,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN",
            autocompletion=run_names,
            help="Go on from an embedding's run: what it knows keeps its vectors.",
        ),
    ] = None,
    freeze: Annotated[bool, typer.Option("--freeze", help="With --from: train only what is new.")] = False,
    schema_file: SchemaFile = None,
    as_json: Json = False,
) -> None:
    """Train a model on the graph and keep it as a run. The test part is split off and not looked at.

    Interrupted, the same command goes on from its last checkpoint (every KGPLUG_CHECKPOINT_S seconds; 60 if unset).
    With --from, nodes and relations that came since
    get vectors of their own; settings and split are those of the earlier run.

    Examples: `kgplug train MKR`, `kgplug train TransH -s embedding_dim=32`, `kgplug train KGCN --split 0.6,0.2,0.2`,
    `kgplug train TransE --from TransE --freeze`
    """
    from kgplug import jobs
    from kgplug.data.artefact import peek_content

    chosen = parse_settings(settings or [])
    kind = jobs.models.kind(jobs.models.create(model, **chosen))  # refused before the database is asked
    runs, split = open_runs(), parse_split(kind, fractions, seed=seed, by=by, order=order)
    if start is not None and fractions:
        raise UsageError("--from keeps the split of the earlier run, so that no test triple is learnt; omit --split.")
    earlier = None if start is None else runs.resolve(start)
    with open_graph() as graph:
        data = jobs.read(graph, load_schema(graph, schema_file), name=model)
        if own := sum(report.own for report in graph.reports.values()):
            err.print(f"{own:,} relationships that kgplug wrote are left out.", style="dim")
        folder = jobs.train(model, data, runs, settings=chosen, split=split, seed=seed, start=earlier, freeze=freeze)
    info = runs.info(folder)
    if as_json:
        print_json(vars(info))
        return
    figures = _figures(info)
    out.print(f"Run {info.id} in {info.seconds} s{'; ' + figures if figures else ''}.")
    has_test = peek_content(folder)["split"]["fractions"][2] > 0
    measure = f"`kgplug evaluate {info.id}`, " if has_test else ""
    out.print(f"Next: {measure}`kgplug publish {info.id}`.")


def runs(as_json: Json = False) -> None:
    """List the runs on this machine, the newest last.

    Example: `kgplug runs`
    """
    import pandas as pd

    found = open_runs().list()
    if as_json:
        print_json([{("run" if name == "id" else name): value for name, value in vars(info).items()} for info in found])
        return
    rows = []
    for info in found:
        figures = info.damage or ", ".join([*filter(None, [_figures(info)]), *info.health])
        created = info.created[:16].replace("T", " ")
        facts = {"model": info.model, "created": created, "seconds": info.seconds, "figures": figures}
        rows.append({"run": info.id, **facts})
    if not rows:
        out.print("No runs yet. `kgplug train MKR` makes one.")
        return
    print_frame(pd.DataFrame(rows), as_json=False, title="Runs")


def _figures(info: RunInfo) -> str:
    return ", ".join(f"{name} {value}" for name, value in info.metrics.items() if value is not None)


def evaluate(
    run: Annotated[
        list[str] | None,
        typer.Argument(help="Runs or models; without any, each model's newest.", autocompletion=run_names),
    ] = None,
    k: Annotated[str, typer.Option("--k", "-k", "--top", help="Lengths of the lists to measure.")] = "10,20",
    beyond: Annotated[
        bool, typer.Option("--beyond", help="Also novelty, diversity, popularity; and accuracy of hot and cold groups.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure runs on their test part: click-through (AUC, ACC), full ranking, and link prediction for embeddings.

    With --beyond a second table of recommenders tells what their lists are like: novelty in bits, diversity (1 minus
    the mean cosine of a list's items by who liked them), the mean likes of what is listed, the Gini index of how
    often items are listed; and accuracy on users and items with fewer than five training likes (cold) and the others.

    Examples: `kgplug evaluate`, `kgplug evaluate MKR KGCN -k 5,10,50 --json`, `kgplug evaluate MKR MF --beyond`
    """
    from kgplug import job_health, jobs

    store = open_runs()
    names = run or sorted({info.model for info in store.list() if info.model})
    if not names:
        raise UsageError("No runs yet. `kgplug train MKR` makes one.")
    folders = [store.resolve(name) for name in names]
    with open_graph() as graph:
        tables = jobs.evaluate(graph, folders, k=_lengths(k), beyond=beyond)
    if as_json:
        for note in job_health.notes(tables):
            err.print(note)
        print_json([row for table in tables.values() for row in plain(table.rename_axis("run"))])
        return
    titles = {"recommender": "Recommenders, on their test part", "embedding": "Embeddings, on held-out triples"}
    for kind, table in tables.items():
        names = list(table.columns)
        last = names.index("left out") + 1 if beyond and kind == "recommender" else len(names)
        print_frame(table.loc[:, names[:last]], as_json=False, title=titles[kind])
        if last < len(names):
            further = [name for name in names if name.startswith("coverage@")] + names[last:]
            print_frame(
                table.loc[:, further], as_json=False, title="Beyond accuracy: what the lists are like, for whom"
            )
    for note in job_health.notes(tables):
        out.print(note)


def _lengths(text: str) -> tuple[int, ...]:
    try:
        lengths = tuple(int(part) for part in text.split(","))
    except ValueError:
        lengths = ()
    if not lengths or min(lengths) < 1:
        raise UsageError(f"--k {text}: expected whole numbers from 1 on, such as 10,20.")
    return lengths
