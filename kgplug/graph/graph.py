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
from kgplug.data.neighbours import similar_lists
from kgplug.data.publication import Predictions, Publication
from kgplug.errors import UsageError
from kgplug.graph import cypher, reader
from kgplug.graph.connection import Connection, connect_settings
from kgplug.graph.list_options import ListOptions, Lists, recommend_options
from kgplug.graph.schema import GraphSchema
from kgplug.progress import stage
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
        self._schema: GraphSchema | None = None
        self._interactions: Interactions | None = None

    def __repr__(self) -> str:
        if self._schema is None:
            meaning = "its meaning not yet known (graph.use(GraphSchema.load(…)))"
        else:
            schema = self._schema
            meaning = f"read as (:{schema.user.label})-[:{schema.feedback.type}]-(:{schema.item.label})"
        return f"Graph in database {self.connection.database!r} at {self.connection.uri}, {meaning}"

    @property
    def schema(self) -> GraphSchema:
        """The schema last read or used; UsageError where there is none yet."""
        if self._schema is None:
            raise UsageError("What the graph means is not known yet: call graph.use(GraphSchema.load(…)) first.")
        return self._schema

    def read_interactions(self, schema: GraphSchema, *, progress: bool | None = None) -> Interactions:
        """Pull all feedback; see `kgplug.graph.reader.read_interactions`."""
        self._schema = schema
        self._interactions, report = reader.pull_interactions(self.connection, schema, progress=progress)
        self.reports["feedback"] = report.logged("feedback")
        return self._interactions

    def read_knowledge(self, schema: GraphSchema, *, progress: bool | None = None) -> KnowledgeGraph:
        """Pull all triples; see `kgplug.graph.reader.read_knowledge`."""
        self._schema = schema
        knowledge, report = reader.pull_knowledge(self.connection, schema, progress=progress)
        self.reports["triples"] = report.logged("triples")
        return knowledge

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
        progress: bool | None = None,
    ) -> PublishReport:
        """Write a model's vectors and top lists into the graph.

        Args:
            model: a fitted recommender or embedding; or the result of another library's training that an entry
                point of the group "kgplug.results" makes one of, such as that of PyKEEN's `pipeline`.
            top: length of each user's list.
            similar: give each node SIMILAR_TO edges to so many nodes of its label, by the cosine of their vectors.
            similar_label: to nodes of this label only.
            schema: of the graph; the one last read with, if not given.
            also_seen: rows whose items are left out of the lists beside the training rows, where the options
                count all as seen; all interactions last read, if not given.
            lists: what counts as seen, which items may stand in the lists, how much these differ.
            details: facts kept on the catalogue node.
            keep_previous: keep the run that serves now, so that `rollback` can bring it back.
            force: publish the model even if it has collapsed (`kgplug.data.health`).

        Raises:
            DeadModelError: the model has collapsed; nothing is written.
            UsageError: the options of lists do not fit the graph, or the model has no lists.
            GraphError: somebody else publishes this model now, or the server refuses.
        """
        from kgplug.graph.publishing.publisher import publish

        with stage(f"Vectors and lists of {getattr(model, 'name', 'the model')}", progress=progress):
            publication = self._publication(
                model, top, similar, similar_label, schema or self.schema, also_seen, lists or ListOptions(), details
            )
        refuse_dead(publication, force=force)
        return publish(
            self.connection, schema or self.schema, publication, keep_previous=keep_previous, progress=progress
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
    ) -> Preview:
        """Tell what `publish` with the same arguments would change, how long it would take, and write nothing."""
        from kgplug.graph.publishing.preview import preview

        publication = self._publication(
            model, top, similar, similar_label, schema or self.schema, also_seen, lists or ListOptions(), None
        )
        refuse_dead(publication, force=force)
        return preview(self.connection, schema or self.schema, publication)

    def rollback(self, model: str) -> RollbackReport:
        """Undo a model's unfinished publish, or let its previous run serve again; see `kgplug.graph.publishing`."""
        from kgplug.graph.publishing.rollback import rollback

        return rollback(self.connection, model)

    def unpublish(self, model: str) -> UnpublishReport:
        """Remove every trace of a model from the graph."""
        from kgplug.graph.publishing.unpublish import unpublish

        return unpublish(self.connection, model)

    def erase_user(self, user: int | str) -> EraseReport:
        """Remove a user's edges and vectors that kgplug wrote; `kgplug.erasure` does it in runs, too."""
        from kgplug.graph.publishing.erase import erase_user

        return erase_user(self.connection, self.schema, user)

    def _publication(
        self,
        model: Publishable | object,
        top: int,
        similar: int | None,
        similar_label: str | None,
        schema: GraphSchema,
        also_seen: Interactions | None,
        lists: ListOptions,
        details: dict | None,
    ) -> Publication:
        """Return what a model's publish writes; arguments as in `publish`."""
        seen = also_seen if also_seen is not None else self._interactions
        publishable = _publishable(model)
        options = self._list_options(publishable, schema, lists)
        publication = publishable.publication(
            top=top, also_seen=seen if lists.seen == "all" else None, details=details, **options
        )
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
