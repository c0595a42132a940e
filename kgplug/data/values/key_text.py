"""Find the stored key that a typed text refers to. Whether "42" is a number or a text depends on the stored keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True)
class FoundKey:
    """The stored key that a text refers to.

    Attributes:
        key: the key, with its stored type.
        other: a second stored key, the text with the same spelling as the number `key`; None if there is no such key.
    """

    key: int | str
    other: int | str | None = None

    def note(self, label: str) -> str:
        """Return a sentence that says which of the two keys, `key` and `other`, was used; "" if `other` is None."""
        if self.other is None:
            return ""
        return (
            f"{label} has both the number {self.key} and the text '{self.other}' as keys. The number was used. "
            f"For the text, write '\"{self.other}\"'."
        )


def possible_keys(text: str) -> list[int | float | str]:
    """Return every key that a text can refer to: itself, the number it spells, and the text between its double quotes.

    A text with leading zeros, spaces, an exponent or digits of another script does not spell a number.
    """
    found: list[int | float | str] = [text]
    if re.fullmatch(r"0|-?[1-9][0-9]{0,18}", text) and int(text) in _INT64:
        found.append(int(text))
    elif re.fullmatch(r"(0|-?[1-9][0-9]{0,15})\.0", text):
        found.append(float(text))  # the key may be a float in the graph
    quoted = _unquoted(text)
    return found if quoted is None else [*found, quoted]


def choose_key(text: str, stored: Iterable[object]) -> FoundKey | None:
    """Return the stored key that a text refers to; None if none matches.

    A number takes precedence over a text, and the whole text over the text between its quotes.

    Args:
        text: the text as typed.
        stored: keys to choose from. Only integers, integral floats and texts are considered.
    """
    numbers, texts = set[int](), set[str]()
    for value in stored:
        if isinstance(value, str):
            texts.add(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and _is_written(value, text):
            numbers.add(int(value))
    quoted = _unquoted(text)
    number = next(iter(numbers), None)
    if number is not None:
        return FoundKey(number, text if text in texts else None)
    if text in texts:
        return FoundKey(text)
    return FoundKey(quoted) if quoted is not None and quoted in texts else None


def _is_written(value: float, text: str) -> bool:
    """Return whether `text` spells the number `value`; 4.0 may also be written 4."""
    if isinstance(value, float):
        return value.is_integer() and text in (repr(value), str(int(value)))
    return str(value) == text


def _unquoted(text: str) -> str | None:
    if len(text) < 2 or not (text.startswith('"') and text.endswith('"')):
        return None
    try:
        inside = json.loads(text)
    except ValueError:
        return None
    return inside if isinstance(inside, str) else None
