"""Read feedback that Cypher of kgplug.toml describes: a pattern, or a type with a condition or expressions.

The users are read in chunks, so that a query returns about as many rows as one that reads relationships
(`kgplug.graph.reading.bulk`), and its memory is bounded. A sample of users says how many rows a user has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from kgplug.cypher_text import names_in, prefixes
from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import Contents
from kgplug.graph.feedback_match import match_of, path_of
from kgplug.graph.queries import quote
from kgplug.graph.reading.bulk import CHUNK_NODES, JOINED_ROWS, BulkReader, in_parallel
from kgplug.graph.schema import FeedbackSchema, GraphSchema
from kgplug.graph.user_cypher import user_rows

_SAMPLE_USERS = 300
_MOST_COUNTED = 100_000  # matches of a part of a pattern


def read_matches(
    connection: Connection,
    bulk: BulkReader,
    match: str,
    *,
    given: dict[str, str],
    values: Sequence[str],
    users: np.ndarray,
    table: str,
    advance: Callable[[int], object] = int,
) -> np.ndarray:
    """Read one row per match: the ids of its user and item, and further values.

    Args:
        connection: connection to the database.
        bulk: reader for the database.
        match: MATCH clause with the variables user and item.
        given: name → Cypher expression over the variables of `match`. Each is evaluated once per match.
        values: Cypher expressions over the names in `given`. They must return numbers, never null.
        users: int64 (n_users,), ids of the users, as in `Nodes`.
        table: table of kgplug.toml that has the Cypher, for messages.
        advance: called with the number of rows that a query returned, for a progress bar.

    Returns:
        float64 (n, 2 + number of values); int64 without values.

    Raises:
        DataError: the Cypher is invalid, fails, or takes longer than the time limit.
    """
    found = f"{bulk.matched('user', '$ids')} {match}"
    names = "".join(f", {expression} AS {name}" for name, expression in given.items())
    query = (
        f"{found} WITH user AS a, item AS b{names} WITH collect({bulk.row_of('a', 'b', values)}) AS rows "
        f"RETURN {JOINED_ROWS} AS texts"
    )

    def read(chunk: np.ndarray) -> np.ndarray:
        (row,) = user_rows(connection, table, query, ids=bulk.as_parameter(chunk))
        part = bulk.parse(row["texts"], len(values))
        advance(len(part))
        return part

    sample = users[:: max(1, len(users) // _SAMPLE_USERS)]
    (row,) = user_rows(connection, table, f"{found} RETURN count(*) AS n", ids=bulk.as_parameter(sample))
    size = min(CHUNK_NODES, max(1, bulk.chunk_rows * len(sample) // max(row["n"], 1)))
    chunks = [users[start : start + size] for start in range(0, len(users), size)]
    return np.concatenate([bulk.parse([], len(values)), *in_parallel(read, chunks)])


def no_matches(connection: Connection, schema: GraphSchema, kind: FeedbackSchema, contents: Contents) -> DataError:
    """Return the error for a kind that matches nothing; it says how often each part of its pattern occurs."""
    path, labels = path_of(schema, kind), {"user": schema.user.label, "item": schema.item.label}
    names = names_in(path)
    counts = [f"{contents.labels.get(name, 0):,} :{name}" for name in sorted({*labels.values(), *names.labels})]
    counts += [f"{contents.types.get(name, 0):,} :{name}" for name in sorted(names.types)]
    parts = [(part, _labelled(part, labels)) for part in prefixes(path)[1:]]
    if kind.where:
        parts.append((f"all of it with {kind.where}", match_of(schema, kind).removeprefix("MATCH ")))
    matches = [f"{part} {_count(connection, schema.table_of(kind), pattern)}" for part, pattern in parts]
    return DataError(
        f"No feedback: MATCH {path}{' WHERE ' + kind.where if kind.where else ''} finds nothing between "
        f':{schema.user.label} and :{schema.item.label} in database "{connection.database}". '
        f"There are {', '.join(counts)}. Matches of its parts: {'; '.join(matches)}.",
        advice=f"Correct {schema.table_of(kind)}, [user] label or [item] label.",
    )


def _labelled(part: str, labels: dict[str, str]) -> str:
    """Return a part of a pattern with the condition that its nodes user and item have their labels."""
    conditions = [f"{name}:{quote(label)}" for name, label in labels.items() if name in names_in(part).nodes]
    return f"{part} WHERE {' AND '.join(conditions)}" if conditions else part


def _count(connection: Connection, table: str, pattern: str) -> str:
    """Return the number of matches of a pattern as text, or why it is unknown. Counting ends at `_MOST_COUNTED`."""
    query = f"MATCH {pattern} WITH 1 AS one LIMIT {_MOST_COUNTED} RETURN count(*) AS n"
    try:
        (row,) = user_rows(connection, table, query)
    except DataError:
        return "(not counted)"
    return f"{row['n']:,} or more" if row["n"] == _MOST_COUNTED else f"{row['n']:,}"
