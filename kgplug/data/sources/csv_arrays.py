"""Read the folder of CSV files that `kgplug import` takes as arrays, without a database."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.sources._graph_of_tables import graph_of_tables
from kgplug.data.sources.csv_check import check_tables
from kgplug.data.sources.csv_folder import Table, open_folder
from kgplug.data.sources.csv_values import as_int
from kgplug.data.values.keys import factorize
from kgplug.errors import DataError


def read_arrays(
    folder: Path,
    *,
    user: str,
    item: str,
    feedback: str,
    title: str | None = None,
    rating: str | None = None,
    like_threshold: float | None = None,
) -> tuple[Interactions, KnowledgeGraph]:
    """Read feedback and triples. Nodes other than users are entities; relationships of users are left out.

    Args:
        folder: the folder.
        user, item: labels of users and items.
        feedback: relationship type of the feedback, which leads from users to items.
        title: column with titles of items; None: items have no texts.
        rating: column with ratings. None: every relationship is a like.
        like_threshold: lowest rating of a like.

    Raises:
        UsageError: the folder does not have the layout of docs/import.md.
        DataError: a file or column is missing, or a row is bad.
    """
    tables = open_folder(folder)
    check_tables(tables, on_rows=int)
    nodes = {table.labels[0]: _frame(table) for table in tables if not table.type}
    links = {(table.labels[0], table.labels[1], table.type): table for table in tables if table.type}
    source = links.get((user, item, feedback))
    if source is None:
        found = ", ".join(table.name for table in links.values()) or "none"
        raise DataError(
            f"{folder} has no relationships/{user}-{feedback}-{item}.csv with the feedback. Files found: {found}.",
            advice="Name the labels and the type in a kgplug.toml, with --schema.",
        )
    rows = _frame(source)
    if rating is not None and rating not in rows:
        raise DataError(
            f"{source.name} has no column {rating}. Columns: {', '.join(map(str, rows.columns))}.",
            advice="Correct [feedback] rating.",
        )
    (_, user_keys), (_, item_keys) = (
        factorize(nodes[label].iloc[:, 0].to_numpy(dtype=object)) for label in (user, item)
    )
    interactions = Interactions.from_arrays(
        user_keys,
        item_keys,
        pd.Index(user_keys).get_indexer(pd.Index(rows.iloc[:, 0])),
        pd.Index(item_keys).get_indexer(pd.Index(rows.iloc[:, 1])),
        ratings=None if rating is None else pd.to_numeric(rows[rating]).to_numpy(dtype=np.float32),
        like_threshold=like_threshold if rating is not None else None,
        user_label=user,
        item_label=item,
    )
    if title is not None:
        if title not in nodes[item]:
            raise DataError(
                f"nodes/{item}.csv has no column {title}. Columns: {', '.join(map(str, nodes[item].columns))}."
            )
        interactions = interactions.with_texts(dict(zip(nodes[item].iloc[:, 0], nodes[item][title], strict=True)))
    others = {label: frame for label, frame in nodes.items() if label != user}
    kept = {
        (head, type_, tail): _frame(table) for (head, tail, type_), table in links.items() if user not in (head, tail)
    }
    return interactions, graph_of_tables(others, kept)


def _frame(table: Table) -> pd.DataFrame:
    """Return a file's columns under their names. Keys have the type of the header; other cells are text."""
    frame = pd.read_csv(table.path, sep=table.separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    frame.columns = pd.Index([column.name for column in table.columns])
    for place, key in enumerate(table.keys):
        values = frame.iloc[:, place].str.strip()
        keys = values.map(as_int) if key.type == "int" else values
        frame.isetitem(place, keys.to_numpy(dtype=object))
    return frame
