"""Connect to the server in the settings: the one in NEO4J_URI, or the local Neo4j that kgplug manages."""

from __future__ import annotations

from collections.abc import Iterable

from kgplug.errors import GraphError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.server.local import LocalNeo4j
from kgplug.settings import Settings


def connect_settings(
    settings: Settings | None = None,
    *,
    start_local: bool = True,
    progress: bool | None = None,
    bookmarks: Iterable[str] = (),
) -> Connection:
    """Connect to the server in NEO4J_URI or, if this is not set, to the local Neo4j that kgplug manages.

    Args:
        settings: server and login. Default: read from the environment.
        start_local: start the local server if it is not running, instead of raising an error.
        progress: Whether to show a progress bar while the local server is downloaded. None: only on a terminal.
        bookmarks: see `Connection.open`.

    Raises:
        GraphError: the server cannot be used (LocalServerError for the local server).
    """
    settings = settings or Settings()
    if settings.neo4j_uri:
        if settings.neo4j_password is None:
            raise GraphError(
                "NEO4J_URI is set but NEO4J_PASSWORD is not. Set it, or unset NEO4J_URI to use the local Neo4j."
            )
        return Connection.open(
            settings.neo4j_uri,
            username=settings.neo4j_username,
            password=settings.neo4j_password,
            database=settings.neo4j_database,
            ca_file=settings.neo4j_ca_file,
            bookmarks=bookmarks,
        )
    local = LocalNeo4j(settings.neo4j_dir)
    endpoint = local.start(progress=progress) if start_local else local.endpoint()
    return Connection.open(
        endpoint.uri,
        username=endpoint.username,
        password=endpoint.password,
        database=settings.neo4j_database,
        import_dir=endpoint.import_dir,
        bookmarks=bookmarks,
    )
