"""Explain an error in an entry of kgplug.toml in one sentence."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from kgplug.graph.feedback_schema import SENTENCE
from kgplug.graph.knowledge_schema import PropertyRule, RelationPattern

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_EXPECTED = {
    "string_type": "text in quotes",
    "string_too_short": "a name",
    "number": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "greater_than_equal": "a whole number of at least {ge}",
    "less_than_equal": "a whole number of at most {le}",
    "greater_than": "a number above 0",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": 'a list such as ["A", "B"]',
    "dict_type": 'lines such as Label = "key"',
    "model_type": "a pattern in quotes or a table",
}
_TABLES: dict[str, type[BaseModel] | None] = {"keys": None, "patterns": RelationPattern, "properties": PropertyRule}
"""Tables under [knowledge], and the class of their entries: None for text."""


def sentence_on(error: ErrorDetails, schema: type[BaseModel], content: Mapping[str, Any]) -> str:
    """Return a sentence that explains an error: what was expected and what was found, or the most similar known name.

    Args:
        error: the first error of a pydantic validation.
        schema: the validated class; each of its fields is a section.
        content: the validated content.
    """
    section, *names = (_readable(part) for part in error["loc"])
    table, found = f"[{section}]", reprlib.repr(error["input"])
    part: type[BaseModel] | None = None
    if section == "feedback" and names:  # a list of tables, also if the file has only one
        number, names = int(names[0]) + 1, names[1:]
        table = table if isinstance(content[section], dict) else f"[[{section}]] number {number}"
    elif section == "feedback" and isinstance(content[section], list):
        table = f"[[{section}]]"
    elif section == "knowledge" and names[1:] and names[0] in _TABLES:
        table, part, names = f"[knowledge.{names[0]}]", _TABLES[names[0]], names[1:]
        if part is not None and names[1:]:
            table, names = f"{table} {names[0]}", names[1:]
    if error["type"] == SENTENCE:
        named = [name for name in names if not error["msg"].startswith(f"{name} ")]  # the sentence may name the setting
        return f"{' '.join([table, *named])}: {error['msg']}"
    if error["type"] == "extra_forbidden":
        if not names:
            return f"There is no section [{section}].{_near(section, schema.model_fields, 'sections')}"
        known = _fields(schema, section) if part is None else part.model_fields
        return f"{table} has no setting {names[0]}.{_near(names[0], known, f'settings of {table}')}"
    if not names:
        return f"Expected a section [{section}], found {section} = {found}."
    if error["type"] == "missing":
        return f"{table} has no {names[0]}."
    given = error.get("ctx", {})
    expected = _EXPECTED.get(error["type"], "").format(**given) or given.get("expected") or error["msg"]
    return f"{table} {names[0]}: expected {expected}, found {found}."


def _fields(schema: type[BaseModel], section: str) -> Iterable[str]:
    part = schema.model_fields[section].annotation
    part = next(iter(get_args(part)), part)  # the kind of feedback in tuple[FeedbackSchema, ...]
    return part.model_fields if isinstance(part, type) and issubclass(part, BaseModel) else ()


def _near(name: str, known: Iterable[str], what: str) -> str:
    """Return "The {what} are …." with all known names, preceded by "Did you mean …?" if one of them is similar."""
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    asked = f" Did you mean {near[0]}?" if near else ""
    return f"{asked} The {what} are {', '.join(known)}."


def _readable(part: Any) -> str:
    return str(part) if str(part).isprintable() else repr(part)
