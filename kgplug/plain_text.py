"""Text that any output can show: one line, no control characters, and only characters that its encoding has."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

_PLAIN = {
    "✓": "ok",
    "✗": "x",
    "▸": ">",
    "→": "->",
    "←": "<-",
    "≥": ">=",
    "≤": "<=",
    "≠": "!=",
    "×": "x",
    "·": ".",
    "•": "*",
    "…": "...",
    "–": "-",
    "—": "-",
    "−": "-",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
}


def printable(text: str) -> str:
    """Return a text as one line with escaped control characters. Names of files, columns and nodes may contain them."""
    return "".join(map(_visible, text)) if not text.isprintable() else text


def counted(n: int, noun: str, *, plural: str = "") -> str:
    """Return a number with its noun: "1 node", "2,000 nodes".

    Args:
        n: the number.
        noun: noun in the singular.
        plural: the plural, if it is not the noun followed by an s.
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return " " if unicodedata.category(character) == "Zs" else repr(character)[1:-1]


def encodable(text: str, encoding: str) -> str:
    """Return a text with a plain replacement for each character that an encoding lacks."""
    return text.encode(encoding, _HANDLER).decode(encoding)


def make_outputs_safe() -> None:
    """Make standard output and standard error replace characters that their encoding lacks, instead of raising.

    The encoding stays as the user set it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(character: str) -> str:
    """Return a replacement for a character: a similar sign, the letter without its accent, or an escape sequence."""
    if character in _PLAIN:
        return _PLAIN[character]
    if "\u2500" <= character <= "\u257f":  # box drawing
        name = unicodedata.name(character)
        return "+" if " AND " in name or "ARC" in name else "-" if "HORIZONTAL" in name else "|"
    bare = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return bare or character.encode("ascii", "backslashreplace").decode()


_HANDLER = "kgplug.plain"
codecs.register_error(_HANDLER, _replace)
