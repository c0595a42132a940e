"""Nearest neighbours of vectors by cosine: exact, in blocks of rows and columns."""

from __future__ import annotations

import numpy as np

from kgplug.data.publication import NodeVectors, TopLists, usable_rows
from kgplug.data.ranking.threads import row_blocks
from kgplug.data.ranking.ties import Ties
from kgplug.data.ranking.top_k import top_k
from kgplug.data.values.whole_numbers import is_whole
from kgplug.errors import UsageError, unknown_name

_BLOCK_ROWS, _BLOCK_COLUMNS = 512, 8192  # rows and columns of one matrix product
_BLOCK_CELLS = 4_000_000  # cosines in memory at a time (16 MB); whole rows, because ties may span column blocks


def similar_lists(vectors: list[NodeVectors], k: int, *, label: str | None = None) -> list[TopLists]:
    """Return the nearest nodes of each node, among nodes of the same label.

    Labels without a vector index are skipped.

    Args:
        vectors: one entry per label. Nodes whose vectors are zero or not finite get no list, and are in no other node's
            list.
        k: maximum length of a list.
        label: the only label whose nodes get lists; None: all labels.

    Returns:
        One entry per label. Scores are cosines.

    Raises:
        UsageError: the label has no vectors, or k is not a whole number of at least 1.
    """
    if not is_whole(k) or k < 1:
        raise UsageError(f"similar: expected the length of each node's list, at least 1; found {k!r}.")
    if label is not None and label not in {nodes.label for nodes in vectors}:
        raise unknown_name("label of this model's vectors", label, {nodes.label for nodes in vectors})
    wanted = [nodes for nodes in vectors if nodes.indexed and label in (None, nodes.label)]
    return [_lists_of(nodes, k) for nodes in wanted]


def _lists_of(nodes: NodeVectors, k: int) -> TopLists:
    usable = usable_rows(nodes.vectors)
    keys = nodes.keys[usable]
    return TopLists(nodes.label, nodes.label, keys, keys, *nearest_neighbours(nodes.vectors[usable], k))


def nearest_neighbours(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k nearest neighbours of each vector by cosine, best first. Ties are ordered by index.

    Cosines that differ only by rounding count as tied (`kgplug.data.ranking.ties`).

    Args:
        vectors: float32 (n, d), no zero vectors.
        k: maximum number of neighbours.

    Returns:
        (indices, cosines): int64 and float32 (n, min(k, n - 1)).
    """
    n = len(vectors)
    k = max(0, min(k, n - 1))
    indices, cosines = np.empty((n, k), dtype=np.int64), np.empty((n, k), dtype=np.float32)
    if k == 0:
        return indices, cosines
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for rows in row_blocks(n, max(1, min(_BLOCK_ROWS, _BLOCK_CELLS // n))):
        found = np.empty((len(unit[rows]), n), dtype=np.float32)  # (b, n)
        for columns in row_blocks(n, _BLOCK_COLUMNS):
            found[:, columns] = unit[rows] @ unit[columns].T
        found[np.arange(len(found)), np.arange(n)[rows]] = -np.inf
        indices[rows], cosines[rows] = top_k(found, k, ties=Ties.by_index(1.0, found.shape))
    return indices, cosines
