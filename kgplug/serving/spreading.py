"""Layout of a small graph for a picture: connected nodes are near each other, and none overlap."""

from __future__ import annotations

import numpy as np

_ROUNDS, _PUSHES = 300, 200
_CORNER = 4.0  # exponent p of the rounded rectangle |x|^p + |y|^p = 1, whose corners stay free for a legend and buttons


def spread(
    n_nodes: int, heads: np.ndarray, tails: np.ndarray, *, width: float, height: float, gap: float
) -> np.ndarray:
    """Return the position of each node, float64 (n_nodes, 2), in a rounded rectangle centred on (0, 0).

    Springs and repulsion (Fruchterman and Reingold, 1991) place connected nodes near each other. Then nodes that are
    too close push each other away. The same input always gives the same positions.

    Args:
        n_nodes: number of nodes.
        heads, tails: int64 (n_edges,), node indices.
        width, height: size of the rectangle.
        gap: minimum distance between two nodes, if there is room for it.
    """
    half = np.array([width, height]) / 2
    positions = np.random.default_rng(0).normal(size=(n_nodes, 2)) * half / 3
    degree = np.bincount(np.concatenate([heads, tails]), minlength=n_nodes)
    softer = np.sqrt(np.maximum(degree[heads], degree[tails]))[:, None]  # otherwise the neighbours of a hub pile up
    natural = np.sqrt(width * height / max(n_nodes, 1))
    for number in range(_ROUNDS):
        away, distance = _differences(positions)
        force = np.einsum("ijk,ij->ik", away, (natural / distance) ** 2)
        along = positions[tails] - positions[heads]
        pull = along * np.linalg.norm(along, axis=1, keepdims=True) / natural / softer
        np.add.at(force, heads, pull)
        np.subtract.at(force, tails, pull)
        force -= positions * [1, width / height]
        length = np.maximum(np.linalg.norm(force, axis=1, keepdims=True), 1e-9)
        positions += force / length * np.minimum(length, natural * (1 - number / _ROUNDS))
    for _ in range(_PUSHES):
        outside = (np.abs(positions / half) ** _CORNER).sum(axis=1, keepdims=True) ** (1 / _CORNER)
        positions /= np.maximum(outside, 1)
        away, distance = _differences(positions)
        overlap = np.maximum(gap - distance, 0)
        if not overlap.any():
            break
        positions += np.einsum("ijk,ij->ik", away, overlap / distance / 2)
    return positions - (positions.max(axis=0) + positions.min(axis=0)) / 2


def _differences(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return arrays (n, n, 2) and (n, n): at [i, j], the vector from node j to node i, and its length.

    The lengths on the diagonal are infinite.
    """
    away = positions[:, None] - positions[None]
    distance = np.maximum(np.sqrt(np.einsum("ijk,ijk->ij", away, away)), 1e-3)
    np.fill_diagonal(distance, np.inf)
    return away, distance
