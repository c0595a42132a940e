"""The network of KGCN: attention of users to relations, and aggregation of neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from kgplug.recommenders.parts.entity_graph import EntityGraph, Neighbours
from kgplug.recommenders.parts.operations.layers import normal_table, xavier_linear
from kgplug.training.tensors import tensor_of


class KGCNShape(Protocol):
    """The settings that the network reads from `KGCNConfig`."""

    @property
    def embedding_dim(self) -> int: ...
    @property
    def n_layers(self) -> int: ...
    @property
    def aggregator(self) -> str: ...
    @property
    def scaling(self) -> str: ...
    @property
    def init_scale(self) -> float: ...


@dataclass(frozen=True, eq=False)
class Field:
    """Receptive field of B items: all entities that can be reached from the items in at most H steps.

    A step leads from an entity to each of its K sampled neighbours, so h steps reach K^h entities from each item.

    Attributes:
        levels: One array for each h from 0 to H: the entities after h steps, int64 (B, K^h). The first array has the
            items' own entities.
        relations: One array for each h from 0 to H − 1: the relations of step h + 1, int64 (B, K^h, K).
    """

    levels: list[np.ndarray]
    relations: list[np.ndarray]


def receptive_field(entities: np.ndarray, neighbours: Neighbours, n_layers: int) -> Field:
    """Return the receptive field of items.

    Args:
        entities: Entity of each item, int64 (B,).
        neighbours: The sampled neighbours of each entity.
        n_layers: Number of steps H.
    """
    levels: list[np.ndarray] = [entities[:, None]]
    relations: list[np.ndarray] = []
    for _ in range(n_layers):
        here = levels[-1]
        relations.append(neighbours.relations.take(here, axis=0))  # (B, K^h, K); faster than indexing
        levels.append(neighbours.entities.take(here, axis=0).reshape(len(entities), -1))  # (B, K^(h+1))
    return Field(levels, relations)


class KGCNNetwork(nn.Module):
    """KGCN's tables of vectors and biases, and one dense layer per propagation step.

    Tables, with sparse gradients: `users` (n_users, d), `entities` (n_entities, d), `relations` (n_relations + 1, d),
    `user_bias` (n_users, 1), `item_bias` (n_items, 1). The gradients of `layers` are dense.

    Args:
        shape: Settings.
        n_users, n_items: Numbers of users and items.
        n_entities: Number of rows of the entity table. Items without an entity have a row, too.
        n_relations: Number of relations of the graph. The relation table has one more row, for the self-loops of
            entities without neighbours.
        generator: Random generator of the weights.
    """

    users: nn.Parameter
    entities: nn.Parameter
    relations: nn.Parameter

    def __init__(
        self,
        shape: KGCNShape,
        *,
        n_users: int,
        n_items: int,
        n_entities: int,
        n_relations: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        dim = shape.embedding_dim
        self.n_layers, self.aggregator, self.scaling = shape.n_layers, shape.aggregator, shape.scaling
        self.users = normal_table(n_users, dim, shape.init_scale, generator)
        self.entities = normal_table(n_entities, dim, shape.init_scale, generator)
        self.relations = normal_table(n_relations + 1, dim, shape.init_scale, generator)
        self.user_bias, self.item_bias = nn.Parameter(torch.zeros(n_users, 1)), nn.Parameter(torch.zeros(n_items, 1))
        self.global_bias = nn.Parameter(torch.zeros(1))
        n_in = 2 * dim if shape.aggregator == "concat" else dim
        self.layers = nn.ModuleList(xavier_linear(n_in, dim, generator) for _ in range(shape.n_layers))

    @property
    def device(self) -> torch.device:
        return self.users.device

    def affinities(self, users: torch.Tensor, relations: torch.Tensor) -> torch.Tensor:
        """Return the attention logits of m users and n relations (eq. 1): (m, d), (n, d) → (m, n).

        The logit of a user vector u and a relation vector r is u · r. With scaling="code" it is u · r / d, as in the
        authors' code.
        """
        products = users @ relations.T
        return products / users.shape[1] if self.scaling == "code" else products

    def neighbour_scale(self, k: int) -> float:
        """Return the factor for sums over k neighbours: 1 / k with scaling="code", 1 with scaling="paper"."""
        return 1 / k if self.scaling == "code" else 1.0

    def aggregate(self, layer: int, own: torch.Tensor, around: torch.Tensor) -> torch.Tensor:
        """Return a layer's output for n entities, (n, d) (eqs. 4–6). The last layer uses tanh, the others ReLU.

        Args:
            layer: Number of the layer, from 0.
            own: Vectors of the entities, (n, d).
            around: Weighted sums of their neighbours' vectors, (n, d).
        """
        if self.aggregator == "sum":
            joined = own + around
        elif self.aggregator == "concat":
            joined = torch.cat([own, around], dim=1)  # (n, 2d)
        else:
            joined = around
        x = self.layers[layer](joined)
        return torch.tanh_(x) if layer == self.n_layers - 1 else functional.relu_(x)

    def represent(
        self,
        graph: EntityGraph,
        rows: torch.Tensor,
        places: list[torch.Tensor],
        weights: list[torch.Tensor],
    ) -> torch.Tensor:
        """Return v_u, the vector of each pair's item for the pair's user (algorithm 1).

        B is the number of pairs, H the number of layers, and K the number of neighbours per entity. The receptive field
        (`Field`) has K^h entities per pair after h steps.

        Args:
            graph: Computes weighted sums over neighbours.
            rows: Vectors of the distinct entities of the batch, (m, d).
            places: Row in `rows` of each entity of the receptive field: H + 1 tensors, int64 (B, K^h).
            weights: Attention to each neighbour, times `neighbour_scale`: H tensors, (B, K^h, K).

        Returns:
            v_u, (B, d).
        """
        values: list[torch.Tensor] = []
        for layer in range(self.n_layers):
            following: list[torch.Tensor] = []
            for hop in range(self.n_layers - layer):
                a = weights[hop].reshape(-1, weights[hop].shape[-1])  # (B·K^h, K)
                if layer == 0:
                    own = functional.embedding(places[hop].reshape(-1), rows)
                    around = graph.weighted_sum(rows, places[hop + 1].reshape(a.shape), a)
                else:
                    own = values[hop]
                    each = torch.arange(a.numel(), device=a.device).view(a.shape)
                    around = graph.weighted_sum(values[hop + 1], each, a)
                following.append(self.aggregate(layer, own, around))  # (B·K^h, d)
            values = following
        return values[0]


@dataclass(frozen=True, eq=False)
class FullLayers:
    """The entities whose vectors each layer must compute, so that the last layer gives the vectors of all items.

    Layer l computes the vectors of m_l entities, from their own vectors and those of their K sampled neighbours. It
    finds both among its inputs: the vectors that the previous layer computed, or for layer 1 those of `inputs`.

    Attributes:
        inputs: Entities whose vectors are the inputs of layer 1, int64 (m_0,).
        own: For each layer l, the position of each of its m_l entities among its inputs, int64 (m_l,).
        around: For each layer l, the positions of these entities' neighbours among its inputs, int64 (m_l, K).
        relations: For each layer l, the relations to these neighbours, int64 (m_l, K).
    """

    inputs: torch.Tensor
    own: list[torch.Tensor]
    around: list[torch.Tensor]
    relations: list[torch.Tensor]

    @classmethod
    def build(cls, items: np.ndarray, neighbours: Neighbours, n_layers: int, device: torch.device) -> FullLayers:
        """Plan the layers, from the last to the first.

        The last layer computes the vectors of all items' entities. Each other layer computes the inputs of the next.

        Args:
            items: Entity of each item, int64 (n_items,).
            neighbours: The sampled neighbours.
            n_layers: Number of layers.
            device: Device of the result.
        """
        own: list[np.ndarray] = []
        around: list[np.ndarray] = []
        relations: list[np.ndarray] = []
        wanted = items
        for _ in range(n_layers):
            entities = neighbours.entities[wanted]  # (m, K)
            before = np.unique(np.concatenate([wanted, entities.reshape(-1)]))
            own.append(np.searchsorted(before, wanted))
            around.append(np.searchsorted(before, entities))
            relations.append(neighbours.relations[wanted])
            wanted = before
        lists = [[tensor_of(array).to(device) for array in reversed(part)] for part in (own, around, relations)]
        return cls(tensor_of(wanted).to(device), *lists)

    @property
    def widest(self) -> int:
        """Number of vectors that the largest layer computes."""
        return max(len(own) for own in self.own)


def represent_all(network: KGCNNetwork, graph: EntityGraph, plan: FullLayers, users: torch.Tensor) -> torch.Tensor:
    """Return v_u, the vector of each item for each user: user vectors (b, d) → (b, n_items, d).

    Args:
        network: The trained network.
        graph: Computes weighted sums over neighbours.
        plan: Entities and neighbours of each layer.
        users: User vectors, (b, d).
    """
    b, dim = users.shape
    affinities = network.affinities(users, network.relations)  # (b, r)
    values = network.entities[plan.inputs]  # (m_0, d), the same for every user
    for layer in range(network.n_layers):
        own, around, relations = plan.own[layer], plan.around[layer], plan.relations[layer]
        m, k = around.shape
        weights = torch.softmax(affinities[:, relations], dim=-1) * network.neighbour_scale(k)  # (b, m, K)
        shift = torch.zeros(b, 1, dtype=torch.int64, device=users.device)
        if layer > 0:  # from here on, values differ by user
            shift = (torch.arange(b, device=users.device) * (len(values) // b))[:, None]
        places = (around.reshape(1, -1) + shift).reshape(b * m, k)
        summed = graph.weighted_sum(values, places, weights.reshape(b * m, k))
        values = network.aggregate(layer, values[(own + shift).reshape(-1)], summed)  # (b·m, d)
    return values.view(b, -1, dim)
