"""Nodes of two labels that are the same thing: read them to compare, then join them by SAME_AS relationships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgplug.data.linking.propose import Source
from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import read_contents, require_label
from kgplug.graph.guessing.keys import guess_keys
from kgplug.graph.naming import TITLE_NAMES, title_rank
from kgplug.graph.ownership import is_own
from kgplug.graph.queries import quote

SAME_AS = "SAME_AS"
_NEIGHBOURS = 50  # most neighbours compared per node
_SAMPLE = 1_000  # nodes in which properties are looked for
_BATCH = 500  # pairs changed in one transaction
_YEARS = ("year", "released", "release_year", "release_date", "date", "born", "founded")


@dataclass(frozen=True)
class Labelled:
    """A label whose nodes are compared, and the properties that describe them.

    Attributes:
        label: the label.
        key: unique property.
        name: property with the name.
        year: property with a year or a date; None if there is none.
    """

    label: str
    key: str
    name: str
    year: str | None = None


def describe(
    connection: Connection, label: str, *, key: str | None = None, name: str | None = None, year: str | None = None
) -> Labelled:
    """Find the properties that describe the nodes of a label, as far as they are not given.

    Raises:
        DataError: no node has the label, or it has no unique property or no property with a name.
    """
    contents = read_contents(connection)
    require_label(contents, label, setting="label")
    rows = connection.rows(
        f"MATCH (n:{quote(label)}) WITH n LIMIT {_SAMPLE} UNWIND keys(n) AS name RETURN name, count(*) AS n"
    )
    most = max((row["n"] for row in rows), default=0)
    found = sorted(
        row["name"] for row in rows if 2 * row["n"] >= most
    )  # properties that only few nodes have say little
    key = key or guess_keys(connection, contents)[label].value
    if key is None:
        raise DataError(f":{label} has no unique property.", advice="Add one to the nodes.")
    titles = sorted((rank, each) for each in found if each != key and (rank := title_rank(each)) is not None)
    name = name or (titles[0][1] if titles else None)
    if name is None:
        raise DataError(
            f":{label} has no property that looks like a name ({', '.join(TITLE_NAMES[:3])} …). Its properties: "
            f"{', '.join(found) or 'none'}.",
            advice="Name the properties of both labels, such as --names title,name.",
        )
    years = [each for known in _YEARS for each in found if each.lower() == known]
    return Labelled(label, key, name, year or (years[0] if years else None))


def read_source(connection: Connection, one: Labelled, other: Labelled) -> Source:
    """Read the nodes of a label with their names, years, and the names of their neighbours.

    Neighbours are nodes that have a property called like a title or a name. kgplug's own relationships do not count.
    Nodes that also have the label of the other source are left out: they are the same already.
    """
    year = "null" if one.year is None else _year_of(f"n.{quote(one.year)}")
    titles = ", ".join(f"m.{quote(each)}" for each in TITLE_NAMES[:3])
    rows = connection.rows(
        f"MATCH (n:{quote(one.label)}) WHERE n.{quote(one.key)} IS NOT NULL AND NOT n:{quote(other.label)} "
        f"RETURN n.{quote(one.key)} AS key, toStringOrNull(n.{quote(one.name)}) AS name, {year} AS year, "
        f"COLLECT {{ MATCH (n)-[r]-(m) WHERE NOT {is_own('r')} "
        f"WITH DISTINCT toStringOrNull(coalesce({titles})) AS text "
        f"WHERE text IS NOT NULL RETURN text LIMIT {_NEIGHBOURS} }} AS neighbours"
    )
    years = np.array([np.nan if row["year"] is None else row["year"] for row in rows], dtype=np.float64)
    neighbours = [row["neighbours"] for row in rows]
    return Source(
        np.array([row["key"] for row in rows], dtype=object),
        np.array([row["name"] or "" for row in rows], dtype=object),
        None if one.year is None else years,
        neighbours if any(neighbours) else None,
    )


def _year_of(value: str) -> str:
    """Return the Cypher expression for the year of a number, a text that begins with a year, or a temporal value."""
    temporal = " OR ".join(f"{value} IS :: {kind} NOT NULL" for kind in ("DATE", "ZONED DATETIME", "LOCAL DATETIME"))
    return (
        f"CASE WHEN {temporal} THEN {value}.year WHEN {value} IS :: STRING NOT NULL "
        f"THEN toIntegerOrNull(left(trim({value}), 4)) ELSE toIntegerOrNull({value}) END"
    )


def join_by_relationship(
    connection: Connection, left: Labelled, right: Labelled, pairs: Sequence[dict[str, Any]]
) -> int:
    """Write a SAME_AS relationship with its probability for each pair; return how many pairs are joined now.

    A pair that is already joined, in either direction, gets the new probability.

    Args:
        pairs: dicts with the keys left, right (keys of the two nodes) and probability.

    Raises:
        DataError: a node is not there.
    """
    _require_nodes(connection, left, right, pairs)
    for batch in _batches(pairs):
        connection.write(
            f"UNWIND $pairs AS pair MATCH (a:{quote(left.label)}) WHERE a.{quote(left.key)} = pair.left "
            f"MATCH (b:{quote(right.label)}) WHERE b.{quote(right.key)} = pair.right "
            f"MERGE (a)-[same:{SAME_AS}]-(b) SET same.probability = pair.probability",
            pairs=batch,
        )
    return len(pairs)


def _require_nodes(connection: Connection, left: Labelled, right: Labelled, pairs: Sequence[dict[str, Any]]) -> None:
    """Raise DataError if a node of a pair is not in the graph."""
    for side, one in (("left", left), ("right", right)):
        rows = connection.rows(
            f"UNWIND $keys AS key OPTIONAL MATCH (n:{quote(one.label)}) WHERE n.{quote(one.key)} = key "
            "WITH key, n WHERE n IS NULL RETURN key LIMIT 3",
            keys=[pair[side] for pair in pairs],
        )
        if rows:
            keys = ", ".join(repr(row["key"]) for row in rows)
            raise DataError(f"No :{one.label} has {one.key} = {keys}. Nothing was changed.")


def _batches(pairs: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    return [list(pairs[start : start + _BATCH]) for start in range(0, len(pairs), _BATCH)]
