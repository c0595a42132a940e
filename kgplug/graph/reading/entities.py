"""Identify each node in the triples by a label and a key."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import Contents, label_keys, listed, sample_properties
from kgplug.graph.counts import MOST_NAMES
from kgplug.graph.members import condition_on, members_of
from kgplug.graph.queries import quote
from kgplug.graph.reading.bulk import BulkReader, Edges
from kgplug.graph.reading.node_keys import checked_keys
from kgplug.graph.schema import GraphSchema
from kgplug.plain_text import counted

_NO_KEY = -1  # code of a node if none of its labels has a key; any other code is the index of a label in a list
_SAMPLED_NODES = 10_000
# The same as `_code` and `_key`, but for many labels, because a query that lists many labels takes long to plan.
_ANY_CODE = "reduce(c = $none, l IN labels(n) | CASE WHEN $codes[l] < c THEN $codes[l] ELSE c END)"
_ANY_KEY = "CASE WHEN code < $none THEN coalesce(n[$names[code]], []) ELSE [] END"


@dataclass(frozen=True, eq=False)
class Entities:
    """The entities of a graph.

    Attributes:
        ids: int64 (n,), internal node ids, as in `Edges`.
        keys: object (n,), keys of the nodes, each an `int` or `str`.
        labels: object (n,), for each entity the label whose key property identifies it.
    """

    ids: np.ndarray
    keys: np.ndarray
    labels: np.ndarray

    def with_more(self, others: Entities) -> Entities:
        """Return these entities and others."""
        both = ((getattr(self, name), getattr(others, name)) for name in ("ids", "keys", "labels"))
        return Entities(*map(np.concatenate, both))


def name_entities(
    connection: Connection, schema: GraphSchema, contents: Contents, bulk: BulkReader, edges: Edges
) -> Entities:
    """Return the entities that are nodes: all items, and every node that is the head or tail of an edge.

    Nodes deleted since the edges were read are left out.

    Raises:
        DataError: a node's labels have no key, or a key is missing, repeated or of the wrong type.
    """
    item = schema.item
    where = condition_on(item, "n")
    items = bulk.label(item.label, item.key, contents.labels.get(item.label, 0), where=where)
    touched = np.unique(np.concatenate([edges.heads, edges.tails]))
    touched = touched[touched >= 0]  # values of properties are not nodes
    touched = np.setdiff1d(touched, items.ids, assume_unique=True)
    keys = {label: key for label, key in label_keys(schema, contents.unique).items() if label in contents.labels}
    labels = list(keys)
    if len(labels) <= MOST_NAMES:
        nodes = bulk.nodes(touched, _code(labels), _key(keys))
    else:
        codes = {label: code for code, label in enumerate(labels)}
        nodes = bulk.nodes(touched, _ANY_CODE, _ANY_KEY, codes=codes, names=[*keys.values()], none=len(labels))
        nodes.codes[nodes.codes == len(labels)] = _NO_KEY
    without = nodes.ids[nodes.codes == _NO_KEY]
    if len(without):
        raise _no_key(connection, bulk, without)
    ids, all_labels = [items.ids], [_full(item.label, items.ids)]
    all_keys = [checked_keys(connection, item.label, item.key, items.keys, setting="[item] key", where=where)]
    for code, label in enumerate(labels):
        of_label = nodes.codes == code
        if of_label.any():
            setting = f"[knowledge.keys] {label}" if label != item.label else "[item] key"
            ids.append(nodes.ids[of_label])
            found, where = nodes.keys[of_label], members_of(schema, label, "n")
            all_keys.append(checked_keys(connection, label, keys[label], found, setting=setting, where=where))
            all_labels.append(_full(label, ids[-1]))
    return Entities(np.concatenate(ids), np.concatenate(all_keys), np.concatenate(all_labels))


def _full(label: str, ids: np.ndarray) -> np.ndarray:
    return np.full(len(ids), label, dtype=object)


def _code(labels: list[str]) -> str:
    """Return the Cypher expression for the code of node n.

    The code is the index of the first of `labels` that n has, or -1 (`_NO_KEY`) if n has none of them.
    """
    cases = " ".join(f"WHEN n:{quote(label)} THEN {code}" for code, label in enumerate(labels))
    return f"CASE {cases} ELSE {_NO_KEY} END"


def _key(keys: dict[str, str]) -> str:
    """Return the Cypher expression for node n's key; it gives `[]` if n has no key.

    `keys` is label → key property. The expression uses the Cypher variable `code`, the index of n's label in `keys`.
    """
    codes: dict[str, list[int]] = {}
    for code, key in enumerate(keys.values()):
        codes.setdefault(key, []).append(code)
    cases = " ".join(f"WHEN code IN {of_key} THEN coalesce(n.{quote(key)}, [])" for key, of_key in codes.items())
    return f"CASE {cases} ELSE [] END"


def _no_key(connection: Connection, bulk: BulkReader, ids: np.ndarray) -> DataError:
    """Return the error for nodes whose labels have no key."""
    counts = bulk.count_labels(ids[:_SAMPLED_NODES])
    found = listed([f":{label}" for label in counts], most=8)
    first = next(iter(counts), None)
    found_nodes = f"{counted(len(ids), 'node')} of the triples {'has' if len(ids) == 1 else 'have'}"
    if first is None:
        return DataError(
            f"{found_nodes} no label, and so no key.",
            advice="Label each, or set [knowledge] relationships to types that do not touch them.",
        )
    properties = listed(sorted(sample_properties(connection, f"(n:{quote(first)})"))) or "none"
    return DataError(
        f"{found_nodes} only labels without a key: {found}. Properties of :{first}: {properties}.",
        advice="Name a unique property of each label under [knowledge.keys], or remove their types from [knowledge] "
        "relationships.",
    )
