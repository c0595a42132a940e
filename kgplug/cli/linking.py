"""The command that finds nodes of two labels that are the same thing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kgplug.cli.console import Json, open_graph, out, print_frame, print_json
from kgplug.errors import UsageError
from kgplug.plain_text import counted

SHOWN = 10


def add_to(app: typer.Typer) -> None:
    """Add the command of this module to the command line `app`."""
    app.command(rich_help_panel="Graph")(link)


def link(
    left: Annotated[str, typer.Argument(help="A label.")],
    right: Annotated[str, typer.Argument(help="The label to compare it with.")],
    table: Annotated[Path, typer.Option("--table", help="CSV file of the proposed pairs.")] = Path("links.csv"),
    apply: Annotated[
        bool, typer.Option("--apply", help="Join the pairs of the table whose verdict is same, by SAME_AS.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing table.")] = False,
    threshold: Annotated[
        float, typer.Option(min=0.5, max=1, help="Minimum probability of a pair that is proposed as same.")
    ] = 0.9,
    names: Annotated[str, typer.Option(help="Properties with the names, such as title,name. Default: found.")] = "",
    years: Annotated[str, typer.Option(help="Properties with the years, such as year,released. Default: found.")] = "",
    as_json: Json = False,
) -> None:
    """Propose which nodes of two labels are the same thing, as a table to correct; then join them.

    Nodes are compared by name, year and the names of their neighbours. A pair is doubtful if it is less probable than
    --threshold, or if one of its nodes also fits another one. Look at the table, change the column verdict where it is
    wrong (same or doubtful), and run the command again with --apply. It writes a SAME_AS relationship for each pair of
    the verdict same, from which models can learn.

    Examples: `kgplug link Movie Film`, `kgplug link Movie Film --apply`, `kgplug link Movie Film --names title,name`
    """
    from kgplug.jobs import link as linking

    if table.exists() and not apply and not as_json and not force:
        raise UsageError(f"{table} exists. Use --apply to join its pairs, or --force to replace it.")
    properties = {"names": _listed(names), "years": _listed(years)}
    with open_graph() as graph:
        a, b = linking.labels_to_link(graph, left, right, **properties)
        if apply:
            out.print(f"{counted(linking.apply_table(graph, a, b, table), 'pair')} joined by SAME_AS.")
            return
        found = linking.proposed(graph, a, b, threshold=threshold)
    if as_json:
        print_json(found)
        return
    if found.empty:
        out.print(f"No :{left} seems to be the same as a :{right}.")
        return
    linking.write_table(found, table)
    same = int((found["verdict"] == linking.SAME).sum())
    doubtful = found[found["verdict"] == linking.DOUBTFUL]
    out.print(
        f"Compared by {a.name} and {b.name}: {counted(same, 'pair')} the same, {len(doubtful)} doubtful. Table: {table}"
    )
    if len(doubtful):
        print_frame(doubtful.head(SHOWN).set_index("left"), as_json=False, title="Doubtful pairs, most probable first")
    out.print(f"Next: correct the column verdict in {table}, then `kgplug link {left} {right} --apply`.")


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",")] if text else []
