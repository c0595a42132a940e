"""Run Cypher that users wrote in kgplug.toml: in transactions that only read, and with a time limit."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from kgplug.errors import DataError, GraphError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.bolt.far_times import data_of
from kgplug.graph.bolt.server_errors import translated_errors
from kgplug.settings import Settings

if TYPE_CHECKING:
    import neo4j
    import pandas as pd

_R = TypeVar("_R")
_WRONG = "Neo.ClientError.Statement."  # beginning of the codes for Cypher that is invalid or fails
_POSITION = re.compile(r"\s*\(line \d+, column \d+ \(offset: \d+\)\)")


def user_rows(connection: Connection, table: str, query: str, /, **parameters: object) -> list[dict[str, Any]]:
    """Run a query that contains Cypher from kgplug.toml, and return its rows.

    Args:
        connection: connection to the database.
        table: table of kgplug.toml that has the Cypher, for messages, such as "[feedback]".
        query: the query.
        parameters: its parameters.

    Raises:
        DataError: the Cypher is invalid, fails, writes, or takes longer than `Settings.kgplug_query_s`.
    """
    return _read(connection, table, query, parameters, data_of)


def user_frame(connection: Connection, table: str, query: str, /, **parameters: object) -> pd.DataFrame:
    """Run a query as `user_rows` does, and return its rows as a table. The columns are there even without rows."""
    import pandas as pd

    def to_frame(result: neo4j.Result) -> pd.DataFrame:
        keys = result.keys()
        return pd.DataFrame(data_of(result), columns=pd.Index(keys))

    return _read(connection, table, query, parameters, to_frame)


def _read(
    connection: Connection, table: str, query: str, parameters: dict[str, object], use: Callable[[neo4j.Result], _R]
) -> _R:
    import neo4j

    @neo4j.unit_of_work(timeout=Settings().kgplug_query_s)
    def work(transaction: neo4j.ManagedTransaction) -> _R:
        return use(transaction.run(cast("Any", query), parameters))

    with (
        explained(table),
        translated_errors(connection.uri, connection.database),
        connection.session(access="READ") as session,
    ):
        return session.execute_read(work)


@contextmanager
def explained(table: str) -> Generator[None]:
    """Turn the server's errors on users' Cypher into a DataError that names its table in kgplug.toml."""
    try:
        yield
    except GraphError as error:
        code, message = (getattr(error.__cause__, name, None) or "" for name in ("code", "message"))
        if "TransactionTimedOut" in code:
            raise DataError(
                f"{table}: a query took longer than {Settings().kgplug_query_s:g} s and was stopped.",
                advice="Make its Cypher match less, or set the environment variable KGPLUG_QUERY_S to more seconds.",
            ) from error
        if code.startswith(_WRONG):
            first = _POSITION.sub("", message.strip().split("\n")[0]).strip().rstrip(":.")
            raise DataError(f"{table}: Neo4j refuses the Cypher: {first}.") from error
        raise
