"""Check the keys of nodes: every node must have a unique key that is an integer or text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kgplug.data.values.keys import as_keys
from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.bolt.far_times import readable
from kgplug.graph.contents import Contents, listed, sample_properties
from kgplug.graph.counts import MOST_NAMES
from kgplug.graph.queries import quote
from kgplug.graph.reading.bulk import BulkReader
from kgplug.plain_text import counted

NO_KEY: list[Any] = []  # value that a query returns for a missing key
_EXAMPLES = 3
_SHOWN_PROPERTIES = 3


def checked_keys(
    connection: Connection, label: str, key: str, values: np.ndarray, *, setting: str, where: str = ""
) -> np.ndarray:
    """Check the keys of nodes of a label and return them, object (n,) of `int` and `str`.

    Args:
        connection: connection to the database, to look up examples.
        label: label of the nodes.
        key: their key property.
        values: object (n,), as read; the value `[]` marks a node without a key.
        setting: schema entry that names the key property, for the message, e.g. "[item] key".
        where: Cypher condition on the node n for the nodes that the message may show; "" for all nodes of the label.

    Raises:
        DataError: a key is missing, repeated, or not an integer or text; the message has examples.
    """
    missing = sum(value == NO_KEY for value in values if isinstance(value, list))
    if missing:
        raise _missing(connection, label, key, missing, len(values), setting, where)
    bad = readable(next((value for value in values if not _is_key(value)), None))
    if bad is not None:
        raise DataError(
            f"The key {key!r} of :{label} must be an integer or text, found {bad!r} ({type(bad).__name__}).",
            advice=f"Set {setting} to another unique property.",
        )
    keys = as_keys(values, what=f":{label}({key})")
    index = pd.Index(keys, dtype=object)
    repeated = index[index.duplicated()].unique()
    if len(repeated):
        examples = ", ".join(repr(value) for value in repeated[:_EXAMPLES])
        are = "is" if len(repeated) == 1 else "are"
        raise DataError(
            f"Keys must be unique, but {counted(len(repeated), 'value')} of {key!r} {are} on more than one :{label} "
            f"node (e.g. {examples}).",
            advice=f"Merge those nodes, or set {setting} to a unique property.",
        )
    return keys


def key_problem(
    connection: Connection, bulk: BulkReader, label: str, key: str, n: int, *, setting: str, where: str = ""
) -> DataError | None:
    """Read and check the keys of a label's nodes; return the error of `checked_keys`, or None if the keys are valid.

    Args:
        connection: connection to the database, to look up examples.
        bulk: reader for the database.
        label: label of the nodes.
        key: their key property.
        n: approximate number of nodes.
        setting: schema entry that names the key property, for the message.
        where: Cypher condition on the node n; "" for none.
    """
    try:
        keys = bulk.label(label, key, n, where=where).keys
        checked_keys(connection, label, key, keys, setting=setting, where=where)
    except DataError as error:
        return error
    return None


def labels_with_problems(connection: Connection, key_of: dict[str, str], contents: Contents) -> list[str]:
    """Return the sorted labels for which some keys are missing, repeated or perhaps of the wrong type.

    One query checks all labels. The result may include labels whose keys are whole floats, which are valid.

    Args:
        connection: connection to the database.
        key_of: label → key property.
        contents: contents of the database. Keys with a uniqueness constraint are not tested for repeated values.
    """
    unsure = [label for label, key in key_of.items() if key not in contents.unique.get(label, [])]
    labels = sorted(key_of)
    kinds = ":" + "|".join(quote(label) for label in labels) if len(labels) <= MOST_NAMES else ""
    rows = connection.rows(
        f"MATCH (n{kinds}) UNWIND [label IN labels(n) WHERE label IN $labels] AS label "
        "WITH label, n[$key_of[label]] AS key RETURN label, count(*) AS n, count(key) AS present, "
        "count(CASE WHEN label IN $unsure THEN key END) AS compared, "
        "count(DISTINCT CASE WHEN label IN $unsure THEN key END) AS different, "
        "collect(DISTINCT valueType(key)) AS types",
        labels=labels,
        key_of=key_of,
        unsure=unsure,
    )
    return sorted(
        row["label"]
        for row in rows
        if row["present"] < row["n"]
        or row["different"] < row["compared"]
        or not all(kind.startswith(("INTEGER", "STRING")) for kind in row["types"])
    )


def _is_key(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _missing(connection: Connection, label: str, key: str, n: int, total: int, setting: str, where: str) -> DataError:
    if n == total:
        node = f"(n:{quote(label)}{f' WHERE {where}' if where else ''})"
        found = listed(sorted(sample_properties(connection, node))) or "none"
        return DataError(
            f"No :{label} node has the property {key!r}. Properties found: {found}.",
            advice=f"Set {setting} to a unique one.",
        )
    rows = connection.rows(
        f"MATCH (n:{quote(label)}) WHERE n.{quote(key)} IS NULL{f' AND {where}' if where else ''} "
        "RETURN elementId(n) AS id, properties(n) AS properties LIMIT $n",
        n=_EXAMPLES,
    )
    examples = "; ".join(f"{row['id']} {_shown(row['properties'])}" for row in rows)
    have = "has" if n == 1 else "have"
    return DataError(
        f"{n:,} of {counted(total, f':{label} node')} {have} no {key!r}. Their elementIds: {examples}.",
        advice=f"Add it, or set {setting} to a property that all have.",
    )


def _shown(properties: dict[str, Any]) -> str:
    short = {name: value for name, value in sorted(properties.items()) if isinstance(value, (str, int, float))}
    parts = [f"{name}: {str(value)[:40]}" for name, value in list(short.items())[:_SHOWN_PROPERTIES]]
    return "{" + ", ".join(parts) + "}"
