"""The item index of users who are also items, as when people follow people."""

from __future__ import annotations

import numpy as np
import pandas as pd

OWN_ITEMS = "own_items"  # name of the array in a run


def same_keys_as(user_keys: np.ndarray, item_keys: np.ndarray) -> np.ndarray | None:
    """Return for each user the index of the item with the same key, for data in which users can be items.

    Args:
        user_keys, item_keys: object (n_users,) and (n_items,), unique.

    Returns:
        int64 (n_users,), -1 for users who are not items; None if no user is an item.
    """
    found = pd.Index(item_keys, dtype=object).get_indexer(pd.Index(user_keys, dtype=object))
    return known(found.astype(np.int64))


def known(own_items: np.ndarray) -> np.ndarray | None:
    """Return `own_items` (item index of each user, or -1) unchanged; None if no user is an item."""
    return own_items if (own_items >= 0).any() else None


def leave_out_own(scores: np.ndarray, users: np.ndarray, own_items: np.ndarray | None) -> None:
    """Set each user's score for itself to -inf.

    Args:
        scores: float32 (b, n_items), changed in place.
        users: int64 (b,), the user of each row.
        own_items: int64 (n_users,), item index of each user who is also an item, -1 for other users; None if no user
            is an item.
    """
    if own_items is None:
        return
    own = own_items[users]
    rows = np.flatnonzero(own >= 0)
    scores[rows, own[rows]] = -np.inf


def without_own(items: np.ndarray, scores: np.ndarray, own_items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (items, scores), with each user removed from the user's own list.

    Later items move up; -1 and -inf fill the end.

    Args:
        items, scores: int64 and float32 (n_users, k), one list per user.
        own_items: int64 (n_users,), item index of each user who is also an item, -1 for other users.
    """
    own = (items == own_items[:, None]) & (own_items >= 0)[:, None]  # (n_users, k)
    if not own.any():
        return items, scores
    order = np.argsort(own, axis=1, kind="stable")
    items, scores = np.where(own, -1, items), np.where(own, -np.inf, scores).astype(scores.dtype)
    return np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1)


def renumbered(own_items: np.ndarray, users: np.ndarray, items: np.ndarray, n_users: int) -> np.ndarray | None:
    """Convert `own_items` to new user and item indices; return None if no user is an item any more.

    Args:
        own_items: int64 (old n_users,), old item index of each old user; -1 for users who are not items.
        users, items: int64 (old n_users,) and (old n_items,), new index of each old user and item; -1 if removed.
        n_users: new number of users.
    """
    kept = (users >= 0) & (own_items >= 0)
    found = np.full(n_users, -1, dtype=np.int64)
    found[users[kept]] = items[own_items[kept]]
    return known(found)
