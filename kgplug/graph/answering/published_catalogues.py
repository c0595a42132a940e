"""Find the catalogue that a question is about: the users and items of published models, as the graph knows them.

Models whose schemas have the same users and the same items share a catalogue: they recommend the same kind of items to
the same users. A database may have several, such as films for viewers and books for readers, or one per tenant. The
schema of each model is stored with it in the graph, so no kgplug.toml is needed.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from kgplug.errors import UsageError
from kgplug.graph import catalog
from kgplug.graph.answering.answers import has_vectors, schema_of
from kgplug.graph.answering.lookups import models_with_list
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.members import condition_on
from kgplug.graph.queries import quote
from kgplug.graph.schema import GraphSchema, ItemSchema, UserSchema

Part = Literal["user", "item"]


@dataclass(frozen=True)
class PublishedCatalogue:
    """Published models that share users and items.

    Attributes:
        schema: schema of the model that was published last.
        models: names of the models, most recently published first.
    """

    schema: GraphSchema
    models: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        where = " and ".join(condition for condition in self.schema.conditions if condition is not None)
        return f"{', '.join(self.models)}: {self.schema.pattern}{f' where {where}' if where else ''}"


def catalogue_of(
    connection: Connection,
    part: Part,
    keys: Sequence[int | float | str],
    *,
    label: str | None = None,
    ask: Callable[[list[PublishedCatalogue]], PublishedCatalogue] | None = None,
) -> GraphSchema | None:
    """Return the schema of the one catalogue that has a user, or an item, with a key.

    If several have one, those in which a model has a list for this user are preferred.

    Args:
        connection: connection to the database.
        part: whether the key is that of a user or of an item.
        keys: the key, or all values that a key typed as text may mean.
        label: only catalogues with this label of users (or items).
        ask: function that chooses between several catalogues, such as by asking the user. None: several are an error.

    Returns:
        The schema; None if no published model has stored one.

    Raises:
        UsageError: no catalogue has the label or the key, or several have and `ask` is None.
    """
    known = _catalogues(connection, part)
    if not known:
        return None
    of_label = [one for one in known if label is None or _part(one, part).label == label]
    if not of_label:
        raise UsageError(f"No published model has {part}s with the label {label!r}. Published: {_listed(known)}.")
    found = [one for one in of_label if _stored_keys(connection, _part(one, part), keys)]
    if len(found) > 1 and part == "user":
        found = [one for one in found if _has_list(connection, one, keys)] or found
    if len(of_label) == 1 or len(found) == 1:
        return (found or of_label)[0].schema
    if not found:
        raise UsageError(f"No {part} of a published model has the key {keys[0]!r}. Published: {_listed(of_label)}.")
    if ask is not None:
        return ask(found).schema
    raise UsageError(
        f"Several published models know a{'n' if part == 'item' else ''} {part} with the key {keys[0]!r}: "
        f"{_listed(found)}. Name one of them: --model {shlex.quote(found[0].models[0])} (in Python model=…)."
    )


def _catalogues(connection: Connection, part: Part) -> list[PublishedCatalogue]:
    """Return the catalogues whose models can answer: have lists of users, or vectors of items."""
    found: dict[tuple[object, ...], PublishedCatalogue] = {}
    for run in catalog.published_models(connection):
        schema = schema_of(run)
        if schema is None:
            continue
        able = "lists" in run["details"] if part == "user" else has_vectors(run, schema.item.label)
        if able:
            nodes = (schema.user, schema.item) if part == "user" else (schema.item,)
            alike = tuple((node.label, node.key, node.where) for node in nodes)
            found.setdefault(alike, PublishedCatalogue(schema)).models.append(run["model"])
    return list(found.values())


def _part(one: PublishedCatalogue, part: Part) -> UserSchema | ItemSchema:
    return one.schema.user if part == "user" else one.schema.item


def _stored_keys(
    connection: Connection, part: UserSchema | ItemSchema, keys: Sequence[int | float | str]
) -> list[int | str]:
    """Return those of the keys that a node has."""
    where = condition_on(part, "n") or "true"
    rows = connection.rows(
        f"MATCH (n:{quote(part.label)}) WHERE n.{quote(part.key)} IN $keys AND {where} "
        f"RETURN DISTINCT n.{quote(part.key)} AS key",
        keys=list(keys),
    )
    return [row["key"] for row in rows]


def _has_list(connection: Connection, one: PublishedCatalogue, keys: Sequence[int | float | str]) -> bool:
    stored = _stored_keys(connection, one.schema.user, keys)
    return any(not models_with_list(connection, one.schema, key).isdisjoint(one.models) for key in stored)


def _listed(catalogues: list[PublishedCatalogue]) -> str:
    return "; ".join(map(str, catalogues))
