"""Plan a publish: compute vectors and lists from a fitted model and the options, and check them before writing."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import entry_points
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from kgplug.data.health import refuse_dead
from kgplug.data.interactions import Interactions
from kgplug.data.publication import Publication
from kgplug.data.ranking.neighbours import similar_lists
from kgplug.errors import UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.publishing.list_options import KnowsItems, recommend_options
from kgplug.graph.publishing.options import PublishOptions
from kgplug.graph.publishing.plan import Plan, plan
from kgplug.graph.reading import reader
from kgplug.graph.schema import GraphSchema
from kgplug.progress import stage

RESULTS_GROUP = "kgplug.results"
"""Group of entry points. Each has the name of a library, such as pykeen, and converts its result to a `Publishable`."""


@runtime_checkable
class Publishable(Protocol):
    """A fitted model that has vectors to publish. A model that also has lists is a `GivesLists`."""

    name: str

    def publication(self, *, details: dict[str, Any] | None = None) -> Publication: ...


@runtime_checkable
class GivesLists(KnowsItems, Protocol):
    """A fitted recommender, which has lists to publish."""

    name: str
    user_label: str
    user_keys: np.ndarray

    def publication(
        self, *, k: int = 10, details: dict[str, Any] | None = None, also_seen: Interactions | None = None, **rules: Any
    ) -> Publication:
        """Return vectors and lists of length k.

        `details` are facts to store with the run. `also_seen` and `rules` are arguments of `Recommender.recommend`.
        """
        ...


@runtime_checkable
class KnowsSchema(Protocol):
    """A model that remembers the schema of the graph it was trained on."""

    graph_schema: dict[str, Any] | None


def schema_of(model: object) -> GraphSchema | None:
    """Return the schema of the graph that a model was trained on; None if the model has not stored it."""
    if not isinstance(model, KnowsSchema) or model.graph_schema is None:
        return None
    return GraphSchema.model_validate(model.graph_schema)


def plan_model(
    connection: Connection,
    schema: GraphSchema,
    model: Publishable | object,
    options: PublishOptions,
    *,
    also_seen: Interactions | None = None,
    details: dict[str, Any] | None = None,
    progress: bool | None = None,
) -> Plan:
    """Compute a model's vectors and lists, and return the checked plan for writing them.

    Args:
        connection: connection to the database.
        schema: schema of the graph.
        model: a fitted recommender or embedding, or a result of another library, such as a PyKEEN pipeline.
        options: how to publish it.
        also_seen: feedback in addition to the training set; by default all feedback now in the graph. If the option
            `seen` is "all", a user's list leaves out all items on which the user has feedback in `also_seen` or in the
            training set.
        details: JSON-able facts to store with the run in the catalogue.
        progress: Whether to show progress bars. None: only on a terminal.

    Raises:
        DeadModelError: the model has collapsed, for example to identical vectors or scores.
        UsageError, DataError, GraphError: as in `plan`; or the options do not fit the model or the graph.
    """
    model = _publishable(model)
    details = {"schema": schema.model_dump(), **(details or {})}
    with stage(f"Vectors and lists of {options.name or model.name}", progress=progress):
        if isinstance(model, GivesLists):
            publication = _with_lists(connection, schema, model, options, also_seen, details, progress)
        elif options.change_lists:
            raise UsageError(f"{model.name} gives no lists, so there is nothing to filter or to make diverse.")
        else:
            publication = model.publication(details={**options.to_details(with_lists=False), **details})
        publication = publication.without_values(_value_labels(schema, schema_of(model)))
        if options.name is not None:
            publication = replace(publication, model=options.name)
        if options.similar is not None:
            similar = similar_lists(publication.vectors, options.similar, label=options.similar_label)
            publication = replace(publication, similar=similar)
    refuse_dead(publication, force=options.force)
    return plan(connection, schema, publication, replace=options.replace)


def _with_lists(
    connection: Connection,
    schema: GraphSchema,
    model: GivesLists,
    options: PublishOptions,
    also_seen: Interactions | None,
    details: dict[str, Any],
    progress: bool | None,
) -> Publication:
    """Return a recommender's publication: its vectors, and a list for each user, according to the options."""
    _check_labels(model, schema)
    rules: dict[str, Any] = {}
    if options.change_lists:
        rules = {"exclude_seen": options.seen != "none", **recommend_options(connection, schema, model, options)}
    if options.seen != "all":
        also_seen = None
    elif also_seen is None and model.user_label:  # without a user label, the model's users are not nodes of a graph
        also_seen, _ = reader.pull_interactions(connection, schema, progress=progress)
    details = {**options.to_details(with_lists=True), **details}
    publication = model.publication(k=options.k, details=details, also_seen=also_seen, **rules)
    if publication.lists is None:
        return publication
    # Users are never recommended to themselves, even by a model from another package.
    return replace(publication, lists=publication.lists.without_own())


def _value_labels(*schemas: GraphSchema | None) -> set[str]:
    """Return the labels of entities that are values of properties, which are no labels of nodes."""
    return {label for schema in schemas if schema is not None for label in schema.knowledge.properties}


def _publishable(model: object) -> Publishable:
    """Return a `Publishable` model unchanged; convert the result of another library into one."""
    if isinstance(model, Publishable):
        return model
    library = type(model).__module__.partition(".")[0]
    for point in entry_points(group=RESULTS_GROUP, name=library):
        return cast("Publishable", point.load()(model))
    raise UsageError(
        f"Expected a fitted model of kgplug or the result of a PyKEEN pipeline, found a {type(model).__qualname__} of "
        f"{library}."
    )


def _check_labels(model: GivesLists, schema: GraphSchema) -> None:
    """Raise UsageError if a model's users or items have other labels than the schema's."""
    found = model.user_label, model.item_label
    if all(found) and found != (schema.user.label, schema.item.label):
        raise UsageError(
            f"{model.name} was trained to recommend :{found[1]} to :{found[0]}, and the schema is of {schema.pattern}. "
            "Give the schema that it was trained with: schema=…."
        )
