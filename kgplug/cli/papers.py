"""The command that measures again what the two papers show."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kgplug.cli.console import Json, SchemaFile, load_schema, open_graph, out, print_frame, print_json
from kgplug.data.sources.catalogue import DEMO
from kgplug.errors import unknown_name
from kgplug.graph.schema import GraphSchema
from kgplug.settings import Settings

if TYPE_CHECKING:
    from kgplug.papers.experiment import PaperData
    from kgplug.papers.results import Results

OF_GRAPH = "graph"


def add_to(app: typer.Typer) -> None:
    """Add the command of this module to the command line `app`."""
    app.command(rich_help_panel="Models")(papers)


def papers(
    name: Annotated[str | None, typer.Argument(help="What to measure. Without it, the choices are listed.")] = None,
    source: Annotated[
        str,
        typer.Option(
            "--data", help='"graph" for the configured database, a folder of CSV files, or a data set kgplug knows.'
        ),
    ] = DEMO.name,
    models: Annotated[str | None, typer.Option(help="Comma-separated names. Default: all models of the table.")] = None,
    repetitions: Annotated[
        int | None, typer.Option(min=1, help="Number of random splits. Default: as in the paper.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few models, two epochs, two splits: about a minute, to see the form.")
    ] = False,
    folder: Annotated[Path, typer.Option("--out", help="Folder for the pages.")] = Path("papers"),
    schema_file: SchemaFile = None,
    as_json: Json = False,
) -> None:
    """Measure again what the two papers show, and write a page with table, chart and what differs from the paper.

    All models are trained on the same random splits, as often as in the paper, so this can take hours. If interrupted,
    run the same command again: what is already measured is kept. Each model is compared with the best one by a paired
    test over the splits.

    Examples: `kgplug papers`, `kgplug papers movies-table-2 --quick`, `kgplug papers books-figure-3 --data graph`,
    `kgplug papers movies-figure-8 --models MKR,MF,EASE --repetitions 3`
    """
    from kgplug.jobs import papers as jobs

    if name is None:
        if as_json:
            print_json(dict(jobs.listed()))
            return
        for each, title in jobs.listed().items():
            out.print(f"{each}: {title}", highlight=False)
        out.print("Next: `kgplug papers NAME --quick`.")
        return
    from kgplug.papers.catalogue import EXPERIMENTS
    from kgplug.papers.page import page_of
    from kgplug.papers.reproduce import reproduce

    if name not in EXPERIMENTS:
        raise unknown_name("experiment", name, EXPERIMENTS)
    experiment, named = EXPERIMENTS[name], None if models is None else [one.strip() for one in models.split(",")]
    experiment.chosen(named)  # a wrong name is refused before data are read
    data = _data(source, schema_file)
    results = reproduce(
        experiment, data, Settings().kgplug_home / "papers", models=named, repetitions=repetitions, quick=quick
    )
    given: dict[str, Any] = {"--data": None if source == DEMO.name else source, "--models": models}
    given |= {"--repetitions": repetitions, "--schema": schema_file}
    command = ["kgplug", "papers", name]
    command += [str(word) for option, value in given.items() if value is not None for word in (option, value)]
    command += ["--quick"] if quick else []
    file = f"{name}-quick" if quick else name
    page, text = page_of(results, data, command=shlex.join(command)).write(folder, file)
    if as_json:
        print_json({"experiment": name, "data": data.name, "page": page, "markdown": text, "rows": _values(results)})
        return
    _print(results)
    out.print(f"Page: {page}\nMarkdown: {text}", highlight=False)


def _data(source: str, schema_file: Path | None) -> PaperData:
    from kgplug.jobs import papers as jobs

    if source == OF_GRAPH:
        with open_graph() as graph:
            return jobs.data_of_graph(graph, load_schema(graph, schema_file))
    schema = None if schema_file is None else GraphSchema.load(schema_file)
    return jobs.data_of_files(source, Settings().downloads_dir, schema=schema)


def _print(results: Results) -> None:
    """Print one table per protocol, as on the page."""
    import pandas as pd

    from kgplug.papers.page import tables

    for table in tables(results):
        names, values = [row[0] for row in table.rows], [row[1:] for row in table.rows]
        frame = pd.DataFrame(values, columns=table.header[1:], index=names).rename_axis("model")
        title = f"{results.experiment.title}, protocol: {table.protocol}"
        print_frame(frame, as_json=False, title=title)


def _values(results: Results) -> list[dict[str, Any]]:
    """Return every value: one dict per protocol, row and repetition."""
    return [
        {"protocol": protocol, "model": name, "repetition": repetition, **row}
        for (_, protocol, repetition), measured in results.found.items()
        for name, row in measured.rows.items()
    ]
