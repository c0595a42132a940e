"""Commands about models and runs: models, train, runs, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kgplug.cli.completion import run_names
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
    note,
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
from kgplug.cli.this_graph import graph_at_hand, resolve_here, this_graph
from kgplug.errors import KgplugError, RunError, UsageError
from kgplug.plain_text import counted
from kgplug.strict_json import plain

if TYPE_CHECKING:
    import pandas as pd

    from kgplug.graph.graph import Graph
    from kgplug.training.runs import RunInfo, Runs

MEASURED_LENGTHS = "10,20"  # default of -k: lengths of the measured lists


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to the command line `app`."""
    for command in (models, train, runs, evaluate):
        app.command(rich_help_panel="Models")(command)


def models(as_json: Json = False) -> None:
    """List the available models: what each one needs, and its paper.

    Example: `kgplug models`
    """
    import pandas as pd

    from kgplug.models import available

    rows = [vars(entry) if not isinstance(entry, dict) else entry for entry in available()]
    print_frame(pd.DataFrame(rows).set_index("name"), as_json=as_json, title="Models")


def train(
    model: ModelName,
    settings: ModelSettings = None,
    fractions: Fractions = None,
    by: By = SplitBy.user,
    order: Order = SplitOrder.random,
    seed: Annotated[int, typer.Option(help="Seed of the split and the training.")] = 0,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN",
            autocompletion=run_names,
            help="Start from the vectors of an embedding's run.",
        ),
    ] = None,
    freeze: Annotated[bool, typer.Option("--freeze", help="With --from: train only new nodes and relations.")] = False,
    final: Annotated[
        bool,
        typer.Option("--final", help="Train on all rows, with the settings and epochs of the run without --final."),
    ] = False,
    schema_file: SchemaFile = None,
    as_json: Json = False,
) -> None:
    """Train a model on the graph and save it as a run. The test set is held out.

    If interrupted, run the same command again: it continues from its last checkpoint. A checkpoint is written every
    KGPLUG_CHECKPOINT_S seconds (default 60). With --from, new nodes and relations get vectors; the split, and all
    settings not given with -s, are those of the earlier run. --final trains the run to publish: on all rows, including
    the test set. Its metrics are those of the run without --final, which is trained first if it does not exist.

    EASE, CEASE, ALS and all recommenders that are trained by epochs choose their most important settings on the
    validation set. This takes about three times as long as one training. If you give any setting with -s (other than
    goal, device or backend), nothing is chosen: all other settings have their defaults. To use only defaults, give -s
    settings=defaults.

    Examples: `kgplug train MKR`, `kgplug train MKR --final`, `kgplug train TransH -s embedding_dim=32`, `kgplug train
    KGCN --split 0.6,0.2,0.2`, `kgplug train TransE --from TransE --freeze`
    """
    from kgplug import jobs, models
    from kgplug.data.artefact import peek_content

    chosen = parse_settings(settings or [])
    made = models.create(model, **chosen)  # wrong names are refused before the database is asked
    runs, split = open_runs(), parse_split(made.kind, fractions, seed=seed, by=by, order=order)
    if start is not None and fractions:
        raise UsageError("--from keeps the split of the earlier run, so that no test triple is learnt. Omit --split.")
    if start is not None:
        runs.resolve(start)  # an unknown run is refused before the database is asked
    with open_graph() as graph:
        earlier = None if start is None else resolve_here(runs, [start], graph, schema_file)[0]
        data = jobs.read(graph, load_schema(graph, schema_file), model=made)
        written = {name: n for report in graph.reports.values() for name, n in report.written.items()}
        if own := sum(written.values()):  # a type read both as feedback and as knowledge counts once
            note(f"{counted(own, 'relationship')} that kgplug wrote {'is' if own == 1 else 'are'} left out.")
        run_dir = jobs.train(
            made if start is None else model,
            data,
            runs,
            settings=chosen,
            split=split,
            seed=seed,
            start=earlier,
            freeze=freeze,
            final=final,
        )
    info = runs.info(run_dir)
    tried = peek_content(runs.path(info.origin or info.id)).get("tried", [])
    if as_json:
        # Up to version 0.1, "run" was called "id"; scripts may read it.
        print_json(_run_facts(info) | {"id": info.id, "tried": tried})
        return
    metrics = _metrics(info)
    out.print(f"Run {info.id} in {info.seconds} s{'; ' + metrics if metrics else ''}.")
    if tried:
        out.print(_choice(tried))
    if info.origin:
        out.print(f"It was trained on all rows. Its settings, epochs and metrics are those of run {info.origin}.")
    if info.health:
        out.print(
            f"Next: train {info.model} with other settings. This run has collapsed, so `kgplug publish` refuses it."
        )
        return
    has_test = bool(info.origin) or peek_content(run_dir)["split"]["fractions"][2] > 0
    measure = f"`kgplug evaluate {info.id}`, " if has_test else ""
    out.print(f"Next: {measure}`kgplug publish {info.id}`.")


