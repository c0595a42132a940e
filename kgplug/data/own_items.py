"""Users that are also items, such as people who follow people: which item each user is."""

from __future__ import annotations

import numpy as np
import pandas as pd

OWN_ITEMS = "own_items"  # name of the array in a run


def same_keys_as(user_keys: np.ndarray, item_keys: np.ndarray) -> np.ndarray | None:
    """Return the item whose key each user has, for data in which users and items share their keys.

    Args:
        user_keys, item_keys: object (n_users,) and (n_items,), unique.

    Returns:
        int64 (n_users,), -1 where a user is not an item; None where no user is one.
    """
    found = pd.Index(item_keys, dtype=object).get_indexer(pd.Index(user_keys, dtype=object))
    return known(found.astype(np.int64))


def known(own_items: np.ndarray) -> np.ndarray | None:
    """Return the array, or None where no user is an item."""
    return own_items if (own_items >= 0).any() else None


def leave_out_own(scores: np.ndarray, users: np.ndarray, own_items: np.ndarray | None) -> None:
    """Set to -inf the score that each user has for itself.

    Args:
        scores: float32 (b, n_items), written.
        users: int64 (b,), whose scores these are.
        own_items: int64 (n_users,), or None.
    """
    if own_items is None:
        return
    own = own_items[users]
    rows = np.flatnonzero(own >= 0)
    scores[rows, own[rows]] = -np.inf


def without_own(items: np.ndarray, scores: np.ndarray, own_items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take each user out of its own list; what follows moves up, and -1 and -inf fill the end.

    Args:
        items, scores: int64 and float32 (n_users, k).
        own_items: int64 (n_users,), -1 where a user is not an item.
    """
    own = (items == own_items[:, None]) & (own_items >= 0)[:, None]  # (n_users, k)
    if not own.any():
        return items, scores
    order = np.argsort(own, axis=1, kind="stable")
    items, scores = np.where(own, -1, items), np.where(own, -np.inf, scores).astype(scores.dtype)
    return np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1)


def renumbered(own_items: np.ndarray, users: np.ndarray, items: np.ndarray, n_users: int) -> np.ndarray | None:
    """Return the same under other numbers.

    Args:
        own_items: int64 (n_users before,).
        users, items: int64, the new number of each user and item, -1 where it has none.
        n_users: how many users there are now.
    """
    kept = (users >= 0) & (own_items >= 0)
    found = np.full(n_users, -1, dtype=np.int64)
    found[users[kept]] = items[own_items[kept]]
    return known(found)
