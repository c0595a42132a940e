"""Explain an error in an entry of kgplug.toml in one sentence."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_EXPECTED = {
    "string_type": "text in quotes",
    "string_too_short": "a name",
    "number": "a number",
    "condition": "a Cypher condition such as user.tenant = 'north'",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": 'a list such as ["A", "B"]',
    "dict_type": 'lines such as Label = "key"',
}


def sentence_on(error: ErrorDetails, schema: type[BaseModel]) -> str:
    """Return a sentence that explains an error: what was expected and what was found, or the most similar known name.

    Args:
        error: the first error of a pydantic validation.
        schema: the validated class; each of its fields is a section.
    """
    section, *names = (_readable(part) for part in error["loc"])
    found = reprlib.repr(error["input"])
    if error["type"] == "extra_forbidden":
        if not names:
            return f"There is no section [{section}].{_near(section, schema.model_fields, 'sections')}"
        known = _fields(schema, section)
        return f"[{section}] has no setting {names[0]}.{_near(names[0], known, f'settings of [{section}]')}"
    if not names:
        return f"Expected a section [{section}], found {section} = {found}."
    setting = " ".join([f"[{section}]", *names[:1]] if names[0] != "keys" else ["[knowledge.keys]", *names[1:]])
    expected = _EXPECTED.get(error["type"]) or error.get("ctx", {}).get("expected") or error["msg"]
    return f"{setting}: expected {expected}, found {found}."


def _fields(schema: type[BaseModel], section: str) -> Iterable[str]:
    part = schema.model_fields[section].annotation
    return part.model_fields if isinstance(part, type) and issubclass(part, BaseModel) else ()


def _near(name: str, known: Iterable[str], what: str) -> str:
    """Return "The {what} are …." with all known names, preceded by "Did you mean …?" if one of them is similar."""
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    asked = f" Did you mean {near[0]}?" if near else ""
    return f"{asked} The {what} are {', '.join(known)}."


def _readable(part: Any) -> str:
    return str(part) if str(part).isprintable() else repr(part)
