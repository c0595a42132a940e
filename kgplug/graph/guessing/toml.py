"""Write a schema as TOML with a comment on every entry."""

from __future__ import annotations

import json
import re

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WIDTH = 110


def toml_string(text: str) -> str:
    """Return text as a TOML basic string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_key(text: str) -> str:
    """Return text as a TOML key, quoted if necessary."""
    return text if _BARE.fullmatch(text) else toml_string(text)


def comment(text: str) -> list[str]:
    """Return text as comment lines of about 110 characters, with control characters escaped."""
    lines = [""]
    for word in toml_string(text)[1:-1].replace('\\"', '"').split(" "):
        if lines[-1] and len(lines[-1]) + len(word) + 1 > _WIDTH:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return [f"# {line}" for line in lines]


def line(key: str, value: str | float | list[str]) -> str:
    """Return the line "key = value"."""
    if isinstance(value, list):
        text = "[" + ", ".join(toml_string(one) for one in value) + "]"
    else:
        text = toml_string(value) if isinstance(value, str) else repr(value)
    return f"{toml_key(key)} = {text}"


def entry(key: str, value: str | float | list[str] | None, why: str) -> list[str]:
    """Return the lines of one entry: `why` as a comment, then "key = value", or "# key =" if there is no value."""
    return [*comment(why), f"# {toml_key(key)} =" if value is None else line(key, value)]
