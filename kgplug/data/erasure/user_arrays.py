"""The arrays of a saved model that hold user data, and how to erase one user from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kgplug.data.erasure.entries import without_entries
from kgplug.data.erasure.item_arrays import ItemArrays, with_loops


@dataclass(frozen=True)
class UserArrays:
    """Names of a saved model's arrays that hold user data; names that a run does not have are skipped.

    Attributes:
        rows: arrays with one row per user, (n_users, …).
        matrices: CSR matrices whose rows are users: `name.indptr`, `name.indices`, `name.data`.
        neighbours: CSR matrices whose rows and columns are users.
        lists: pairs (starts, others) of names. The array `starts`, int64 (n_users + 1,), divides each of `others` into
            one part per user.
        pairs: arrays int64 (2, n) with user indices in the first row.
        items: names of the arrays that hold item data, to erase a user who is also an item; None if unknown.
    """

    rows: tuple[str, ...] = ()
    matrices: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()
    lists: tuple[tuple[str, tuple[str, ...]], ...] = ()
    pairs: tuple[str, ...] = ()
    items: ItemArrays | None = None

    def without(self, arrays: dict[str, np.ndarray], user: int) -> dict[str, np.ndarray]:
        """Return the arrays with a user erased: the user's rows are set to zero.

        The user's entries are removed from matrices, neighbours, lists and pairs.

        Args:
            arrays: arrays of the model, by name.
            user: index of the user. The index stays in use, so the indices of other users do not change.
        """
        kept = dict(arrays)
        for name in arrays.keys() & {*self.rows}:
            kept[name] = arrays[name].copy()
            kept[name][user] = 0
        for name in arrays.keys() & {*self.pairs}:
            kept[name] = arrays[name][:, arrays[name][0] != user]
        parts = [(f"{name}.indptr", (f"{name}.indices", f"{name}.data")) for name in (*self.matrices, *self.neighbours)]
        for starts, others in (*parts, *self.lists):
            if starts in arrays:
                own = np.zeros(int(arrays[starts][-1]), dtype=bool)
                own[arrays[starts][user] : arrays[starts][user + 1]] = True
                kept |= without_entries(arrays, starts, others, own)
        for name in self.neighbours:
            starts, indices, data = (f"{name}.{part}" for part in ("indptr", "indices", "data"))
            if starts in arrays:
                kept |= without_entries(kept, starts, (indices, data), kept[indices] == user)
        return kept


@dataclass(frozen=True)
class EntityArrays:
    """Erases an entity from a saved embedding's arrays. Arrays with "entity" in their name have one row per entity."""

    def without(self, arrays: dict[str, np.ndarray], entity: int, n_entities: int) -> dict[str, np.ndarray]:
        """Return the arrays with an entity erased: its vectors become zero and its triples self-loops.

        In a rule-based model, stored rules that mention the entity are removed.

        Args:
            arrays: arrays of the run, by name.
            entity: index of the entity. The index stays in use, so the indices of other entities do not change.
            n_entities: number of entities.
        """
        kept = {name: array.copy() for name, array in arrays.items()}
        for name, array in kept.items():
            if name == "graph.triples":
                kept[name] = with_loops(array, entity)
            elif name == "rules.facts":  # columns 1 and 3 are entities
                kept[name] = array[(array[:, [1, 3]] != entity).all(axis=1)]
            elif name.endswith(".sources"):  # entity indices: where messages along triples start
                targets = kept[name.removesuffix("sources") + "targets"]
                touched = (array == entity) | (targets == entity)
                array[touched], targets[touched] = entity, entity
            elif "entity" in name and len(array) == n_entities:
                array[entity] = 0
        return kept
