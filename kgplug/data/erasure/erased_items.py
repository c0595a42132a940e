"""Erase a person who is an item from a run's arrays."""

from __future__ import annotations

import re

import numpy as np

from kgplug.data.erasure.user_arrays import without_entries

ERASED_USER, ERASED_ITEM = "(erased {})", "(erased item {})"
"""Keys that replace those of an erased person in a run; {} is the user or item index."""
_ERASED = re.compile(r"\(erased (item )?\d+\)")
_ITEM_ROWS = ("items", "item_bias", "item_logits", "vectors", "base", "likes_per_item")  # one row per item
_OF_ITEMS = ("similarity", "cf", "semantic", "features")  # sparse matrices whose rows are items
_OTHER_COLUMNS = ("near", "features")  # sparse matrices whose columns are not items


def is_erased(key: object) -> bool:
    """Return whether a key replaces that of an erased person."""
    return isinstance(key, str) and _ERASED.fullmatch(key) is not None


def erased(keys: np.ndarray) -> np.ndarray:
    """Return which keys replace those of erased persons, bool (n,)."""
    return np.fromiter(map(is_erased, keys), dtype=bool, count=len(keys))


def without_item(arrays: dict[str, np.ndarray], item: int, n_items: int) -> dict[str, np.ndarray]:
    """Return a recommender's arrays without an item: its rows are zero, and no likes or neighbours contain it.

    Args:
        arrays: a run's arrays by name.
        item: item index.
        n_items: number of items.
    """
    kept = dict(arrays)
    entity = next((int(array[item]) for name, array in arrays.items() if _last(name) == "item_entities"), -1)
    for name, array in arrays.items():
        last, stem = _last(name), name.removesuffix(_last(name))
        if last in _ITEM_ROWS and len(array) == n_items:
            kept[name] = _zeroed(array, item)
        elif last == "histories":
            kept[name] = np.where(array == item, -1, array)
        elif last == "likes" and array.ndim == 2 and len(array) == 2:  # users and items of RKGE's paths
            kept[name] = array[:, array[1] != item]
        elif last == "weights" and f"{stem}known" in arrays:  # items × items, only for items that have a like
            for row in np.flatnonzero(arrays[f"{stem}known"] == item):
                kept[name] = _zeroed(array, int(row))
                kept[name][:, row] = 0
        elif last == "indptr":
            kept |= _fewer(arrays, stem, item)
        elif last == "rated_starts":
            rated = (f"{stem}rated_items", f"{stem}rated_weights")
            kept |= without_entries(arrays, name, rated, arrays[rated[0]] == item)
        elif entity >= 0:
            kept |= _without_entity(name, array, entity)
    return kept


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _zeroed(array: np.ndarray, row: int) -> np.ndarray:
    array = array.copy()
    array[row] = 0
    return array


def _fewer(arrays: dict[str, np.ndarray], stem: str, item: int) -> dict[str, np.ndarray]:
    """Return a sparse matrix's arrays without the item's row (if rows are items) and column (if columns are)."""
    matrix = _last(stem.rstrip("."))
    indptr, indices = arrays[f"{stem}indptr"], arrays[f"{stem}indices"]
    gone = np.zeros(len(indices), dtype=bool)
    if matrix in _OF_ITEMS:
        gone[indptr[item] : indptr[item + 1]] = True
    if matrix not in _OTHER_COLUMNS:
        gone |= indices == item
    return without_entries(arrays, f"{stem}indptr", (f"{stem}indices", f"{stem}data"), gone)


def _without_entity(name: str, array: np.ndarray, entity: int) -> dict[str, np.ndarray]:
    """Return an array with an entity's vector set to zero and its triples leading to itself; {} for other arrays."""
    if name.endswith("neighbours.entities"):  # int64 (n_entities, K)
        others = np.where(array == entity, np.arange(len(array))[:, None], array)
        others[entity] = entity
        return {name: others.astype(array.dtype)}
    if _last(name) == "entities":
        return {name: _zeroed(array, entity)}
    if _last(name) == "triples":
        touched = np.where((array[:, [0, 2]] == entity).any(axis=1, keepdims=True), entity, array)
        touched[:, 1] = array[:, 1]
        return {name: touched.astype(array.dtype)}
    return {}
