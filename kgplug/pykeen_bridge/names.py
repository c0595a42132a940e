"""Names of entities in PyKEEN's triples: text that contains label and key.

Movie:12      the :Movie node whose key is the integer 12
Movie:"12"    the :Movie node whose key is the text 12, written as in JSON
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from kgplug.errors import DataError

_ESCAPED = "\\:"
_EXAMPLE = 'Movie:12 or Movie:"tt0012"'


def entity_names(labels: Iterable[str], keys: Iterable[int | str]) -> list[str]:
    """Return one name per pair of label and key.

    A label must not end with a backslash, because `entity_of` would misread the name.
    """
    # A colon in a label is escaped. JSON escapes tabs and line breaks of keys, so names survive PyKEEN's text files.
    return [
        f"{label.replace(':', _ESCAPED)}:{json.dumps(key, ensure_ascii=False)}"
        for label, key in zip(labels, keys, strict=True)
    ]


def entity_of(name: str) -> tuple[str, int | str]:
    """Return the (label, key) from which `entity_names` made a name.

    Raises:
        DataError: the name does not consist of a label and a key.
    """
    label, separator, key = _split(name)
    try:
        value = json.loads(key) if separator else None
    except json.JSONDecodeError:
        value = None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise DataError(
            f"The entity {name!r} does not name a node: expected a label and a key, such as {_EXAMPLE}. To publish "
            'into Neo4j, train on dataset="neo4j".'
        )
    return label, value


def _split(name: str) -> tuple[str, str, str]:
    """Return (label, ":", key), split at the first colon that is not escaped; (name, "", "") if there is none."""
    label, separator, rest = name.partition(":")
    while separator and label.endswith("\\"):
        more, separator, rest = rest.partition(":")
        label = f"{label[:-1]}:{more}"
    return label, separator, rest
