"""Rename the variables of a Cypher expression that a user wrote, so that it fits into any query.

The text is not parsed, only its tokens are.
"""

from __future__ import annotations

import re

FROM_USER = "/* from kgplug.toml */"
"""Comment that marks a query with a condition from kgplug.toml.

Such a query runs only in a transaction that may not write, and only for `Settings.kgplug_query_time_limit_s`
(`kgplug.graph.bolt.connection`).
"""

_HIDDEN = r"\s+|'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|//[^\n]*|/\*.*?\*/"  # blanks, strings and comments
_PIECE = re.compile(rf"(?P<hidden>{_HIDDEN})|(?P<quoted>`(?:[^`]|``)*`)|(?P<word>[^\W\d]\w*)|.", re.DOTALL)
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


def renamed(text: str, variable: str, to: str) -> str:
    """Return a Cypher expression with one variable renamed, and with all that it binds under names of their own.

    The expression can then stand in a query that has variables with the same names as those that it binds.

    Args:
        text: the expression, such as EXISTS { (user)-[:MEMBER_OF]->(n:Tenant) }.
        variable: the variable to rename, such as user.
        to: its new name.
    """
    names = {name: f"kgplug_{name}" for name in _bound_in(text)} | {variable: to}
    pieces = list(_PIECE.finditer(text))
    found, brackets = list[str](), list[str]()
    before, after_key, in_labels = "", False, False  # after_key: the piece before is a key of a map
    for place, piece in enumerate(pieces):
        if piece["hidden"]:
            found.append(piece[0])
            continue
        after = next((each[0] for each in pieces[place + 1 :] if not each["hidden"]), "")
        is_key = after == ":" and before in ("{", ",") and brackets[-1:] == ["{"]
        is_variable = piece["word"] in names and before not in (".", "$") and after != "("
        found.append(names[piece[0]] if is_variable and not is_key and not in_labels else piece[0])
        if piece[0] in "([{":
            brackets.append(piece[0])
        elif piece[0] in ")]}":
            del brackets[-1:]
        if piece[0] == ":":  # of labels or a type, as in film:Short|Long, unless it follows a map's key
            in_labels = not after_key
        elif not piece["word"] and not piece["quoted"]:
            in_labels = in_labels and piece[0] in "|&!"
        elif before not in (":", "|", "&", "!"):
            in_labels = False
        before, after_key = piece[0], is_key
    return "".join(found)


def _bound_in(text: str) -> set[str]:
    """Return the variables that a Cypher expression binds itself: in patterns and lists, with AS, and as paths."""
    plain = _PIECE.sub(lambda piece: " " if piece["hidden"] else "``" if piece["quoted"] else piece[0], text)
    found = (name for binding in _BINDINGS for name in binding.findall(plain))
    return {name for name in found if name.upper() not in _NOT_VARIABLES}
