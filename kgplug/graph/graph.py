"""The Python interface to a graph: read data, publish models, query recommendations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from pydantic import SecretStr

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.publication import Predictions
from kgplug.errors import UsageError
from kgplug.graph.answering import answers
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.connect import connect_settings
from kgplug.graph.publishing.models import Publishable, plan_model, schema_of
from kgplug.graph.publishing.options import OptionsByName, PublishOptions, shows_options, with_options
from kgplug.graph.publishing.preview import Preview, preview_of
from kgplug.graph.publishing.publisher import write
from kgplug.graph.publishing.report import PublishReport
from kgplug.graph.reading import reader
from kgplug.graph.schema import GraphSchema
from kgplug.renamed import renamed
from kgplug.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from kgplug.graph.publishing.predictions import PredictionCounts
    from kgplug.graph.publishing.removing.erase import EraseReport
    from kgplug.graph.publishing.removing.rollback import RollbackReport
    from kgplug.graph.publishing.removing.unpublish import UnpublishReport


class Graph:
    """A Neo4j database: read it for training, publish a run into it, and query its recommendations.

    Use it as a context manager, or call `close()`.

    A schema says what the labels, types and properties mean. Set it once with `use`; without `use`, the graph
    remembers the schema that it was read with. A model that was trained on a graph has its own schema, which is used
    for that model. The argument `schema=` of a method takes precedence over all of these, for one call.

    Attributes:
        connection: connection to the database.
        reports: "feedback" and "triples" → report on what the last read kept and left out.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.reports: dict[str, reader.ReadReport] = {}
        self._used: GraphSchema | None = None
        self._read: list[GraphSchema] = []

    def __repr__(self) -> str:
        schema = self.known_schema
        unknown = "no schema chosen (graph.use(GraphSchema.load(…)))"
        meaning = unknown if schema is None else f"read as {schema.pattern}"
        return f"Graph in database {self.connection.database!r} at {self.connection.uri}, {meaning}"

    @property
    def schema(self) -> GraphSchema:
        """The schema given to `use`, otherwise the one that the graph was read with.

        Raises:
            UsageError: there is none yet, or the graph was read with several.
        """
        if self.known_schema is not None:
            return self.known_schema
        if not self._read:
            raise UsageError(answers.UNKNOWN_SCHEMA)
        patterns = "; ".join(schema.pattern for schema in self._read)
        raise UsageError(
            f"This graph was read with {len(self._read)} schemas: {patterns}. Say which one is meant: call "
            "graph.use(schema), or give schema=… where there is such an argument."
        )

    @property
    def known_schema(self) -> GraphSchema | None:
        """The schema that the property `schema` returns; None if that property would raise an error."""
        return self._read[0] if self._used is None and len(self._read) == 1 else self._used

    @property
    def bookmarks(self) -> list[str]:
        """Texts that stand for what this graph has read and written so far, for `connect` in another process."""
        return self.connection.bookmarks

    def _note_read(self, schema: GraphSchema) -> dict[str, Any]:
        """Remember that the graph was read with this schema. Return the schema as a dict, which models store."""
        if schema not in self._read:
            self._read.append(schema)
        return schema.model_dump()

    def read_interactions(self, schema: GraphSchema | None = None, *, progress: bool | None = None) -> Interactions:
        """Read all feedback, users and items.

        Args:
            schema: schema for this call (see `Graph`).
            progress: Whether to show progress bars. None: only on a terminal.

        Raises:
            DataError: a label, type or property of the schema is missing, or keys are missing or repeated.
        """
        schema = schema or self.schema
        interactions, report = reader.pull_interactions(self.connection, schema, progress=progress)
        self.reports["feedback"] = report.logged("feedback")
        return replace(interactions, graph_schema=self._note_read(schema))

    def read_knowledge(self, schema: GraphSchema | None = None, *, progress: bool | None = None) -> KnowledgeGraph:
        """Read all triples; arguments and errors as in `read_interactions`."""
        schema = schema or self.schema
        knowledge, report = reader.pull_knowledge(self.connection, schema, progress=progress)
        self.reports["triples"] = report.logged("triples")
        return replace(knowledge, graph_schema=self._note_read(schema))

    @shows_options
    def publish(
        self,
        model: Publishable | object,
        options: PublishOptions | None = None,
        *,
        schema: GraphSchema | None = None,
        also_seen: Interactions | None = None,
        details: dict[str, Any] | None = None,
        progress: bool | None = None,
        **options_by_name: Unpack[OptionsByName],
    ) -> PublishReport:
        """Write a fitted model's vectors and lists into the graph and serve them under the model's name.

        `graph.publish(model, k=20, diversity=0.3)` and `graph.publish(model, PublishOptions(k=20, diversity=0.3))` do
        the same. `kgplug.graph.publishing.options.PublishOptions` explains each option.

        Args:
            model: a fitted recommender or embedding, or the result of a PyKEEN pipeline.
            options: how to publish it; options given by name take precedence.
            schema: schema for this call (see `Graph`).
            also_seen: feedback in addition to the training set. If the option `seen` is "all", a user's list leaves out
                all items on which the user has feedback in `also_seen` or in the training set. None: all feedback that
                is now in the graph.
            details: JSON-able facts to store with the run in the catalogue.
            progress: Whether to show progress bars. None: only on a terminal.
            options_by_name: fields of `PublishOptions`.

        Raises:
            DeadModelError: the model has collapsed, for example to identical vectors or scores. Nothing is written.
            UsageError: the options do not fit the graph, list options are given for a model without lists, or a run
                with another schema is served under the same name.
            GraphError: somebody else is publishing this model, or the server reports an error.
        """
        if options is None or options_by_name:
            options = with_options(options, options_by_name)
        schema = self._schema_for(model, schema)
        plan = plan_model(
            self.connection, schema, model, options, also_seen=also_seen, details=details, progress=progress
        )
        return write(plan, keep_previous=options.keep_previous, progress=progress)

    @shows_options
    def preview(
        self,
        model: Publishable | object,
        options: PublishOptions | None = None,
        *,
        schema: GraphSchema | None = None,
        also_seen: Interactions | None = None,
        details: dict[str, Any] | None = None,
        progress: bool | None = None,
        **options_by_name: Unpack[OptionsByName],
    ) -> Preview:
        """Return what `publish` with the same arguments would change and how long it would take, without writing."""
        if options is None or options_by_name:
            options = with_options(options, options_by_name)
        schema = self._schema_for(model, schema)
        plan = plan_model(
            self.connection, schema, model, options, also_seen=also_seen, details=details, progress=progress
        )
        return preview_of(plan)

    def rollback(self, model: str) -> RollbackReport:
        """Undo a model's interrupted publish or, if none was interrupted, switch back to its previous run.

        The change takes effect at once.

        Raises:
            UsageError: no such model is in the graph, or it has no previous run.
            GraphError: somebody is publishing the model.
        """
        from kgplug.graph.publishing.removing.rollback import rollback

        return rollback(self.connection, model)

    def unpublish(self, model: str) -> UnpublishReport:
        """Remove a model from the graph: edges, vectors, indexes, catalogue entry.

        Raises:
            UsageError: no such model is in the graph.
            GraphError: somebody is publishing the model.
        """
        from kgplug.graph.publishing.removing.unpublish import unpublish

        return unpublish(self.connection, model)

    def erase_user(self, user: int | str) -> EraseReport:
        """Remove the edges and vectors that kgplug wrote for a user from the graph.

        `kgplug.jobs.erase_user` does the same, and also removes the user from the runs on disk.

        Raises:
            UsageError: no user has that key.
            GraphError: somebody is publishing a model.
        """
        from kgplug.graph.publishing.removing.erase import erase_user

        return erase_user(self.connection, self.schema, user)

    def _schema_for(self, model: object, schema: GraphSchema | None) -> GraphSchema:
        """Return the given schema, otherwise the model's own, otherwise the graph's."""
        return schema or schema_of(model) or self.schema

    def write_predictions(self, predictions: Predictions, *, schema: GraphSchema | None = None) -> PredictionCounts:
        """Write predicted triples as PREDICTED edges.

        They replace the model's earlier PREDICTED edges of the same relation between nodes of the same two labels.

        Args:
            predictions: predictions of an embedding (`kgplug.embeddings.prediction.predict`).
            schema: schema for this call (see `Graph`).

        Raises:
            UsageError: there are too many predictions, or a label has no key property.
            DataError: two nodes share a key, or none of the nodes is in the graph.
        """
        from kgplug.graph.publishing.predictions import write_predictions

        return write_predictions(self.connection, schema or self.schema, predictions)

    def query(self, query: str, /, **parameters: object) -> pd.DataFrame:
        """Run a Cypher query and return its rows."""
        return self.connection.frame(query, **parameters)

    @renamed(like="like_threshold")
    def cypher(self, name: str, /, **parameters: object) -> pd.DataFrame:
        """Run a shipped query (`kgplug cypher` lists them) with the labels, types and properties of the schema.

        Args:
            name: name of the query.
            parameters: the query's parameters, listed in its header. `like_threshold` defaults to the schema's.

        Raises:
            UsageError: a parameter is missing or $k is not a whole number; the query changes the graph; or it finds
                nothing because the user, item or published model does not exist.
        """
        schema = self.schema if self._used or self._read else None
        return answers.run_query(self.connection, schema, name, parameters)

    def recommend(
        self, user: int | str, k: int = 10, *, model: str | None = None, reasons: bool = False
    ) -> pd.DataFrame:
        """Return the published list of a user.

        Args:
            user: key of the user.
            k: maximum number of items.
            model: a published model; by default the one published last that has a list for the user.
            reasons: also look up why each item is recommended.

        Returns:
            One row per item, best first, with the columns `user`, `item`, `rank`, `score`, `title` and, with `reasons`,
            `because` ("" if no item that the user likes shares a node with this item). `user` and `item` are keys.

        Raises:
            UsageError: the user or model is unknown, or nothing was published for the user.
        """
        return answers.recommend(self.connection, self._schema_to_ask(model), user, k=k, model=model, reasons=reasons)

    def similar(self, item: int | str, k: int = 10, *, model: str | None = None) -> pd.DataFrame:
        """Return the items whose vectors are nearest to that of an item.

        Args:
            item: key of the item.
            k: maximum number of items.
            model: a published model; by default the one published last that has vectors of items.

        Returns:
            One row per item, nearest first, with the columns `item`, `rank`, `score`, `title`. The score is from 0 to
            1, as in Neo4j's `vector.similarity.cosine`.

        Raises:
            UsageError: the item or model is unknown, or the item has no vector.
        """
        return answers.similar(self.connection, self._schema_to_ask(model), item, k=k, model=model)

    def explain(self, user: int | str, item: int | str, k: int = 5) -> pd.DataFrame:
        """Return why an item may please a user: paths from liked items, through a shared node, to the item.

        Args:
            user, item: keys of the user and the item.
            k: maximum number of paths.

        Returns:
            One row per path, best first, with the columns `liked` (title of the liked item), `via` (type of its
            relationship to the shared node), `shared_label` and `shared` (label and name of the shared node; without a
            readable name a description, such as "an actor they share"), `to` (type of the shared node's relationship to
            the item), `weight`. Nodes with a name come first, then those with a high weight. It is log2(1 + number of
            liked items connected to the shared node) / (5 + number of its relationships).

        Raises:
            UsageError: the user or item is unknown.
        """
        return answers.explain(self.connection, self.schema, user, item, k=k)

    def _schema_to_ask(self, model: str | None) -> GraphSchema | None:
        """Return the graph's schema.

        If the graph has no known schema: return None if a model is named, because the model may have a schema of its
        own; raise UsageError if `model` is None.
        """
        return self.schema if model is None else self.known_schema

    def use(self, schema: GraphSchema) -> Self:
        """Set the schema of this graph (see `Graph`), and return the graph."""
        self._used = schema
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
    ca_file: str | Path | None = None,
    bookmarks: Iterable[str] = (),
    progress: bool | None = None,
) -> Graph:
    """Connect to a Neo4j server.

    Arguments default to NEO4J_URI, NEO4J_USERNAME, NEO4J_PASSWORD, NEO4J_DATABASE and NEO4J_CA_FILE. Without a URI,
    the local Neo4j that kgplug installs is used, and started if it is not running.

    Args:
        uri: bolt://host:port or neo4j://host:port. For TLS, use bolt+s:// or neo4j+s://, which verify the server's
            certificate, or bolt+ssc:// or neo4j+ssc://, which accept any certificate.
        username, password: an account on that server.
        database: name of the database; by default the account's home database.
        ca_file: PEM file with the certificate authorities to trust for bolt+s:// and neo4j+s://, if your own authority
            signed the server's certificate.
        bookmarks: `graph.bookmarks` of a graph that another process has just changed. In a cluster, whose servers
            receive changes one after another, the new graph then sees these changes from whichever server it reads.
        progress: Whether to show a progress bar while the local server is downloaded. None: only on a terminal.

    Raises:
        GraphError: the server cannot be reached or refuses the login.
    """
    given = {
        "neo4j_uri": uri,
        "neo4j_username": username,
        "neo4j_password": None if password is None else SecretStr(password),
        "neo4j_database": database,
        "neo4j_ca_file": None if ca_file is None else Path(ca_file),
    }
    settings = Settings().model_copy(update={name: value for name, value in given.items() if value is not None})
    return Graph(connect_settings(settings, progress=progress, bookmarks=bookmarks))
