"""Find nodes of two labels that are the same thing, let people correct the table, then join them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from kgplug.data.linking.propose import propose
from kgplug.data.sources.csv_export import RISKY, CsvExport
from kgplug.errors import DataError, UsageError
from kgplug.graph.graph import Graph
from kgplug.graph.linking import Labelled, describe, join_by_relationship, read_source

SAME, DOUBTFUL = "same", "doubtful"
COLUMNS = ("verdict", "probability", "left", "left_name", "right", "right_name", "reasons")


def labels_to_link(
    graph: Graph, left: str, right: str, *, names: Sequence[str] = (), years: Sequence[str] = ()
) -> tuple[Labelled, Labelled]:
    """Return the two labels with the properties that describe their nodes.

    Args:
        graph: the graph.
        left, right: two labels.
        names, years: properties with names and years, of the left and the right label; found if omitted.

    Raises:
        UsageError: both labels are the same, or one or more than two properties are given.
        DataError: a label has no node, no unique property or no property with a name.
    """
    if left == right:
        raise UsageError(f"Both labels are {left}. Name two labels whose nodes should be compared.")
    for option, given in (("--names", names), ("--years", years)):
        if given and len(given) != 2:
            raise UsageError(f"{option} {','.join(given)}: expected two properties, of :{left} and of :{right}.")
    sides = zip((left, right), names or (None, None), years or (None, None), strict=True)
    a, b = (describe(graph.connection, label, name=name, year=year) for label, name, year in sides)
    return a, b


def proposed(graph: Graph, left: Labelled, right: Labelled, *, threshold: float = 0.9) -> pd.DataFrame:
    """Return proposed pairs, most probable first, with the columns `COLUMNS`; see `kgplug.data.linking.propose`."""
    a, b = read_source(graph.connection, left, right), read_source(graph.connection, right, left)
    links = propose(a, b, threshold=threshold)
    columns = (
        links.verdicts, links.probability.round(4), a.keys[links.left], a.names[links.left], b.keys[links.right],
        b.names[links.right], links.reasons,
    )  # fmt: skip
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write proposed pairs to a CSV file, in which people can change verdicts and delete rows."""
    export = CsvExport(path, COLUMNS)
    for row in table[list(COLUMNS)].itertuples(index=False):
        export.write(tuple(row))
    export.finish()


def apply_table(graph: Graph, left: Labelled, right: Labelled, path: Path) -> int:
    """Join the pairs of a CSV file whose verdict is "same" by SAME_AS relationships; return their number.

    Args:
        graph: the graph.
        left, right: the labels, from `labels_to_link`.
        path: the file, from `write_table`, perhaps corrected.

    Raises:
        UsageError: the file is missing or lacks a column.
        DataError: a verdict or key in it is unknown, or a node is in two pairs.
    """
    keys = (
        {str(key): key for key in read_source(graph.connection, *both).keys} for both in ((left, right), (right, left))
    )
    return join_by_relationship(graph.connection, left, right, _pairs(path, *keys))


def _pairs(path: Path, left: dict[str, Any], right: dict[str, Any]) -> list[dict[str, Any]]:
    """Read the pairs with the verdict "same"; `left` and `right` map the text of each key to the key."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as a table: {error}.") from None
    if missing := {"verdict", "left", "right"} - set(table.columns):
        raise UsageError(f"{path} has no column {', '.join(sorted(missing))}. `kgplug link` writes such a file.")
    if wrong := sorted(set(table["verdict"]) - {SAME, DOUBTFUL, ""}):
        raise DataError(f'{path}: verdict {wrong[0]!r}: expected "{SAME}" or "{DOUBTFUL}".')
    chosen = table[table["verdict"] == SAME]
    pairs: list[dict[str, Any]] = []
    for side, known in (("left", left), ("right", right)):
        keys = chosen[side].map(_unquoted)
        if len(unknown := keys[~keys.isin(known)]):
            are = "key is" if len(unknown) == 1 else "keys are"
            raise DataError(
                f"{path}: {len(unknown)} {are} in the column {side}, but not in the graph: {unknown.iloc[0]!r} …",
                advice="Delete these rows, or run `kgplug link` again.",
            )
        if keys.duplicated().any():
            twice = keys[keys.duplicated()].iloc[0]
            raise DataError(f"{path}: {twice!r} is in several pairs of the verdict same. Keep one of them.")
        column = [known[key] for key in keys]
        pairs = pairs or [{} for _ in column]
        for pair, key in zip(pairs, column, strict=True):
            pair[side] = key
    given = chosen["probability"] if "probability" in chosen else pd.Series("1", index=chosen.index)
    for pair, probability in zip(pairs, pd.to_numeric(given, errors="coerce").fillna(1.0), strict=True):
        pair["probability"] = float(probability)
    return pairs


def _unquoted(cell: str) -> str:
    """Return a cell without the apostrophe that stops spreadsheets from running it as a formula."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(RISKY) else cell
