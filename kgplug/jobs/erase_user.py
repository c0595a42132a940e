"""Remove one user from kgplug's edges and vectors in the graph, and from the runs on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kgplug import models
from kgplug.data.artefact import peek_content, read_artefact, write_artefact
from kgplug.data.erasure.erased_keys import ERASED_ITEM, ERASED_USER
from kgplug.data.erasure.forgotten_rows import without_person
from kgplug.data.erasure.item_arrays import ItemArrays
from kgplug.data.erasure.user_arrays import UserArrays
from kgplug.data.graph_identity import GraphIdentity
from kgplug.data.own_items import OWN_ITEMS
from kgplug.data.values.key_text import FoundKey, choose_key
from kgplug.errors import RunError, UsageError
from kgplug.graph.answering.lookups import other_keys
from kgplug.graph.find_key import find_key, has_key, unknown_key
from kgplug.graph.graph import Graph
from kgplug.graph.identity import graph_identity, unused_local_stores
from kgplug.graph.members import condition_on
from kgplug.graph.publishing.removing.erase import erase_user as erase_from_graph
from kgplug.graph.schema import UserSchema
from kgplug.plain_text import counted
from kgplug.training.runs import Runs

if TYPE_CHECKING:
    from kgplug.graph.publishing.removing.erase import EraseReport

_PREFIX = "model."  # prefix of the names of a recommender's own arrays in a run
_OF_USERS = UserArrays(matrices=("seen", "liked"))  # arrays about users in every recommender's run
_OF_ITEMS = ItemArrays(columns=("seen", "liked"))


@dataclass(frozen=True)
class Erasure:
    """Report of an erasure.

    Attributes:
        graph: Removed edges and vectors.
        in_graph: Whether the graph has a node with the user's key.
        runs: Ids of the runs from which the user was removed.
        damaged: Ids of runs that cannot be searched or changed, so they may still contain the user's data.
        checkpoints: Number of deleted files and folders of unfinished trainings and of controls
            (`kgplug compare --controls`).
        elsewhere: Number of runs of other graphs or tenants. They are not changed, because there the key may be another
            user's.
        old_stores: Folders of stores that the local Neo4j keeps but does not use, such as the one from before an
            upgrade. They may still contain the user's data.
    """

    graph: EraseReport
    in_graph: bool = True
    runs: list[str] = field(default_factory=list[str])
    damaged: list[str] = field(default_factory=list[str])
    checkpoints: int = 0
    elsewhere: int = 0
    old_stores: list[str] = field(default_factory=list[str])

    def to_dict(self) -> dict[str, Any]:
        """Return the report as values for JSON."""
        return {**vars(self), "graph": vars(self.graph)}

    def __str__(self) -> str:
        graph = self.graph
        edges, vectors = graph.found
        lines = [
            f"User {graph.user}: {_both(graph.edges, graph.vectors)} removed from the graph; "
            f"user removed from {counted(len(self.runs), 'run')} on this machine."
        ]
        if self.checkpoints:
            files = counted(self.checkpoints, "file or folder", plural="files or folders")
            lines.append(f"Deleted: {files} of unfinished trainings and controls.")
        if self.elsewhere:
            were = "was" if self.elsewhere == 1 else "were"
            lines.append(f"{counted(self.elsewhere, 'run')} of other graphs or tenants {were} not changed.")
        if self.damaged:
            lines.append(f"Damaged runs could not be searched: {', '.join(self.damaged)}. Delete their folders.")
        if self.old_stores:
            store, folder = ("A store", "this folder") if len(self.old_stores) == 1 else ("Stores", "these folders")
            lines.append(
                f"{store} that the local Neo4j no longer uses may still have the user's data: "
                f"{', '.join(self.old_stores)}. Delete {folder}. Without the store from before an upgrade, "
                "`kgplug db upgrade --undo` is no longer possible."
            )
        lines += [
            "The node and its feedback are still in the graph. Delete them, or the next training uses them again."
            if self.in_graph
            else "The graph has no node with that key.",
            "This query finds the user's edges and vectors:",
            graph.proof,
            f"It found {_both(*graph.before)} before and {_both(edges, vectors)} now.",
        ]
        return "\n".join(lines)

    __repr__ = __str__  # shown in a notebook


def _both(edges: int, vectors: Sequence[str]) -> str:
    return f"{counted(edges, 'edge')} and {counted(len(vectors), 'vector')}"


def erase_user(graph: Graph, runs: Runs, user: int | str) -> Erasure:
    """Remove a user from this graph's runs on this machine, and kgplug's edges and vectors of the user from the graph.

    The user's node and feedback stay in the graph.

    Args:
        graph: A graph with a schema (`graph.use(schema)`).
        runs: The runs on this machine. Runs of other graphs, and copies on other machines, are not changed.
        user: The user's key, with the type that it has in the graph or the runs; `find_user` returns it for a text.

    Raises:
        UsageError: Neither the graph nor any run has a user with that key.
        LocalServerError: The local Neo4j's store.json is damaged. Nothing has been erased then.
    """
    here = graph_identity(graph.connection, None)
    user = user.item() if isinstance(user, np.generic) else user
    label, key, where = graph.schema.user.label, graph.schema.user.key, condition_on(graph.schema.user, "n")
    in_graph = has_key(graph.connection, label, key, user, where=where)
    if not in_graph and not any(_is(user, each) for each in _keys_in_runs(runs, label, key, here)):
        raise _nobody(unknown_key(graph.connection, label, key, user, where=where), runs)
    old_stores = [str(folder) for folder in unused_local_stores(graph.connection)]
    erased, damaged, elsewhere = [], [], 0
    for info in runs.list():
        if not here.same_store(info.graph) or _means_another(graph, info.graph, user):
            elsewhere += 1
            continue
        try:
            found = [erase_from_run(info.path, label, name) for name in _names_of(graph, info.graph, user)]
            if any(found):
                erased.append(info.id)
        except RunError:
            damaged.append(info.id)
    unfinished = [*(runs.folder / ".checkpoints").glob("*")]
    for path in unfinished:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)  # a killed write leaves a folder
    report = erase_from_graph(graph.connection, graph.schema, user, must_exist=False)
    return Erasure(report, in_graph, erased, damaged, len(unfinished), elsewhere, old_stores)


def find_user(graph: Graph, runs: Runs, text: str) -> FoundKey:
    """Return the key of the user that an entered text refers to.

    The key has the same type as in the graph or, if the graph does not have it, as in the runs.

    Raises:
        UsageError: Neither the graph nor any run has such a user.
    """
    label, key = graph.schema.user.label, graph.schema.user.key
    try:
        return find_key(graph.connection, label, key, text, where=condition_on(graph.schema.user, "n"))
    except UsageError as error:
        found = choose_key(text, _keys_in_runs(runs, label, key, graph_identity(graph.connection, None)))
        if found is None:
            raise _nobody(error, runs) from None
        return found


def _nobody(error: UsageError, runs: Runs) -> UsageError:
    n = len(runs.list())
    none = (
        "There are no runs on this machine."
        if n == 0
        else f"None of the {n:,} runs on this machine has that user either."
    )
    return UsageError(f"{error} {none if n != 1 else 'The one run on this machine does not have that user either.'}")


def _keys_in_runs(runs: Runs, label: str, key: str, here: GraphIdentity) -> Iterator[int | str]:
    """Yield the keys of users, or of items with the users' label, in the runs that were trained on the database `here`.

    Skip runs that use another key property or are damaged.
    """
    for info in runs.list():
        if not here.same_store(info.graph) or _other_key(info.graph, label, key):
            continue
        with suppress(RunError, KeyError, TypeError, ValueError):
            content = peek_content(info.path)
            keys = (*_user_keys(content, label), *_item_keys_of(content, label))
            yield from (key for key in keys if key is not None)


def _other_key(known: GraphIdentity, label: str, key: str) -> str:
    """Return the key property by which a run identifies users of a label; "" if it is `key` or unknown."""
    theirs, _, name = known.user.rpartition(".")
    return name if theirs == label and name != key else ""


def _means_another(graph: Graph, known: GraphIdentity, user: int | str) -> bool:
    """Return whether a key means another person in a run, because two tenants use the same key.

    This is so if another tenant's user has the key, and the user who is meant was not among the run's users.
    """
    part, theirs = graph.schema.user, known.user_where
    if not part.where or not theirs or theirs == part.where:
        return False
    mine, also = condition_on(part, "n"), condition_on(UserSchema(where=theirs), "n")
    shared, both = f"NOT {mine}", f"{mine} AND {also}"
    find = (graph.connection, part.label, part.key, user)
    return has_key(*find, where=shared) and not has_key(*find, where=both)


def _names_of(graph: Graph, known: GraphIdentity, user: int | str) -> list[int | str]:
    """Return the keys that a user may have in a run, which may use another key property than the graph's schema."""
    label, key = graph.schema.user.label, graph.schema.user.key
    other = _other_key(known, label, key)
    if not other:
        return [user]
    return other_keys(graph.connection, graph.schema, user, other)


