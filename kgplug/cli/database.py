"""Commands about the database: db, import, init, check, cypher."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from kgplug.cli.completion import data_sets, query_names
from kgplug.cli.console import (
    Json,
    SchemaFile,
    load_schema,
    note,
    open_graph,
    out,
    print_frame,
    print_json,
)
from kgplug.cli.keys import parameters as query_parameters
from kgplug.cli.serving import use_schema
from kgplug.data.sources.catalogue import DATA_SETS
from kgplug.errors import UsageError, unknown_name
from kgplug.graph.schema import DEFAULT_FILE
from kgplug.graph.server.versions import VERSIONS
from kgplug.progress import stage
from kgplug.settings import Settings

Version = Annotated[
    str | None,
    typer.Option(
        metavar="VERSION",
        help=f"Version of Neo4j: {' or '.join(each.name for each in VERSIONS)}.",
        autocompletion=lambda: [each.name for each in VERSIONS],
    ),
]
REJECTED_FILE = Path("rejected-rows.csv")

db = typer.Typer(no_args_is_help=True, help="The local Neo4j that kgplug manages: start, stop, status, path, upgrade.")


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to the command line `app`."""
    app.add_typer(db, name="db")
    app.command("import", rich_help_panel="Graph")(import_)
    for command in (init, check, cypher):
        app.command(rich_help_panel="Graph")(command)


@db.command()
def start(version: Version = None) -> None:
    """Start the local Neo4j. The first start downloads it.

    A new database gets the newest version. An existing one keeps its version until `kgplug db upgrade`.

    Examples: `kgplug db start`, `kgplug db start --version 5.26`
    """
    from kgplug.graph.server.local import LocalNeo4j

    local = LocalNeo4j(Settings().neo4j_dir, version=version)
    endpoint = local.start()
    out.print(f"{local.version} is running at {endpoint.uri}, user {endpoint.username}.")
    out.print(f"Its password is in {_password_file()}; `kgplug db path` lists all files.")


@db.command()
def stop() -> None:
    """Stop the local Neo4j. Its data is kept.

    Example: `kgplug db stop`
    """
    from kgplug.graph.server.local import LocalNeo4j

    stopped = LocalNeo4j(Settings().neo4j_dir).stop()
    out.print("Neo4j is stopped." if stopped else "Neo4j was not running.")


@db.command()
def status(as_json: Json = False) -> None:
    """Report whether the local Neo4j is running, its version, address and Java. Exit code 1 if it is not running.

    Example: `kgplug db status --json`
    """
    from kgplug.graph.server.local import LocalNeo4j

    facts = asdict(LocalNeo4j(Settings().neo4j_dir).status())
    if as_json:
        print_json(facts)
    else:
        facts["data"] = f"{facts.pop('data_bytes') / 1e6:.1f} MB"
        for name, value in facts.items():
            out.print(f"{name:<12} {'' if value is None else value}")
    if facts["state"] != "running":
        raise typer.Exit(1)


@db.command()
def upgrade(
    version: Version = None,
    undo: Annotated[bool, typer.Option("--undo", help="Go back to the store from before the last upgrade.")] = False,
) -> None:
    """Move the local Neo4j to a newer version. Its old store is kept, so that you can go back.

    Neo4j changes a store when a newer version opens it. So the store is copied, and the newer version gets the copy.
    If anything fails, the old version serves the old store as before.

    Examples: `kgplug db upgrade`, `kgplug db upgrade --undo`
    """
    from kgplug.graph.server.local import LocalNeo4j
    from kgplug.graph.server.upgrade import undo_upgrade, upgrade

    if undo and version is not None:
        raise UsageError("--undo goes back to the version from before the upgrade. Leave out --version.")
    local = LocalNeo4j(Settings().neo4j_dir)
    before = local.store
    if undo:
        store = undo_upgrade(local)
        out.print(f"{store.version} serves the store from before the upgrade again, in {store.folder}.")
        out.print(f"What was written since then is in {before.folder}, which the next upgrade replaces.")
        return
    store = upgrade(local, version)
    if store == before:
        out.print(f"The local Neo4j is {store.version} already.")
        return
    out.print(f"The local Neo4j is {store.version} now. Its store is in {store.folder}.")
    out.print(f"To go back: `kgplug db upgrade --undo`. If you never want to, delete the old store: {before.folder}")


@db.command()
def path(as_json: Json = False) -> None:
    """Print the folders of the local Neo4j and of the runs, and the password file.

    Example: `kgplug db path`
    """
    settings = Settings()
    facts = {"neo4j": settings.neo4j_dir, "password": _password_file(), "runs": settings.runs_dir}
    if as_json:
        print_json(facts)
    else:
        for name, value in facts.items():
            out.print(f"{name:<12} {value}")


def _password_file() -> Path:
    from kgplug.graph.server.config import password_file

    return password_file(Settings().neo4j_dir)


