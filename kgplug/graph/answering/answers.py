"""Query recommended items, similar items and reasons from a published graph. Errors explain why nothing was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from kgplug.errors import GraphError, UsageError
from kgplug.graph import catalog, queries
from kgplug.graph.answering.lookups import models_with_list
from kgplug.graph.answering.nearest import is_lost_index, with_search
from kgplug.graph.answering.nothing_found import live_list_of, no_list, no_neighbour
from kgplug.graph.answering.shared_values import shared_values
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.find_key import require_item, require_user
from kgplug.graph.naming import description_of, with_article
from kgplug.graph.schema import GraphSchema
from kgplug.graph.user_cypher import user_frame

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN_SCHEMA = "The schema of the graph is not known yet: call graph.use(GraphSchema.load(…)) first."


def run_query(
    connection: Connection, schema: GraphSchema | None, name: str, parameters: dict[str, Any]
) -> pd.DataFrame:
    """Run one of kgplug's own queries with the labels, types and properties of a schema; see `Graph.cypher`.

    Args:
        connection: connection to the database.
        schema: schema of the graph; None for the demo graph.
        name: name of the query.
        parameters: parameters of the query.
    """
    parameters = {"like_threshold": None if schema is None else schema.like_threshold, **parameters}
    text = queries.load(name, schema)
    parameters = queries.checked(name, queries.load(name), parameters)  # without the Cypher of kgplug.toml
    if schema is None or not schema.tables_with_cypher:
        frame = connection.frame
    else:
        frame = partial(user_frame, connection, schema.tables_with_cypher)
    try:
        found = frame(with_search(connection, text, parameters.get("model")), **parameters)
    except GraphError as error:
        if not is_lost_index(error):
            raise
        found = frame(text, **parameters)
    if found.empty:
        for parameter, require in {"user": require_user, "item": require_item}.items():
            if schema is not None and parameter in parameters:
                require(connection, schema, parameters[parameter])
        if "model" in parameters:
            catalog.require_published(connection, parameters["model"])
    return found


def recommend(
    connection: Connection,
    known: GraphSchema | None,
    user: int | str,
    *,
    k: int = 10,
    model: str | None = None,
    reasons: bool = False,
) -> pd.DataFrame:
    """Return the published list of a user; see `Graph.recommend`.

    Args:
        connection: connection to the database.
        known: schema of the graph; None if only the model's own schema is known.
        user, k, model, reasons: as in `Graph.recommend`.
    """
    if model is not None:
        known = schema_for(known, published(connection, known, model))
    schema = required(known)
    require_user(connection, schema, user)
    with_list = models_with_list(connection, schema, user)
    run = published(
        connection, schema, model,
        can_serve=lambda run: run["model"] in with_list, wanted="a list for that user", advice=live_list_of(user),
    )  # fmt: skip
    if run["model"] not in with_list:
        raise no_list(connection, schema, run, user)
    schema = required(schema_for(schema, run))
    found = run_query(connection, schema, "recommend", {"user": user, "model": run["model"], "k": k})
    frame = found.rename(columns={"id": "item"}).assign(user=user)
    frame = frame.reindex(columns=["user", "item", "rank", "score", "title"])
    if not reasons:
        return frame
    return frame.assign(because=reasons_for(connection, schema, user, frame["item"].tolist()))


def similar(
    connection: Connection, known: GraphSchema | None, item: int | str, *, k: int = 10, model: str | None = None
) -> pd.DataFrame:
    """Return the items nearest to an item, given by its key; see `Graph.similar`. Other arguments as in `recommend`."""
    if model is not None:
        known = schema_with_vectors(known, published(connection, known, model))
    schema = required(known)
    label = schema.item.label
    require_item(connection, schema, item)
    wanted = f"vectors of :{label} nodes"
    run = published(
        connection, schema, model, can_serve=lambda run: has_vectors(run, label), wanted=wanted, any_subject=True
    )
    if not has_vectors(run, label):
        able = [each["model"] for each in catalog.published_models(connection) if has_vectors(each, label)]
        others = f"Models that have them: {', '.join(sorted(able))}." if able else "No published model has them."
        raise UsageError(f"{run['model']} has no {wanted} in the graph. {others}")
    found = run_query(connection, schema, "similar", {"item": item, "model": run["model"], "k": k})
    if found.empty:
        raise no_neighbour(connection, schema, run, item)
    return found.rename(columns={"id": "item", "similarity": "score"}).reindex(
        columns=["item", "rank", "score", "title"]
    )


def explain(
    connection: Connection, schema: GraphSchema | None, user: int | str, item: int | str, *, k: int = 5
) -> pd.DataFrame:
    """Return paths from items that a user likes, through a shared node, to an item; see `Graph.explain`."""
    paths = _paths(connection, schema, user, item, k=k)
    unnamed = paths["shared"].isna()
    described = [_described(schema, path) for path in paths[unnamed].to_dict("records")]
    paths["shared"] = paths["shared"].astype(object)
    paths.loc[unnamed, "shared"] = described
    return paths.drop(columns="shared_labels")


def reasons_for(connection: Connection, schema: GraphSchema, user: int | str, items: Iterable[int | str]) -> list[str]:
    """Return one text per item: the best path to it from an item that the user likes; "" if there is none."""
    found = [_paths(connection, schema, user, item, k=1) for item in items]
    return [_reason(schema, paths.to_dict("records")) for paths in found]


def _paths(
    connection: Connection, schema: GraphSchema | None, user: int | str, item: int | str, *, k: int
) -> pd.DataFrame:
    """Return up to k reasons: the rows of the query explain, then values of properties (without `shared_labels`)."""
    paths = run_query(connection, schema, "explain", {"user": user, "item": item, "k": k})
    if schema is None or len(paths) >= k or not schema.knowledge.properties:
        return paths
    import pandas as pd

    values = shared_values(connection, schema, user, item, k=k - len(paths))
    return values.assign(shared_labels=None) if paths.empty else pd.concat([paths, values], ignore_index=True)


def _reason(schema: GraphSchema, paths: Sequence[Mapping[Any, Any]]) -> str:
    if not paths:
        return ""
    path = paths[0]
    how = path["via"] if path["via"] == path["to"] else f"{path['via']}, {path['to']}"
    has_name = path["shared"] is not None and path["shared"] == path["shared"]
    shared = f"{path['shared_label']} {path['shared']}" if has_name else _described(schema, path)
    return f"{path['liked']} — {how} — {shared}"


def _described(schema: GraphSchema | None, path: Mapping[Any, Any]) -> str:
    """Return words for the shared node of a row of the query explain, such as "an actor they share"."""
    what = description_of(schema or GraphSchema(), path["shared_labels"], (path["via"], path["to"]))
    return f"{with_article(what)} they share"


def required(schema: GraphSchema | None) -> GraphSchema:
    """Return the schema. Raise UsageError if it is None."""
    if schema is None:
        raise UsageError(UNKNOWN_SCHEMA)
    return schema


def schema_of(run: dict[str, Any]) -> GraphSchema | None:
    """Return the schema that a published run was trained with; None if the catalogue does not have it."""
    stored = run["details"].get("schema")
    return GraphSchema.model_validate(stored) if stored else None


def schema_for(known: GraphSchema | None, run: dict[str, Any]) -> GraphSchema | None:
    """Return the schema for querying a published run: the graph's or the one that the run was trained with.

    `known`, the graph's schema, is returned if it has the same users, items and feedback type as the run's schema. It
    is preferred because it may be newer, for example with a title property that was added after training. Otherwise
    the run's schema is returned. If the catalogue has no schema of the run, `known` is returned, even if it is None
    (unknown).
    """
    stored = schema_of(run)
    if stored is None or (known is not None and _about(known) == _about(stored)):
        return known
    return stored


def _about(schema: GraphSchema) -> tuple[object, ...]:
    return schema.subject, schema.conditions


def schema_with_vectors(known: GraphSchema | None, run: dict[str, Any]) -> GraphSchema | None:
    """Return the schema for querying the vectors of a published run.

    It is `known`, the graph's schema, if the run has indexed vectors of nodes with the schema's item label, and was not
    trained under another condition on items. Otherwise it is the result of `schema_for`.
    """
    if known is None or not has_vectors(run, known.item.label):
        return schema_for(known, run)
    return known if _may_share_items(schema_of(run) or known, known) else schema_for(known, run)


def _may_share_items(stored: GraphSchema, schema: GraphSchema) -> bool:
    """Return whether the items of two schemas may be the same nodes: their conditions on one label do not differ."""
    return stored.item.label != schema.item.label or stored.item.where == schema.item.where


def has_vectors(run: dict[str, Any], label: str) -> bool:
    """Return whether a published run has indexed vectors for the nodes of a label."""
    return any(run["indexes"][n] for n, its in enumerate(run["labels"]) if its == label)


def published(
    connection: Connection,
    known: GraphSchema | None,
    model: str | None,
    *,
    can_serve: Callable[[dict[str, Any]], bool] | None = None,
    wanted: str = "",
    advice: str = "",
    any_subject: bool = False,
) -> dict[str, Any]:
    """Return the catalogue entry of the serving run of a published model.

    Args:
        connection: connection to the database.
        known: schema of the graph.
        model: name of the model, case ignored. None: the most recently published model that has the schema's users and
            items and whose run `can_serve` accepts. If only one model has these, it is chosen in any case.
        can_serve: function that returns whether a run has the lists or vectors that the caller needs. None: every run
            has them.
        wanted: what the caller needs, in words, for the error message.
        advice: what to do if no model has what is wanted, for the error message.
        any_subject: choose from all published models, whatever their user and item labels, except those that were
            trained under another condition on items of this label.

    Raises:
        UsageError: the named model is not published. Without `model`: no suitable model is published.
    """
    serving = catalog.published_models(connection)
    if not serving:
        raise UsageError("No model is published in this graph yet. `kgplug train MKR`, then `kgplug publish MKR`.")
    names = ", ".join(sorted(run["model"] for run in serving))
    if model is not None:
        by_lower = {run["model"].lower(): run for run in serving}
        if model.lower() not in by_lower:
            raise UsageError(f'No published model is called "{model}". Published: {names}.')
        return by_lower[model.lower()]
    schema = required(known)
    fitting = [run for run in serving if _fits(schema_of(run) or schema, schema, any_subject=any_subject)]
    # With any_subject, a run of the same tenant comes before one that only has the same items.
    fitting.sort(key=lambda run: (schema_of(run) or schema).conditions != schema.conditions)
    found = next((run for run in fitting if can_serve is None or can_serve(run)), None)
    if found is None and len(fitting) == 1:
        return fitting[0]
    if found is None:
        of = f" for {schema.pattern}" if not fitting else ""
        raise UsageError(f"No published model has {wanted}{of}. Published: {names}.{advice if fitting else ''}")
    return found


def _fits(stored: GraphSchema, schema: GraphSchema, *, any_subject: bool) -> bool:
    """Return whether a model with the schema `stored` may answer questions about `schema`; see `published`."""
    if any_subject:
        return _may_share_items(stored, schema)
    return stored.subject[:2] == schema.subject[:2] and stored.conditions == schema.conditions
