"""The graph as a user sees it from Python: read, publish, query."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

from pydantic import SecretStr

from kgplug.data.health import refuse_dead
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.publication import Predictions, Publication
from kgplug.data.ranking.neighbours import similar_lists
from kgplug.errors import UsageError
from kgplug.graph import queries
from kgplug.graph.catalog import require_published
from kgplug.graph.connect import connect_settings
from kgplug.graph.connection import Connection
from kgplug.graph.find_key import require_key
from kgplug.graph.publishing.list_options import ListOptions, Lists, recommend_options
from kgplug.graph.reading import reader
from kgplug.graph.schema import GraphSchema
from kgplug.progress import stage
from kgplug.renamed import renamed
from kgplug.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from kgplug.graph.publishing.erase import EraseReport
    from kgplug.graph.publishing.predictions import PredictionCounts
    from kgplug.graph.publishing.preview import Preview
    from kgplug.graph.publishing.publisher import PublishReport
    from kgplug.graph.publishing.rollback import RollbackReport
    from kgplug.graph.publishing.unpublish import UnpublishReport


RESULTS_GROUP = "kgplug.results"
"""Entry points, by the name of a library: a callable that makes a `Publishable` of what the library trained."""


class Publishable(Protocol):
    """A fitted model, recommender or embedding; a recommender's takes the options of its lists, too."""

    def publication(
        self, *, top: int = 10, also_seen: Interactions | None = None, details: dict | None = None
    ) -> Publication: ...


def _publishable(model: object) -> Publishable:
    """Return a model that has a publication, made from another library's result where need be."""
    if hasattr(model, "publication"):
        return cast("Publishable", model)
    library = type(model).__module__.partition(".")[0]
    for point in entry_points(group=RESULTS_GROUP, name=library):
        return point.load()(model)
    raise UsageError(
        f"Expected a fitted model of kgplug or the result of a PyKEEN pipeline, found a {type(model).__qualname__} of "
        f"{library}."
    )


def _check_labels(model: Publishable, schema: GraphSchema) -> None:
    """Raise UsageError where a model gives lists to other nodes, or of other nodes, than a schema names."""
    found = getattr(model, "user_label", ""), getattr(model, "item_label", "")
    if all(found) and found != (schema.user.label, schema.item.label):
        name = getattr(model, "name", type(model).__name__)
        raise UsageError(
            f"{name} was trained to recommend :{found[1]} to :{found[0]}, and the schema is of {schema.pattern}. "
            "Give the schema that it was trained with: schema=…."
        )


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

    def publish(
        self,
        model: Publishable | object,
        *,
        top: int = 10,
        similar: int | None = None,
        similar_label: str | None = None,
        schema: GraphSchema | None = None,
        also_seen: Interactions | None = None,
        lists: ListOptions | None = None,
        details: dict | None = None,
        keep_previous: bool = True,
        force: bool = False,
        name: str | None = None,
        replace: bool = False,
        progress: bool | None = None,
    ) -> PublishReport:
        """Write a model's vectors and top lists into the graph.

        Args:
            model: a fitted recommender or embedding; or the result of another library's training that an entry
                point of the group "kgplug.results" makes one of, such as that of PyKEEN's `pipeline`.
            top: length of each user's list.
            similar: give each node SIMILAR_TO edges to so many nodes of its label, by the cosine of their vectors.
            similar_label: to nodes of this label only.
            schema: of the graph; if not given, the one that the model was trained with, or that of `use`.
            also_seen: rows whose items are left out of the lists in addition to the training rows, where the options
                count all as seen; if not given, all feedback that is in the graph now is read.
            lists: what counts as seen, which items may stand in the lists, how much these differ.
            details: facts kept on the catalogue node.
            keep_previous: keep the run that serves now, so that `rollback` can bring it back.
            force: publish the model even if it has collapsed (`kgplug.data.health`).
            name: under which it is served; the model's own, if not given.
            replace: let it take the place of a run of another schema that is served under that name.

        Raises:
            DeadModelError: the model has collapsed; nothing is written.
            UsageError: the options of lists do not fit the graph, the model has no lists, or a run of another schema
                is served under the name.
            GraphError: somebody else publishes this model now, or the server refuses.
        """
        from kgplug.graph.publishing.publisher import publish

        publishable = _publishable(model)
        schema = schema or self._schema_of(publishable)
        with stage(f"Vectors and lists of {name or getattr(model, 'name', 'the model')}", progress=progress):
            publication = self._publication(
                publishable, top, similar, similar_label, schema, also_seen, lists or ListOptions(), details, progress,
                name,
            )  # fmt: skip
        refuse_dead(publication, force=force)
        return publish(
            self.connection, schema, publication, keep_previous=keep_previous, replace=replace, progress=progress
        )

    def preview(
        self,
        model: Publishable | object,
        *,
        top: int = 10,
        similar: int | None = None,
        similar_label: str | None = None,
        schema: GraphSchema | None = None,
        also_seen: Interactions | None = None,
        lists: ListOptions | None = None,
        force: bool = False,
        name: str | None = None,
        replace: bool = False,
    ) -> Preview:
        """Tell what `publish` with the same arguments would change, how long it would take, and write nothing."""
        from kgplug.graph.publishing.preview import preview

        publishable = _publishable(model)
        schema = schema or self._schema_of(publishable)
        publication = self._publication(
            publishable, top, similar, similar_label, schema, also_seen, lists or ListOptions(), None, None, name
        )
        refuse_dead(publication, force=force)
        return preview(self.connection, schema, publication, replace=replace)

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

    def _schema_of(self, model: Publishable) -> GraphSchema:
        """Return the schema of the graph that a model was trained on; that of `use` where the model does not know."""
        known = getattr(model, "graph_schema", None)
        return self.schema if known is None else GraphSchema.model_validate(known)

    def _publication(
        self,
        publishable: Publishable,
        top: int,
        similar: int | None,
        similar_label: str | None,
        schema: GraphSchema,
        also_seen: Interactions | None,
        lists: ListOptions,
        details: dict | None,
        progress: bool | None,
        name: str | None,
    ) -> Publication:
        """Return what a model's publish writes; arguments as in `publish`."""
        _check_labels(publishable, schema)
        options = self._list_options(publishable, schema, lists)
        if lists.seen != "all":
            also_seen = None
        elif also_seen is None and getattr(publishable, "user_label", ""):  # gives lists to nodes of the graph
            also_seen, _ = reader.pull_interactions(self.connection, schema, progress=progress)
        details = {"schema": schema.model_dump(), **(details or {})}
        publication = publishable.publication(top=top, also_seen=also_seen, details=details, **options)
        if name is not None:
            publication = replace(publication, model=name)
        if publication.lists is not None:  # of whatever package the model is, nobody is recommended to themselves
            publication = replace(publication, lists=publication.lists.without_own())
        if similar is not None:
            publication = replace(publication, similar=similar_lists(publication.vectors, similar, label=similar_label))
        elif similar_label is not None:
            raise UsageError(f"similar_label={similar_label!r} needs similar, the length of each node's list.")
        return publication

    def _list_options(self, model: Publishable, schema: GraphSchema, lists: ListOptions) -> dict[str, Any]:
        """Return options as the arguments of a recommender's `publication`; {} where all are the usual ones."""
        if lists == ListOptions():
            return {}
        if not hasattr(model, "item_numbers"):
            name = getattr(model, "name", type(model).__name__)
            raise UsageError(f"{name} gives no lists, so there is nothing to filter or to make diverse.")
        options = recommend_options(self.connection, schema, cast(Lists, model), lists)
        return {"exclude_seen": lists.seen != "none", **options}

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
