"""Places for the nodes of a small picture: connected ones near each other, no two on top of each other."""

from __future__ import annotations

import numpy as np

_ROUNDS, _PUSHES = 300, 200
_CORNER = 4.0  # exponent of the rounded rectangle: its corners are left to a legend and buttons


def spread(
    n_nodes: int, heads: np.ndarray, tails: np.ndarray, *, width: float, height: float, gap: float
) -> np.ndarray:
    """Return places float64 (n_nodes, 2) around (0, 0), within a rounded rectangle.

    The same input gives the same places. Springs and repulsion (Fruchterman and Reingold, 1991) put connected nodes
    near each other; then nodes that are too near push each other away.

    Args:
        heads, tails: int64 (n_edges,), node numbers.
        width, height: of the rectangle.
        gap: least distance of two nodes, where there is room for it.
    """
    half = np.array([width, height]) / 2
    places = np.random.default_rng(0).normal(size=(n_nodes, 2)) * half / 3
    degree = np.bincount(np.concatenate([heads, tails]), minlength=n_nodes)
    softer = np.sqrt(np.maximum(degree[heads], degree[tails]))[:, None]  # or the neighbours of a hub pile up
    natural = np.sqrt(width * height / max(n_nodes, 1))
    for number in range(_ROUNDS):
        away, distance = _differences(places)
        force = (away * (natural / distance)[..., None] ** 2).sum(axis=1)
        along = places[tails] - places[heads]
        pull = along * np.linalg.norm(along, axis=1, keepdims=True) / natural / softer
        np.add.at(force, heads, pull)
        np.subtract.at(force, tails, pull)
        force -= places * [1, width / height]
        length = np.maximum(np.linalg.norm(force, axis=1, keepdims=True), 1e-9)
        places += force / length * np.minimum(length, natural * (1 - number / _ROUNDS))
    for _ in range(_PUSHES):
        outside = (np.abs(places / half) ** _CORNER).sum(axis=1, keepdims=True) ** (1 / _CORNER)
        places /= np.maximum(outside, 1)
        away, distance = _differences(places)
        overlap = np.maximum(gap - distance, 0)
        if not overlap.any():
            break
        places += (away / distance[..., None] * overlap[..., None] / 2).sum(axis=1)
    return places - (places.max(axis=0) + places.min(axis=0)) / 2


def _differences(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (from each node to each (n, n, 2), distances (n, n), infinite from a node to itself)."""
    away = places[:, None] - places[None]
    distance = np.maximum(np.linalg.norm(away, axis=2), 1e-3)
    np.fill_diagonal(distance, np.inf)
    return away, distance
