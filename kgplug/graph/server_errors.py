"""What a Neo4j server or its driver complains about, in one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kgplug.errors import GraphError


@contextmanager
def translated_errors(uri: str, database: str | None = None) -> Iterator[None]:
    """Turn every exception of the neo4j driver into a GraphError with one sentence.

    Args:
        uri: of the server, for the message.
        database: name of the database, for the message; None for the account's own.
    """
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("neo4j."):
            raise
        raise GraphError(_sentence(error, uri, database)) from error


_BY_CODE = {
    "Neo.ClientError.Security.Unauthorized": (
        "The server at {uri} refuses this user name or password. Set NEO4J_USERNAME and NEO4J_PASSWORD to valid ones."
    ),
    "Neo.ClientError.Security.AuthenticationRateLimit": (
        "The server at {uri} refuses logins for some seconds after too many wrong passwords. Wait, then try again."
    ),
    "Neo.ClientError.Security.CredentialsExpired": (
        "The password of this account on {uri} must be changed before it can be used: log in once with Neo4j's own "
        "tools and change it."
    ),
    "Neo.ClientError.Database.DatabaseNotFound": (
        "There is no database {database} on the server at {uri}. Set NEO4J_DATABASE to one that SHOW DATABASES lists."
    ),
    "Neo.ClientError.Security.Forbidden": "This account may not do that on {uri}: {message}",
}


def _sentence(error: Exception, uri: str, database: str | None) -> str:
    """Return what to tell a user about a driver's exception."""
    import neo4j.exceptions as raised

    message = (getattr(error, "message", None) or str(error)).strip().split("\n")[0]
    code = getattr(error, "code", None) or ""
    if code in _BY_CODE:
        return _BY_CODE[code].format(uri=uri, database=repr(database or ""), message=message)
    if isinstance(error, raised.ServiceUnavailable | raised.SessionExpired):
        return f"The connection to {uri} failed: {message}"
    return f"Neo4j at {uri}: {message}"
