"""The arrays of a saved recommender that hold item data, and how to erase an item from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kgplug.data.erasure.entries import without_entries


@dataclass(frozen=True)
class ItemArrays:
    """Names of a saved recommender's arrays that hold item data.

    They are needed to erase an item that is a person, as when people follow people. Arrays named in `known`,
    `entities`, `links` or `triples` must be in the run. Names in the other attributes are skipped if the run has no
    such array.

    Attributes:
        rows: arrays with one row per item, (n_items, …).
        matrices: CSR matrices whose rows are items: `name.indptr`, `name.indices`, `name.data`.
        columns: CSR matrices whose columns are items.
        neighbours: CSR matrices whose rows and columns are items.
        indices: arrays of item indices, with -1 for no item.
        lists: pairs (starts, (items, *others)) of names. The array `starts`, int64 (n_users + 1,), divides `items` into
            one part per user. `items` holds item indices; each of `others` has one entry per element of `items`.
        pairs: arrays int64 (2, n) with item indices in the second row.
        known: pairs of names. The first array, int64 (m,), holds item indices. The second, (m, m), has a row and a
            column for each of these items.
        entities: arrays with one row per entity, (n_entities, …). The array `item_entities`, (n_items,), holds the
            entity index of each item; -1 if it has none.
        links: arrays of entity indices, (n_entities, K): each entity is linked to the K neighbours in its row.
        triples: arrays of triples, int64 (n, 3).
    """

    rows: tuple[str, ...] = ()
    matrices: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()
    indices: tuple[str, ...] = ()
    lists: tuple[tuple[str, tuple[str, ...]], ...] = ()
    pairs: tuple[str, ...] = ()
    known: tuple[tuple[str, str], ...] = ()
    entities: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    triples: tuple[str, ...] = ()

    def without(self, arrays: dict[str, np.ndarray], item: int) -> dict[str, np.ndarray]:
        """Return the arrays with an item erased: its rows are set to zero, and it is removed from likes and neighbours.

        Every triple with the item's entity becomes a self-loop of that entity. A link from or to the entity becomes a
        self-loop at the link's start.

        Args:
            arrays: arrays of the model, by name.
            item: index of the item. The index stays in use, so the indices of other items do not change.
        """
        kept = dict(arrays)
        for name in arrays.keys() & {*self.rows}:
            kept[name] = _zeroed(arrays[name], item)
        for name in arrays.keys() & {*self.indices}:
            kept[name] = np.where(arrays[name] == item, -1, arrays[name])
        for name in arrays.keys() & {*self.pairs}:
            kept[name] = arrays[name][:, arrays[name][1] != item]
        for known, weights in self.known:
            for row in np.flatnonzero(arrays[known] == item):
                kept[weights] = _zeroed(arrays[weights], int(row))
                kept[weights][:, row] = 0
        for starts, (items, *others) in self.lists:
            if starts in arrays:
                kept |= without_entries(arrays, starts, (items, *others), arrays[items] == item)
        for name in (*self.matrices, *self.columns, *self.neighbours):
            if f"{name}.indptr" in arrays:
                kept |= self._fewer(name, arrays, item)
        if self.entities and arrays["item_entities"][item] >= 0:
            kept |= self._without_entity(arrays, int(arrays["item_entities"][item]))
        return kept

    def _fewer(self, name: str, arrays: dict[str, np.ndarray], item: int) -> dict[str, np.ndarray]:
        """Return a CSR matrix's arrays without the item's row (if rows are items) and column (if columns are items)."""
        starts, indices, data = (f"{name}.{part}" for part in ("indptr", "indices", "data"))
        gone = np.zeros(len(arrays[indices]), dtype=bool)
        if name not in self.columns:
            gone[arrays[starts][item] : arrays[starts][item + 1]] = True
        if name not in self.matrices:
            gone |= arrays[indices] == item
        return without_entries(arrays, starts, (indices, data), gone)

    def _without_entity(self, arrays: dict[str, np.ndarray], entity: int) -> dict[str, np.ndarray]:
        """Return the changed arrays: the entity's vectors are set to zero, its triples and links become self-loops."""
        kept = {name: _zeroed(arrays[name], entity) for name in self.entities}
        for name in self.links:
            others = np.where(arrays[name] == entity, np.arange(len(arrays[name]))[:, None], arrays[name])
            others[entity] = entity
            kept[name] = others.astype(arrays[name].dtype)
        for name in self.triples:
            kept[name] = with_loops(arrays[name], entity)
        return kept


def with_loops(triples: np.ndarray, entity: int) -> np.ndarray:
    """Replace every triple (h, r, t) in which h or t is `entity` by (entity, r, entity): int64 (n, 3) → (n, 3)."""
    kept = triples.copy()
    kept[np.ix_((triples[:, [0, 2]] == entity).any(axis=1), [0, 2])] = entity
    return kept


def _zeroed(array: np.ndarray, row: int) -> np.ndarray:
    array = array.copy()
    array[row] = 0
    return array
