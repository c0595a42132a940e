"""What a trained model hands to the publisher: plain arrays and keys."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class NodeVectors:
    """Vectors of the nodes of one label.

    Attributes:
        label: node label.
        keys: object (n,), values of the label's key property.
        vectors: float32 (n, embedding_dim).
        indexed: whether a vector index is wanted for this label.
    """

    label: str
    keys: np.ndarray
    vectors: np.ndarray
    indexed: bool = True


@dataclass(frozen=True, eq=False)
class TopLists:
    """One ranked list of items a user.

    Attributes:
        user_label, item_label: node labels.
        user_keys: object (n_users,).
        item_keys: object (n_items,), the catalogue that `items` points into.
        items: int64 (n_users, k), row numbers into `item_keys`, best first, -1 where a list is shorter.
        scores: float32 (n_users, k).
    """

    user_label: str
    item_label: str
    user_keys: np.ndarray
    item_keys: np.ndarray
    items: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True, eq=False)
class Publication:
    """Everything that one run writes into the graph.

    Attributes:
        model: name under which it is served, e.g. "MKR".
        run: id of the run, unique; letters, digits, "-" and "_".
        vectors: one entry a label.
        lists: recommendations, or None for a model that gives none.
        details: JSON-able facts kept on the catalogue node (settings, metrics …).
    """

    model: str
    run: str
    vectors: list[NodeVectors] = field(default_factory=list)
    lists: TopLists | None = None
    details: dict = field(default_factory=dict)
