"""Read many relationships and nodes at once, in chunks that limit the memory that server and client need.

The driver unpacks a list value by value in Python, which is slow. So the server returns the rows of a chunk as text, a
few dozen rows per string, and numpy parses them. This is several times faster than lists of integers
(`benchmarks/neo4j_io.py` measures both).

Within one read, nodes are identified by the number at the end of their element id ("4:da15…25c1:792"), and large reads
step through ranges of these numbers. Neo4j does not promise that element ids look like this. If they look otherwise,
the whole element ids are used, and large reads are streamed with one query. Large reads are also streamed if most
numbers are unused, because then stepping would be slower. Cypher's function `id()` returns the same numbers a little
faster, but it is deprecated, in Cypher 5 and in Cypher 25.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from kgplug.graph.bolt.connection import Connection, limited, time_limit_s
from kgplug.graph.bolt.server_errors import translated_errors
from kgplug.graph.counts import MOST_NAMES
from kgplug.graph.queries import quote, quote_text
from kgplug.graph.reading.node_ids import ElementIds

if TYPE_CHECKING:
    import neo4j

_T = TypeVar("_T")
_R = TypeVar("_R")

_NUMBERED_ID = re.compile(r"(?P<start>\d:[0-9a-f-]{36}:)\d+")
_CHUNK_ROWS = 200_000  # relationships or ids per query
CHUNK_NODES = 50_000  # nodes per query when keys are read
_SESSIONS = 2  # one result is unpacked while the server works on the next query
_ROWS_A_TEXT = 40  # with more rows per string, the server copies long strings; with fewer, there are many to unpack
_MOST_IDS_A_ROW = 20  # if fewer than one id in 20 is in use, large reads are streamed
JOINED_ROWS = (
    f"[i IN range(0, size(rows) - 1, {_ROWS_A_TEXT}) | "
    f"reduce(text = '', row IN rows[i..i + {_ROWS_A_TEXT}] | text + row)]"
)
"""Cypher expression that joins the texts in a list `rows` to fewer texts."""


@dataclass(frozen=True)
class Wanted:
    """A description of the relationships to read.

    Attributes:
        types: each type to read → upper bound of the number of its relationships.
        others: each other type of the database → number of its relationships.
        where: Cypher condition on the variables of (a)-[r]->(b); "" if there is no condition.
        values: Cypher expressions on r to read for each relationship. They must return numbers, never null.
    """

    types: dict[str, int]
    others: dict[str, int] = field(default_factory=dict[str, int])
    where: str = ""
    values: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Upper bound of the number of relationships to read."""
        return sum(self.types.values())


@dataclass(frozen=True, eq=False)
class Edges:
    """Relationships as read, in no particular order.

    Attributes:
        types: types that occur, sorted.
        codes: int64 (n,), for each relationship the index of its type in `types`.
        heads, tails: int64 (n,), ids of the head and tail nodes. An id is valid only for the reader that returned it.
        values: float64, one row per relationship and one column per expression in `Wanted.values`.
    """

    types: list[str]
    codes: np.ndarray
    heads: np.ndarray
    tails: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class _Part:
    """The relationships that one query returned.

    Attributes:
        types: relationship types. A type may occur several times.
        counts: for each entry of `types`, the number of consecutive rows of `table` with this type.
        table: int64 or float64, one row per relationship: id of the head, id of the tail, `Wanted.values`.
    """

    types: list[str]
    counts: list[int]
    table: np.ndarray


@dataclass(frozen=True, eq=False)
class Nodes:
    """Nodes as read.

    Attributes:
        ids: int64 (n,), node ids as in `Edges`.
        codes: int64 (n,), for each node the result of the expression `code` given to `BulkReader.nodes`; 0 if the nodes
            were read by `BulkReader.label`.
        keys: object (n,), values of the key property; the value `[]` marks a node without a key.
        texts: object (n,), values of another property, "" for a node without it; None if none was requested.
    """

    ids: np.ndarray
    codes: np.ndarray
    keys: np.ndarray
    texts: np.ndarray | None = None