def _choice(tried: list[dict[str, Any]]) -> str:
    """Return sentences that say which of the tried settings were chosen.

    Args:
        tried: `Recommender.tried`: one dict for each choice of settings, the defaults first.
    """
    best = next(trial for trial in tried if trial["chosen"])
    said = f"Settings chosen on the validation set, with {counted(len(tried) - 1, 'other choice')} tried: "
    value, before = _value(best), _value(tried[0])
    if best["settings"]:
        of_defaults = "" if tried[0]["settings"] else f"; defaults {before}"
        said += f"{_listed(best['settings'])} ({best['metric']} {value}{of_defaults})."
    else:
        said += f"the defaults ({best['metric']} {value})."
    for trial in tried:
        if trial["note"]:
            what = _listed(trial["settings"]) or "The defaults"
            said += f" {what} {'was' if trial['settings'] else 'were'} not chosen: {trial['note'].rstrip('.')}."
    return said


def _value(trial: dict[str, Any]) -> str:
    if trial["value"] is None:
        return "unknown"
    return f"{trial['value']:.4f}" + (f" and AUC {trial['AUC']:.4f}" if trial.get("AUC") else "")


def _listed(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def runs(as_json: Json = False) -> None:
    """List the runs on this machine, newest last, each with the graph it was trained on.

    In the column "graph", "this one" means the graph of the configured server, with the schema of kgplug.toml if that
    file is in this folder. If this server does not answer, kgplug assumes that it has the database of the newest run
    that was trained at its address.

    Example: `kgplug runs`
    """
    import pandas as pd

    store = open_runs()
    found = store.list()
    here = graph_at_hand(store, ask=True) if found else None
    is_here = {info.id: None if here is None or info.damage else here.same_graph(info.graph) for info in found}
    if as_json:
        print_json([_run_facts(info) | {"this_graph": is_here[info.id]} for info in found])
        return
    rows = []
    for info in found:
        metrics = info.damage or ", ".join([*filter(None, [_metrics(info)]), *info.health])
        created = info.created[:16].replace("T", " ")
        which = {True: "this one", False: str(info.graph), None: "" if info.damage else str(info.graph)}
        facts = {"model": info.model, "created": created, "seconds": info.seconds, "graph": which[is_here[info.id]]}
        rows.append({"run": info.id, **facts, "metrics": metrics})
    if not rows:
        out.print("No runs yet. Train one: `kgplug train MKR`.")
        return
    print_frame(pd.DataFrame(rows), as_json=False, title="Runs")


def _run_facts(info: RunInfo) -> dict[str, Any]:
    """Return the facts of a run for JSON; its id is under "run", as in every other output."""
    facts = {("run" if name == "id" else name): value for name, value in vars(info).items()}
    return facts | {"graph": info.graph.to_dict(), "kind": info.kind or ""}


def _metrics(info: RunInfo) -> str:
    """Return a run's validation metrics and main test metrics as text.

    For a final run (trained on all rows), they are the metrics of the earlier run from which it has its settings.
    """
    from kgplug.evaluation.metrics.catalogue import shown_once
    from kgplug.evaluation.metrics.metric import Shown

    values = {name: value for name, value in info.evaluation.items() if isinstance(value, float)}
    tested = {name: values[name] for name in shown_once(values, Shown.LINE)}
    found = ", ".join(f"{name} {value:.4g}" for name, value in {**info.metrics, **tested}.items() if value is not None)
    return f"{found} (of {info.origin})" if info.origin and found else found


def evaluate(
    run: Annotated[
        list[str] | None,
        typer.Argument(help="Runs or models. Default: the newest run of each model.", autocompletion=run_names),
    ] = None,
    k: Annotated[str, typer.Option("--k", "-k", "--top", help="Lengths of the lists to measure.")] = MEASURED_LENGTHS,
    beyond: Annotated[
        bool,
        typer.Option(
            "--beyond", help="Also measure novelty, diversity, popularity, and accuracy on cold users and items."
        ),
    ] = False,
    schema_file: SchemaFile = None,
    as_json: Json = False,
) -> None:
    """Measure runs on their test sets: click-through (AUC, ACC), full ranking, and link prediction for embeddings.

    Test rows that are no longer in the graph are counted and skipped. Several runs are compared on rows that are in no
    run's training or validation set. A run that cannot be measured is reported; the others are still measured, and the
    exit code is 1.

    For recommenders, a star marks each AUC and list metric whose difference from the best run (by NDCG at the first
    length) is more than chance: paired bootstrap over the test users, p < 0.05 after Holm's correction for all
    comparisons of the table. For two runs, each difference is also printed with its 95 % interval.

    --beyond prints a second table for recommenders: novelty in bits, diversity (1 minus the mean cosine between the
    items of a list, based on who liked them), mean popularity of listed items, and the Gini index of how often items
    are listed. The table also has the accuracy on users and items with fewer than five training likes (cold), and on
    all other users and items.

    Examples: `kgplug evaluate`, `kgplug evaluate MKR KGCN`, `kgplug evaluate MKR KGCN -k 5,10,50 --json`, `kgplug
    evaluate MKR MF --beyond`
    """
    from kgplug import jobs

    store, lengths, failures = open_runs(), parse_lengths(k), dict[Path, KgplugError]()
    if not store.list():
        raise UsageError("No runs yet. Train one: `kgplug train MKR`.")
    for name in run or []:
        store.resolve(name)  # an unknown run is refused before the database is asked
    with open_graph() as graph:
        run_dirs = resolve_here(store, run, graph, schema_file) if run else _newest(store, graph, schema_file, failures)
        on_failure = failures.__setitem__ if len(run_dirs) + len(failures) > 1 else None
        tables = jobs.evaluate(graph, run_dirs, k=lengths, beyond=beyond, on_failure=on_failure)
    if tables and "recommender" not in tables and (beyond or k != MEASURED_LENGTHS):
        err.print("Embeddings do not make lists: -k and --beyond are not used.")
    _print_measures(tables, beyond=beyond, as_json=as_json, sorted_by=lengths[0])
    for run_dir, error in failures.items():
        err.print(f"Not measured: {run_dir.name}. {error}")
    if failures:
        names = ", ".join(run_dir.name for run_dir in failures)
        raise RunError(f"{len(failures)} of {len({*run_dirs, *failures})} runs could not be measured: {names}.")


def _newest(store: Runs, graph: Graph, schema_file: Path | None, failures: dict[Path, KgplugError]) -> list[Path]:
    """Return the folder of each model's newest run on this graph; add each damaged run with its error to `failures`."""
    here = this_graph(graph, schema_file)
    found, others = store.of(here)
    failures |= {info.path: RunError(info.damage) for info in store.list() if info.damage}
    if others:
        note(f"{counted(others, 'run')} of other graphs skipped (`kgplug runs` lists them).")
    if not found and not failures:
        raise UsageError(f"No run of this graph yet ({here}). Train one: `kgplug train MKR`.")
    newest = {info.model: info.path for info in found}
    return [newest[name] for name in sorted(newest)]


def _print_measures(tables: dict[str, pd.DataFrame], *, beyond: bool, as_json: bool, sorted_by: int) -> None:
    from kgplug.jobs import health

    if as_json:
        notes = [text for table in tables.values() for text in table.attrs.get("notes", [])]
        for text in [*notes, *health.notes(tables)]:  # for example, that the metrics cannot be compared
            err.print(text)
        print_json([row for table in tables.values() for row in plain(with_differences(table).rename_axis("run"))])
        return
    titles = {"recommender": "Recommenders, on the test set", "embedding": "Embeddings, on the test set"}
    for kind, table in tables.items():
        names = list(table.columns)
        last = names.index("gone") + 1 if beyond and "gone" in names else len(names)
        differences = table.attrs.get("differences", [])
        print_compared(table.loc[:, names[:last]], title=titles[kind], sorted_by=sorted_by, differences=differences)
        if last < len(names):
            further = [name for name in names if name.startswith("coverage@")] + names[last:]
            print_frame(table.loc[:, further], as_json=False, title="Beyond accuracy")
        for text in table.attrs.get("notes", []):
            out.print(text)
    for text in health.notes(tables):
        out.print(text)
