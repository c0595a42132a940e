"""Find nodes by their key, through an index if there is one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgplug.errors import DataError, UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import label_keys
from kgplug.graph.members import members_of
from kgplug.graph.queries import quote
from kgplug.graph.schema import GraphSchema

_KEYS_A_QUERY = 20_000
_KEY_INDEXES = """
SHOW INDEXES YIELD type, entityType, state, labelsOrTypes, properties
WHERE type = 'RANGE' AND entityType = 'NODE' AND state = 'ONLINE' AND labelsOrTypes = [$label] AND properties = [$key]
RETURN 1
"""


@dataclass(frozen=True, eq=False)
class NodeLookup:
    """The nodes of one label that have certain keys, and how a query finds them.

    Attributes:
        label: label of the nodes.
        key: name of their key property.
        indexed: whether queries find nodes by an index on this property.
        handles: key → handle, the value by which a query finds the node; keys without a node are absent. If `indexed`,
            the handle is the key itself. Otherwise, it is [element id, key], because the id alone may belong to
            another node by the time of the query.
    """

    label: str
    key: str
    indexed: bool
    handles: dict[int | str, Any]

    def match(self, variable: str, handle: str, condition: str = "") -> str:
        """Return a MATCH clause that finds the node with a handle (see `handles`) and binds it to a variable.

        `handle` and `condition` are Cypher expressions. The clause finds the node only if the condition is true; ""
        means no condition.
        """
        label, key = quote(self.label), quote(self.key)
        if self.indexed:
            return f"MATCH ({variable}:{label} {{{key}: {handle}}})" + (f" WHERE {condition}" if condition else "")
        found = f"elementId({variable}) = {handle}[0] AND {variable}.{key} = {handle}[1]"
        return f"MATCH ({variable}:{label}) WHERE {found}" + (f" AND {condition}" if condition else "")

    def present(self, keys: Sequence[int | str] | np.ndarray) -> np.ndarray:
        """Return for each key whether it has a node: bool (n,)."""
        return np.fromiter((key in self.handles for key in keys), dtype=bool, count=len(keys))


def key_property(schema: GraphSchema, label: str, unique: dict[str, list[str]]) -> str:
    """Return the name of the key property of a label's nodes. The rules are the same as for reading the graph.

    Args:
        schema: schema of the graph.
        label: label of the nodes.
        unique: label → properties with a uniqueness constraint.

    Raises:
        UsageError: the label is "", or neither the schema nor a constraint says which property is the key.
    """
    keys = {**label_keys(schema, unique), schema.user.label: schema.user.key}
    if not label:
        raise UsageError(
            "This model was trained without node labels (from a DataFrame), so it has no nodes to write to."
        )
    if label not in keys:
        raise UsageError(
            f'No key property is known for :{label} nodes. Set {label} = "…" under [knowledge.keys] in the schema.'
        )
    return keys[label]


def find_nodes(
    connection: Connection, schema: GraphSchema, label: str, key: str, wanted: Iterable[int | str]
) -> NodeLookup:
    """Look up the nodes of a label whose property `key` has one of the wanted values.

    If the schema has a condition on these nodes, the lookup finds them by their element ids: the condition is the
    caller's own Cypher, so it runs only in queries that read.

    Raises:
        DataError: two nodes share a key, or no node has any of the keys. Then this is probably another graph.
    """
    wanted = list(dict.fromkeys(wanted))
    condition = members_of(schema, label, "node")
    indexed = not condition and bool(connection.rows(_KEY_INDEXES, label=label, key=key))
    found = _seek(connection, label, key, wanted) if indexed else _scan(connection, label, key, set(wanted), condition)
    lookup = NodeLookup(label, key, indexed, {})
    for value, handle in found:
        if value in lookup.handles:
            raise DataError(f"Two :{label} nodes have {key} = {value!r}. Make keys unique, then publish again.")
        lookup.handles[value] = handle
    if wanted and not lookup.handles:
        raise DataError(
            f"None of the {len(wanted):,} :{label} nodes that the model knows is in this database, for example {key} = "
            f"{wanted[0]!r}. Connect to the graph that the model was trained on."
        )
    return lookup


def _seek(connection: Connection, label: str, key: str, wanted: list[int | str]) -> Iterable[tuple[int | str, Any]]:
    query = (
        f"UNWIND range(0, size($keys) - 1) AS row MATCH (node:{quote(label)} {{{quote(key)}: $keys[row]}}) "
        "RETURN collect(row) AS rows"
    )
    for start in range(0, len(wanted), _KEYS_A_QUERY):
        keys = wanted[start : start + _KEYS_A_QUERY]
        yield from ((keys[row], keys[row]) for row in connection.rows(query, keys=keys)[0]["rows"])


def _scan(
    connection: Connection, label: str, key: str, wanted: set[int | str], condition: str
) -> Iterable[tuple[int | str, Any]]:
    match = f"MATCH (node:{quote(label)}) WHERE {condition or 'true'}"
    for row in connection.rows(f"{match} RETURN elementId(node) AS id, node.{quote(key)} AS key"):
        value = row["key"]
        if isinstance(value, int | str | float) and not isinstance(value, bool) and value in wanted:
            yield value, [row["id"], value]
