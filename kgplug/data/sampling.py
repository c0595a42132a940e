"""Vectorised negative sampling: items that a user did not like or disliked, and tails that make a triple wrong."""

from __future__ import annotations

import numpy as np

from kgplug.data.interactions import Interactions
from kgplug.data.ranking.threads import row_blocks
from kgplug.data.values.keys import distinct

MOST_REDRAWS = 10  # maximum number of times that `PopularSampler` draws again
DRAWN_AT_ONCE = 4_000_000  # number of draws in one block of `PopularSampler`; temporary arrays take about 150 MB


class ComplementSampler:
    """Draws numbers that are not in a given set, such as items that a user does not like.

    There are several sets, called groups. For example, each user is a group, whose members are the items that the user
    likes. Draws are uniform and need no rejection: let f_0 < f_1 < … be the members of a group. Then the r-th number
    that is not a member (r = 0, 1, …) is r + |{j : f_j − j ≤ r}|. One binary search computes all draws.

    Args:
        groups, members: integer (n,): `members[i]` is a member of group `groups[i]`. Repetitions are allowed.
        n_groups: number of groups.
        n_members: number of possible members, which are 0 to n_members - 1. Either one number for all groups, or int64
            (n_groups,), one number per group.

    Attributes:
        n_free: int64 (n_groups,), for each group, how many possible members it does not contain.
    """

    def __init__(self, groups: np.ndarray, members: np.ndarray, *, n_groups: int, n_members: int | np.ndarray) -> None:
        self._stride = int(np.max(n_members, initial=0)) + 1
        held = distinct(np.asarray(groups, dtype=np.int64) * self._stride + np.asarray(members, dtype=np.int64))
        self._held = held
        groups, members = held // self._stride, held % self._stride
        counts = np.bincount(groups, minlength=n_groups)
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        shifted = members - (np.arange(len(held)) - self._starts[groups])  # f_j − j, ascending within a group
        self._keys = groups * self._stride + shifted
        self.n_free: np.ndarray = n_members - counts

    def draw(self, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw, for each given group, a number that is not in it: int64 (n,) → int64 (n,); -1 if there is none."""
        rank = rng.integers(0, np.maximum(self.n_free[groups], 1))
        below = np.searchsorted(self._keys, groups * self._stride + rank, side="right") - self._starts[groups]
        return np.where(self.n_free[groups] > 0, rank + below, -1)

    def holds(self, groups: np.ndarray, members: np.ndarray) -> np.ndarray:
        """Return whether `members[i]` is in the group `groups[i]`: int64 (n,), int64 (n,) → bool (n,)."""
        codes = groups * self._stride + members
        places = np.searchsorted(self._held, codes)
        known = places < len(self._held)
        known[known] = self._held[places[known]] == codes[known]
        return known


class PopularSampler:
    """Draws numbers that are not in a given group, popular ones more often (see `ComplementSampler`).

    If a drawn number is in the group, another one is drawn, at most 10 times; after that, the draw is uniform among
    the numbers that are not in the group.

    Args:
        free: Uniform sampler of numbers that are not in a group.
        weights: Popularity of each number, positive float64 (n_members,). A number is drawn with a probability
            proportional to its weight.
    """

    def __init__(self, free: ComplementSampler, weights: np.ndarray) -> None:
        self._free, self._ends = free, np.cumsum(weights / weights.sum())

    def draw(self, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw, for each given group, a number that is not in it: int64 (n,) → int64 (n,); -1 if there is none."""
        drawn = np.empty(len(groups), dtype=np.int64)
        for block in row_blocks(len(groups), DRAWN_AT_ONCE):
            drawn[block] = self._drawn(groups[block], rng)
        return drawn

    def _drawn(self, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        drawn, again = np.empty(len(groups), dtype=np.int64), np.arange(len(groups))
        for _ in range(1 + MOST_REDRAWS):
            places = np.searchsorted(self._ends, rng.random(len(again)), side="right")
            drawn[again] = np.minimum(places, len(self._ends) - 1)
            again = again[self._free.holds(groups[again], drawn[again])]
        drawn[again] = self._free.draw(groups[again], rng)
        return drawn


class RowSampler:
    """Draws an item from a user's rows, such as one of the user's dislikes, in proportion to their confidence.

    Args:
        rows: the rows to draw from.
    """

    def __init__(self, rows: Interactions) -> None:
        chances = np.ones(len(rows)) if rows.confidence is None else rows.confidence.astype(np.float64)
        self._items, self._sums = rows.items, np.concatenate([[0.0], np.cumsum(chances)])
        self._starts = np.searchsorted(rows.users, np.arange(rows.n_users + 1))  # rows are sorted by user

    def draw(self, users: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw, for each given user, an item from the user's rows: int64 (n,) → int64 (n,); -1 if there is none."""
        drawn, some = np.full(len(users), -1), self._starts[users] < self._starts[users + 1]
        start, end = self._starts[users[some]], self._starts[users[some] + 1]
        low, high = self._sums[start], self._sums[end]
        places = np.searchsorted(self._sums, low + rng.random(len(low)) * (high - low), side="right") - 1
        drawn[some] = self._items[np.clip(places, start, end - 1)]
        return drawn


def negative_sampler(*known: Interactions) -> ComplementSampler:
    """Return a sampler that draws negatives for users: items that are in none of the user's rows in `known`.

    A user who is also an item is never its own negative. For training, pass only the training set. Otherwise the
    user's test items would never be drawn, which would reveal them to the model.
    """
    own = known[0].own_pairs // max(known[0].n_items, 1), known[0].own_pairs % max(known[0].n_items, 1)
    return ComplementSampler(
        np.concatenate([*(rows.users for rows in known), own[0]]),
        np.concatenate([*(rows.items for rows in known), own[1]]),
        n_groups=known[0].n_users,
        n_members=known[0].n_items,
    )


class TailCorrupter:
    """Draws corrupt tails: tails that do not form a triple of `triples` with a given head and relation.

    A corrupt tail comes from the range of the relation: the tails of all triples with that relation. If tails were
    drawn from all entities, a model could recognise them by their kind alone (a person is not a genre), and would learn
    only which kinds a relation connects.

    Args:
        triples: int64 (n, 3), head, relation, tail.
    """

    def __init__(self, triples: np.ndarray) -> None:
        head, relation, tail = triples.T
        n_relations, n_tails = int(relation.max(initial=-1)) + 1, int(tail.max(initial=-1)) + 1
        ranges, place = np.unique(relation * n_tails + tail, return_inverse=True)
        self._candidates = ranges % max(n_tails, 1)  # one relation's range after the other
        sizes = np.bincount(ranges // max(n_tails, 1), minlength=n_relations)
        starts = np.cumsum(sizes) - sizes
        pairs, self._pair = np.unique(head * n_relations + relation, return_inverse=True)
        pair_relation = pairs % max(n_relations, 1)
        self._starts = starts[pair_relation]
        self._sampler = ComplementSampler(
            self._pair, place - starts[relation], n_groups=len(pairs), n_members=sizes[pair_relation]
        )

    def draw(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw a corrupt tail for each given row of `triples`: int64 (m,) → int64 (m,); -1 if none exists."""
        pairs = self._pair[rows]
        drawn = self._sampler.draw(pairs, rng)
        return np.where(drawn >= 0, self._candidates[self._starts[pairs] + np.maximum(drawn, 0)], -1)
