"""Entities under the names that PyKEEN's triples carry: text, from which label and key come back.

Movie:12      the :Movie node whose key is the integer 12
Movie:"12"    the one whose key is the text 12, written as in JSON
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from kgplug.errors import DataError

_ESCAPED = "\\:"
_EXAMPLE = 'Movie:12 or Movie:"tt0012"'


def entity_names(labels: Iterable[str], keys: Iterable[int | str]) -> list[str]:
    """Return the name of each entity; labels have no backslash, as Cypher could not quote it."""
    # A colon in a label is escaped; JSON leaves no tab or line break, so names survive PyKEEN's text files.
    return [
        f"{label.replace(':', _ESCAPED)}:{json.dumps(key, ensure_ascii=False)}"
        for label, key in zip(labels, keys, strict=True)
    ]


def entity_of(name: str) -> tuple[str, int | str]:
    """Return (label, key) of a name.

    Raises:
        DataError: it is not one that `entity_names` gives.
    """
    label, separator, key = _parted(name)
    try:
        value = json.loads(key) if separator else None
    except json.JSONDecodeError:
        value = None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise DataError(
            f"The entity {name!r} names no node: expected a label and a key, such as {_EXAMPLE}. Train on "
            'dataset="neo4j" to publish into Neo4j.'
        )
    return label, value


def _parted(name: str) -> tuple[str, str, str]:
    """Part a name at its first colon that is not escaped."""
    label, separator, rest = name.partition(":")
    while separator and label.endswith("\\"):
        more, separator, rest = rest.partition(":")
        label = f"{label[:-1]}:{more}"
    return label, separator, rest
