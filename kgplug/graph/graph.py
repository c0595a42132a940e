"""The graph as a user sees it from Python: read, publish, query."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self, Unpack

from pydantic import SecretStr

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.publication import Predictions
from kgplug.errors import UsageError
from kgplug.graph import queries
from kgplug.graph.catalog import require_published
from kgplug.graph.connect import connect_settings
from kgplug.graph.connection import Connection
from kgplug.graph.find_key import require_key
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

    from kgplug.graph.publishing.erase import EraseReport
    from kgplug.graph.publishing.predictions import PredictionCounts
    from kgplug.graph.publishing.rollback import RollbackReport
    from kgplug.graph.publishing.unpublish import UnpublishReport


class Graph:
    """A Neo4j database: what a training reads from it and what a run writes into it.

    Use as a context manager, or call `close()`.

    Attributes:
        connection: to the database.
        reports: what the last read of "feedback" and of "triples" kept and left out.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.reports: dict[str, reader.ReadReport] = {}
        self._used: GraphSchema | None = None
        self._read: list[GraphSchema] = []

    def __repr__(self) -> str:
        schema = self.known_schema
        meaning = "its meaning not yet known (graph.use(GraphSchema.load(…)))"
        if schema is not None:
            meaning = f"read as {schema.pattern}"
        return f"Graph in database {self.connection.database!r} at {self.connection.uri}, {meaning}"

    @property
    def schema(self) -> GraphSchema:
        """The schema given to `use`; without that, the one that was read with.

        Raises:
            UsageError: there is none yet, or the graph was read with several.
        """
        if self.known_schema is not None:
            return self.known_schema
        if not self._read:
            raise UsageError("What the graph means is not known yet: call graph.use(GraphSchema.load(…)) first.")
        patterns = "; ".join(schema.pattern for schema in self._read)
        raise UsageError(
            f"This graph was read with {len(self._read)} schemas: {patterns}. Say which one is meant: call "
            "graph.use(schema), or pass schema=… where there is such an argument."
        )

    @property
    def known_schema(self) -> GraphSchema | None:
        """As `schema`, but None where there is none, or more than one."""
        return self._read[0] if self._used is None and len(self._read) == 1 else self._used

    def _note_read(self, schema: GraphSchema) -> dict:
        """Remember a schema that was read with; return it as models keep it."""
        if schema not in self._read:
            self._read.append(schema)
        return schema.model_dump()

    def read_interactions(self, schema: GraphSchema, *, progress: bool | None = None) -> Interactions:
        """Pull all feedback; see `kgplug.graph.reading.reader.read_interactions`."""
        interactions, report = reader.pull_interactions(self.connection, schema, progress=progress)
        self.reports["feedback"] = report.logged("feedback")
        return replace(interactions, graph_schema=self._note_read(schema))

    def read_knowledge(self, schema: GraphSchema, *, progress: bool | None = None) -> KnowledgeGraph:
        """Pull all triples; see `kgplug.graph.reading.reader.read_knowledge`."""
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
        details: dict | None = None,
        progress: bool | None = None,
        **options_by_name: Unpack[OptionsByName],
    ) -> PublishReport:
        """Write a fitted model's vectors and lists into the graph and let it serve under its name.

        `graph.publish(model, k=20, diversity=0.3)` and `graph.publish(model, PublishOptions(k=20, diversity=0.3))` do
        the same. `kgplug.graph.publishing.options.PublishOptions` explains each option.

        Args:
            model: a fitted recommender or embedding, or the result of a PyKEEN pipeline.
            options: how to publish it; options given by name take precedence.
            schema: for this call (see `Graph`).
            also_seen: more feedback whose items are left out of lists; by default all that the graph holds now.
            details: JSON-able facts to keep in the catalogue.
            progress: show bars; None shows them on a terminal.
            options_by_name: fields of `PublishOptions`.

        Raises:
            DeadModelError: the model has collapsed. Nothing is written.
            UsageError: the options do not fit the graph, the model gives no lists, or a run of another schema is
                served under the name.
            GraphError: somebody else is publishing this model, or the server refuses.
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
        details: dict | None = None,
        progress: bool | None = None,
        **options_by_name: Unpack[OptionsByName],
    ) -> Preview:
        """Return what `publish` with the same arguments would change, and how long it would take; writes nothing."""
        if options is None or options_by_name:
            options = with_options(options, options_by_name)
        schema = self._schema_for(model, schema)
        plan = plan_model(
            self.connection, schema, model, options, also_seen=also_seen, details=details, progress=progress
        )
        return preview_of(plan)

    def rollback(self, model: str) -> RollbackReport:
        """Undo a model's unfinished publish, or let its previous run serve again; see `kgplug.graph.publishing`."""
        from kgplug.graph.publishing.rollback import rollback

        return rollback(self.connection, model)

    def unpublish(self, model: str) -> UnpublishReport:
        """Remove every trace of a model from the graph."""
        from kgplug.graph.publishing.unpublish import unpublish

        return unpublish(self.connection, model)

    def erase_user(self, user: int | str) -> EraseReport:
        """Remove a user's edges and vectors that kgplug wrote; `kgplug.jobs.erase_user` does it in runs, too."""
        from kgplug.graph.publishing.erase import erase_user

        return erase_user(self.connection, self.schema, user)

    def _schema_for(self, model: object, schema: GraphSchema | None) -> GraphSchema:
        """Return the schema that was given, or else the model's own, or else that of the graph."""
        return schema or schema_of(model) or self.schema

    def write_predictions(self, predictions: Predictions, *, schema: GraphSchema | None = None) -> PredictionCounts:
        """Write triples that a model takes for plausible as PREDICTED edges; see `kgplug.graph.publishing`."""
        from kgplug.graph.publishing.predictions import write_predictions

        return write_predictions(self.connection, schema or self.schema, predictions)

    def query(self, query: str, /, **parameters: object) -> pd.DataFrame:
        """Run a Cypher query and return its rows."""
        return self.connection.frame(query, **parameters)

    @renamed(like="like_threshold")
    def cypher(self, name: str, /, **parameters: object) -> pd.DataFrame:
        """Run a shipped query (`kgplug cypher` lists them) with the names of the schema.

        Args:
            name: of the query.
            parameters: its header names them; $like_threshold is the schema's by default.

        Raises:
            UsageError: a parameter is missing, $k is not a length, the query changes the graph, or it finds nothing
                because no node has the key that $user or $item names, or no published model is called as $model says.
        """
        schema = self.schema if self._used or self._read else None
        parameters = {"like_threshold": None if schema is None else schema.feedback.like_threshold, **parameters}
        text = queries.load(name, schema)
        parameters = queries.checked(name, text, parameters)
        found = self.connection.frame(text, **parameters)
        if found.empty:
            nodes = {} if schema is None else {"user": schema.user, "item": schema.item}
            for parameter in nodes.keys() & parameters.keys():
                part = nodes[parameter]
                require_key(self.connection, part.label, part.key, parameters[parameter])
            if "model" in parameters:
                require_published(self.connection, parameters["model"])
        return found

    def use(self, schema: GraphSchema) -> Self:
        """Say what the graph means, for every call that is given no schema and no model that knows its own."""
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
    progress: bool | None = None,
) -> Graph:
    """Connect to a Neo4j server.

    What is not given comes from NEO4J_URI, NEO4J_USERNAME, NEO4J_PASSWORD, NEO4J_DATABASE and NEO4J_CA_FILE. Without
    any URI the managed local Neo4j is used, and started if it is not running.

    Args:
        uri: bolt://host:port, neo4j://host:port, with +s or +ssc for TLS.
        username, password: of an account on that server.
        database: name of the database; the account's own if not given.
        ca_file: PEM file with the authorities to trust for +s, where one of your own has signed the certificate.
        progress: show a bar while the local server is downloaded; None shows it on a terminal only.

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
    return Graph(connect_settings(settings, progress=progress))
