"""Propagation over likes and knowledge, one edge at a time: what tests compare `Propagation` with."""

from __future__ import annotations

import math

import numpy as np

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.recommenders.click_through.pairs import own_rows


def literal_layers(nodes: np.ndarray, edges: dict[tuple[int, int], float], layers: int) -> np.ndarray:
    """Mean over layers of x_a ← Σ_b w_ab / sqrt(d_a d_b) x_b, one neighbour at a time (LightGCN eqs. 3, 4)."""
    both = edges | {(b, a): weight for (a, b), weight in edges.items()}
    degree = [sum(weight for (a, _), weight in both.items() if a == node) for node in range(len(nodes))]
    total, x = nodes.copy(), nodes
    for _ in range(layers):
        following = np.zeros_like(x)
        for (a, b), weight in both.items():
            following[a] += weight / math.sqrt(degree[a] * degree[b]) * x[b]
        x = following
        total = total + x
    return total / (layers + 1)


def edges_of(interactions: Interactions, knowledge: KnowledgeGraph, visible: np.ndarray, weight: float) -> dict:
    """Return (node, node) → weight of visible likes and of all knowledge, users first, then entities."""
    likes, n_users = interactions.likes(), interactions.n_users
    _, item_rows = own_rows(knowledge.entities_of(interactions.item_keys), knowledge.n_entities)
    edges = {}
    for number, (user, item) in enumerate(zip(likes.users, likes.items, strict=True)):
        if visible[number]:
            edges[int(user), n_users + int(item_rows[item])] = 1.0
    for head, _, tail in knowledge.triples:
        edges[n_users + int(min(head, tail)), n_users + int(max(head, tail))] = weight
    return edges
