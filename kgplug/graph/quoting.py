"""Put names and texts into Cypher so that they cannot be taken for anything else."""

from __future__ import annotations

from kgplug.errors import UsageError


def quote(identifier: str) -> str:
    """Return a label, type or property name as a backticked Cypher identifier.

    Cypher decodes \\uXXXX before it looks for backticks, so a backslash is written as \\u005C.

    Raises:
        UsageError: the name is empty or has a null character. A database has no such names.
    """
    if not identifier or "\0" in identifier:
        raise UsageError(
            f"{identifier!r} cannot be a label, type or property name: expected text without null characters."
        )
    return "`" + identifier.replace("\\", "\\u005C").replace("`", "``") + "`"


def quote_text(text: str) -> str:
    """Return text as a quoted Cypher string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
