"""The graph of KGCN. It samples K neighbours per entity, and computes weighted sums over neighbours.

`EntityGraph` uses numpy and torch. `kgplug.recommenders.parts.entity_graph_dgl.DglEntityGraph` gives the same results
with DGL. `open_graph` chooses between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from kgplug.recommenders.parts.operations.weighted_sum import weighted_sum


@dataclass(frozen=True, eq=False)
class Neighbours:
    """K sampled neighbours of each entity.

    Attributes:
        entities: Each entity's neighbours, int64 (n_entities, K).
        relations: Relation of the edge to each neighbour, int64 (n_entities, K).
    """

    entities: np.ndarray
    relations: np.ndarray


class EntityGraph:
    """A graph of users and entities, with likes and the triples of the knowledge graph as edges.

    Every triple is an undirected edge with its relation. An entity without triples is its own neighbour, with
    `n_relations` as the index of the relation.

    Args:
        triples: Head, relation and tail, int64 (n, 3).
        likes: (users, entities): the user of each like and the entity of the liked item, int64 (m,) each.
        n_users, n_entities, n_relations: Numbers of users, entities and relations.
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
        """Draw k neighbours of each entity. If an entity has fewer than k edges, draw with replacement."""
        keys = rng.random(len(self.edges), dtype=np.float32)
        slots = rng.random((self.n_entities, k), dtype=np.float32)
        order = self._least(keys, k)  # edge indices, by entity, then by key
        kept = np.minimum(self.degrees, k)
        starts = np.cumsum(kept) - kept
        few = (slots * kept[:, None]).astype(np.int64)  # for entities with fewer than k edges: with replacement
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
        """Return the indices of each entity's k edges with the smallest keys, sorted by entity and key: int64 (n,).

        If an entity has fewer than k edges, all its edges are returned.

        Args:
            keys: A random number per edge, float32 (n_edges,) in [0, 1).
            k: Maximum number of edges per entity.
        """
        order = by_entity(self.edges[:, 2], keys)
        starts = np.cumsum(self.degrees) - self.degrees
        rank = np.arange(len(order)) - starts[self.edges[order, 2]]
        return order[rank < k]

    def liked(self, users: np.ndarray, entities: np.ndarray) -> np.ndarray:
        """Return, for each pair, whether the user liked the entity: int64 (n,), int64 (n,) → bool (n,)."""
        if len(self._like_codes) == 0:
            return np.zeros(len(users), dtype=bool)
        codes = users * np.int64(self.n_entities) + entities
        place = np.minimum(np.searchsorted(self._like_codes, codes), len(self._like_codes) - 1)
        return self._like_codes[place] == codes

    def weighted_sum(self, rows: torch.Tensor, places: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return n weighted sums of K rows: row i is Σ_k weights[i, k] · rows[places[i, k]], float32 (n, d).

        Args:
            rows: Vectors, (m, d).
            places: Indices in `rows` of the vectors to sum, int64 (n, K).
            weights: Weights of these vectors, (n, K).
        """
        return weighted_sum(rows, places, weights)


def by_entity(entities: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return the indices that sort edges by entity, then by key: int64 (n,).

    Args:
        entities: Entity of each edge, int64 (n,).
        keys: Key of each edge, float32 (n,) in [0, 1).
    """
    return np.argsort(entities + keys, kind="stable")  # one float64 sort; fast, as edges are nearly sorted
