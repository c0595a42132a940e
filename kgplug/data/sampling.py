"""Negative sampling in whole arrays: what a user did not like, what is not a tail."""

from __future__ import annotations

import numpy as np

from kgplug.data.interactions import Interactions
from kgplug.data.keys import distinct


class ComplementSampler:
    """Draws members that a group does not hold, uniformly and without rejection.

    A group's held members f_0 < f_1 < … leave holes. The r-th member that it does not hold is
    r + |{j : f_j − j ≤ r}|, found for all draws at once by one binary search.

    Args:
        groups, members: integer (n,), which group holds which member; repetitions do no harm.
        n_groups, n_members: how many there are.
    """

    def __init__(self, groups: np.ndarray, members: np.ndarray, *, n_groups: int, n_members: int) -> None:
        held = distinct(np.asarray(groups, dtype=np.int64) * n_members + np.asarray(members, dtype=np.int64))
        groups, members = held // max(n_members, 1), held % max(n_members, 1)
        counts = np.bincount(groups, minlength=n_groups)
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        self._stride = n_members + 1
        shifted = members - (np.arange(len(held)) - self._starts[groups])  # f_j − j, ascending within a group
        self._keys = groups * self._stride + shifted
        self.n_free: np.ndarray = n_members - counts

    def draw(self, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return one member a group, int64 (n,); -1 where the group holds every member."""
        rank = rng.integers(0, np.maximum(self.n_free[groups], 1))
        below = np.searchsorted(self._keys, groups * self._stride + rank, side="right") - self._starts[groups]
        return np.where(self.n_free[groups] > 0, rank + below, -1)


def negative_sampler(*parts: Interactions) -> ComplementSampler:
    """Return a sampler of items for users that avoids the rows of the given parts, and nothing else.

    For training pass the training likes only: to avoid rows of the test part too would leak them.
    """
    return ComplementSampler(
        np.concatenate([part.users for part in parts]),
        np.concatenate([part.items for part in parts]),
        n_groups=parts[0].n_users,
        n_members=parts[0].n_items,
    )


class TailCorrupter:
    """Draws, for known triples, tails that make no known triple.

    Args:
        triples: int64 (n, 3), head, relation, tail.
        n_entities: tails are drawn among so many.
    """

    def __init__(self, triples: np.ndarray, *, n_entities: int) -> None:
        n_relations = int(triples[:, 1].max(initial=0)) + 1
        pairs, self._pair = np.unique(triples[:, 0] * n_relations + triples[:, 1], return_inverse=True)
        self._sampler = ComplementSampler(self._pair, triples[:, 2], n_groups=len(pairs), n_members=n_entities)

    def draw(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a corrupt tail for each row number of `triples`: int64 (n,), -1 where every entity is a tail."""
        return self._sampler.draw(self._pair[rows], rng)
