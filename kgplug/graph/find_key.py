"""Find a node by its key. A key given as text is converted to the type of the stored key."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kgplug.data.values.key_text import FoundKey, choose_key, possible_keys
from kgplug.errors import UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import listed, sample_properties
from kgplug.graph.queries import quote

_SHOWN_KEYS = 3


def find_key(connection: Connection, label: str, key: str, text: str, *, also: Iterable[object] = ()) -> FoundKey:
    """Return the stored key, an integer or a text, that an entered text refers to.

    Args:
        connection: connection to the database.
        label: node label.
        key: key property of that label.
        text: the key as the user entered it.
        also: keys known from elsewhere, such as from a trained run. They are searched if no node has the key.

    Raises:
        UsageError: neither a node of the label nor `also` has this key; the message shows existing keys.
    """
    query = f"MATCH (n:{quote(label)}) WHERE n.{quote(key)} IN $readings RETURN DISTINCT n.{quote(key)} AS key"
    stored = [row["key"] for row in connection.rows(query, readings=possible_keys(text))]
    found = choose_key(text, stored) or choose_key(text, also)
    if found is None:
        raise unknown_key(connection, label, key, text)
    return found


def has_key(connection: Connection, label: str, key: str, value: object) -> bool:
    """Return whether a node of a label has exactly this key, including its type."""
    if not _can_be_stored(value):
        return False
    query = f"MATCH (n:{quote(label)}) WHERE n.{quote(key)} = $value RETURN 1 AS found LIMIT 1"
    return bool(connection.rows(query, value=value))


def _can_be_stored(value: object) -> bool:
    """Return whether Neo4j can store a key. Integers beyond 64 bits and invalid Unicode text cannot be stored."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return not isinstance(value, str) or not any("\ud800" <= character <= "\udfff" for character in value)


def require_key(connection: Connection, label: str, key: str, value: object) -> None:
    """Raise UsageError if no node of a label has this key."""
    if not has_key(connection, label, key, value):
        raise unknown_key(connection, label, key, value)


def unknown_key(connection: Connection, label: str, key: str, value: object) -> UsageError:
    """Return the error for a key that no node has.

    If a node has the same key with another type, such as 1 for "1", the error shows that key. Otherwise it shows a few
    existing keys or, if no node of the label has a key, the label's properties.
    """
    value = value.item() if isinstance(value, np.generic) else value
    for other in possible_keys(value) if isinstance(value, str) else [str(value)]:
        if other != value and has_key(connection, label, key, other):
            kind = "the text" if isinstance(other, str) else "the number"
            return UsageError(f"No {label} has {key} = {value!r}, but one has {kind} {other!r}.")
    present = f"MATCH (n:{quote(label)}) WHERE n.{quote(key)} IS NOT NULL"
    examples = connection.rows(f"{present} RETURN n.{quote(key)} AS key LIMIT $n", n=_SHOWN_KEYS)
    about = f"No {label} has {key} = {value!r}."
    if examples:
        return UsageError(f"{about} Existing keys: {', '.join(repr(row['key']) for row in examples)}.")
    found = listed(sorted(sample_properties(connection, f"(n:{quote(label)})")))
    if found:
        return UsageError(f"{about} No {label} has the property {key!r}. Properties found: {found}.")
    return UsageError(f"{about} The graph has no :{label} node with properties.")
