"""The collaborative knowledge graph: users, entities, likes and triples, as edges or as triples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from kgplug.data.interactions import Interactions
from kgplug.recommenders.click_through.pairs import ClickThroughData, Pairs, own_rows
from kgplug.recommenders.click_through.propagation import Propagation
from kgplug.recommenders.training_data import TrainingData


@dataclass(frozen=True, eq=False)
class HiddenBatch:
    """A batch of likes that are hidden from this epoch's graph, and that the model learns to predict from the graph.

    Attributes:
        pairs: The hidden likes of the batch, with their negatives.
        graph: The graph of the epoch, without any of the epoch's hidden likes.
    """

    pairs: Pairs
    graph: Propagation


class CollaborativeGraph:
    """The edges between users, items and entities. `without` leaves out chosen likes.

    Nodes are the users, then the entities (including items).

    Args:
        likes: Training likes.
        item_entities: Entity index of each item, int64 (n_items,).
        triples: Head, relation and tail, int64 (n, 3). Two entities with several relations still have one edge.
        n_entities: Number of entities.
        knowledge_weight: Weight of an edge between entities; a like has weight 1.
        device: Device for propagation.
    """

    def __init__(
        self,
        likes: Interactions,
        item_entities: np.ndarray,
        triples: np.ndarray,
        *,
        n_entities: int,
        knowledge_weight: float,
        device: torch.device,
    ) -> None:
        self.n_nodes = likes.n_users + n_entities
        head, _, tail = triples.T
        low, high = np.minimum(head, tail), np.maximum(head, tail)
        pairs = np.unique((low * np.int64(n_entities) + high)[low < high])
        self._knowledge = likes.n_users + pairs // n_entities, likes.n_users + pairs % n_entities
        self._likes = likes.users, likes.n_users + item_entities[likes.items]
        self._weight, self._device = knowledge_weight, device

    def without(self, hidden: np.ndarray) -> Propagation:
        """Return the graph of all triples and of the likes that are not hidden.

        Args:
            hidden: Mask of the hidden likes, bool (n_likes,).
        """
        left, right = (
            np.concatenate([liked[~hidden], known]) for liked, known in zip(self._likes, self._knowledge, strict=True)
        )
        weights = np.ones(len(left), dtype=np.float32)
        weights[len(hidden) - int(hidden.sum()) :] = self._weight
        return Propagation(left, right, weights, n_nodes=self.n_nodes, device=self._device)

    def whole(self) -> Propagation:
        """Return the graph of all likes and all triples."""
        return self.without(np.zeros(len(self._likes[0]), dtype=bool))

    def epoch(
        self, data: ClickThroughData, share: float, batch_size: int, rng: np.random.Generator
    ) -> Iterator[HiddenBatch]:
        """Hide a random share of the likes from the graph, and yield batches of these likes with new negatives.

        Args:
            data: Training likes and the sampler of negatives.
            share: Share of the likes to hide, 0 to 1.
            batch_size: Twice the maximum number of likes per batch, because a like and its negative count as two pairs.
            rng: Random generator.
        """
        hidden = rng.random(len(data.likes)) < share
        graph = self.without(hidden)
        for pairs in data.epoch(rng, batch_size, rows=np.flatnonzero(hidden)):
            yield HiddenBatch(pairs, graph)


@dataclass(frozen=True, eq=False)
class CollaborativeTriples:
    """The collaborative knowledge graph as triples. Likes are triples of an additional relation with the last index.

    Nodes are the users, then the items, then all other entities.

    Attributes:
        likes: Likes as triples of a user, the relation `n_relations` - 1 and an item, int64 (n, 3).
        knowledge: Triples of the knowledge graph, int64 (m, 3).
        n_users, n_items, n_nodes: Numbers of users, items and all nodes.
        n_relations: Number of relations.
    """

    likes: np.ndarray
    knowledge: np.ndarray
    n_users: int
    n_items: int
    n_nodes: int
    n_relations: int

    @classmethod
    def build(cls, data: TrainingData) -> CollaborativeTriples:
        """Return the graph of the training likes and all triples. An item that is not an entity is only in likes."""
        likes, graph = data.interactions.likes(), data.graph
        n_entities, item_entities = own_rows(data.linked, graph.n_entities)
        first_item, n_items = likes.n_users, likes.n_items
        nodes = np.full(n_entities, -1, dtype=np.int64)
        nodes[item_entities] = first_item + np.arange(n_items)
        nodes[nodes < 0] = first_item + n_items + np.arange(n_entities - n_items)
        liked = np.full(len(likes), graph.n_relations)
        head, relation, tail = graph.triples.T
        return cls(
            np.stack([likes.users, liked, first_item + likes.items], axis=1),
            np.stack([nodes[head], relation, nodes[tail]], axis=1),
            likes.n_users,
            n_items,
            likes.n_users + n_entities,
            graph.n_relations + 1,
        )

    @property
    def triples(self) -> np.ndarray:
        """All triples, first the likes and then those of the knowledge graph, int64 (n_triples, 3)."""
        return np.concatenate([self.likes, self.knowledge])
