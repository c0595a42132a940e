"""Look into Cypher that users write: comments, write clauses, and the variables, labels and types of a pattern.

The text is not parsed, only its tokens are. Strings, comments and backticked names never count as anything else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"(?P<string>'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")|(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<name>`(?:[^`]|``)*`)",
    re.DOTALL,
)
_WRITES = re.compile(
    r"(?<![\w.:|&!$(\[,])(?:CREATE|MERGE|SET|DETACH|DELETE|REMOVE|DROP|FOREACH|LOAD\s+CSV|IN\s+TRANSACTIONS)\b"
    r"(?!\s*[.:,)\]=|])",
    re.IGNORECASE,
)
_NAME = r"(?:`(?:[^`]|``)*`|[^\W\d]\w*)"
_NODE = re.compile(rf"(?<![\w`])\(\s*(?P<variable>{_NAME})?\s*(?::(?P<names>[^(){{}}]*))?")
_RELATIONSHIP = re.compile(rf"-\s*\[\s*(?:{_NAME})?\s*:(?P<names>[^\[\]{{}}]*)")
_ALTERNATIVE = re.compile(rf"(?P<no>!\s*)?(?P<name>{_NAME})")
_CONDITION = re.compile(r"\bWHERE\b.*", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class PatternNames:
    """The names in a Cypher pattern.

    Attributes:
        nodes: variables of its nodes.
        labels: labels of its nodes.
        types: types of its relationships.
    """

    nodes: frozenset[str]
    labels: frozenset[str]
    types: frozenset[str]


def without_comments(text: str) -> str:
    """Return Cypher without its comments, so that text may follow it in the same line."""
    return _TOKEN.sub(lambda token: " " if token["comment"] else token[0], text).strip()


def write_clause(text: str) -> str | None:
    """Return the first word in a Cypher text that begins a clause that writes, in capitals; None if there is none."""
    found = _WRITES.search(_TOKEN.sub(lambda token: " " if token["comment"] else "''", text))
    return None if found is None else " ".join(found[0].upper().split())


def names_in(pattern: str) -> PatternNames:
    """Return the variables, labels and types in a Cypher pattern, such as (user)-[:BOUGHT]->(:Order)-[:OF]->(item)."""
    text = _TOKEN.sub(lambda token: token[0] if token["name"] else " ", pattern)
    nodes = list(_NODE.finditer(text))
    return PatternNames(
        frozenset(_plain(node["variable"]) for node in nodes if node["variable"]),
        frozenset(name for node in nodes for name in _alternatives(node["names"] or "")),
        frozenset(name for found in _RELATIONSHIP.finditer(text) for name in _alternatives(found["names"])),
    )


def uses(text: str, *variables: str) -> bool:
    """Return whether a text uses one of the variables as Cypher does: user.name, labels(user) or users[0]."""
    bare = _TOKEN.sub(lambda token: " " if token["comment"] else "''", text)
    return bool(re.search(rf"(?<![\w.$])(?:{'|'.join(variables)})\s*[.)\[]", bare))


def _alternatives(expression: str) -> list[str]:
    """Return the names in a label expression such as A|B&!C, without those that it excludes."""
    plain = _CONDITION.sub("", expression)
    return [_plain(found["name"]) for found in _ALTERNATIVE.finditer(plain) if not found["no"]]


def _plain(name: str) -> str:
    """Return a name as it is stored: without backticks."""
    return name[1:-1].replace("``", "`") if name.startswith("`") else name
