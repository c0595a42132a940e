"""Commands that change what the graph serves: publish, rollback, diff, unpublish, erase-user."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kgplug.cli.completion import run_names, trained_models
from kgplug.cli.console import (
    Json,
    ListLength,
    SchemaFile,
    err,
    load_schema,
    open_graph,
    open_runs,
    out,
    print_json,
)
from kgplug.cli.keys import say_which
from kgplug.cli.list_options import DiverseBy, Diversity, ItemLabels, Seen, SeenRows, Where, options_from
from kgplug.cli.this_graph import resolve_here
from kgplug.errors import KgplugError, UsageError

if TYPE_CHECKING:
    from kgplug.training.runs import Runs

LIST_LENGTH = 10
PublishedModel = Annotated[
    str, typer.Argument(help="A model that the graph serves, such as MKR.", autocompletion=trained_models)
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to the command line `app`."""
    app.command(rich_help_panel="Publishing")(publish)
    app.command(rich_help_panel="Publishing")(rollback)
    app.command(rich_help_panel="Publishing")(diff)
    app.command(rich_help_panel="Publishing")(unpublish)
    app.command("erase-user", rich_help_panel="Publishing")(erase_user)


def publish(
    run: Annotated[
        str | None,
        typer.Argument(
            help="A run, or a model's name for its newest run. Optional with --resume.", autocompletion=run_names
        ),
    ] = None,
    k: ListLength = LIST_LENGTH,
    similar: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Also write SIMILAR_TO edges from each node to its N nearest nodes of the same label.",
            min=1,
        ),
    ] = None,
    similar_label: Annotated[str | None, typer.Option(help="SIMILAR_TO edges only among nodes of this label.")] = None,
    where: Where = None,
    labels: ItemLabels = None,
    diversity: Diversity = 0.0,
    diverse_by: DiverseBy = None,
    seen: Seen = SeenRows.all,
    keep: Annotated[
        bool, typer.Option(help="Keep the run that serves now, so that `kgplug rollback` can return to it.")
    ] = True,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Publish even if the model has collapsed, or if the run was trained on another database."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Report what would change, without writing anything.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Finish an interrupted publish with its original options.")
    ] = False,
    name: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Serve the run under this name. Default: the model's name."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="If this name already serves a run of another schema, replace that run.")
    ] = False,
    schema_file: SchemaFile = None,
    as_json: Json = False,
) -> None:
    """Write a run into the graph: vectors with a vector index, RECOMMENDS edges and, on request, SIMILAR_TO edges.

    The model's previous run serves until this one is complete. Publishing the same run again changes nothing unless
    list options differ.

    Examples: `kgplug publish MKR`, `kgplug publish MKR --dry-run`, `kgplug publish --resume`, `kgplug publish TransE
    --similar 10 --similar-label Movie`, `kgplug publish MKR --where "item.year > 1990" --diversity 0.3`,
    `kgplug publish MKR --as films`
    """
    from kgplug import jobs
    from kgplug.graph.publishing.options import PublishOptions

    if resume and (name is not None or replace):
        raise UsageError("--resume uses the original options of the publish. Omit --as and --replace.")
    if resume and dry_run:
        raise UsageError("--resume finishes a publish, and --dry-run writes nothing. Give one of them.")
    if run is None and not resume:
        raise UsageError("Name a run or a model to publish, such as MKR; `kgplug runs` lists the runs.")
    runs = open_runs()
    if resume:
        with open_graph() as graph:
            _print(jobs.resume(graph, runs, run), as_json=as_json)
        return
    runs.resolve(str(run))  # an unknown run is refused before the database is asked
    options = options_from(
        PublishOptions, where=where, labels=labels, diversity=diversity, diverse_by=diverse_by, seen=seen,
        k=k, similar=similar, similar_label=similar_label, keep_previous=keep, force=force, name=name, replace=replace,
    )  # fmt: skip
    with open_graph() as graph:
        (run_dir,) = resolve_here(runs, [str(run)], graph, schema_file)
        model, details = jobs.open_run(graph, run_dir, force=force)
        if k != LIST_LENGTH and not model.kind.gives_lists:
            err.print(f"Run {run_dir.name} is an embedding and gives no lists: -k is not used.")
        write = graph.preview if dry_run else graph.publish
        _print(write(model, options, details=details), as_json=as_json)


def rollback(model: PublishedModel, as_json: Json = False) -> None:
    """Undo an interrupted publish, or else switch back to the previous run.

    Takes effect at once. A second rollback returns to the later run.

    Example: `kgplug rollback MKR`
    """
    with open_graph() as graph:
        _print(graph.rollback(model), as_json=as_json)


def diff(
    before: Annotated[
        str,
        typer.Argument(help="A run of a recommender, or a model's name for its newest run.", autocompletion=run_names),
    ],
    after: Annotated[str, typer.Argument(help="Another run or model.", autocompletion=run_names)],
    k: ListLength = 10,
    as_json: Json = False,
) -> None:
    """Compare the lists of two runs: overlap, rank changes, and examples.

    A name that no run has is looked up among the published models. Only such a name needs the database.

    Examples: `kgplug diff MKR KGCN`, `kgplug diff mkr-20261123 mkr-20261124 -k 20`
    """
    from kgplug import jobs

    runs = open_runs()
    run_dirs = [_run_or_published(runs, name) for name in (before, after)]
    found = jobs.diff(run_dirs, k=k)
    if as_json:
        print_json(found.to_dict())
        return
    out.print(f"{run_dirs[0].name} → {run_dirs[1].name}\n{found}")


def _run_or_published(runs: Runs, name: str) -> Path:
    """Return the folder of a run; if no run has this name, the folder of the published model's run."""
    from kgplug.serving import explain

    try:
        return resolve_here(runs, [name])[0]
    except UsageError as error:
        try:
            with open_graph() as graph:
                run = explain.published(graph, name)["id"]
        except KgplugError:
            raise error from None
        return runs.resolve(run)


def unpublish(model: PublishedModel, as_json: Json = False) -> None:
    """Remove a model from the graph: edges, vectors, indexes, catalogue entry. Its runs stay on disk.

    Example: `kgplug unpublish MKR`
    """
    with open_graph() as graph:
        _print(graph.unpublish(model), as_json=as_json)


def erase_user(
    user: Annotated[str, typer.Argument(help="The user's key.")],
    schema_file: SchemaFile = None,
    as_json: Json = False,
) -> None:
    """Erase a user from kgplug's edges and vectors and from the runs on this machine.

    Afterwards, a query counts the user's remaining edges and vectors in the graph: there should be none. The user's
    node and feedback stay.

    Example: `kgplug erase-user 42`
    """
    from kgplug.jobs.erase_user import erase_user as erase
    from kgplug.jobs.erase_user import find_user

    runs = open_runs()
    with open_graph() as graph:
        graph.use(load_schema(graph, schema_file))
        found = find_user(graph, runs, user)
        say_which(found, graph.schema.user.label)
        _print(erase(graph, runs, found.key), as_json=as_json)


def _print(report: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(report.to_dict() if hasattr(report, "to_dict") else vars(report))
    else:
        out.print(str(report))
