"""The graph that KGCN walks: feedback and undirected KG edges, K sampled neighbours an entity, weighted sums.

`EntityGraph` does this with numpy and torch. `kgplug.recommenders.parts.entity_graph_dgl.DglEntityGraph` gives the
same results through DGL. `open_graph` chooses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from kgplug.recommenders.parts.weighted_sum import weighted_sum


@dataclass(frozen=True, eq=False)
class Neighbours:
    """K neighbours of each entity.

    Attributes:
        entities: int64 (n_entities, K).
        relations: int64 (n_entities, K), the relation that leads there.
    """

    entities: np.ndarray
    relations: np.ndarray


class EntityGraph:
    """Users, entities, feedback edges and KG edges, in arrays.

    Every triple is an edge both ways under one relation. An entity without triples is its own
    neighbour, by the relation numbered `n_relations`.

    Args:
        triples: int64 (n, 3).
        likes: (users, entities), int64 (m,) each: which user liked which item's entity.
        n_users, n_entities, n_relations: how many there are.
    """

    def __init__(
        self,
        triples: np.ndarray,
        likes: tuple[np.ndarray, np.ndarray],
        *,
        n_users: int,
        n_entities: int,
        n_relations: int,
    ) -> None:
        head, relation, tail = triples.T
        both = np.stack([np.concatenate([tail, head]), np.tile(relation, 2), np.concatenate([head, tail])], axis=1)
        edges = np.unique(both, axis=0)  # (n_edges, 3): neighbour, relation, entity; a loop is one edge
        self.edges = np.ascontiguousarray(edges[np.lexsort((edges[:, 1], edges[:, 0], edges[:, 2]))])
        self.degrees: np.ndarray = np.bincount(self.edges[:, 2], minlength=n_entities)
        self.n_users, self.n_entities, self.n_relations = n_users, n_entities, n_relations
        self.likes = likes
        self._like_codes = np.unique(likes[0] * np.int64(n_entities) + likes[1])

    def sample(self, k: int, rng: np.random.Generator) -> Neighbours:
        """Draw k neighbours of each entity: without repetition where it has k, else with."""
        keys = rng.random(len(self.edges), dtype=np.float32)
        slots = rng.random((self.n_entities, k), dtype=np.float32)
        order = self._least(keys, k)  # edge numbers, those of one entity together, least key first
        kept = np.minimum(self.degrees, k)
        starts = np.cumsum(kept) - kept
        few = (slots * kept[:, None]).astype(np.int64)  # with repetition
        place = np.where((self.degrees >= k)[:, None], np.arange(k), np.minimum(few, np.maximum(kept - 1, 0)[:, None]))
        loops = np.arange(self.n_entities)[:, None]
        if len(order) == 0:
            return Neighbours(np.tile(loops, (1, k)), np.full((self.n_entities, k), self.n_relations))
        chosen = order[np.minimum(starts[:, None] + place, len(order) - 1)]  # (n_entities, k)
        lonely = (self.degrees == 0)[:, None]
        return Neighbours(
            np.where(lonely, loops, self.edges[chosen, 0]), np.where(lonely, self.n_relations, self.edges[chosen, 1])
        )

    def _least(self, keys: np.ndarray, k: int) -> np.ndarray:
        """Return the numbers of each entity's k edges of least key (all where it has fewer), by entity, then key."""
        order = by_entity(self.edges[:, 2], keys)
        starts = np.cumsum(self.degrees) - self.degrees
        rank = np.arange(len(order)) - starts[self.edges[order, 2]]
        return order[rank < k]

    def liked(self, users: np.ndarray, entities: np.ndarray) -> np.ndarray:
        """Return which users liked which entities: int64 (n,), int64 (n,) → bool (n,)."""
        if len(self._like_codes) == 0:
            return np.zeros(len(users), dtype=bool)
        codes = users * np.int64(self.n_entities) + entities
        place = np.minimum(np.searchsorted(self._like_codes, codes), len(self._like_codes) - 1)
        return self._like_codes[place] == codes

    def weighted_sum(self, rows: torch.Tensor, places: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return what `weighted_sum` in `weighted_sum.py` does; a backend may have a way of its own."""
        return weighted_sum(rows, places, weights)


def by_entity(entities: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return the order of edges by entity, those of one by key: int64 (n,), float32 (n,) in [0, 1) → int64 (n,)."""
    return np.argsort(entities + keys, kind="stable")  # one sort of float64, nearly sorted as edges come
