"""Guess which properties of items are knowledge: texts that many items share, years, and numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from kgplug.graph.guessing.words import COUNT_WORDS, LIKE_WORDS, RATING_WORDS, TIME_WORDS, mentions, words_of

_LEAST_FILLED = 20  # minimum number of sampled nodes with the property, for an entry that is not a comment
_FILLED = 0.5  # minimum share of the sampled nodes with the property
_PER_VALUE = 3  # minimum mean number of nodes per value
_MOST_VALUES = 100
_MOST_PROPERTIES = 8  # maximum number of entries and comments
_YEARS = (1000, 2100)
_YEAR_WORDS = frozenset(["year", "released", "release", "published", "born", "founded", "年", "年份"])
_VECTOR = 8  # a list of at least this many numbers may be a vector


@dataclass(frozen=True)
class Proposal:
    """A property whose values may become entities.

    Attributes:
        name: the property.
        rule: how its values become entities, as in kgplug.toml; None if it cannot be used.
        why: what was found, in words.
        active: whether the entry is used, and not only a comment.
    """

    name: str
    rule: Literal["values", "decades", "bands"] | None
    why: str
    active: bool = False


def propose_properties(
    values: dict[str, list[Any]], n_sampled: int, *, apart: Collection[str | None], neighbours: Collection[str]
) -> list[Proposal]:
    """Return the properties of items that may be knowledge; entries come before comments.

    Args:
        values: property → sampled values.
        n_sampled: number of sampled nodes.
        apart: properties to leave out: the key and the title.
        neighbours: labels and types next to items. A property that has their name repeats them.
    """
    known = {word.removesuffix("s") for name in neighbours for word in words_of(name)}
    found = [
        proposal
        for name in sorted(values)
        if name not in apart and (proposal := _propose(name, values[name], n_sampled, known)) is not None
    ]
    return sorted(found, key=lambda one: (not one.active, one.rule is None))[:_MOST_PROPERTIES]


def _propose(name: str, values: list[Any], n_sampled: int, known: set[str]) -> Proposal | None:
    if mentions(name, TIME_WORDS) and not mentions(name, _YEAR_WORDS):
        return None
    on = f"on {len(values):,} of {n_sampled:,} sampled nodes"
    enough = len(values) >= max(_LEAST_FILLED, _FILLED * n_sampled)
    repeated = known & {word.removesuffix("s") for word in words_of(name)}
    if all(isinstance(value, list) for value in values):
        elements = [element for value in values for element in value]
        if elements and all(_is_number(element) for element in elements):
            length = max(len(value) for value in values)
            if length < _VECTOR:
                return None
            return Proposal(name, None, f"{name} is a list of {length:,} numbers, perhaps a vector. It is not read")
        return _texts(name, elements, f"{{}} different values in lists {on}", enough, repeated)
    if all(isinstance(value, str) for value in values):
        return _texts(name, values, f"{{}} different texts {on}", enough, repeated)
    if all(_is_number(value) for value in values):
        return _numbers(name, values, on, enough)
    return None


def _texts(name: str, texts: list[Any], found: str, enough: bool, repeated: set[str]) -> Proposal | None:
    if not all(isinstance(text, str) for text in texts):
        return None
    different = len(Counter(texts))
    if not 2 <= different <= min(_MOST_VALUES, len(texts) / _PER_VALUE):
        return None
    why = found.format(f"{different:,}")
    if repeated:
        return Proposal(name, "values", f"{why}; the graph already has relationships with this name")
    return Proposal(name, "values", why, active=enough)


def _numbers(name: str, numbers: list[Any], on: str, enough: bool) -> Proposal | None:
    different, least, most = len(set(numbers)), min(numbers), max(numbers)
    if different < 2:
        return None
    if all(value == int(value) and _YEARS[0] <= value <= _YEARS[1] for value in numbers) and mentions(
        name, _YEAR_WORDS
    ):
        decades = len({value // 10 for value in numbers})
        why = f"years from {least:.0f} to {most:.0f} {on}"
        return Proposal(name, "decades", why, active=enough and 2 <= decades <= len(numbers) / _PER_VALUE)
    if different == len(numbers) and all(value == int(value) for value in numbers):
        return None  # numbers of nodes
    why = f"numbers from {least:g} to {most:g} {on}"
    if mentions(name, RATING_WORDS | LIKE_WORDS | COUNT_WORDS | {"popularity", "votes", "views", "avg", "average"}):
        why += ". They may be computed from the feedback, and would then reveal it"
    return Proposal(name, "bands", why)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value and abs(value) < 1e300
