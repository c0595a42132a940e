"""Cypher patterns that users write in kgplug.toml: run them with a time limit, and say why one cannot be used.

A pattern is read only in transactions that may not write, so that the server refuses all write clauses. The functions
return errors whose messages begin with the setting, such as [knowledge.patterns] SAME_MAKER.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from kgplug.cypher_text import names_in
from kgplug.errors import DataError, GraphError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.bolt.far_times import data_of
from kgplug.graph.bolt.server_errors import translated_errors
from kgplug.graph.contents import Contents
from kgplug.settings import Settings

_HIDDEN = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|//[^\n]*|/\*.*?\*/|`(?:[^`]|``)*`", re.DOTALL)
_NAME = r"(?:`(?:[^`]|``)*`|[^\W\d]\w*)"
_PATH_NAME = re.compile(rf"\s*(?P<name>{_NAME})\s*=\s*")
_RELATIONSHIP = re.compile(r"\s*<?\s*-\s*(?P<inner>\[)?")
_ARROW_END = re.compile(r"\s*-\s*>?\s*")
_NODE = re.compile(
    rf"\(\s*(?P<variable>{_NAME})?\s*(?P<labels>:[^{{]*?)?\s*(?:\{{.*|\bWHERE\b.*|)\)", re.DOTALL | re.IGNORECASE
)
_TYPED = re.compile(rf"\[\s*(?:{_NAME})?\s*:")
_PLACE = re.compile(r" \(line \d+, column \d+ \(offset: \d+\)\)")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_COUNTED = 1_000_000  # parts of a pattern are counted up to here
_COUNTING_S = 20.0  # maximum number of seconds for counting one part


@dataclass(frozen=True)
class PathText:
    """One path of a Cypher pattern, as text.

    Attributes:
        name: the path's variable; "" if it has none.
        elements: its nodes and relationships in turn, such as "(a)", "-[:R]->", "(b)".
    """

    name: str
    elements: tuple[str, ...]

    @property
    def steps(self) -> list[tuple[str, str, str]]:
        """Each relationship with the nodes at its ends."""
        return [self.elements[start : start + 3] for start in range(0, len(self.elements) - 2, 2)]  # type: ignore[misc]

    def __str__(self) -> str:
        return (f"{self.name} = " if self.name else "") + "".join(self.elements)


def time_limit_s() -> float:
    """Return the maximum number of seconds for reading what a pattern matches."""
    return Settings().kgplug_query_time_limit_s


def rows_within(connection: Connection, query: str, /, *, limit_s: float, **parameters: object) -> list[dict[str, Any]]:
    """Run a query that only reads, and return its rows.

    Raises:
        GraphError: the server refused the query, or stopped it after `limit_s` seconds (see `refused`).
    """
    import neo4j

    @neo4j.unit_of_work(timeout=limit_s)
    def work(transaction: neo4j.ManagedTransaction) -> list[dict[str, Any]]:
        return data_of(transaction.run(cast("Any", query), parameters))

    with translated_errors(connection.uri, connection.database), connection.session(access="READ") as session:
        return session.execute_read(work)


def refused(setting: str, error: GraphError, *, limit_s: float) -> DataError | None:
    """Return the error to raise if the server refused a query because of its pattern; None if it has another cause.

    Args:
        setting: the schema's entry, such as "[knowledge.patterns] SAME_MAKER".
        error: the server's error.
        limit_s: the query's time limit.
    """
    code = _code(error)
    if took_too_long(error):
        return DataError(
            f"{setting}: the pattern did not finish within {limit_s:g} s.",
            advice="Let it match less, for example with more labels, or set KGPLUG_QUERY_TIME_LIMIT_S to more seconds.",
        )
    if code.endswith("AccessMode"):
        return DataError(f"{setting} would change the graph. Expected Cypher that only reads.")
    if code.startswith("Neo.ClientError.Statement."):
        reason = str(error).partition(": ")[2]  # Neo4j's sentence, without the server's address
        reason = _PLACE.sub("", reason)  # a place in the whole query, which the user did not write
        return DataError(f"{setting} is not valid Cypher. Neo4j says: {reason}")
    return None


def took_too_long(error: GraphError) -> bool:
    """Return whether the server stopped a query at its time limit."""
    return "TransactionTimedOut" in _code(error)


def check_cypher(connection: Connection, setting: str, query: str) -> None:
    """Raise DataError if the server would refuse a query, or if the query would write. It is not run."""
    try:
        rows_within(connection, f"EXPLAIN {query}", limit_s=_COUNTING_S, least=1)
    except GraphError as error:
        raise refused(setting, error, limit_s=_COUNTING_S) or error from error


def paths_of(pattern: str) -> list[PathText]:
    """Return the paths of a Cypher pattern; [] if it is more than a list of plain paths.

    Not plain are quantified paths, shortest paths, and patterns that are followed by other clauses.
    """
    masked, paths, place = _HIDDEN.sub(lambda found: "x" * len(found[0]), pattern), [], 0
    while True:
        named = _PATH_NAME.match(masked, place)
        elements, place = _elements(pattern, masked, named.end() if named else place)
        if not elements:
            return []
        paths.append(PathText(pattern[named.start("name") : named.end("name")] if named else "", tuple(elements)))
        rest = masked[place:].lstrip()
        if not rest:
            return paths
        if not rest.startswith(","):
            return []
        place = len(masked) - len(rest) + 1


def node_of(paths: Iterable[PathText], variable: str) -> str:
    """Return the node with a variable as a pattern of its own: the variable and its labels, such as (head:Product)."""
    return f"({variable}{_labels(paths).get(variable, '')})"


def steps_of(paths: Iterable[PathText]) -> Iterator[tuple[str, str, str]]:
    """Yield each relationship with its two nodes. A node without labels gets those that its variable has elsewhere."""
    labels = _labels(paths)
    for path in paths:
        for head, between, tail in path.steps:
            yield _with_labels(head, labels), between, _with_labels(tail, labels)


def is_typed(relationship: str) -> bool:
    """Return whether the text of a relationship names a type, as -[r:R]-> does."""
    return bool(_TYPED.search(relationship))


def is_labelled(node: str) -> bool:
    """Return whether the text of a node names a label, as (n:Order) does."""
    found = _NODE.fullmatch(node)
    return found is not None and bool(found["labels"])


def nothing_matched(
    connection: Connection, setting: str, pattern: str, where: str | None, contents: Contents
) -> DataError:
    """Return the error for a pattern without matches. It says how much each part matches, and which names are unknown.

    Args:
        connection: connection to the database.
        setting: the schema's entry, such as "[knowledge.patterns] SAME_MAKER".
        pattern, where: the pattern and its condition.
        contents: contents of the database.
    """
    names = names_in(pattern)
    unknown = [f"no node has the label {name}" for name in sorted(names.labels - contents.labels.keys())]
    unknown += [f"no relationship has the type {name}" for name in sorted(names.types - contents.types.keys())]
    counts = [f"{part}: {n}" for part, n in _count_parts(connection, pattern)]
    said = f"{setting} matches nothing"
    if (n := _count(connection, pattern)) not in ("0", "unknown"):
        if where is not None:
            return DataError(f"{said} with where = {where!r}. Without it, there are {n} matches.")
        return DataError(f"{said} but nodes with themselves, or nodes that are never read: {n} matches.")
    reason = f": {', and '.join(unknown)}" if unknown else ""
    parts = f" Matches of its parts: {'; '.join(counts)}." if counts else ""
    return DataError(f"{said}{reason}.{parts}")


def _code(error: GraphError) -> str:
    return getattr(error.__cause__, "code", None) or ""


def _count_parts(connection: Connection, pattern: str) -> Iterator[tuple[str, str]]:
    """Yield each node and each step of a pattern, with the number of its matches as text."""
    paths = paths_of(pattern)
    steps = list(steps_of(paths))
    nodes = dict.fromkeys(node for path in paths for node in path.elements[::2] if is_labelled(node))
    for part in (*nodes, *dict.fromkeys("".join(step) for step in steps)):
        yield part, _count(connection, part)


def _count(connection: Connection, pattern: str) -> str:
    query = f"MATCH {pattern}\nWITH 1 AS one LIMIT {_COUNTED} RETURN count(*) AS n"
    try:
        n = rows_within(connection, query, limit_s=_COUNTING_S)[0]["n"]
    except GraphError:  # a part that refers to a variable of another part, or one that takes too long
        return "unknown"
    return f"{n:,}" + (" or more" if n == _COUNTED else "")


def _elements(pattern: str, masked: str, place: int) -> tuple[list[str], int]:
    """Return the nodes and relationships of the path that begins at `place`, and where it ends; [] if it is not plain.

    `masked` is the pattern with each string, comment and backticked name replaced by letters.
    """
    elements: list[str] = []
    while True:
        begin = place + len(masked[place:]) - len(masked[place:].lstrip())
        end = _closed(masked, begin)
        inner = masked[begin + 1 : end - 1]
        if not masked.startswith("(", begin) or end < 0 or inner.lstrip().startswith("("):
            return [], place
        elements.append(pattern[begin:end])
        found = _RELATIONSHIP.match(masked, end)
        if found is None:
            return elements, end
        place = found.end() if found["inner"] is None else _closed(masked, found.end() - 1)
        arrow = _ARROW_END.match(masked, place)
        if place < 0 or arrow is None:
            return [], end
        elements.append(pattern[end : arrow.end()].strip())
        place = arrow.end()


def _closed(masked: str, begin: int) -> int:
    """Return the position after the bracket that closes the one at `begin`; -1 if there is none."""
    waiting: list[str] = []
    for place in range(begin, len(masked)):
        if masked[place] in _CLOSING:
            waiting.append(_CLOSING[masked[place]])
        elif waiting and masked[place] == waiting[-1]:
            waiting.pop()
        if not waiting:
            return place + 1
    return -1


def _labels(paths: Iterable[PathText]) -> dict[str, str]:
    """Return variable → its labels as in the pattern, such as ":Product", for each node that has both."""
    found = (_NODE.fullmatch(node) for path in paths for node in path.elements[::2])
    return {each["variable"]: each["labels"] for each in found if each and each["variable"] and each["labels"]}


def _with_labels(node: str, labels: dict[str, str]) -> str:
    found = _NODE.fullmatch(node)
    if found is None or found["labels"] or found["variable"] not in labels:
        return node
    place = found.end("variable")
    return node[:place] + labels[found["variable"]] + node[place:]
