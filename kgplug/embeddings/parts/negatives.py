"""Corrupted triples: true triples with another head or tail.

The other entity is any entity, or one that has this role, head or tail, in a training triple of the same relation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kgplug.data.values.keys import distinct
from kgplug.embeddings.config import EmbeddingConfig

Corrupter = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
"""Function that draws corruptions: (positions of b training triples, int64 (b,); n_tails; rng) → int64 (b, negatives),
the entities that replace the tail in the first `n_tails` of these triples, and the head in all later ones."""


def corrupter(triples: np.ndarray, config: EmbeddingConfig, *, n_entities: int) -> Corrupter:
    """Return the function that draws corruptions, as the settings `negative_sampling` and `negatives` say.

    Args:
        triples: int64 (n, 3), the training triples.
        config: The model's settings.
        n_entities: Number of entities, at least 2.
    """
    if config.negative_sampling == "typed":
        return TypedCorrupter(triples, negatives=config.negatives, n_entities=n_entities)

    def draw(rows: np.ndarray, n_tails: int, rng: np.random.Generator) -> np.ndarray:
        true = np.concatenate([triples[rows[:n_tails], 2], triples[rows[n_tails:], 0]])
        return other_entities(true, negatives=config.negatives, n_entities=n_entities, rng=rng)

    return draw


def other_entities(true: np.ndarray, *, negatives: int, n_entities: int, rng: np.random.Generator) -> np.ndarray:
    """Draw entities other than the true one, uniformly, for each true entity: int64 (b,) → int64 (b, negatives)."""
    drawn = rng.integers(0, n_entities - 1, size=(len(true), negatives))
    return drawn + (drawn >= true[:, None])


class TypedCorrupter:
    """A `Corrupter` that replaces tails by other tails, and heads by other heads, of the same relation.

    It draws from the entities that are tails (or heads) of the relation in the training triples. If the relation has
    only one tail (or head), any other entity is drawn.

    Source: D. Krompaß, S. Baier, V. Tresp, "Type-Constrained Representation Learning in Knowledge Graphs", ISWC 2015
    (local closed-world assumption).

    Args:
        triples: int64 (n, 3), the training triples.
        negatives: Number of corruptions per true triple.
        n_entities: Number of entities, at least 2.
    """

    def __init__(self, triples: np.ndarray, *, negatives: int, n_entities: int) -> None:
        self.triples, self.negatives, self.n_entities = triples, negatives, n_entities
        self._ends = {end: _End(triples[:, 1], triples[:, end], n_entities) for end in (0, 2)}

    def __call__(self, rows: np.ndarray, n_tails: int, rng: np.random.Generator) -> np.ndarray:
        """Draw entities that replace one end of training triples: int64 (b, negatives).

        Args:
            rows: int64 (b,), positions of the triples in the training triples.
            n_tails: Number of triples whose tail is replaced. These come first; the head of all others is replaced.
            rng: Random generator.
        """
        tails, heads = rows[:n_tails], rows[n_tails:]
        return np.concatenate([self._draw(2, tails, rng), self._draw(0, heads, rng)])

    def _draw(self, end: int, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        side = self._ends[end]
        start, count, own = side.start[rows, None], side.count[rows, None], side.own[rows, None]
        drawn = rng.integers(0, np.maximum(count - 1, 1), size=(len(rows), self.negatives))
        typed = side.members[np.minimum(start + drawn + (drawn >= own), len(side.members) - 1)]
        any_other = other_entities(
            self.triples[rows, end], negatives=self.negatives, n_entities=self.n_entities, rng=rng
        )
        return np.where(count > 1, typed, any_other)


class _End:
    """The entities at one end of each relation.

    Attributes:
        members: int64, the entities, grouped by relation and ascending within each group.
        start, count, own: int64 (n,), for each triple: where its relation's group starts in `members`, the size of that
            group, and the position of the triple's entity within the group.
    """

    def __init__(self, relations: np.ndarray, entities: np.ndarray, n_entities: int) -> None:
        keys = relations * n_entities + entities
        pairs = distinct(keys)
        self.members = pairs % n_entities
        self.start = np.searchsorted(pairs, relations * n_entities)
        self.count = np.searchsorted(pairs, (relations + 1) * n_entities) - self.start
        self.own = np.searchsorted(pairs, keys) - self.start
