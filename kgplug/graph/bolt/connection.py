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

from kgplug.cypher_variables import FROM_USER
from kgplug.errors import GraphError
from kgplug.graph.bolt.far_times import data_of
from kgplug.graph.bolt.server_errors import DATABASE_NOT_FOUND, translated_errors
from kgplug.graph.bolt.tls import driver_address
from kgplug.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import neo4j
    import pandas as pd

QUERIES = "kgplug.queries"
"""Name of the logger that records the text of each query of `rows`, `frame` and `write`, at level DEBUG."""
_T = TypeVar("_T")
_log = logging.getLogger(QUERIES)
_SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")
_DEFAULT_PORT = 7687
_SYSTEM = "system"
_CYPHER = "Cypher"  # the component that newer servers report next to the server itself
_OLDEST_VERSION = (5, 26)  # the oldest version on which kgplug is tested
_OLDEST_SEARCH = (2026, 2)  # in 2026.01, the clause SEARCH was a preview
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
    """One database of a Neo4j server, created by `Connection.open`. Several threads may use it.

    A query with a condition from kgplug.toml, which has the mark `kgplug.cypher_variables.FROM_USER`, runs only in
    transactions that may not write, and with a time limit.

    Every method raises GraphError, with a message in plain words, if the server refuses a request or the network fails.

    In a cluster, each transaction waits until its server has the effects of all earlier transactions of this
    connection. So what was published is seen at once, from whichever server.

    Attributes:
        uri: URI of the server.
        database: name of the database.
        store: id of the database's store; it stays the same when the server moves to another address, or when a dump of
            the database is loaded.
        import_dir: folder that file:/// means in LOAD CSV; None if this process cannot write to it.
        server_version: version of the server, such as "5.26.30".
        edition: "community" or "enterprise".
        has_cypher_25: whether the server understands queries that begin with CYPHER 25.
        has_search: whether it has the clause SEARCH for vector indexes, a part of Cypher 25.
    """

    def __init__(
        self,
        driver: neo4j.Driver,
        *,
        uri: str,
        database: str | None,
        import_dir: Path | None,
        bookmarks: neo4j.BookmarkManager | None = None,
    ) -> None:
        self._driver = driver
        self._bookmarks = bookmarks
        self.uri = uri
        self.import_dir = import_dir
        self.database: str = database or ""
        self.store, self.server_version, self.edition = "", "", ""
        self.has_cypher_25 = self.has_search = False

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
        bookmarks: Iterable[str] = (),
    ) -> Connection:
        """Connect and log in.

        Args:
            uri: bolt://host:port or neo4j://host:port. For TLS, use bolt+s:// or neo4j+s://, which verify the server's
                certificate, or bolt+ssc:// or neo4j+ssc://, which accept any certificate.
            username: name of an account on that server.
            password: password of that account.
            database: name of the database. Default: the account's home database.
            import_dir: folder that file:/// means in LOAD CSV, if this process can write to it.
            ca_file: PEM file with the certificate authorities to trust for bolt+s:// and neo4j+s://, instead of those
                of the system.
            bookmarks: the property `bookmarks` of other connections to this database. Each transaction waits until its
                server has the effects of their transactions.

        Raises:
            GraphError: the URI or certificate file is unusable, no server answers, the login is refused, the database
                does not exist, or the server is too old.
        """
        host, port = _address(uri)
        address, encryption = driver_address(uri, ca_file)
        _probe(uri, host, port)
        import neo4j

        _quiet_the_driver()
        with translated_errors(uri, database):
            driver = neo4j.GraphDatabase.driver(
                address,
                auth=neo4j.basic_auth(username, password.get_secret_value()),  # an object whose repr hides the password
                connection_timeout=_CONNECTION_TIMEOUT_S,
                connection_acquisition_timeout=2 * _CONNECTION_TIMEOUT_S,
                max_transaction_retry_time=_RETRY_TIME_S,
                notifications_min_severity="OFF",
                user_agent="kgplug",
                **encryption,
            )
        manager = neo4j.GraphDatabase.bookmark_manager(initial_bookmarks=neo4j.Bookmarks.from_raw_values(bookmarks))
        connection = cls(driver, uri=uri, database=database, import_dir=import_dir, bookmarks=manager)
        try:
            with translated_errors(uri, database):
                driver.verify_connectivity()  # tries once; a transaction would retry for 15 s
            connection._look_at_server()
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def bookmarks(self) -> list[str]:
        """Texts that stand for the last transactions of this connection; see the argument `bookmarks` of `open`."""
        return [] if self._bookmarks is None else sorted(self._bookmarks.get_bookmarks())

    def rows(self, query: str, /, **parameters: object) -> list[dict[str, Any]]:
        """Run a query that only reads, and return its rows. Repeat it after a deadlock or a lost connection."""
        return self._managed("READ", query, parameters, data_of)

    def frame(self, query: str, /, **parameters: object) -> pd.DataFrame:
        """Run a query as `rows` does, and return its rows as a table. The columns are there even without rows."""
        import pandas as pd

        def to_frame(result: neo4j.Result) -> pd.DataFrame:
            keys = result.keys()
            return pd.DataFrame(data_of(result), columns=pd.Index(keys))

        return self._managed("READ", query, parameters, to_frame)

    def write(self, query: str, /, **parameters: object) -> dict[str, int]:
        """Run a query that writes, with retries as in `rows`, and return what it changed.

        Args:
            query: a query that is safe to run twice, because it is sent again if the answer to a COMMIT was lost.
            parameters: parameters of the query.

        Returns:
            Neo4j's counters by name (nodes_created, relationships_created, properties_set, …), including zeros.
        """

        def to_counters(result: neo4j.Result) -> dict[str, int]:
            counters = result.consume().counters
            return {name: getattr(counters, name) for name in _COUNTERS}

        return self._managed("WRITE", query, parameters, to_counters)

    def write_rows(self, query: str, /, **parameters: object) -> list[dict[str, Any]]:
        """Run a query that writes, as `write` does, and return its rows."""
        return self._managed("WRITE", query, parameters, data_of)

    def autocommit(self, query: str, /, **parameters: object) -> list[dict[str, Any]]:
        """Run a query that manages its own transactions (CALL … IN TRANSACTIONS, schema commands), without retries."""
        _refuse_users_text(query)
        with translated_errors(self.uri, self.database), self.session() as session:
            return session.run(_text(query), cast("dict[str, Any]", parameters)).data()

    def system_rows(self, query: str, /, **parameters: object) -> list[dict[str, Any]]:
        """Run a query about the whole server, such as SHOW DATABASES, and return its rows."""
        with translated_errors(self.uri), self._driver.session(database="system") as session:
            return session.run(_text(query), cast("dict[str, Any]", parameters)).data()

    def session(self, *, access: Literal["READ", "WRITE"] = "WRITE") -> neo4j.Session:
        """Return a driver session on this database. The caller must close it and use it inside `translated_errors`."""
        return self._driver.session(
            database=self.database or None, default_access_mode=access, bookmark_manager=self._bookmarks
        )

    def close(self) -> None:
        """Close all connections to the server."""
        self._driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _managed(
        self,
        access: Literal["READ", "WRITE"],
        query: str,
        parameters: dict[str, Any],
        use: Callable[[neo4j.Result], _T],
    ) -> _T:
        """Run a query in a managed transaction, apply `use` to its result, and return what `use` returns.

        The driver itself retries every transaction that was certainly rolled back, after a deadlock, another transient
        error, or a connection lost before COMMIT. A COMMIT without an answer may or may not have happened. The driver
        does not retry such a transaction, so this method does.
        """
        import neo4j.exceptions

        if access == "WRITE":
            _refuse_users_text(query)
        _log.debug("%s", query)
        began, pause_s = time.monotonic(), _FIRST_PAUSE_S
        with translated_errors(self.uri, self.database, tried_s=_RETRY_TIME_S):
            while True:
                try:
                    with self.session(access=access) as session:
                        execute = session.execute_read if access == "READ" else session.execute_write
                        return execute(
                            limited(query, lambda transaction: _used(use, transaction.run(_text(query), parameters)))
                        )
                except neo4j.exceptions.IncompleteCommit:
                    if time.monotonic() - began > _RETRY_TIME_S:
                        raise
                time.sleep(pause_s)
                pause_s *= 2

    def _look_at_server(self) -> None:
        """Read the database's name and store, and the server's version. Raise GraphError if the server is too old."""
        if self.database.strip().lower() == _SYSTEM:
            raise GraphError(
                f"The database {_SYSTEM!r} on the server at {self.uri} holds the server's accounts, not a graph. "
                f"{self._other_databases()}"
            )
        try:
            components = self.rows("CALL dbms.components() YIELD name, versions, edition")
        except GraphError as error:
            if getattr(error.__cause__, "code", None) == DATABASE_NOT_FOUND:
                raise self._unknown_database() from error
            raise
        server = next(component for component in components if component["name"] != _CYPHER)
        self.server_version, self.edition = server["versions"][0], server["edition"]
        numbers = tuple(int(number) for number in re.findall(r"\d+", self.server_version)[:2])
        if numbers < _OLDEST_VERSION:
            oldest = ".".join(map(str, _OLDEST_VERSION))
            raise GraphError(
                f"The server at {self.uri} is Neo4j {self.server_version}. kgplug needs {oldest} or newer."
            )
        self.has_cypher_25 = any(one["name"] == _CYPHER and "25" in one["versions"] for one in components)
        self.has_search = self.has_cypher_25 and numbers >= _OLDEST_SEARCH
        database = self.rows("CALL db.info() YIELD name, id")[0]
        self.database, self.store = database["name"], str(database["id"])

    def _unknown_database(self) -> GraphError:
        """Return the error for a database that does not exist. Its message lists the existing ones."""
        return GraphError(f"The server at {self.uri} has no database {self.database!r}. {self._other_databases()}")

    def _other_databases(self) -> str:
        query = "SHOW DATABASES YIELD name WHERE name <> $system RETURN DISTINCT name ORDER BY name"
        names = ", ".join(row["name"] for row in self.system_rows(query, system=_SYSTEM))
        return f"Set NEO4J_DATABASE to one of: {names}."


