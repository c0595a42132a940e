"""The shipped Cypher: find a query by name, put a schema's names into it, quote identifiers.

The files in `cypher/` run as they are on the demo graph. Names that belong to a graph stand in
backticks there, and `render` exchanges them for those of a schema:

    (user:`User`)-[rated:`RATED`]->(item:`Movie`)     labels and types
    user.`id`   item.`id`   item.`title`              properties, by the variable's (last) word
    rated.`rating`   rated.`timestamp`

Where feedback is stored from items to users, the arrows of RATED turn round.
"""

from __future__ import annotations

import re
from pathlib import Path

from kgplug.errors import UsageError, unknown_name
from kgplug.graph.schema import GraphSchema

_TOKEN = re.compile(r"(?P<before>:|\w*user\.|\w*item\.|\w*rated\.)`(?P<name>[^`]+)`")
_FEEDBACK_ARROW = re.compile(r"(?P<left><?)-(?P<between>\[\w*:`RATED`\])-(?P<right>>?)")


def quote(identifier: str) -> str:
    """Return a label, type or property name as a backticked Cypher identifier.

    Cypher decodes \\uXXXX before it looks for backticks, so a backslash is refused together
    with the null character: no label kgplug can use needs either.
    """
    if not identifier or "\\" in identifier or "\0" in identifier:
        raise UsageError(
            f"{identifier!r} cannot be a label, type or property name: expected text without backslash or null."
        )
    return "`" + identifier.replace("`", "``") + "`"


def queries_dir() -> Path:
    """Return the folder of the shipped queries: inside the installed package, or beside it in a checkout."""
    installed = Path(__file__).parents[1] / "_cypher"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "cypher"


def names() -> list[str]:
    """Return the names of the shipped queries, sorted."""
    return sorted(path.stem for path in queries_dir().glob("*.cypher"))


def load(name: str, schema: GraphSchema | None = None) -> str:
    """Return the text of a shipped query, with the names of a schema in it (the demo graph's by default).

    Raises:
        UsageError: there is no query of that name.
    """
    name = name.removesuffix(".cypher")
    if name not in names():
        raise unknown_name("query", name, names())
    text = (queries_dir() / f"{name}.cypher").read_text(encoding="utf-8")
    return text if schema is None else render(text, schema)


def purpose(name: str) -> str:
    """Return the first line of a query's header: what it is for."""
    first = load(name).splitlines()[0]
    return first.removeprefix("//").strip().removeprefix("Purpose:").strip()


def render(text: str, schema: GraphSchema) -> str:
    """Put the names of a schema in the place of the demo graph's."""
    labels = {"User": schema.user.label, "Movie": schema.item.label, "RATED": schema.feedback.type}
    properties = {
        "user.": {"id": schema.user.key},
        "item.": {"id": schema.item.key, "title": schema.item.title or schema.item.key},
        "rated.": {"rating": schema.feedback.rating, "timestamp": schema.feedback.timestamp},
    }

    def exchange(match: re.Match[str]) -> str:
        before, name = match["before"], match["name"]
        known = (
            labels
            if before == ":"
            else next(properties[variable] for variable in properties if before.endswith(variable))
        )
        if name not in known:
            return match[0]
        value = known[name]
        return f"{before}{quote(value)}" if value is not None else "null"

    if schema.feedback.direction == "item_to_user":
        text = _FEEDBACK_ARROW.sub(_turned, text)
    return _TOKEN.sub(exchange, text)


def feedback_arrow(schema: GraphSchema, variable: str = "") -> str:
    """Return what stands between user and item in a pattern: -[r:TYPE]-> or <-[r:TYPE]-."""
    between = f"-[{variable}:{quote(schema.feedback.type)}]-"
    return f"{between}>" if schema.feedback.direction == "user_to_item" else f"<{between}"


def _turned(match: re.Match[str]) -> str:
    left, right = "<" if match["right"] else "", ">" if match["left"] else ""
    return f"{left}-{match['between']}-{right}"
