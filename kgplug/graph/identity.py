"""Identify a graph by its database and schema, so that kgplug can recognize the graph that a run was trained on."""

from __future__ import annotations

from pathlib import Path

from kgplug.data.graph_identity import GraphIdentity
from kgplug.errors import GraphError
from kgplug.graph.bolt.connection import Connection, address_of
from kgplug.graph.schema import GraphSchema
from kgplug.graph.server.home import LocalHome
from kgplug.graph.server.store import unused_stores
from kgplug.settings import Settings


def graph_identity(connection: Connection, schema: GraphSchema | None) -> GraphIdentity:
    """Return what identifies a graph: id of the database's store, name of the database, and address of the server.

    With a schema, the result also has the label and key property of users and of items, and the feedback's type.

    Args:
        connection: connection to the database.
        schema: schema of the graph. None: the result identifies the database only.
    """
    store, database, address = connection.store, connection.database, address_of(connection.uri)
    if schema is None:
        return GraphIdentity(store, database, address)
    return GraphIdentity.of_schema(schema.model_dump(), store=store, database=database, address=address)


def configured_address(settings: Settings) -> tuple[str, str]:
    """Return (host:port, database) from the settings, without connecting; each is "" if unknown."""
    try:
        address = address_of(settings.neo4j_uri) if settings.neo4j_uri else LocalHome(settings.neo4j_dir).address()
    except GraphError:
        address = ""
    return address, settings.neo4j_database or ""


def unused_local_stores(connection: Connection) -> list[Path]:
    """Return the folders of the stores that the local Neo4j keeps but does not use; [] if this is another server.

    Raises:
        LocalServerError: the local Neo4j's store.json is damaged.
    """
    local = LocalHome(Settings().neo4j_dir)
    address = address_of(connection.uri).replace("localhost:", "127.0.0.1:")
    return unused_stores(local.home) if address == local.address() else []
