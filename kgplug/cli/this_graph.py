"""The graph that a command refers to, and the runs that were trained on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kgplug.data.graph_identity import GraphIdentity
from kgplug.errors import KgplugError
from kgplug.graph.schema import DEFAULT_FILE, GraphSchema
from kgplug.settings import Settings

if TYPE_CHECKING:
    from kgplug.graph.bolt.connection import Connection
    from kgplug.graph.graph import Graph
    from kgplug.training.runs import Runs


def this_graph(graph: Graph, schema_file: Path | None = None) -> GraphIdentity:
    """Return the identity of the connected graph.

    With a schema file (`schema_file`, or else kgplug.toml if it exists), the identity has the users, items and feedback
    type of that file; without one, it has all labels and types of the database.
    """
    return _identity(graph.connection, _schema(schema_file))


def graph_at_hand(runs: Runs, *, ask: bool = False) -> GraphIdentity | None:
    """Return the identity of the graph that the NEO4J_ environment variables and kgplug.toml name; None if unknown.

    Args:
        runs: the runs on this machine.
        ask: whether to ask the server for its database. If not, or if no server answers, the database is taken to be
            that of the newest run that was trained at the server's address. No server is started.
    """
    schema = _schema(None)
    if ask and (found := _asked(schema)) is not None:
        return found
    from kgplug.graph.identity import configured_address

    known = runs.last_known(*configured_address(Settings()))
    if schema is None:
        return known
    server = {} if known is None else {name: getattr(known, name) for name in ("store", "database", "address")}
    return GraphIdentity.of_schema(schema.model_dump(), **server)


def resolve_here(
    runs: Runs, names: Sequence[str], graph: Graph | None = None, schema_file: Path | None = None
) -> list[Path]:
    """Return the folders of runs, given by name; a model's name means its newest run that was trained on `graph`.

    Args:
        runs: the runs on this machine.
        names: ids, beginnings of ids, names of models, or folders.
        graph: a connected graph. None: the graph of `graph_at_hand`, which needs no server.
        schema_file: schema file named on the command line; None for kgplug.toml, if it exists.
    """
    here, others = None, [name.lower() for name in names if not runs.has(name)]
    if others and not {info.model.lower() for info in runs.list() if info.model}.isdisjoint(others):
        here = graph_at_hand(runs) if graph is None else this_graph(graph, schema_file)
    return [runs.resolve(name, here) for name in names]


def _schema(path: Path | None) -> GraphSchema | None:
    return GraphSchema.load(path or DEFAULT_FILE) if path is not None or DEFAULT_FILE.exists() else None


def _asked(schema: GraphSchema | None) -> GraphIdentity | None:
    """Ask the server for the identity of the graph; return None if no server answers."""
    from kgplug.graph.connect import connect_settings

    try:
        with connect_settings(start_local=False) as connection:
            return _identity(connection, schema)
    except KgplugError:
        return None


def _identity(connection: Connection, schema: GraphSchema | None) -> GraphIdentity:
    from kgplug.graph.counts import names_in_use
    from kgplug.graph.identity import graph_identity

    found = graph_identity(connection, schema)
    if schema is not None:
        return found
    labels, types = names_in_use(connection)
    return replace(found, holds=frozenset([*labels, *types]))
