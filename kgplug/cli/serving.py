"""Commands about what the graph serves: publish, recommend, similar."""

from __future__ import annotations

from typing import Annotated

import typer

from kgplug.cli.console import (
    Json,
    SchemaFile,
    load_schema,
    open_graph,
    open_runs,
    out,
    parse_key,
    print_frame,
    print_json,
)
from kgplug.errors import UsageError

Model = Annotated[str | None, typer.Option("--model", "-m", help="A published model; default: the newest one.")]


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    for command in (publish, recommend, similar):
        app.command(rich_help_panel="Serving")(command)


def publish(
    run: Annotated[str, typer.Argument(help="A run, or a model's name for its newest run.")],
    top: Annotated[int, typer.Option(help="Length of each user's list.", min=1)] = 10,
    as_json: Json = False,
) -> None:
    """Write a run into the graph: vectors with a vector index, and RECOMMENDS edges.

    The model's previous run serves until this one is whole. Publishing a run again changes nothing.

    Examples: `kgplug publish MKR`, `kgplug publish transe-20260101-120000-ab12 --top 20`
    """
    from kgplug import jobs

    folder = open_runs().resolve(run)
    with open_graph() as graph:
        report = jobs.publish(graph, folder, top=top)
    if as_json:
        print_json(report.to_dict())
    else:
        out.print(str(report), markup=False, soft_wrap=True)


def recommend(
    user: Annotated[str, typer.Argument(help="The user's key.")],
    model: Model = None,
    k: Annotated[int, typer.Option("--k", help="How many.", min=1)] = 10,
    reasons: Annotated[bool, typer.Option(help="Look up why: the path through the graph.")] = True,
    schema_file: SchemaFile = None,
    as_json: Json = False,
) -> None:
    """Show what the graph recommends to a user, and why.

    Examples: `kgplug recommend 42`, `kgplug recommend 42 --model KGCN --k 5 --json`
    """
    from kgplug import explain

    with open_graph() as graph:
        graph.use(load_schema(graph, schema_file))
        frame = explain.recommendations(graph, parse_key(user), model=model, k=k, reasons=reasons)
    print_frame(frame, as_json=as_json, title=f"Recommended to {user}")


def similar(
    item: Annotated[str, typer.Argument(help="The item's key.")],
    model: Model = None,
    k: Annotated[int, typer.Option("--k", help="How many.", min=1)] = 10,
    schema_file: SchemaFile = None,
    as_json: Json = False,
) -> None:
    """Show the items nearest to one, by the vectors of a published model.

    Examples: `kgplug similar 50`, `kgplug similar 50 --model TransE --k 5`
    """
    from kgplug import explain

    with open_graph() as graph:
        graph.use(load_schema(graph, schema_file))
        frame = explain.similar_items(graph, parse_key(item), model=model, k=k)
    if frame.empty:
        raise UsageError(f"No item {item} with a vector of that model in the graph.")
    print_frame(frame, as_json=as_json, title=f"Similar to {item}")
