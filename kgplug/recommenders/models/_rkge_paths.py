"""Paths from a user via a liked item and an entity to another item, sampled for many pairs at once."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Self

import numpy as np

from kgplug.data.values.keys import distinct


@dataclass(frozen=True, eq=False)
class Paths:
    """Paths user → liked item → entity → item for pairs of a user and an item, sorted by pair.

    Attributes:
        pairs: Index of each path's pair, int64 (n,), ascending.
        slots: Position of each path among the paths of its pair, int64 (n,).
        via: The two inner nodes of each path, int64 (n, 2): the entity of the liked item, and the entity that connects
            both items.
    """

    pairs: np.ndarray
    slots: np.ndarray
    via: np.ndarray


class PathSampler:
    """Samples simple 3-edge paths between users and items.

    A path is u → j → a → i: u likes j, and triples (of any relation and direction) connect j with a, and a with i. All
    four nodes are different, so the edge (u, i) is never part of a path between u and i.

    The sampler needs 12 to 20 bytes of memory for each combination of a like and a neighbour of the liked item.

    Args:
        users, items: User and item of each like, int64 (m,) each.
        item_entities: Entity of each item, int64 (n_items,).
        triples: Head, relation and tail, int64 (n, 3).
        n_entities: Number of entities.
    """

    def __init__(
        self, users: np.ndarray, items: np.ndarray, item_entities: np.ndarray, triples: np.ndarray, *, n_entities: int
    ) -> None:
        self.item_entities, self.n_entities = item_entities, n_entities
        head, _, tail = triples[triples[:, 0] != triples[:, 2]].T
        edges = distinct(np.concatenate([head * n_entities + tail, tail * n_entities + head]))
        sources, self._targets = edges // n_entities, edges % n_entities
        self._degrees: np.ndarray = np.bincount(sources, minlength=n_entities)
        self._starts = np.cumsum(self._degrees) - self._degrees
        self._start_from(users, items)

    def of_others(self, users: np.ndarray, items: np.ndarray) -> Self:
        """Return a sampler for the same graph with other likes: user and item of each like, int64 (m,) each."""
        sampler = copy.copy(self)
        sampler._start_from(users, items)
        return sampler

    def _start_from(self, users: np.ndarray, items: np.ndarray) -> None:
        row, shared = self._neighbours(self.item_entities[items])
        codes = users[row] * np.int64(self.n_entities) + shared  # user · n_entities + a
        middle = self.item_entities[items[row]]  # j
        order = np.lexsort((middle, codes))
        self._middle = middle[order].astype(np.int32)
        self._codes, first = np.unique(codes[order], return_index=True)
        self._first = np.append(first, len(order))
        self._liked = distinct(users * np.int64(self.n_entities) + self.item_entities[items])

    def _neighbours(self, entities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return every neighbour of each entity: (position in `entities`, neighbour), int64 (m,) each."""
        sizes = self._degrees[entities]
        row = np.repeat(np.arange(len(entities)), sizes)
        number = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return row, self._targets[self._starts[entities][row] + number]

    def sample(self, users: np.ndarray, items: np.ndarray, k: int, rng: np.random.Generator | None) -> Paths:
        """Choose up to k different paths for each pair of a user and an item.

        A pair's paths are sorted by their entity a and liked item j, and split into k equal ranges. `rng` draws one
        path from each range; if `rng` is None, the middle path of each range is chosen. If a pair has at most k paths,
        all are chosen.

        Args:
            users, items: Indices, int64 (n,).
            k: Maximum number of paths per pair.
            rng: Random generator, or None.
        """
        targets = self.item_entities[items]
        row, shared = self._neighbours(targets)  # neighbours of each pair's item: candidates for a
        codes = users[row] * np.int64(self.n_entities) + shared
        place = np.minimum(np.searchsorted(self._codes, codes), max(len(self._codes) - 1, 0))
        found = self._codes[place] == codes if len(self._codes) else np.zeros(len(codes), dtype=bool)
        row, shared, place = row[found], shared[found], place[found]
        own = self._contains(users * np.int64(self.n_entities) + targets)[row]  # the user likes i, so j = i is skipped
        counts = self._first[place + 1] - self._first[place] - own
        ends = np.cumsum(counts)
        upto = np.concatenate([[0], ends])[np.searchsorted(row, np.arange(len(users) + 1))]
        pairs, slots, chosen = _spread(np.diff(upto), k, rng)
        chosen = chosen + upto[pairs]
        which = np.searchsorted(ends, chosen, side="right")  # position of each path's (pair, a) in `row`
        number = chosen - (ends - counts)[which]
        middle = self._middle[self._first[place[which]] + number]
        # The entities j are in ascending order. From the position of i on, take the next entity: this skips i.
        skip = own[which] & (middle >= targets[pairs])
        middle = np.where(skip, self._middle[self._first[place[which]] + number + skip], middle)
        return Paths(pairs, slots, np.stack([middle.astype(np.int64), shared[which]], axis=1))

    def _contains(self, codes: np.ndarray) -> np.ndarray:
        if len(self._liked) == 0:
            return np.zeros(len(codes), dtype=bool)
        place = np.minimum(np.searchsorted(self._liked, codes), len(self._liked) - 1)
        return self._liked[place] == codes


def _spread(totals: np.ndarray, k: int, rng: np.random.Generator | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each row, choose up to k different numbers among those from 0 to totals[row] − 1.

    If there are at most k numbers, all are chosen. Otherwise the numbers are split into k ranges of about equal length,
    and one number is chosen from each: at random by `rng`, or the middle one if `rng` is None.

    Returns:
        Three arrays, int64 (n,) each: for each chosen number its row, its position among the row's choices, and the
        number itself.
    """
    kept = np.minimum(totals, k)
    row = np.repeat(np.arange(len(totals)), kept)
    slot = np.arange(len(row)) - np.repeat(np.cumsum(kept) - kept, kept)
    low, high = (x * totals[row] // np.maximum(kept[row], 1) for x in (slot, slot + 1))
    drawn = (high - low) // 2 if rng is None else rng.integers(0, high - low)
    return row, slot, low + drawn