def _user_keys(content: dict[str, Any], label: str) -> list[Any]:
    """Return the keys of a run's users, in the order of their indices; [] if they have another label.

    For an embedding's run, the list has one element per entity: None for an entity that is not a user.
    """
    if "user_keys" in content:
        return _keys_of(content, "user_keys", None, label)
    return _keys_of(content, "entity_keys", "entity_labels", label)


def _is(one: object, other: object) -> bool:
    """Return whether two keys are equal and of the same type."""
    return type(one) is type(other) and one == other


def erase_from_run(run_dir: Path, label: str, user: int | str) -> bool:
    """Remove a user's key, rows and vectors from a run; return whether the run had the user.

    The user's index stays and gets a placeholder as its key, so the indices of other users do not change.

    Args:
        run_dir: The run's folder.
        label: Label of users.
        user: The user's key.

    Raises:
        RunError: The run is damaged, or its model is not installed or does not declare which arrays are about users.
    """
    known = _user_keys(peek_content(run_dir), label)
    if user not in known and user not in _item_keys_of(peek_content(run_dir), label):
        return False
    arrays, content = read_artefact(run_dir)
    row = known.index(user) if user in known else -1
    removal = _class_of(run_dir, content).user_arrays()
    if removal is None:
        raise RunError(
            f"{run_dir}: {content['model']} does not say which of its arrays are about users. Delete the run."
        )
    if "user_keys" in content:
        item = _own_item(arrays, content, row, user, label)
        arrays = without_person(arrays, content, label, user, is_item=item >= 0)
        if row >= 0:
            arrays = _without_user(arrays, removal, row)
            content["user_keys"][row] = ERASED_USER.format(row)
        if item >= 0:
            arrays = _without_item(arrays, run_dir, content, removal, item)
            content["item_keys"][item] = ERASED_ITEM.format(item)
    else:
        arrays = removal.without(without_person(arrays, content, label, user), row, len(content["entity_keys"]))
        content["entity_keys"][row] = ERASED_USER.format(row)
    write_artefact(run_dir, arrays, {**content, "key": ""})
    return True


