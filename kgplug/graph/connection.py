"""A connection to one Neo4j database."""

from __future__ import annotations

import logging
import re
import socket
import time
import unicodedata
from typing import TYPE_CHECKING, Any, Literal, LiteralString, Self, TypeVar, cast
from urllib.parse import urlsplit

from pydantic import SecretStr

from kgplug.errors import GraphError
from kgplug.graph.far_times import data_of
from kgplug.graph.server_errors import DATABASE_NOT_FOUND, translated_errors
from kgplug.graph.tls import driver_address

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import neo4j
    import pandas as pd

_T = TypeVar("_T")
_SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")
_DEFAULT_PORT = 7687
_SYSTEM = "system"
_OLDEST_VERSION = (5, 13)  # the first with vector indexes
_CONNECTION_TIMEOUT_S = 5
_RETRY_TIME_S = 15
_FIRST_PAUSE_S = 0.5
_COUNTERS = (
    "nodes_created",
    "nodes_deleted",
    "relationships_created",
    "relationships_deleted",
    "properties_set",
    "labels_added",
    "labels_removed",
    "indexes_added",
    "indexes_removed",
    "constraints_added",
    "constraints_removed",
)


class Connection:
    """One database of a Neo4j server; safe to use from several threads. Made by `Connection.open`.

    Every method raises GraphError, with one sentence, for whatever the server or the network refuses.

    Attributes:
        uri: of the server.
        database: name of the database.
        store: id of the database's store, which stays the same at another address and after a dump is loaded.
        import_dir: folder that LOAD CSV's file:/// points to; None where this process cannot reach it.
        server_version: such as "5.26.30".
        edition: "community" or "enterprise".
    """

    def __init__(self, driver: neo4j.Driver, *, uri: str, database: str | None, import_dir: Path | None) -> None:
        self._driver = driver
        self.uri = uri
        self.import_dir = import_dir
        self.database: str = database or ""
        self.store, self.server_version, self.edition = "", "", ""

    def __repr__(self) -> str:
        server = f", Neo4j {self.server_version} {self.edition}" if self.server_version else ""
        return f"Connection to {self.uri}, database {self.database!r}{server}"

    @classmethod
    def open(
        cls,
        uri: str,
        *,
        username: str = "neo4j",
        password: SecretStr,
        database: str | None = None,
        import_dir: Path | None = None,
        ca_file: Path | None = None,
    ) -> Connection:
        """Connect and log in.

        Args:
            uri: bolt://host:port, neo4j://host:port, with +s or +ssc for TLS.
            username: of an account on that server.
            password: of that account.
            database: name of the database; the account's own if not given.
            import_dir: folder that LOAD CSV's file:/// points to, where this process can reach it.
            ca_file: PEM file with the authorities to trust for bolt+s:// and neo4j+s://, instead of the system's.

        Raises:
            GraphError: bad URI, unusable certificate file, nobody answers, login refused, no such database, or too
                old a server.
        """
        host, port = _address(uri)
        address, encryption = driver_address(uri, ca_file)
        _probe(uri, host, port)
        import neo4j

        _quiet_the_driver()
        with translated_errors(uri, database):
            driver = neo4j.GraphDatabase.driver(
                address,
                auth=neo4j.basic_auth(username, password.get_secret_value()),  # shows no password, as a tuple would
                connection_timeout=_CONNECTION_TIMEOUT_S,
                connection_acquisition_timeout=2 * _CONNECTION_TIMEOUT_S,
                max_transaction_retry_time=_RETRY_TIME_S,
                notifications_min_severity="OFF",
                user_agent="kgplug",
                **encryption,
            )
        connection = cls(driver, uri=uri, database=database, import_dir=import_dir)
        try:
            with translated_errors(uri, database):
                driver.verify_connectivity()  # once, where a transaction would try again for a while
            connection._look_at_server()
        except BaseException:
            connection.close()
            raise
        return connection

    def rows(self, query: str, /, **parameters: object) -> list[dict[str, Any]]:
        """Run a reading query in a transaction that is retried, and return its rows."""
        return self._managed("READ", query, parameters, data_of)

    def frame(self, query: str, /, **parameters: object) -> pd.DataFrame:
        """Run a reading query in a transaction that is retried, and return its rows; columns even without rows."""
        import pandas as pd

        def to_frame(result: neo4j.Result) -> pd.DataFrame:
            keys = result.keys()
            return pd.DataFrame(data_of(result), columns=pd.Index(keys))

        return self._managed("READ", query, parameters, to_frame)

    def write(self, query: str, /, **parameters: object) -> dict[str, int]:
        """Run a writing query in a transaction that is retried, and return what it changed.

        Args:
            query: one that may be done twice: where the answer to a COMMIT was lost, it is sent again.
            parameters: of the query.

        Returns:
            nodes_created, relationships_created, properties_set … as in Neo4j's counters, zeros included.
        """

        def to_counters(result: neo4j.Result) -> dict[str, int]:
            counters = result.consume().counters
            return {name: getattr(counters, name) for name in _COUNTERS}

        return self._managed("WRITE", query, parameters, to_counters)

    def write_rows(self, query: str, /, **parameters: object) -> list[dict[str, Any]]:
        """Run a writing query as `write` does, and return its rows."""
        return self._managed("WRITE", query, parameters, data_of)

    def autocommit(self, query: str, /, **parameters: object) -> list[dict[str, Any]]:
        """Run a query that manages its own transactions (CALL { } IN TRANSACTIONS, schema commands); not retried."""
        with translated_errors(self.uri, self.database), self.session() as session:
            return session.run(_text(query), cast("dict[str, Any]", parameters)).data()

    def system_rows(self, query: str, /, **parameters: object) -> list[dict[str, Any]]:
        """Run a query that reads what concerns the whole server, such as SHOW DATABASES, and return its rows."""
        with translated_errors(self.uri), self._driver.session(database="system") as session:
            return session.run(_text(query), cast("dict[str, Any]", parameters)).data()

    def session(self, *, access: Literal["READ", "WRITE"] = "WRITE") -> neo4j.Session:
        """Return a driver session on this database, to be closed by the caller; wrap its use in `translated_errors`."""
        return self._driver.session(database=self.database or None, default_access_mode=access)

    def close(self) -> None:
        """Close all connections to the server."""
        self._driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _managed(
        self, access: Literal["READ", "WRITE"], query: str, parameters: dict, use: Callable[[neo4j.Result], _T]
    ) -> _T:
        """Run a query in a managed transaction and return what `use` makes of its result.

        The driver tries again whatever was rolled back for certain: deadlocks, other transient errors, a connection
        lost before COMMIT. A COMMIT without an answer may have been done or not, and is done again here.
        """
        import neo4j.exceptions

        began, pause_s = time.monotonic(), _FIRST_PAUSE_S
        with translated_errors(self.uri, self.database, tried_s=_RETRY_TIME_S):
            while True:
                try:
                    with self.session(access=access) as session:
                        execute = session.execute_read if access == "READ" else session.execute_write
                        return execute(lambda transaction: use(transaction.run(_text(query), parameters)))
                except neo4j.exceptions.IncompleteCommit:
                    if time.monotonic() - began > _RETRY_TIME_S:
                        raise
                time.sleep(pause_s)
                pause_s *= 2

    def _look_at_server(self) -> None:
        """Fill in the database's name and store, and the server's version, refusing a server without vector indexes."""
        if self.database.strip().lower() == _SYSTEM:
            raise GraphError(
                f"The database {_SYSTEM!r} on the server at {self.uri} holds its accounts, and no graph. "
                f"{self._other_databases()}"
            )
        try:
            server = self.rows("CALL dbms.components() YIELD versions, edition RETURN versions[0] AS version, edition")
        except GraphError as error:
            if getattr(error.__cause__, "code", None) == DATABASE_NOT_FOUND:
                raise self._unknown_database() from error
            raise
        self.server_version, self.edition = server[0]["version"], server[0]["edition"]
        numbers = tuple(int(number) for number in re.findall(r"\d+", self.server_version)[:2])
        if numbers < _OLDEST_VERSION:
            oldest = ".".join(map(str, _OLDEST_VERSION))
            raise GraphError(
                f"The server at {self.uri} is Neo4j {self.server_version}, which has no vector indexes. "
                f"kgplug needs {oldest} or newer."
            )
        database = self.rows("CALL db.info() YIELD name, id")[0]
        self.database, self.store = database["name"], str(database["id"])

    def _unknown_database(self) -> GraphError:
        """Return the error that names the databases there are."""
        return GraphError(
            f"There is no database {self.database!r} on the server at {self.uri}. {self._other_databases()}"
        )

    def _other_databases(self) -> str:
        query = "SHOW DATABASES YIELD name WHERE name <> $system RETURN DISTINCT name ORDER BY name"
        names = ", ".join(row["name"] for row in self.system_rows(query, system=_SYSTEM))
        return f"Set NEO4J_DATABASE to one of: {names}."