class BulkReader:
    """A reader for relationships and nodes of one database.

    Use one reader for all reads of a training, because another reader may give the same node another id.

    Args:
        connection: connection to the database.
        chunk_rows: maximum number of relationships or ids per query.
        internal_ids: whether to use the numbers in element ids. None: use them if the server's element ids have them.
    """

    def __init__(
        self, connection: Connection, *, chunk_rows: int = _CHUNK_ROWS, internal_ids: bool | None = None
    ) -> None:
        self._connection = connection
        self.chunk_rows = chunk_rows
        self._starts = None if internal_ids is False else _starts_of_ids(connection)
        self._elements = ElementIds()

    @property
    def has_numbers(self) -> bool:
        """Whether nodes are identified by the numbers in their element ids."""
        return self._starts is not None

    def edges(self, wanted: Wanted, advance: Callable[[int], object] = int) -> Edges:
        """Read relationships.

        The number of queries depends on the number of relationships, not on the number of types.

        Args:
            wanted: the relationships to read.
            advance: called after each query with the number of relationships that it returned, for a progress bar.
        """
        parts: list[_Part] = []
        for part in in_parallel(lambda task: task(), self._edge_tasks(wanted)):
            parts.append(part)
            advance(len(part.table))
        return _joined(parts, len(wanted.values))

    def pairs(
        self, query: str, *, limit_s: float, advance: Callable[[int], object] = int, **parameters: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read pairs of nodes with a query from `pairs_query`. Its result is streamed.

        Args:
            query: the query.
            limit_s: maximum number of seconds of the query.
            advance: called from time to time with the number of pairs read since the last call.
            parameters: query parameters.

        Returns:
            (heads, tails): int64 (n,) each, node ids as in `Edges`.
        """
        rows = self._stream(query, limit_s=limit_s, **parameters)
        all_heads, all_tails = ([np.empty(0, dtype=np.int64)] for _ in range(2))
        while chunk := list(_until(rows, self.chunk_rows)):
            heads = self._ids_in(" ".join(head for head, _, _ in chunk))
            all_heads.append(np.repeat(heads, [n for _, n, _ in chunk]))
            all_tails.append(self._ids_in("".join(text for *_, texts in chunk for text in texts)))
            advance(len(all_tails[-1]))
        return np.concatenate(all_heads), np.concatenate(all_tails)

    def pairs_query(self, head: str, match: str) -> str:
        """Return a query for pairs of nodes, grouped by head, so that the server holds only one head's tails in memory.

        The query has a parameter `least`: the minimum number of matches between a head and a tail.

        Args:
            head: Cypher pattern of the heads, with the variable `head`.
            match: Cypher clauses that find `tail` for a `head`.
        """
        return (
            f"MATCH {head} WITH head, COLLECT {{ {match}\nWITH tail, count(*) AS n WHERE n >= $least "
            f"RETURN {self._id_text('tail')} + ' ' }} AS rows WHERE size(rows) > 0 "
            f"RETURN {self._id_text('head')} AS head, size(rows) AS n, {JOINED_ROWS} AS texts"
        )

    def values(
        self, label: str, name: str, read_as: str, n: int, *, where: str = ""
    ) -> Iterator[tuple[np.ndarray, list[Any]]]:
        """Read a property of all nodes of a label, in chunks. A list counts as one value per element.

        Args:
            label: label of the nodes.
            name: name of the property.
            read_as: Cypher expression on `value`, to read instead of the value itself.
            n: approximate number of nodes.
            where: Cypher condition on the node n; "" for none.

        Yields:
            (ids, values): int64 (m,), node ids as in `Edges`, with repetitions; m values, of which none is missing.
        """
        columns, clause = (self._id("n"), read_as), f"UNWIND n.{quote(name)} AS value"
        for ids, values in self._of_label(label, n, columns, clause, where=where):
            yield self._as_ids(ids), list(values)

    def label(self, label: str, key: str, n: int, text: str | None = None, *, where: str = "") -> Nodes:
        """Read all nodes of a label with their key.

        Args:
            label: label of the nodes.
            key: their key property.
            n: approximate number of nodes, from the count store.
            text: name of another property to read, for `Nodes.texts`; None if there is none.
            where: Cypher condition on the node n; "" for none.
        """
        columns = self._node_columns("0", f"coalesce(n.{quote(key)}, [])")
        columns += () if text is None else (f"coalesce(n.{quote(text)}, '')",)
        return self._as_nodes(list(self._of_label(label, n, columns, where=where)))

    def _of_label(
        self, label: str, n: int, columns: Sequence[str], clause: str = "", *, where: str = ""
    ) -> Iterator[Sequence[list[Any]]]:
        """Yield columns of values, chunk by chunk, for all nodes of a label.

        Args:
            label: label of the nodes.
            n: approximate number of nodes.
            columns: Cypher expressions on the node n.
            clause: Cypher clause between the nodes and the columns, which may define further variables.
            where: Cypher condition on the node n; "" for none.
        """
        match = f"(n:{quote(label)}) {_where(where)}"
        if n <= self.chunk_rows:
            yield self._first(f"MATCH {match} {clause} RETURN {_collected(columns)}")
        elif limit := self._id_limit("(n)", "n"):
            found = _where(self._has_id("n"), f"n:{quote(label)}", where)
            query = f"UNWIND range($start, $stop - 1) AS i MATCH (n) {found} {clause} RETURN {_collected(columns)}"
            yield from in_parallel(lambda span: self._first(query, **span), self._spans(limit))
        else:
            streamed = self._stream(f"MATCH {match} {clause} RETURN {', '.join(columns)}")
            while chunk := list(islice(streamed, self.chunk_rows)):
                yield [list(column) for column in zip(*chunk, strict=True)]

    def nodes(self, ids: np.ndarray, code: str, key: str, **parameters: Any) -> Nodes:
        """Read the nodes with the given ids, except those that no longer exist.

        Args:
            ids: int64 (n,), node ids as in `Edges`.
            code: Cypher expression on the node n that gives an integer, for `Nodes.codes`.
            key: Cypher expression on n and on `code`, the integer above. It must give the key of n, or `[]` if n has
                none, but never null.
            parameters: query parameters that the two expressions use.
        """
        query = (
            f"UNWIND $ids AS i MATCH (n) WHERE {self._has_id('n')} WITH n, {code} AS code "
            f"RETURN {_collected(self._node_columns('code', key))}"
        )
        chunks = [ids[start : start + CHUNK_NODES] for start in range(0, len(ids), CHUNK_NODES)]
        rows = in_parallel(lambda chunk: self._first(query, ids=self.as_parameter(chunk), **parameters), chunks)
        return self._as_nodes(list(rows))

    def count_labels(self, ids: np.ndarray) -> dict[str, int]:
        """Return label → number of the given nodes that have it, largest number first."""
        rows = self._records(
            f"UNWIND $ids AS i MATCH (n) WHERE {self._has_id('n')} UNWIND labels(n) AS label "
            "RETURN label, count(*) AS n ORDER BY n DESC, label",
            ids=self.as_parameter(ids),
        )
        return dict(rows)

    def _edge_tasks(self, wanted: Wanted) -> list[Callable[[], _Part]]:
        """Divide the reading of relationships into tasks that can run in parallel; return the tasks."""
        types = {name: n for name, n in wanted.types.items() if n}
        if len(types) > MOST_NAMES:  # a query that lists them would take longer to plan than to run
            if sum(wanted.types.values()) + sum(wanted.others.values()) <= self.chunk_rows:
                return [lambda: self._whole("", _of_types(types, wanted), wanted, types=list(types))]
            return self._long_tasks(types, _of_types(types, wanted), wanted)
        small = {name: n for name, n in types.items() if n <= self.chunk_rows}
        large = {name: n for name, n in types.items() if n > self.chunk_rows}
        tasks: list[Callable[[], _Part]] = [
            lambda names=names: self._whole(_alternatives(names), "", wanted) for names in self._groups(small)
        ]
        return tasks + (self._long_tasks(large, f"r{_alternatives(large)}", wanted) if large else [])

    def _groups(self, types: dict[str, int]) -> list[list[str]]:
        """Group types so that the relationships of each group fit into one chunk.

        `types` is type → number of its relationships.
        """
        groups: list[list[str]] = []
        room = 0
        for name, n in types.items():
            if not groups or n > room:
                groups.append([])
                room = self.chunk_rows
            groups[-1].append(name)
            room -= n
        return groups

    def _long_tasks(self, types: dict[str, int], of_types: str, wanted: Wanted) -> list[Callable[[], _Part]]:
        """Return tasks that each read the relationships in a range of ids, or one task that streams all relationships.

        Streaming is used if element ids have no numbers or most of them are unused. `of_types` is the Cypher
        condition that a relationship has one of the types to read.
        """
        limit = self._id_limit("()-[r]->()", "r")
        if limit is None:
            return [lambda: self._streamed(types, of_types, wanted)]
        query = (
            "UNWIND range($start, $stop - 1) AS i MATCH (a)-[r]->(b) "
            f"{_where(self._has_id('r'), of_types, wanted.where)} {self._as_text(wanted)}"
        )
        return [lambda span=span: self._part(query, wanted, types=list(types), **span) for span in self._spans(limit)]

    def _whole(self, kinds: str, of_types: str, wanted: Wanted, **parameters: Any) -> _Part:
        query = f"MATCH (a)-[r{kinds}]->(b) {_where(of_types, wanted.where)} {self._as_text(wanted)}"
        return self._part(query, wanted, **parameters)

    def _streamed(self, types: dict[str, int], of_types: str, wanted: Wanted) -> _Part:
        row = self.row_of("a", "b", wanted.values)
        query = f"MATCH (a)-[r]->(b) {_where(of_types, wanted.where)} RETURN type(r) AS name, {row} AS row"
        rows = self._stream(query, types=list(types))
        names: list[str] = []
        tables: list[np.ndarray] = [self.parse([], len(wanted.values))]
        while chunk := list(islice(rows, self.chunk_rows)):
            names += [name for name, _ in chunk]
            tables.append(self.parse([text for _, text in chunk], len(wanted.values)))
        return _Part(names, [1] * len(names), np.concatenate(tables))

    def _part(self, query: str, wanted: Wanted, **parameters: Any) -> _Part:
        found = self._records(query, **parameters)
        table = self.parse((text for _, _, texts in found for text in texts), len(wanted.values))
        return _Part([name for name, _, _ in found], [n for _, n, _ in found], table)

    def _as_text(self, wanted: Wanted) -> str:
        """Return the end of a query that reads relationships: clauses that group them by type and turn them into text.

        Each row of the result has a type, the number of its relationships, and a list of texts with their data.
        """
        return (
            f"WITH type(r) AS name, collect({self.row_of('a', 'b', wanted.values)}) AS rows "
            f"RETURN name, size(rows) AS n, {JOINED_ROWS} AS texts"
        )

    def row_of(self, head: str, tail: str, values: Iterable[str]) -> str:
        """Return a Cypher expression for a row as text: the ids of two nodes, and further values.

        Args:
            head, tail: Cypher variables of the nodes.
            values: Cypher expressions that give numbers, never null.
        """
        columns = (self._id_text(head), self._id_text(tail), *(f"toString({value})" for value in values))
        return " + ".join(f"{column} + ' '" for column in columns)

    def parse(self, texts: Iterable[str], n_values: int) -> np.ndarray:
        """Parse texts that consist of rows of `row_of`: (n, 2 + n_values), head id, tail id, values.

        The array is float64 if there are values, otherwise int64. Ids below 2**53 are exact as float64.
        """
        width, text = 2 + n_values, "".join(texts)
        kind = np.float64 if n_values else np.int64
        if self._starts is not None:
            return np.fromstring(text, dtype=kind, sep=" ").reshape(-1, width)
        cells = np.array(text.split(), dtype=object).reshape(-1, width)
        ends = [self._elements.encode(cells[:, column]) for column in range(2)]
        return np.column_stack([*ends, cells[:, 2:].astype(np.float64)]).astype(kind)

    def _node_columns(self, code: str, key: str) -> tuple[str, ...]:
        return self._id("n"), code, key

    def _id_text(self, variable: str) -> str:
        """Return the Cypher expression for the id of a node or relationship, as text."""
        whole = f"elementId({variable})"
        return whole if self._starts is None else f"substring({whole}, {len(self._starts['n'])})"

    def _id(self, variable: str) -> str:
        """Return the Cypher expression for the id of a node or relationship."""
        return self._id_text(variable) if self._starts is None else f"toInteger({self._id_text(variable)})"

    def _has_id(self, variable: str, i: str = "i") -> str:
        """Return the Cypher condition that a node, or the relationship r, has the id i. Neo4j seeks it by this id."""
        start = None if self._starts is None else self._starts["r" if variable == "r" else "n"]
        return f"elementId({variable}) = {i if start is None else f'{quote_text(start)} + toString({i})'}"

    def _id_limit(self, pattern: str, variable: str) -> int | None:
        """Return a number above the ids of all nodes or relationships; None if ids are texts, or most are unused."""
        if self._starts is None:
            return None
        top, n = self._first(f"MATCH {pattern} RETURN max({self._id(variable)}) AS top, count(*) AS n")
        return None if top is None or top >= _MOST_IDS_A_ROW * (n + self.chunk_rows) else top + 1

    def _spans(self, limit: int) -> list[dict[str, int]]:
        return [{"start": start, "stop": start + self.chunk_rows} for start in range(0, limit, self.chunk_rows)]

    def _first(self, query: str, **parameters: Any) -> tuple[Any, ...]:
        return self._records(query, **parameters)[0]

    def _records(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Run a query with retries; return its rows as tuples. Unlike `Connection.rows`, leave lists as they are."""

        def work(transaction: neo4j.ManagedTransaction) -> list[tuple[Any, ...]]:
            return [tuple(record.values()) for record in transaction.run(cast("Any", query), parameters)]

        with self._errors(), self._connection.session(access="READ") as session:
            return session.execute_read(limited(query, work))

    def _stream(self, query: str, *, limit_s: float | None = None, **parameters: Any) -> Iterator[tuple[Any, ...]]:
        """Run a query and yield its rows as they arrive, without storing them.

        The server stops the query after `limit_s` seconds; None is no limit, except for Cypher from kgplug.toml.
        """
        import neo4j

        text = neo4j.Query(cast("Any", query), timeout=limit_s if limit_s is not None else time_limit_s(query))
        with self._errors(), self._connection.session(access="READ") as session:
            for record in session.run(text, parameters):
                yield tuple(record.values())

    def _as_nodes(self, rows: Sequence[Sequence[Sequence[Any]]]) -> Nodes:
        """Join the results of several queries. Each result has lists of ids, codes, keys and, if requested, texts."""
        columns = list(zip(*rows, strict=True)) or [(), (), ()]
        ids, codes, keys, *others = ([value for part in column for value in part] for column in columns)
        return Nodes(
            self._as_ids(ids),
            np.array(codes, dtype=np.int64),
            np.fromiter(keys, dtype=object, count=len(keys)),
            np.fromiter(others[0], dtype=object, count=len(keys)) if others else None,
        )

    def _as_ids(self, values: Sequence[Any]) -> np.ndarray:
        """Return ids that a query returned as int64 (n,)."""
        return self._elements.encode(np.array(values, object)) if self._starts is None else np.array(values, np.int64)

    def _ids_in(self, text: str) -> np.ndarray:
        """Return the ids in a text, in which they are separated by spaces: int64 (n,)."""
        if self._starts is not None:
            return np.fromstring(text, dtype=np.int64, sep=" ")
        return self._elements.encode(np.array(text.split(), dtype=object))

    def matched(self, node: str, ids: str) -> str:
        """Return Cypher clauses that match each node whose id is in a list.

        Args:
            node: variable of the node; it must be the only one that is used afterwards.
            ids: Cypher expression of the list, from `as_parameter`.
        """
        return f"UNWIND {ids} AS kgplug_id MATCH ({node}) WHERE {self._has_id(node, 'kgplug_id')} WITH {node}"

    def as_parameter(self, ids: np.ndarray) -> list[Any]:
        """Return ids, int64 (n,), as a parameter of a query."""
        return self._elements.decode(ids) if self._starts is None else ids.tolist()

    def _errors(self) -> Any:
        return translated_errors(self._connection.uri, self._connection.database)


def _starts_of_ids(connection: Connection) -> dict[str, str] | None:
    """Return the fixed starts of the element ids of nodes ("n") and of relationships ("r"); a number follows them.

    The result is None if element ids look otherwise, or if the graph has no relationship.
    """
    query = (
        "OPTIONAL MATCH (n) WITH n LIMIT 1 OPTIONAL MATCH ()-[r]->() WITH n, r LIMIT 1 "
        "RETURN elementId(n) AS n, elementId(r) AS r"
    )
    found = {name: _NUMBERED_ID.fullmatch(text or "") for name, text in connection.rows(query)[0].items()}
    starts = {name: match["start"] for name, match in found.items() if match is not None}
    return starts if len({len(start) for start in starts.values()}) == 1 and len(starts) == len(found) else None


def _collected(columns: Iterable[str]) -> str:
    return ", ".join(f"collect({column})" for column in columns)


def _until(rows: Iterator[tuple[str, int, list[str]]], least: int) -> Iterator[tuple[str, int, list[str]]]:
    """Yield rows until the sum of their second columns is at least `least`."""
    n = 0
    while n < least and (row := next(rows, None)) is not None:
        n += row[1]
        yield row


def _where(*conditions: str) -> str:
    given = [f"({condition})" for condition in conditions if condition]
    return f"WHERE {' AND '.join(given)}" if given else ""


def _alternatives(types: Iterable[str]) -> str:
    return ":" + "|".join(quote(name) for name in types)


def _of_types(types: dict[str, int], wanted: Wanted) -> str:
    """Return the Cypher condition that a relationship `r` has one of `types`, a part of the types to read in `wanted`.

    If the rest of `wanted` has few types, the condition excludes these instead. It is "" if there is no rest.
    """
    others = [name for name in (*wanted.types, *wanted.others) if name not in types]
    if len(others) > MOST_NAMES:
        return "type(r) IN $types"
    return f"NOT r{_alternatives(others)}" if others else ""


def joined(parts: Sequence[Edges]) -> Edges:
    """Return several sets of relationships as one. All have the same number of values."""
    types = sorted({name for part in parts for name in part.types})
    number = {name: code for code, name in enumerate(types)}
    codes = [np.array([number[name] for name in part.types], dtype=np.int64)[part.codes] for part in parts]
    heads, tails, values = ([getattr(part, name) for part in parts] for name in ("heads", "tails", "values"))
    return Edges(types, *map(np.concatenate, (codes, heads, tails, values)))


def _joined(parts: list[_Part], n_values: int) -> Edges:
    types = sorted({name for part in parts for name in part.types})
    number = {name: code for code, name in enumerate(types)}
    codes = [np.repeat([number[name] for name in part.types], part.counts) for part in parts if part.types]
    table = np.concatenate([part.table for part in parts] or [np.empty((0, 2 + n_values), dtype=np.int64)])
    heads, tails = (np.ascontiguousarray(table[:, column], dtype=np.int64) for column in range(2))
    values = table[:, 2:].astype(np.float64)
    return Edges(types, np.concatenate([np.empty(0, dtype=np.int64), *codes]), heads, tails, values)


def in_parallel(work: Callable[[_T], _R], tasks: Sequence[_T]) -> Iterator[_R]:
    """Run tasks in a few threads and yield their results in order. An error cancels tasks that have not started."""
    if len(tasks) < 2:
        yield from map(work, tasks)
        return
    pool = ThreadPoolExecutor(_SESSIONS)
    try:
        yield from pool.map(work, tasks)
    finally:
        pool.shutdown(cancel_futures=True)
