"""Let a Cypher expression that a user wrote stand in any query, by giving its variables other names."""

from __future__ import annotations

import re

from kgplug.cypher_text import renamed

FROM_USER = "/* from kgplug.toml */"
"""Comment that marks a query with a condition from kgplug.toml.

Such a query runs only in a transaction that may not write, and only for `Settings.kgplug_query_s`
(`kgplug.graph.bolt.connection`).
"""

_HIDDEN = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|//[^\n]*|/\*.*?\*/|`(?:[^`]|``)*`", re.DOTALL)
_WORD = r"([^\W\d]\w*)"
_BINDINGS = [
    re.compile(binding, re.IGNORECASE)
    for binding in (
        rf"(?<![\w`])\(\s*{_WORD}\s*(?=[):{{]|WHERE\b)",  # a node
        rf"-\s*\[\s*{_WORD}\s*(?=[]:*]|WHERE\b)",  # a relationship
        rf"(?<![\w.$]){_WORD}\s+IN\b",  # an element of a list
        rf"\bAS\s+{_WORD}",
        rf"(?<![\w.$]){_WORD}\s*=\s*(?:\w+\s*)?\(",  # a path
    )
]
_NOT_VARIABLES = ("TRUE", "FALSE", "NULL", "NOT")


def with_variable(text: str, variable: str, to: str) -> str:
    """Return a Cypher expression with one variable renamed, and with all that it binds under names of their own.

    The expression can then stand in a query that has variables with the same names as those that it binds.

    Args:
        text: the expression, such as EXISTS { (user)-[:MEMBER_OF]->(n:Tenant) }.
        variable: the variable to rename, such as user.
        to: its new name.
    """
    return renamed(text, {**{name: f"kgplug_where_{name}" for name in bound_in(text)}, variable: to})


def bound_in(text: str) -> set[str]:
    """Return the variables that a Cypher expression binds, and some that it only uses, such as n in (n)-->(m)."""
    plain = _HIDDEN.sub("``", text)
    return {name for binding in _BINDINGS for name in binding.findall(plain) if name.upper() not in _NOT_VARIABLES}
