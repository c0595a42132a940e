"""The nearest of many vectors to each of them, by cosine: exact, in blocks of rows and columns."""

from __future__ import annotations

import numpy as np

from kgplug.data.blocks import row_blocks
from kgplug.data.publication import NodeVectors, TopLists, usable_rows
from kgplug.data.top_k import top_k
from kgplug.errors import UsageError, unknown_name

_BLOCK_ROWS = 512  # with the columns: 4 million cosines at a time, 16 MB
_BLOCK_COLUMNS = 8192


def similar_lists(vectors: list[NodeVectors], k: int, *, label: str | None = None) -> list[TopLists]:
    """Return for each label with a vector index the nearest nodes of each node, among those of its label.

    Args:
        vectors: one entry a label; nodes whose vectors are zero or not finite get no list and stand in none.
        k: at most so many.
        label: of this label only.

    Raises:
        UsageError: no vectors are of that label, or k is not positive.
    """
    if k < 1:
        raise UsageError(f"similar={k}: expected the length of each node's list, from 1 on.")
    if label is not None and label not in {nodes.label for nodes in vectors}:
        raise unknown_name("label of this model's vectors", label, {nodes.label for nodes in vectors})
    wanted = [nodes for nodes in vectors if nodes.indexed and label in (None, nodes.label)]
    return [_lists_of(nodes, k) for nodes in wanted]


def _lists_of(nodes: NodeVectors, k: int) -> TopLists:
    usable = usable_rows(nodes.vectors)
    keys = nodes.keys[usable]
    return TopLists(nodes.label, nodes.label, keys, keys, *nearest_neighbours(nodes.vectors[usable], k))


def nearest_neighbours(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k nearest other rows of each row by cosine, best first; equal ones in the order of their number.

    Args:
        vectors: float32 (n, d), none of them zero.
        k: at most n - 1 are found.

    Returns:
        (numbers, cosines): int64 and float32 (n, min(k, n - 1)).
    """
    n = len(vectors)
    k = max(0, min(k, n - 1))
    numbers, cosines = np.empty((n, k), dtype=np.int64), np.empty((n, k), dtype=np.float32)
    if k == 0:
        return numbers, cosines
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for rows in row_blocks(n, _BLOCK_ROWS):
        best, values = np.empty((len(unit[rows]), 0), dtype=np.int64), np.empty((len(unit[rows]), 0), dtype=np.float32)
        for columns in row_blocks(n, _BLOCK_COLUMNS):
            found = unit[rows] @ unit[columns].T  # (b, c)
            own = np.arange(max(rows.start, columns.start), min(rows.stop, columns.stop))
            found[own - rows.start, own - columns.start] = -np.inf
            places, block_values = top_k(found, min(k, found.shape[1]))
            # Earlier columns stand first, so that equal cosines stay in the order of their number.
            best = np.concatenate([best, places + columns.start], axis=1)
            values = np.concatenate([values, block_values], axis=1)
            kept, values = top_k(values, min(k, values.shape[1]))
            best = np.take_along_axis(best, kept, axis=1)
        numbers[rows], cosines[rows] = best, values
    return numbers, cosines
