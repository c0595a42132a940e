"""Guess the key property of a label and the property that people know its nodes by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kgplug.graph.connection import Connection
from kgplug.graph.contents import Contents, sample_properties
from kgplug.graph.cypher import quote
from kgplug.graph.guess_words import words_of
from kgplug.graph.naming import KEY_NAMES, title_rank

_MOST_CHECKED = 500_000  # nodes of a label up to which uniqueness is checked on all of them
_MOST_TRIED = 4  # properties whose uniqueness is checked
_SAMPLE = 1000


@dataclass(frozen=True)
class Guessed:
    """A guess and its reason.

    Attributes:
        value: None where nothing fits.
        why: for a comment.
    """

    value: str | None
    why: str


def guess_key(connection: Connection, contents: Contents, label: str) -> Guessed:
    """Return a property that is unique on a label: of a constraint, else one found to be unique."""
    if constrained := contents.unique.get(label):
        best = min(constrained, key=lambda name: (_key_rank(name, label), name))
        return Guessed(best, "has a unique constraint")
    n = contents.labels[label]
    values = sample_properties(connection, f"(n:{quote(label)})", rows=_SAMPLE)
    sampled = min(n, _SAMPLE)
    possible = [name for name, found in values.items() if quotable(name) and _may_be_key(found, sampled)]
    possible.sort(key=lambda name: (_key_rank(name, label), not isinstance(values[name][0], str), name))
    if n > _MOST_CHECKED:
        why = f"unique on the {sampled:,} nodes looked at; no constraint says so"
        return Guessed(possible[0], why) if possible else _none(values)
    for name in possible[:_MOST_TRIED]:
        key = f"n.{quote(name)}"
        query = f"MATCH (n:{quote(label)}) RETURN count({key}) AS present, count(DISTINCT {key}) AS different"
        (row,) = connection.rows(query)
        if row["present"] == row["different"] == n:
            return Guessed(name, f"unique on all {n:,} nodes, though no constraint says so")
    return _none(values)


def guess_title(connection: Connection, label: str, key: str | None, n: int) -> Guessed:
    """Return the text property that people know the nodes of a label by, of those that most of them have.

    Args:
        connection: to the database.
        label: of the nodes.
        key: their key property, which is taken only where there is no other.
        n: how many there are.
    """
    values = sample_properties(connection, f"(n:{quote(label)})", rows=_SAMPLE)
    sampled = min(n, _SAMPLE)
    filled = {
        name: sum(bool(value.strip()) for value in found)
        for name, found in values.items()
        if quotable(name) and title_rank(name) is not None and all(isinstance(value, str) for value in found)
    }
    ranked = sorted(filled, key=lambda name: (name == key, title_rank(name), name))
    for name in ranked:
        if filled[name] > sampled / 2:
            also = "; the key, too" if name == key else ""
            return Guessed(
                name,
                f"text on {filled[name]:,} of {sampled:,} nodes looked at, by its name what people know it by{also}. "
                "Shown in lists, and what DKN reads",
            )
    seldom = "".join(f"; {name} is text on {filled[name]:,} of {sampled:,} nodes only" for name in ranked[:1])
    return Guessed(None, f"no text property that most nodes have looks like a title{seldom}. The key is shown")


def quotable(name: str) -> bool:
    """Return whether Cypher can name a property in backticks."""
    return bool(name) and "\0" not in name


def _none(values: dict[str, list[Any]]) -> Guessed:
    found = ", ".join(sorted(values)[:8]) or "none"
    return Guessed(None, f"no property is unique, whole and an integer or text (properties: {found})")


def _may_be_key(values: list[Any], sampled: int) -> bool:
    usable = all(isinstance(value, (int, str)) and not isinstance(value, bool) for value in values)
    return usable and len(values) == sampled == len(set(values))


def _key_rank(name: str, label: str) -> int:
    """Return how much a name sounds like a key, 0 most."""
    lower = name.lower()
    own = f"{label.lower().replace(' ', '')}id"
    if lower in KEY_NAMES[:3] or lower.replace("_", "") == own:
        return 0
    if lower in KEY_NAMES or words_of(name) & set(KEY_NAMES):
        return 1
    if lower.endswith("id"):
        return 2
    return 3 if title_rank(name) is not None else 4
