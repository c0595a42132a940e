"""The graph as a user sees it from Python: read, publish, query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from pydantic import SecretStr

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.publication import Publication
from kgplug.errors import UsageError
from kgplug.graph import cypher, reader
from kgplug.graph.connection import Connection, connect_settings
from kgplug.graph.schema import GraphSchema
from kgplug.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from kgplug.graph.publisher import PublishReport


class Publishable(Protocol):
    """A fitted model, recommender or embedding."""

    def publication(
        self, *, top: int = 10, also_seen: Interactions | None = None, details: dict | None = None
    ) -> Publication: ...


class Graph:
    """A Neo4j database: what a training reads from it and what a run writes into it.

    Use as a context manager, or call `close()`.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._schema: GraphSchema | None = None
        self._interactions: Interactions | None = None

    @property
    def schema(self) -> GraphSchema:
        """The schema last read or used; UsageError where there is none yet."""
        if self._schema is None:
            raise UsageError("What the graph means is not known yet: call graph.use(GraphSchema.load(…)) first.")
        return self._schema

    def read_interactions(self, schema: GraphSchema, *, progress: bool | None = None) -> Interactions:
        """Pull all feedback; see `kgplug.graph.reader.read_interactions`."""
        self._schema = schema
        self._interactions = reader.read_interactions(self.connection, schema, progress=progress)
        return self._interactions

    def read_knowledge(self, schema: GraphSchema, *, progress: bool | None = None) -> KnowledgeGraph:
        """Pull all triples; see `kgplug.graph.reader.read_knowledge`."""
        self._schema = schema
        return reader.read_knowledge(self.connection, schema, progress=progress)

    def publish(
        self,
        model: Publishable,
        *,
        top: int = 10,
        schema: GraphSchema | None = None,
        also_seen: Interactions | None = None,
        details: dict | None = None,
        progress: bool | None = None,
    ) -> PublishReport:
        """Write a model's vectors and top lists into the graph.

        Args:
            model: a fitted recommender or embedding.
            top: length of each user's list.
            schema: of the graph; the one last read with, if not given.
            also_seen: rows whose items are left out of the lists beside the training rows; all
                interactions last read, if not given.
            details: facts kept on the catalogue node.
        """
        from kgplug.graph.publisher import publish

        schema = schema or self.schema
        seen = also_seen if also_seen is not None else self._interactions
        publication = model.publication(top=top, also_seen=seen, details=details)
        return publish(self.connection, schema, publication, progress=progress)

    def query(self, query: str, /, **parameters: object) -> pd.DataFrame:
        """Run a Cypher query and return its rows."""
        return self.connection.frame(query, **parameters)

    def cypher(self, name: str, /, **parameters: object) -> pd.DataFrame:
        """Run a shipped query (`kgplug cypher` lists them) with the names of the schema last read with.

        Args:
            name: of the query.
            parameters: its header names them; $like is the schema's, if not given.
        """
        like = None if self._schema is None else self._schema.feedback.like
        return self.connection.frame(cypher.load(name, self._schema), **{"like": like, **parameters})

    def use(self, schema: GraphSchema) -> Self:
        """Remember a schema for `publish` and `cypher`."""
        self._schema = schema
        return self

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(
    uri: str | None = None,
    *,
    username: str | None = None,
    password: str | None = None,
    database: str | None = None,
    progress: bool | None = None,
) -> Graph:
    """Connect to a Neo4j server.

    What is not given comes from NEO4J_URI, NEO4J_USERNAME, NEO4J_PASSWORD and NEO4J_DATABASE. Without any URI
    the managed local Neo4j is used, and started if it is not running.

    Raises:
        GraphError: the server cannot be reached or refuses the login.
    """
    given = {
        "neo4j_uri": uri,
        "neo4j_username": username,
        "neo4j_password": None if password is None else SecretStr(password),
        "neo4j_database": database,
    }
    settings = Settings().model_copy(update={name: value for name, value in given.items() if value is not None})
    return Graph(connect_settings(settings, progress=progress))
