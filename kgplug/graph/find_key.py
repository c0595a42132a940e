"""Find a node by its key. A key given as text is converted to the type of the stored key."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kgplug.data.values.key_text import FoundKey, choose_key, possible_keys
from kgplug.errors import UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import listed, sample_properties
from kgplug.graph.members import condition_on
from kgplug.graph.queries import quote
from kgplug.graph.schema import GraphSchema

_SHOWN_KEYS = 3


def find_key(
    connection: Connection, label: str, key: str, text: str, *, where: str = "", also: Iterable[object] = ()
) -> FoundKey:
    """Return the stored key, an integer or a text, that an entered text refers to.

    Args:
        connection: connection to the database.
        label: node label.
        key: key property of that label.
        text: the key as the user entered it.
        where: Cypher condition on the node n; "" for none.
        also: keys known from elsewhere, such as from a trained run. They are searched if no node has the key.

    Raises:
        UsageError: neither a node of the label nor `also` has this key; the message shows existing keys.
    """
    query = (
        f"MATCH (n:{quote(label)}) WHERE n.{quote(key)} IN $readings{_and(where)} RETURN DISTINCT n.{quote(key)} AS key"
    )
    stored = [row["key"] for row in connection.rows(query, readings=possible_keys(text))]
    found = choose_key(text, stored) or choose_key(text, also)
    if found is None:
        raise unknown_key(connection, label, key, text, where=where)
    return found


def has_key(connection: Connection, label: str, key: str, value: object, *, where: str = "") -> bool:
    """Return whether a node of a label has exactly this key, including its type; `where` is as in `find_key`."""
    if not _can_be_stored(value):
        return False
    query = f"MATCH (n:{quote(label)}) WHERE n.{quote(key)} = $value{_and(where)} RETURN 1 AS found LIMIT 1"
    return bool(connection.rows(query, value=value))


def _can_be_stored(value: object) -> bool:
    """Return whether Neo4j can store a key. Integers beyond 64 bits and invalid Unicode text cannot be stored."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return not isinstance(value, str) or not any("\ud800" <= character <= "\udfff" for character in value)


def require_key(connection: Connection, label: str, key: str, value: object, *, where: str = "") -> None:
    """Raise UsageError if no node of a label has this key; `where` is as in `find_key`."""
    if not has_key(connection, label, key, value, where=where):
        raise unknown_key(connection, label, key, value, where=where)


def require_user(connection: Connection, schema: GraphSchema, value: object) -> None:
    """Raise UsageError if no user has this key."""
    user = schema.user
    require_key(connection, user.label, user.key, value, where=condition_on(user, "n"))


def require_item(connection: Connection, schema: GraphSchema, value: object) -> None:
    """Raise UsageError if no item has this key."""
    item = schema.item
    require_key(connection, item.label, item.key, value, where=condition_on(item, "n"))


def unknown_key(connection: Connection, label: str, key: str, value: object, *, where: str = "") -> UsageError:
    """Return the error for a key that no node has.

    If a node has the same key with another type, such as 1 for "1", the error shows that key. Otherwise it shows a few
    existing keys or, if no node of the label has a key, the label's properties. `where` is as in `find_key`.
    """
    value = value.item() if isinstance(value, np.generic) else value
    for other in possible_keys(value) if isinstance(value, str) else [str(value)]:
        if other != value and has_key(connection, label, key, other, where=where):
            kind = "the text" if isinstance(other, str) else "the number"
            return UsageError(f"No {label} has {key} = {value!r}, but one has {kind} {other!r}.")
    present = f"MATCH (n:{quote(label)}) WHERE n.{quote(key)} IS NOT NULL{_and(where)}"
    examples = connection.rows(f"{present} RETURN n.{quote(key)} AS key LIMIT $n", n=_SHOWN_KEYS)
    about = f"No {label} has {key} = {value!r}."
    if examples:
        return UsageError(f"{about} Existing keys: {', '.join(repr(row['key']) for row in examples)}.")
    found = listed(sorted(sample_properties(connection, f"(n:{quote(label)})")))
    if found:
        return UsageError(f"{about} No {label} has the property {key!r}. Properties found: {found}.")
    return UsageError(f"{about} The graph has no :{label} node with properties.")


def _and(where: str) -> str:
    return f" AND {where}" if where else ""
