"""Read properties whose values become entities: [knowledge.properties] in kgplug.toml.

"Movie.genres" = "values" gives a triple (movie, Movie.genres, value) for each value of a movie, or for each element if
the value is a list. The value is an entity with the label "Movie.genres", although the graph has no node for it.
Numbers can be replaced by bands, and years by decades (`kgplug.data.values.bands`). A node without the property has no
triple.

A value that occurs on only one node is left out. A model could learn nothing from it, and such a value of a user would
identify the user in the run.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kgplug.data.values.bands import bands_of, decade_of
from kgplug.data.values.keys import distinct
from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.bolt.far_times import readable
from kgplug.graph.contents import Contents, listed, sample_properties
from kgplug.graph.knowledge_schema import PropertyRule, splits_of
from kgplug.graph.members import members_of
from kgplug.graph.queries import quote
from kgplug.graph.reading.bulk import BulkReader
from kgplug.graph.schema import GraphSchema
from kgplug.plain_text import counted

_LONGEST = 200  # maximum length of a text that becomes an entity
_EXACT = 2**53  # whole numbers up to here are exact as floats
_YEAR = re.compile(r"\s*(-?\d{1,4})(?!\d)")
_YEAR_CHARACTERS = 12  # of a text that begins with a year
_LAST_YEAR = 9999
_KINDS = {
    "STRING": "text",
    "INTEGER": "number",
    "FLOAT": "number",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "LOCAL DATETIME": "date",
    "ZONED DATETIME": "date",
}
_PLURALS = {"text": "texts", "number": "numbers", "boolean": "booleans", "date": "dates"}
_USABLE = {
    "values": ("text", "number", "boolean", "date"),
    "decades": ("number", "date", "text"),
    "bands": ("number",),
}
_USELESS = {"values": "blank or not a number", "decades": "no year", "bands": "not a finite number"}
_WANTED = {"values": "texts, numbers, booleans or dates", "decades": "years or dates", "bands": "numbers"}


@dataclass(frozen=True, eq=False)
class PropertyValues:
    """The values of one property that occur on at least two nodes.

    Attributes:
        name: name of the relation and label of the values, such as "Movie.genres".
        nodes: int64 (n,), ids of the nodes that have a value, as in `Edges`; one row per node and value.
        codes: int64 (n,), index of each row's value in `keys`.
        keys: object (m,), the values, each an `int` or `str`.
        label: label of the nodes, such as "Movie".
        n_nodes: number of nodes with at least one of the values.
        rule: rule by which the values became keys, such as "decades".
        single: number of values that are left out because they occur on only one node.
        unusable: number of rows that are left out because the value is blank, not a year, or not a finite number.
    """

    name: str
    nodes: np.ndarray
    codes: np.ndarray
    keys: np.ndarray
    label: str
    n_nodes: int
    rule: str = "values"
    single: int = 0
    unusable: int = 0

    @property
    def notes(self) -> list[str]:
        """Sentences on values that are left out."""
        found = []
        if self.single:
            occur = "1 value occurs" if self.single == 1 else f"{self.single:,} values occur"
            found.append(
                f"{self.name}: {occur} on only one :{self.label}. Left out, because nothing can be learnt from it."
            )
        if self.unusable:
            are = "value is" if self.unusable == 1 else "values are"
            found.append(f"{self.name}: {self.unusable:,} {are} {_USELESS[self.rule]}. Left out.")
        return found


def setting_of(name: str) -> str:
    """Return the entry of a property in kgplug.toml, for messages."""
    return f"[knowledge.properties] {name}"


def find_property(contents: Contents, name: str) -> tuple[str, str]:
    """Return the label and the property that "Label.property" means in a database.

    Raises:
        DataError: the database has no such label, or it has a label or type with the whole name.
    """
    setting = setting_of(name)
    if name in contents.labels or name in contents.types:
        kind = "label" if name in contents.labels else "relationship type"
        raise DataError(f"{setting} has the same name as a {kind} of the graph, so its values cannot be told apart.")
    found = next((pair for pair in splits_of(name) if pair[0] in contents.labels), None)
    if found is None:
        label = splits_of(name)[0][0]
        raise DataError(
            f"{setting}: no node has the label {label}.{_meant(label, contents.labels)} Labels found: "
            f"{listed(contents.labels) or 'none'}."
        )
    return found


def read_property(
    connection: Connection,
    schema: GraphSchema,
    contents: Contents,
    name: str,
    rule: PropertyRule,
    bulk: BulkReader,
    *,
    advance: Callable[[int], object] = int,
) -> PropertyValues:
    """Read the values of one property.

    Args:
        connection: connection to the database.
        schema: schema of the graph, which may have conditions on the label's nodes.
        contents: contents of the database.
        name: "Label.property".
        rule: how the values become entities.
        bulk: reader for the database.
        advance: called from time to time with the number of values read since the last call.

    Raises:
        DataError: the label or property is unknown, the values have several types or one that the rule cannot use, they
            are long texts, or no value occurs on two nodes.
    """
    label, prop = find_property(contents, name)
    where = members_of(schema, label, "n")
    kind = _kind(connection, name, label, prop, rule, where)
    read_as = {"boolean": "toString(value)", "date": "toString(value)"}
    if rule.rule == "decades":
        read_as = {"date": "value.year", "text": f"left(value, {_YEAR_CHARACTERS})"}
    nodes, codes, values = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)], {}
    for ids, chunk in bulk.values(label, prop, read_as.get(kind, "value"), contents.labels[label], where=where):
        places, unique = pd.factorize(_objects(chunk))
        known = [values.setdefault(each, len(values)) for each in unique]
        present = places >= 0
        nodes.append(ids[present])
        codes.append(np.array(known, dtype=np.int64)[places[present]])
        advance(len(ids))
    row_codes, keys = _keys(list(values), np.concatenate(codes), rule)
    if not len(keys):
        raise DataError(
            f"{setting_of(name)}: {rule.rule!r} needs {_WANTED[rule.rule]}, found only values such as "
            f"{_shown(next(iter(values), math.nan))}."
        )
    return _with_repeated(name, label, np.concatenate(nodes), row_codes, keys, rule)


def _kind(connection: Connection, name: str, label: str, prop: str, rule: PropertyRule, where: str) -> str:
    """Return the kind of a property's values: "text", "number", "boolean" or "date".

    `where` is a Cypher condition on the node n; "" for none.

    Raises:
        DataError: no node has the property, or its values do not fit the rule.
    """
    setting = setting_of(name)
    each = f"MATCH (n:{quote(label)}) WHERE {where or 'true'} UNWIND n.{quote(prop)} AS value WITH value"
    rows = connection.rows(f"{each} RETURN valueType(value) AS type, count(*) AS n")
    if not rows:
        found = sorted(sample_properties(connection, f"(n:{quote(label)})"))
        raise DataError(
            f"{setting}: no :{label} node has the property {prop!r}.{_meant(prop, found)} Properties found: "
            f"{listed(found) or 'none'}."
        )
    counts: dict[str, int] = {}
    types: dict[str, str] = {}
    for row in rows:
        stored = str(row["type"]).removesuffix(" NOT NULL")
        kind = _KINDS.get(stored) or stored.lower()
        counts[kind] = counts.get(kind, 0) + row["n"]
        types.setdefault(kind, row["type"])
    examples = {
        kind: connection.rows(f"{each} WHERE valueType(value) = $type RETURN value LIMIT 1", type=stored)[0]["value"]
        for kind, stored in types.items()
    }
    shown = " and ".join(
        f"{counts[kind]:,} {_plural(kind, counts[kind])} (such as {_shown(examples[kind])})" for kind in sorted(counts)
    )
    if len(counts) > 1:
        raise DataError(f"{setting}: the values have several types: {shown}. Give all of them the same type.")
    (kind,) = counts
    if kind not in _USABLE[rule.rule]:
        raise DataError(f"{setting}: {rule.rule!r} needs {_WANTED[rule.rule]}, found {shown}.")
    if kind == "text" and rule.rule == "values":
        long = connection.rows(f"{each} WHERE size(value) > {_LONGEST} RETURN value LIMIT 1")
        if long:
            raise DataError(
                f"{setting}: found a text of {len(long[0]['value']):,} characters ({_shown(long[0]['value'])}). Long "
                f"texts are not knowledge, because hardly any two are equal; expected at most {_LONGEST} characters."
            )
    return kind


def _keys(values: list[Any], rows: np.ndarray, rule: PropertyRule) -> tuple[np.ndarray, np.ndarray]:
    """Return the entities' keys, and the index of each row's key among them.

    Args:
        values: different values.
        rows: int64 (n,), the index of each row's value in `values`.
        rule: how the values become keys.

    Returns:
        (codes, keys): int64 (n,), -1 for a row whose value is not usable; object (m,).
    """
    if rule.rule == "bands":
        numbers = np.array(values, dtype=np.float64)[rows]
        finite = np.isfinite(numbers)
        codes = np.full(len(rows), -1, dtype=np.int64)
        codes[finite], names = bands_of(numbers[finite], rule.bands)
        return codes, _objects(names)
    key_of = _decade if rule.rule == "decades" else _key
    places, keys = pd.factorize(_objects([key_of(value) for value in values]))
    return places.astype(np.int64)[rows], keys


def _with_repeated(
    name: str, label: str, nodes: np.ndarray, codes: np.ndarray, keys: np.ndarray, rule: PropertyRule
) -> PropertyValues:
    """Return the values that occur on at least two nodes.

    Args:
        name, label: as in `PropertyValues`.
        nodes: int64 (n,), ids of nodes.
        codes: int64 (n,), index of each row's value in `keys`, -1 for a row without a usable value.
        keys: object (m,), at least one.
        rule: how the values became keys.

    Raises:
        DataError: no value occurs on two nodes.
    """
    unusable = int((codes < 0).sum())
    places, ids = pd.factorize(nodes[codes >= 0])
    places, codes = np.divmod(distinct(places.astype(np.int64) * len(keys) + codes[codes >= 0]), len(keys))
    counts = np.bincount(codes, minlength=len(keys))
    if not (counts > 1).any():
        found = f"{counted(len(keys), 'value')} on {counted(len(ids), f':{label} node')}"
        other = ' Numbers can be put into bands: set "bands".' if rule.rule == "values" and _are_numbers(keys) else ""
        raise DataError(
            f"{setting_of(name)}: no value occurs on two nodes ({found}), so nothing can be learnt from it.{other}"
        )
    kept = np.flatnonzero(counts > 1)
    new = np.full(len(keys), -1, dtype=np.int64)
    new[kept] = np.arange(len(kept))
    rows = new[codes] >= 0
    of_nodes = np.asarray(ids)[places[rows]]
    return PropertyValues(
        name,
        of_nodes,
        new[codes[rows]],
        keys[kept],
        label,
        len(distinct(places[rows])),
        rule.rule,
        int((counts == 1).sum()),
        unusable,
    )


def _key(value: Any) -> int | str | None:
    """Return the key of a value: a whole number as `int`, anything else as text. None for blank text and NaN."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < _EXACT):
        return int(value)
    return repr(value) if math.isfinite(value) else None


def _decade(value: Any) -> str | None:
    """Return the decade of a year, or of a text that begins with a year; None if there is none."""
    if isinstance(value, str):
        found = _YEAR.match(value)
        value = None if found is None else int(found[1])
    if value is None or not float(value).is_integer() or abs(value) > _LAST_YEAR:
        return None
    return decade_of(int(value))


def _are_numbers(keys: np.ndarray) -> bool:
    return any(isinstance(key, int) for key in keys)


def _objects(values: Sequence[Any]) -> np.ndarray:
    return np.fromiter(values, dtype=object, count=len(values))


def _meant(name: str, known: Sequence[str] | dict[str, int]) -> str:
    """Return " Did you mean …?" if one of the known names is similar, otherwise ""."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]}?" if near else ""


def _plural(kind: str, n: int) -> str:
    return kind if n == 1 else _PLURALS.get(kind, f"values of the type {kind}")


def _shown(value: Any) -> str:
    text = repr(readable(value)) if isinstance(value, (str, int, float)) else str(readable(value))
    return text if len(text) <= 40 else f"{text[:36]} …{text[:1] if isinstance(value, str) else ''}"
