"""Look into Cypher that users write: comments, write clauses, and the variables, labels and types of a pattern.

The text is not parsed, only its tokens are. Strings, comments and backticked names never count as anything else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
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
ENDS = ("user", "item")
"""Variables of the two nodes between which a pattern of feedback leads."""
_NAME = r"(?:`(?:[^`]|``)*`|[^\W\d]\w*)"
_NODE = re.compile(rf"(?<![\w`])\(\s*(?P<variable>{_NAME})?\s*(?::(?P<names>[^(){{}}]*))?")
_RELATIONSHIP = re.compile(rf"-\s*\[\s*(?:{_NAME})?\s*:(?P<names>[^\[\]{{}}]*)")
_REPEATED = re.compile(  # a relationship with *, +, * or {…} after a relationship, and shortest paths
    r"-\s*\[(?:(?!\bWHERE\b)[^\[\]{}])*\*|-\s*>?\s*[+*{]|(?<![\w:|&!.$])(?:all)?shortest(?:Path)?s?\s*(?:[\d($]|(?:PATH|GROUP))",
    re.IGNORECASE,
)
_PATH_NAME = re.compile(rf"\s*(?P<name>{_NAME})\s*=\s*")
_BOUND = re.compile(rf"(?:-\s*\[|^|,)\s*(?P<variable>{_NAME})\s*(?=[:=*\]{{]|WHERE\b)", re.IGNORECASE)
_WORD = re.compile(rf"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|(?P<name>{_NAME})")
_BEFORE_LABEL = re.compile(rf":(?:[\s!]*{_NAME}\s*[|&:])*[\s!]*$")
_BEFORE_VALUE = re.compile(rf"[{{,]\s*{_NAME}\s*:\s*$")  # of a map
_ALTERNATIVE = re.compile(rf"(?P<no>!\s*)?(?P<name>{_NAME})")
_CONDITION = re.compile(r"\bWHERE\b.*", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class PatternNames:
    """The names in a Cypher pattern.

    Attributes:
        nodes: variables of its nodes.
        labels: labels of its nodes other than user and item.
        has_unlabelled: whether a node other than user and item has no label, or nodes are hidden (`hides_nodes`).
        types: types of its relationships.
    """

    nodes: frozenset[str]
    labels: frozenset[str]
    has_unlabelled: bool
    types: frozenset[str]


def without_comments(text: str) -> str:
    """Return Cypher without its comments, so that text may follow it in the same line."""
    return _TOKEN.sub(lambda token: " " if token["comment"] else token[0], text).strip()


def write_clause(text: str) -> str | None:
    """Return the first word in a Cypher text that begins a clause that writes, in capitals; None if there is none."""
    found = _WRITES.search(_TOKEN.sub(lambda token: " " if token["comment"] else "''", text))
    return None if found is None else " ".join(found[0].upper().split())


def names_in(pattern: str, *, ends: Collection[str] = ENDS) -> PatternNames:
    """Return the variables, labels and types in a Cypher pattern, such as (user)-[:BOUGHT]->(:Order)-[:OF]->(item).

    `ends` are the variables of nodes whose labels are left out.
    """
    text = _TOKEN.sub(lambda token: token[0] if token["name"] else " ", pattern)
    nodes = list(_NODE.finditer(text))
    labelled = {node["variable"] for node in nodes if node["names"]}
    inner = [
        node
        for node in nodes
        if _plain(node["variable"] or "") not in ends and (node["names"] or node["variable"] not in labelled)
    ]
    return PatternNames(
        frozenset(_plain(node["variable"]) for node in nodes if node["variable"]),
        frozenset(name for node in inner for name in _labels(node["names"] or "")),
        hides_nodes(pattern) or any(not _labels(node["names"] or "") for node in inner),
        frozenset(name for found in _RELATIONSHIP.finditer(text) for name in _alternatives(found["names"])),
    )


def hides_nodes(pattern: str) -> bool:
    """Return whether a Cypher pattern may lead through nodes that it does not show, as -[:R*2]->, -->+ and {2} do."""
    return bool(_REPEATED.search(_TOKEN.sub(lambda token: "x" if token["name"] else " ", pattern)))


def prefixes(pattern: str) -> list[str]:
    """Return a Cypher pattern up to each of its nodes: (a), then (a)-->(b), then (a)-->(b)-->(c)."""
    text = without_comments(pattern)
    return [text[: place + 1] for place, character, depth in _depths(text) if character == ")" and depth == 0]


def uses(text: str, *variables: str) -> bool:
    """Return whether a text uses one of the variables as Cypher does: user.name, labels(user) or users[0]."""
    bare = _TOKEN.sub(lambda token: " " if token["comment"] else "''", text)
    return bool(re.search(rf"(?<![\w.$])(?:{'|'.join(variables)})\s*(?:\.\s*[\w`]|[)\[])", bare))


def renamed(text: str, names: Mapping[str, str]) -> str:
    """Return Cypher with other names for variables: `names` is old name → new name.

    Labels, types, properties, keys of maps and functions of the same name stay.
    """

    def replace(found: re.Match[str]) -> str:
        new = names.get(_plain(found["name"] or ""))
        before, after = text[: found.start()].rstrip(), text[found.end() :].lstrip()
        is_label = _BEFORE_LABEL.search(before) and not _BEFORE_VALUE.search(before)
        is_property = before.endswith((".", "$")) and not before.endswith("..")
        is_key = before.endswith(("{", ",")) and after.startswith(":")
        kept = new is None or is_label or is_property or is_key or after.startswith("(")
        return found[0] if kept else str(new)

    return _WORD.sub(replace, text)


def variables(pattern: str) -> frozenset[str]:
    """Return the variables of a Cypher pattern: of nodes, relationships and paths."""
    text = _TOKEN.sub(lambda token: token[0] if token["name"] else " ", pattern)
    found = [*_NODE.finditer(text), *_BOUND.finditer(text)]
    return frozenset(_plain(one["variable"]) for one in found if one["variable"])


def parts(pattern: str) -> list[str]:
    """Return the comma-separated parts of a Cypher pattern."""
    text = without_comments(pattern)
    commas = [place for place, character, depth in _depths(text) if character == "," and depth == 0]
    return [text[start + 1 : stop].strip() for start, stop in zip([-1, *commas], [*commas, None], strict=True)]


def named_path(path: str, name: str) -> tuple[str, str]:
    """Return the variable of a path of a Cypher pattern, and the path with it: its own if it has one, else `name`."""
    found = _PATH_NAME.match(path)
    return (name, f"{name} = {path}") if found is None else (found["name"], path)


def _depths(text: str) -> Iterator[tuple[int, str, int]]:
    """Yield the place of each character outside of strings, the character, and the number of open brackets after it."""
    skipped = {place for token in _TOKEN.finditer(text) for place in range(*token.span())}
    depth = 0
    for place, character in enumerate(text):
        if place not in skipped:
            depth += (character in "([{") - (character in ")]}")
            yield place, character, depth


def _labels(expression: str) -> list[str]:
    """Return the labels of which every node that fits an expression has one: A and B of A|B, A of A&B or A:B."""
    conjuncts = re.split(r"[&:]", _CONDITION.sub("", expression))
    return next((names for each in conjuncts if (names := _alternatives(each))), [])


def _alternatives(expression: str) -> list[str]:
    """Return the names in an expression such as A|B|!C, without those that it excludes."""
    plain = _CONDITION.sub("", expression)
    return [_plain(found["name"]) for found in _ALTERNATIVE.finditer(plain) if not found["no"]]


def _plain(name: str) -> str:
    """Return a name as it is stored: without backticks."""
    return name[1:-1].replace("``", "`") if name.startswith("`") else name