def _used(use: Callable[[neo4j.Result], _T], result: neo4j.Result) -> _T:
    """Apply `use` to a result. If the server has ended its transaction, raise the server's error.

    The driver raises another error, which it does not retry, if a result failed before it was read, such as by a
    deadlock.
    """
    import neo4j.exceptions

    try:
        return use(result)
    except neo4j.exceptions.ResultFailedError as error:
        if isinstance(error.__cause__, neo4j.exceptions.Neo4jError):
            raise error.__cause__ from None
        raise


def _quiet_the_driver() -> None:
    """Hide the driver's warnings about retries in programs that do not configure logging."""
    logger = logging.getLogger("neo4j")
    if not any(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
        logger.addHandler(logging.NullHandler())


def time_limit_s(query: str) -> float | None:
    """Return the maximum number of seconds of a query with a condition from kgplug.toml; None for other queries."""
    return Settings().kgplug_query_s if FROM_USER in query else None


def limited(query: str, work: Callable[[neo4j.ManagedTransaction], _T]) -> Callable[[neo4j.ManagedTransaction], _T]:
    """Return the function that runs a query in a managed transaction, with the time limit of the query."""
    import neo4j

    limit_s = time_limit_s(query)
    return work if limit_s is None else neo4j.unit_of_work(timeout=limit_s)(work)


def _refuse_users_text(query: str) -> None:
    """Raise AssertionError if a query with a condition from kgplug.toml is about to run where it could write."""
    if FROM_USER in query:
        raise AssertionError("A query with a condition from kgplug.toml was about to run where it could write.")


def _text(query: str) -> LiteralString:
    """Return a query as LiteralString, the type that the driver requires. Values are always passed as parameters."""
    return cast("LiteralString", query)


def _address(uri: str) -> tuple[str, int]:
    """Return host and port of a URI. Raise GraphError if it is not a Neo4j URI, or if it contains a password."""
    if "@" in unicodedata.normalize("NFKC", uri):  # anywhere, because even a malformed URI may contain a password
        raise GraphError(
            "The Neo4j URI contains a user name or password. Remove it, and set NEO4J_USERNAME and NEO4J_PASSWORD."
        )
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port or _DEFAULT_PORT
    except ValueError:
        parts, host, port = urlsplit(""), None, _DEFAULT_PORT
    if parts.scheme not in _SCHEMES or not host or not uri.isprintable():
        raise GraphError(
            f"{uri!r} is not a Neo4j URI. Expected scheme://host:port, with one of the schemes {', '.join(_SCHEMES)}."
        )
    return host, port


def address_of(uri: str) -> str:
    """Return host:port of a URI.

    Raises:
        GraphError: the URI is not a Neo4j URI.
    """
    host, port = _address(uri)
    return f"{host}:{port}"


def _probe(uri: str, host: str, port: int) -> None:
    """Raise GraphError within seconds if no server answers; the driver would keep trying for longer."""
    try:
        socket.create_connection((host, port), timeout=_CONNECTION_TIMEOUT_S).close()
    except (OSError, ValueError) as error:  # ValueError: an invalid host name
        reason = "no answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or str(error)
        raise GraphError(
            f"No Neo4j server answers at {uri} ({reason}). Start it, or set NEO4J_URI to its address."
        ) from error