def import_(
    source: Annotated[
        str,
        typer.Argument(
            help=f"A data set ({', '.join(DATA_SETS)}), or a folder of CSV files (docs/import.md).",
            autocompletion=data_sets,
        ),
    ],
    rejected: Annotated[
        Path, typer.Option(metavar="FILE", help="CSV file that lists the rows that cannot be imported, if any.")
    ] = REJECTED_FILE,
    separator: Annotated[
        str, typer.Option(metavar="CHAR", help="Separator of the columns: ',', ';', '|' or tab.")
    ] = ",",
    as_json: Json = False,
) -> None:
    """Import a data set into the graph; importing it again changes nothing.

    All files are checked first. If a row is bad, nothing is imported: the message names the first bad row by file and
    line, and a CSV file lists all of them.

    Examples: `kgplug import movielens-100k`, `kgplug import my-csv-folder`, `kgplug import europe --separator ';'`
    """
    from kgplug.graph.importing.importer import import_folder

    folder, separator = _csv_folder(source, separator)  # a wrong name is refused before the database is asked
    with open_graph() as graph:
        report = import_folder(graph.connection, folder, separator=separator, rejected=rejected)
    import pandas as pd

    rows = [asdict(file) for file in report.files]
    print_frame(pd.DataFrame(rows).set_index("name"), as_json=as_json, title=f"Imported by {report.transport}")


def _csv_folder(source: str, separator: str) -> tuple[Path, str]:
    """Return (folder, separator) of a data set, downloaded if necessary, or of a named folder.

    Raises:
        UsageError: there is no such data set or folder, or the folder has no node file.
        DataError: a file has a wrong name or header, or the data set cannot be downloaded.
    """
    from kgplug.data.sources.csv_folder import open_folder

    if (data_set := DATA_SETS.get(source)) is not None:
        note(f"{data_set.title}: {data_set.description} ({data_set.size} to download). {data_set.terms}")
        return data_set.fetch(Settings().downloads_dir), ","
    if re.fullmatch(r"[\w.-]+", source) and not os.path.lexists(source):  # a name, not the path of a folder
        raise UsageError(
            f"{unknown_name('data set', source, DATA_SETS)} There is no folder {source} either; expected a folder with "
            "nodes/<Label>.csv (see docs/import.md)."
        )
    open_folder(source, separator=separator)
    return Path(source), separator


def init(
    file: Annotated[Path, typer.Option("--schema", help="File to write.")] = DEFAULT_FILE,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Guess a schema from the labels, types, constraints and counts of the database, and write it to kgplug.toml.

    Each guess has a comment with its reason. Example: `kgplug init`
    """
    from kgplug.data.artefact import write_text_whole
    from kgplug.graph.guessing.schema import guess_schema

    if file.exists() and not force:
        raise UsageError(f"{file} exists. Give --force to replace it, or --schema FILE to write another.")
    with open_graph() as graph:
        _, text = guess_schema(graph.connection)
    write_text_whole(file, text)
    out.print(text)
    named = "" if file == DEFAULT_FILE else f" --schema {shlex.quote(str(file))}"
    out.print(f"Written to {file}. Next: `kgplug check{named}`.", style="bold")


def check(schema_file: SchemaFile = None, as_json: Json = False) -> None:
    """Report what training would read from the graph, and any problems that block it.

    Also report the server's version and the number of edges that kgplug wrote. Exit code 1 if a problem blocks
    training.

    Example: `kgplug check`
    """
    from kgplug.graph.check import check as check_graph

    with open_graph() as graph:
        schema = load_schema(graph, schema_file)
        with stage("Checking the graph", progress=None):
            report = check_graph(graph.connection, schema)
    print_frame(report.to_dataframe(), as_json=as_json, title=f"Check of {report.uri}")
    if not report.ok:
        raise typer.Exit(1)


def cypher(
    name: Annotated[
        str | None,
        typer.Argument(help="Name of a query. If omitted, all queries are listed.", autocompletion=query_names),
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Run the query and print its rows.")] = False,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", help="Parameter for --run, as name=value. Repeat the option for more."),
    ] = None,
    schema_file: SchemaFile = None,
    as_json: Json = False,
) -> None:
    """Print a shipped query with the names of your graph, to paste into any Neo4j client.

    Examples: `kgplug cypher`, `kgplug cypher recommend`, `kgplug cypher recommend --run -p user=42 -p model=MKR`
    """
    from kgplug.graph import queries as library
    from kgplug.graph.schema import GraphSchema

    if name is None:
        import pandas as pd

        rows = [{"query": query, "purpose": library.purpose(query)} for query in library.names()]
        print_frame(pd.DataFrame(rows).set_index("query"), as_json=as_json)
        return
    if not run:
        known = schema_file or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
        text = library.load(name, None if known is None else GraphSchema.load(known))
        if as_json:
            print_json({"query": name, "purpose": library.purpose(name), "cypher": text})
        else:
            typer.echo(text)
        if parameters:
            note("The query is printed without the values of -p. To run it with them, add --run.")
        return
    query = library.load(name)  # a wrong name is refused before the database is asked
    with open_graph() as graph:
        model = next((pair.removeprefix("model=") for pair in parameters or [] if pair.startswith("model=")), None)
        use_schema(graph, schema_file, model)
        values = query_parameters(graph, query, parameters or [])
        print_frame(graph.cypher(name, **values), as_json=as_json, title=name)
