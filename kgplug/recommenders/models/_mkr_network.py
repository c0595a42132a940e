"""The network of MKR: tables of vectors, cross & compress units, and layers that compute the scores."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn
from torch.nn import functional

from kgplug.recommenders.parts.operations.compiled_steps import pair_dots
from kgplug.recommenders.parts.operations.layers import CrossCompress, Dense, normal_table, xavier_linear


class MKRShape(Protocol):
    """The settings that the network reads from `MKRConfig`."""

    @property
    def embedding_dim(self) -> int: ...
    @property
    def low_layers(self) -> int: ...
    @property
    def high_layers(self) -> int: ...
    @property
    def head(self) -> str: ...
    @property
    def bias(self) -> bool: ...
    @property
    def activation(self) -> str: ...
    @property
    def init_scale(self) -> float: ...
    @property
    def offset(self) -> float: ...


class MKRNetwork(nn.Module):
    """Tables of vectors of users, items, entities and relations, and the layers that read them.

    Tables, with sparse gradients: `users` (n_users, d), `items` (n_items, d), `entities` (n_entities, d), `relations`
    (n_relations, d), `user_bias` (n_users, 1), `item_bias` (n_items, 1). The other weights are small and dense. Two
    *towers* of layers turn rows of the tables into u_L and v_L, the user and item vectors that give the score.

    Args:
        shape: Settings.
        n_users: Number of users.
        item_entities: Row of each item in the entity table, int64 (n_items,), distinct.
        n_entities: Number of rows of the entity table. Items without an entity have a row, too.
        n_relations: Number of rows of the relation table.
        generator: Random generator of the weights.
    """

    users: nn.Parameter
    items: nn.Parameter
    entities: nn.Parameter
    relations: nn.Parameter
    item_entities: torch.Tensor
    entity_items: torch.Tensor

    def __init__(
        self,
        shape: MKRShape,
        *,
        n_users: int,
        item_entities: torch.Tensor,
        n_entities: int,
        n_relations: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        dim, n_items = shape.embedding_dim, len(item_entities)
        self.head, self.uses_bias = shape.head, shape.bias
        tables = {"users": n_users, "items": n_items, "entities": n_entities, "relations": n_relations}
        for name, rows in tables.items():
            setattr(self, name, normal_table(rows, dim, shape.init_scale, generator))
        self.user_bias, self.item_bias = nn.Parameter(torch.zeros(n_users, 1)), nn.Parameter(torch.zeros(n_items, 1))
        self.global_bias = nn.Parameter(torch.zeros(1))
        self.register_buffer("item_entities", item_entities)
        entity_items = torch.full((n_entities,), -1, dtype=torch.int64)
        entity_items[item_entities] = torch.arange(n_items)
        self.register_buffer("entity_items", entity_items)  # -1: the entity is not an item
        low = [dim] * (shape.low_layers + 1)
        self.user_layers = Dense(low, shape.activation, generator)
        self.relation_layers = Dense(low, shape.activation, generator)  # for tails if `kge_layers` is "tail"
        self.cross = nn.ModuleList(self.crossing(shape, generator) for _ in range(shape.low_layers))
        wide = [2 * dim] * shape.high_layers
        self.tail_layers = Dense(wide, shape.activation, generator)  # H − 1 hidden layers
        self.tail_output = xavier_linear(2 * dim, dim, generator)
        self.head_layers = Dense(wide if shape.head == "mlp" else [0], shape.activation, generator)
        self.head_output = xavier_linear(2 * dim, 1, generator) if shape.head == "mlp" else None

    def crossing(self, shape: MKRShape, generator: torch.Generator) -> nn.Module:
        """Return an untrained cross & compress unit, which mixes the vectors of an item and of its entity."""
        return CrossCompress(shape.embedding_dim, shape.offset, generator)

    @property
    def device(self) -> torch.device:
        return self.users.device

    def recommendation_parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Return (tables, dense weights) that the recommendation task learns."""
        tables = [self.users, self.items, self.entities]
        dense = [*self.user_layers.parameters(), *self.cross.parameters(), *self.head_layers.parameters()]
        if self.head_output is not None:
            dense += list(self.head_output.parameters())
        if self.uses_bias:
            tables += [self.user_bias, self.item_bias]
            dense.append(self.global_bias)
        return tables, dense

    def kge_parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Return (tables, dense weights) that the KG task learns."""
        layers = (self.relation_layers, self.cross, self.tail_layers, self.tail_output)
        return [self.items, self.entities, self.relations], [p for layer in layers for p in layer.parameters()]

    def item_tower(self, item: torch.Tensor, entity: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pass vectors of items and of their entities through L cross & compress units.

        Return v_L and e_L, the outputs of the last unit for items and entities: (n, d), (n, d) → (n, d), (n, d).
        """
        for unit in self.cross:
            item, entity = unit(item, entity)
        return item, entity

    def predicted_tails(self, heads: torch.Tensor, relations: torch.Tensor) -> torch.Tensor:
        """Predict the tails of n triples from their heads and relations, by dense layers: (n, d), (n, d) → (n, d)."""
        return self.tail_output(self.tail_layers(torch.cat([heads, relations], dim=1)))  # (n, 2d) → (n, d)

    def joined(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Return the logits of n pairs, without biases.

        Args:
            users, items: Outputs u_L and v_L of the user and item layers for each pair, (n, d).

        Returns:
            (n,).
        """
        if self.head_output is None:
            return (users * items).sum(dim=1)
        return self.head_output(self.head_layers(torch.cat([users, items], dim=1))).squeeze(1)

    def joined_pairs(
        self, users: torch.Tensor, user_of: torch.Tensor, items: torch.Tensor, item_of: torch.Tensor
    ) -> torch.Tensor:
        """Return the logits, without biases, of n pairs of m users and k items, float32 (n,).

        Args:
            users, items: Outputs u_L and v_L of the user and item layers, (m, d) and (k, d).
            user_of, item_of: Row of each pair in `users` and `items`, int64 (n,).
        """
        if self.head_output is None:
            return pair_dots(users, user_of, items, item_of)
        return self.joined(functional.embedding(user_of, users), functional.embedding(item_of, items))

    def joined_with_all(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Return the logits, without biases, of b users with each of m items.

        Args:
            users, items: Outputs u_L and v_L of the user and item layers, (b, d) and (m, d).

        Returns:
            (b, m).
        """
        if self.head_output is None:
            return users @ items.T
        return torch.stack([self.joined(user.expand_as(items), items) for user in users])

    def all_users(self) -> torch.Tensor:
        """Return u_L of every user, the output of the last of L user layers: (n_users, d)."""
        return self.user_layers(self.users)

    def all_items(self) -> torch.Tensor:
        """Return v_L of every item, the output of the last of L cross & compress units: (n_items, d)."""
        return self.item_tower(self.items, self.entities[self.item_entities])[0]

    def all_biases(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Return user bias + item bias + global bias of each pair.

        Args:
            users, items: Indices, int64, of shapes that can be broadcast. The result has the broadcast shape.
        """
        return self.user_bias[users].squeeze(-1) + self.item_bias[items].squeeze(-1) + self.global_bias
