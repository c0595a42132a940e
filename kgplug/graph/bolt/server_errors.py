"""Plain error messages for the errors of a Neo4j server and its driver."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Generator
from contextlib import contextmanager

from kgplug.errors import GraphError, UsageError
from kgplug.graph.server.home import LocalHome
from kgplug.settings import Settings

DATABASE_NOT_FOUND = "Neo.ClientError.Database.DatabaseNotFound"
_WRONG_NAME = (62, 64)  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


@contextmanager
def translated_errors(uri: str, database: str | None = None, *, tried_s: float = 0) -> Generator[None]:
    """Turn every exception of the neo4j driver into a GraphError with a message in plain words.

    A parameter that the driver cannot send becomes a UsageError.

    Args:
        uri: URI of the server, for the message.
        database: name of the database, for the message; None for the account's home database.
        tried_s: seconds for which transient errors, such as deadlocks, are retried; 0 if they are not retried.
    """
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("neo4j."):
            if isinstance(error, (OverflowError, ValueError, TypeError)) and _comes_from_packing(error):
                raise UsageError(
                    f"Neo4j cannot store a parameter of the query: {error}. It stores 64-bit integers, floats, "
                    "booleans, valid Unicode text, dates, times, points, and lists of these."
                ) from None
            raise
        raise GraphError(_sentence(error, uri, database, tried_s)) from error


def _comes_from_packing(error: BaseException) -> bool:
    """Return whether the driver raised this exception while it serialised a query's parameters."""
    trace, module = error.__traceback__, ""
    while trace is not None:
        module, trace = str(trace.tb_frame.f_globals.get("__name__", "")), trace.tb_next
    return module.startswith("neo4j._codec.packstream")


def has_failed(error: BaseException) -> bool:
    """Return whether a GraphError means that the database needs a restart, for example because its disk was full."""
    return (getattr(error.__cause__, "code", None) or "").startswith(_FAILED)


_FAILED = "Neo.DatabaseError.Transaction."
_FULL_BYTES = 50_000_000  # with less free disk space, Neo4j cannot write its transaction log
_BY_CODE = {
    "Neo.ClientError.Security.Unauthorized": (
        "The server at {uri} refuses this user name or password. Set NEO4J_USERNAME and NEO4J_PASSWORD to valid ones."
    ),
    "Neo.ClientError.Security.AuthenticationRateLimit": (
        "The server at {uri} refuses logins for a few seconds after too many wrong passwords. Wait, then try again."
    ),
    "Neo.ClientError.Security.CredentialsExpired": (
        "The password of this account on {uri} must be changed before it can be used. Log in once with Neo4j's own "
        "tools and change it."
    ),
    DATABASE_NOT_FOUND: (
        "The server at {uri} has no database {database}. Set NEO4J_DATABASE to one that SHOW DATABASES lists."
    ),
    "Neo.ClientError.Transaction.InvalidBookmark": (
        "The server at {uri} does not know these bookmarks: {message} Use bookmarks of a connection to this database."
    ),
    "Neo.ClientError.Security.Forbidden": "This account may not do that on {uri}: {message}",
}


def _sentence(error: Exception, uri: str, database: str | None, tried_s: float) -> str:
    """Return the message for an exception of the driver."""
    import neo4j.exceptions as raised

    message = _first_line(getattr(error, "message", None) or str(error))
    code = getattr(error, "code", None) or ""
    if code in _BY_CODE:
        return _BY_CODE[code].format(uri=uri, database=repr(database or ""), message=message)
    if isinstance(error, raised.IncompleteCommit):
        return (
            f"The connection to {uri} broke during a commit, so it is unknown whether the change was made. "
            "Run the command again if it was import, publish or erase-user: it completes the work. Before you repeat "
            "another command, check which runs serve: kgplug cypher health --run."
        )
    if isinstance(error, raised.ServiceUnavailable | raised.SessionExpired):
        return _lost_connection(_chain(error), uri)
    if code.startswith(_FAILED):
        return _cannot_write(uri, _first_line(message.partition(": Transaction #")[0]))
    if tried_s and isinstance(error, raised.TransientError):
        return f"Neo4j at {uri} still failed after {tried_s:g} s of retries: {message} Try again later."
    return f"Neo4j at {uri}: {message}"


def _cannot_write(uri: str, message: str) -> str:
    """Return the message for a database that has failed and needs a restart."""
    failed = f"The database at {uri} can no longer write: {message}"
    local = LocalHome(Settings().neo4j_dir)
    if local.status().uri != uri:
        return (
            f"{failed} The usual cause is a full disk; the server's log names the cause. Remove the cause, then "
            "restart the server. Everything committed is kept."
        )
    restart = "`kgplug db stop`, then `kgplug db start`. Everything committed is kept."
    if shutil.disk_usage(local.home).free < _FULL_BYTES:
        return f"{failed} The disk of {local.home} is full. Free some space, then restart the server: {restart}"
    return f"{failed} Read {local.log}, then restart the server: {restart}"


def _lost_connection(causes: list[BaseException], uri: str) -> str:
    """Return the message for a connection that could not be made or that broke."""
    rejected = next((cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), None)
    if rejected is not None:
        return _rejected_certificate(rejected, uri)
    if any(isinstance(cause, ssl.SSLError) or "Security" in type(cause).__name__ for cause in causes):
        return (
            f"No encrypted connection to {uri} is possible: the server does not offer TLS there. "
            "Use bolt:// or neo4j:// for a server without TLS."
        )
    if any("handshake" in str(cause).lower() for cause in causes):
        return (
            f"The server at {uri} does not speak Bolt. Use the port of Neo4j's Bolt connector, usually 7687, "
            "or restart the server if it hangs."
        )
    reason = _first_line(str(causes[-1]))
    return f"The connection to the server at {uri} failed: {reason} Check that the server runs, then try again."


def _rejected_certificate(error: ssl.SSLCertVerificationError, uri: str) -> str:
    """Return the message for a certificate that does not prove the server's identity."""
    if error.verify_code in _WRONG_NAME:
        return (
            f"The certificate of the server at {uri} is for another host ({error.verify_message}). "
            "Use the certificate's host name in the Neo4j URI."
        )
    return (
        f"The certificate of the server at {uri} is not trusted ({error.verify_message}). Set NEO4J_CA_FILE to the "
        "PEM file of the authority that signed it. Or trust any certificate: use +ssc instead of +s in the Neo4j URI."
    )


def _chain(error: BaseException) -> list[BaseException]:
    """Return an exception, its causes and the members of exception groups; the innermost is last."""
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    following = [next_one for next_one in (error.__cause__, *members) if next_one is not None]
    return [error, *(cause for next_one in following for cause in _chain(next_one))]


def _first_line(text: str) -> str:
    """Return the first line of a message, with a full stop if it has no end mark."""
    line = text.strip().split("\n")[0].strip().rstrip(":")
    return line if line.endswith((".", "!", "?")) else f"{line}."