def _quiet_the_driver() -> None:
    """Keep the driver's warnings about retries off the terminal of programs that set up no logging."""
    logger = logging.getLogger("neo4j")
    if not any(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
        logger.addHandler(logging.NullHandler())


def _text(query: str) -> LiteralString:
    """Hand a query to the driver, whose types ask for text known at check time; values are parameters everywhere."""
    return cast("LiteralString", query)


def _address(uri: str) -> tuple[str, int]:
    """Return host and port of a URI, refusing what is no Neo4j URI or carries a password."""
    if "@" in unicodedata.normalize("NFKC", uri):  # anywhere: what is badly written may carry a password, too
        raise GraphError(
            "The Neo4j URI carries a user name or password. Take it out, and set NEO4J_USERNAME and NEO4J_PASSWORD."
        )
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port or _DEFAULT_PORT
    except ValueError:
        parts, host, port = urlsplit(""), None, _DEFAULT_PORT
    if parts.scheme not in _SCHEMES or not host or not uri.isprintable():
        raise GraphError(
            f"{uri!r} is no Neo4j URI. Expected scheme://host:port with a scheme among {', '.join(_SCHEMES)}."
        )
    return host, port


def address_of(uri: str) -> str:
    """Return host:port of a URI.

    Raises:
        GraphError: it is not a Neo4j URI.
    """
    host, port = _address(uri)
    return f"{host}:{port}"


def _probe(uri: str, host: str, port: int) -> None:
    """Raise in a few seconds when nobody answers; the driver's own back-off would take longer."""
    try:
        socket.create_connection((host, port), timeout=_CONNECTION_TIMEOUT_S).close()
    except (OSError, ValueError) as error:  # ValueError: a host name that cannot be one
        reason = "no answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or str(error)
        raise GraphError(
            f"No Neo4j server answers at {uri} ({reason}). Start it, or set NEO4J_URI to where it is."
        ) from error
