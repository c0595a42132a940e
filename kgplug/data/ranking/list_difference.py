"""How much two sets of ranked lists differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from kgplug.data.publication import TopLists
from kgplug.plain_text import counted

_BLOCK_CELLS = 4_000_000  # comparisons of ranks held in memory at once
_EXAMPLES = 3


@dataclass(frozen=True)
class Change:
    """A changed list: its user's key, and the item keys before and after, best first."""

    user: int | str
    before: list[int | str]
    after: list[int | str]

    def __str__(self) -> str:
        return f"{self.user}: {_few(self.before)} → {_few(self.after)}"

    __repr__ = __str__  # what a notebook shows


@dataclass(frozen=True)
class ListDifference:
    """How two sets of lists differ. Counts are over all users.

    Attributes:
        users: number of users with a list before or after.
        changed: number of users whose list differs in any item or rank.
        added, removed: number of list entries that were added or removed.
        moved: number of items that stay in a list at another rank.
        kept: number of items that stay at their rank.
        overlap: k → share of the first k items that a user's two lists have in common, averaged over users with both
            lists. If both lists are shorter than k, the longer one's length replaces k. 0 if no user has both.
        rank_churn: mean absolute change of rank of the items in both lists; NaN if no item is in both.
        examples: up to 3 changed lists: those that lost the most items.
    """

    users: int = 0
    changed: int = 0
    added: int = 0
    removed: int = 0
    moved: int = 0
    kept: int = 0
    overlap: dict[int, float] = field(default_factory=dict[int, float])
    rank_churn: float = float("nan")
    examples: list[Change] = field(default_factory=list[Change])

    def __str__(self) -> str:
        return "\n".join(self._sentences())

    __repr__ = __str__  # what a notebook shows

    def _sentences(self) -> Iterator[str]:
        yield f"{counted(self.users, 'list')}, {self.changed:,} changed."
        if self.overlap and self.removed + self.moved + self.kept:  # there were lists before
            shares = ", ".join(f"overlap@{k} {share:.3f}" for k, share in self.overlap.items())
            moves = f"items in both lists move by {self.rank_churn:.2f} ranks on average"
            yield f"{shares}; {'no item is in both lists' if np.isnan(self.rank_churn) else moves}."
        yield (
            f"{counted(self.added, 'item')} added, {self.removed:,} removed, {self.moved:,} moved to another rank, "
            f"{self.kept:,} unchanged."
        )
        yield from (f"  user {one}" for one in self.examples)

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes, ready for JSON; a NaN becomes None."""
        churn = None if np.isnan(self.rank_churn) else self.rank_churn
        return {**self.__dict__, "rank_churn": churn, "examples": [vars(one) for one in self.examples]}


def compare_lists(before: TopLists, after: TopLists, *, k: tuple[int, ...] = (1, 5, 10)) -> ListDifference:
    """Compare two sets of lists, user by user.

    Args:
        before, after: the two sets of lists. Their items have the same label.
        k: values of k in `overlap`. Values above the length of the longest list are left out. If none remains, that
            length is used.
    """
    users = pd.Index(before.user_keys, dtype=object).union(pd.Index(after.user_keys, dtype=object), sort=False)
    items = pd.Index(before.item_keys, dtype=object).union(pd.Index(after.item_keys, dtype=object), sort=False)
    old, new = _aligned(before, users, items), _aligned(after, users, items)  # (n, k), (n, k')
    listed = (old >= 0).any(axis=1) | (new >= 0).any(axis=1)
    user_keys: list[int | str] = users.to_numpy()[listed].tolist()
    old, new = old[listed], new[listed]
    longest = max(old.shape[1], new.shape[1])
    ks = tuple(one for one in k if one <= longest) or (longest,)
    shared, kept, distance, hits = _count(old, new, ks)
    both = (old >= 0).any(axis=1) & (new >= 0).any(axis=1)
    sizes_old, sizes_new = (old >= 0).sum(axis=1), (new >= 0).sum(axis=1)
    changed = (kept < sizes_old) | (kept < sizes_new)
    overlap = {
        one: float((hits[both, n] / np.minimum(one, np.maximum(sizes_old, sizes_new))[both]).mean())
        if both.any()
        else 0.0
        for n, one in enumerate(ks)
    }
    others = np.flatnonzero(changed)
    most = others[np.argsort((shared - sizes_old)[others], kind="stable")][:_EXAMPLES]
    names = items.to_numpy()
    return ListDifference(
        users=len(user_keys),
        changed=int(changed.sum()),
        added=int((sizes_new - shared).sum()),
        removed=int((sizes_old - shared).sum()),
        moved=int((shared - kept).sum()),
        kept=int(kept.sum()),
        overlap=overlap,
        rank_churn=float(distance.sum() / shared.sum()) if shared.sum() else float("nan"),
        examples=[
            Change(user_keys[row], names[old[row][old[row] >= 0]].tolist(), names[new[row][new[row] >= 0]].tolist())
            for row in most
        ],
    )


def _aligned(lists: TopLists, users: pd.Index, items: pd.Index) -> np.ndarray:
    """Return the lists as indices into `items`, one row per entry of `users`: int64 (len(users), width).

    The width is that of `lists.items`. -1 fills the space past a list's end, and the row of a user without a
    list.
    """
    indices = np.append(items.get_indexer(pd.Index(lists.item_keys, dtype=object)), -1)
    aligned = np.full((len(users), max(1, lists.items.shape[1])), -1, dtype=np.int64)
    aligned[users.get_indexer(pd.Index(lists.user_keys, dtype=object)), : lists.items.shape[1]] = indices[lists.items]
    return aligned


def _count(
    old: np.ndarray, new: np.ndarray, ks: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Compare the old and the new list of each user.

    Args:
        old, new: int64, one row per user, item indices with the best first, -1 past a list's end. The two arrays have
            the same n rows, but may differ in width.
        ks: values of k for `hits`.

    Returns:
        (shared, kept, distance, hits). `shared`, int64 (n,): number of items in both lists. `kept`, int64 (n,): number
        of these items that have the same rank in both. `distance`, int64 (n,): sum of their rank changes. `hits`,
        int64 (n, len(ks)): number of items that are among the first k of both lists.
    """
    n = len(old)
    shared, kept, distance = (np.zeros(n, dtype=np.int64) for _ in range(3))
    hits = np.zeros((n, len(ks)), dtype=np.int64)
    apart = abs(np.arange(old.shape[1])[:, None] - np.arange(new.shape[1])[None, :])  # (k, k')
    rows = max(1, _BLOCK_CELLS // apart.size)
    for start in range(0, n, rows):
        block = slice(start, start + rows)
        same = (old[block, :, None] == new[block, None, :]) & (old[block, :, None] >= 0)  # (b, k, k')
        shared[block] = same.sum(axis=(1, 2))
        kept[block] = (same & (apart == 0)).sum(axis=(1, 2))
        distance[block] = (same * apart).sum(axis=(1, 2))
        for column, k in enumerate(ks):
            hits[block, column] = same[:, :k, :k].sum(axis=(1, 2))
    return shared, kept, distance, hits


def _few(keys: list[int | str], shown: int = 5) -> str:
    return (", ".join(map(str, keys[:shown])) or "nothing") + (" …" if len(keys) > shown else "")