def _keys_of(content: dict[str, Any], keys: str, labels: str | None, label: str) -> list[Any]:
    """Return a list whose element i is the key of the user or entity with index i.

    The element is None for an entity with another label. If the run's users have another label, the list is empty.

    Args:
        content: The run's content.json, parsed.
        keys: Name of the list of keys in the content.
        labels: Name of the list of the entities' labels; None if all keys are those of users.
        label: Label of the users.
    """
    if labels is None:
        return content[keys] if content.get("user_label", label) in (label, "") else []
    found = zip(content[keys], content[labels], strict=True)
    return [key if its_label == label else None for key, its_label in found]


def _item_keys_of(content: dict[str, Any], label: str) -> list[Any]:
    """Return the keys of a run's items if they have the users' label, `label`; otherwise []."""
    return content["item_keys"] if label and content.get("item_label") == label else []


def _own_item(arrays: dict[str, np.ndarray], content: dict[str, Any], row: int, user: int | str, label: str) -> int:
    """Return the item index of a user who is also an item, otherwise -1. `row` is the user's index, -1 if missing."""
    if row >= 0 and OWN_ITEMS in arrays:
        return int(arrays[OWN_ITEMS][row])
    keys = _item_keys_of(content, label)
    return keys.index(user) if user in keys else -1


def _class_of(run_dir: Path, content: dict[str, Any]) -> Any:
    """Return the class of a run's model."""
    try:
        return models.class_of(content["model"])
    except UsageError:
        raise RunError(
            f"{run_dir}: {content['model']} is not installed here, so it is unknown which arrays are about users. "
            "Install it, or delete the run."
        ) from None


def _without_user(arrays: dict[str, np.ndarray], removal: UserArrays, row: int) -> dict[str, np.ndarray]:
    """Return the arrays of a recommender's run with a user's vectors set to zero and feedback removed."""
    kept = _OF_USERS.without(arrays, row) | _of_model(removal.without(_by_own_name(arrays), row))
    if OWN_ITEMS in arrays:
        kept[OWN_ITEMS] = arrays[OWN_ITEMS].copy()
        kept[OWN_ITEMS][row] = -1
    return kept


def _without_item(
    arrays: dict[str, np.ndarray], run_dir: Path, content: dict[str, Any], removal: UserArrays, item: int
) -> dict[str, np.ndarray]:
    """Return the arrays of a recommender's run with all data of an item erased.

    Raises:
        RunError: The model does not declare which arrays are about items.
    """
    if removal.items is None:
        raise RunError(
            f"{run_dir}: this person is also an item, and {content['model']} does not say which of its arrays are "
            "about items. Delete the run."
        )
    return _OF_ITEMS.without(arrays, item) | _of_model(removal.items.without(_by_own_name(arrays), item))


def _by_own_name(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays that the model of a run saved, under the model's own names for them.

    In a run, these names have a prefix, which distinguishes them from arrays that kgplug adds.
    """
    return {name.removeprefix(_PREFIX): array for name, array in arrays.items() if name.startswith(_PREFIX)}


def _of_model(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{_PREFIX}{name}": array for name, array in arrays.items()}
