"""The network of CKAN: sampled entities and triples of users and items, and attention over the triples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from kgplug.data.interactions import Interactions
from kgplug.recommenders.click_through.tasks import PairNetwork
from kgplug.recommenders.models._ripple_memories import sample_members, sample_memories
from kgplug.recommenders.parts.operations.compiled_steps import lookup_weights, pair_dots
from kgplug.recommenders.parts.operations.layers import distinct, lookup, normal_table, row_penalty, xavier_linear
from kgplug.recommenders.parts.operations.weighted_sum import weighted_sum

HIDDEN = -1e9  # score of an ignored triple


class CKANShape(Protocol):
    """The settings that the network reads from `CKANConfig`."""

    @property
    def embedding_dim(self) -> int: ...
    @property
    def aggregator(self) -> str: ...
    @property
    def bias(self) -> bool: ...
    @property
    def init_scale(self) -> float: ...


@dataclass(frozen=True, eq=False)
class RippleSets:
    """The sets of all users, or of all items: M sampled entities, and M sampled triples in each of H steps.

    Attributes:
        initial: Entities (E⁰ in the paper), int64 (n, M); -1 for a user without likes.
        memories: Row of each triple in the triples, int32 (n, H, M), as `sample_memories` returns them.
    """

    initial: np.ndarray
    memories: np.ndarray

    @classmethod
    def around(cls, initial: np.ndarray, triples: np.ndarray, *, n_layers: int, rng: np.random.Generator) -> RippleSets:
        """Return the sets with these initial entities, int64 (n, M). Triples, int64 (m, 3), are sorted by head."""
        n, size = initial.shape
        rows, places = np.nonzero(initial >= 0)
        entities = initial[rows, places]
        memories = sample_memories(rows, entities, triples, n_users=n, n_layers=n_layers, size=size, rng=rng)
        return cls(initial, memories)


def sample_liked_together(likes: Interactions, size: int, rng: np.random.Generator) -> np.ndarray:
    """Sample likes of each item's users: int64 (n_items, size). An item that nobody likes has itself.

    Each is a random like of one of the item's users, so an item that many of these users like is drawn more often.
    """
    users = sample_members(likes.items, likes.users, n_groups=likes.n_items, size=size, rng=rng)
    itself = np.arange(likes.n_items)[:, None]
    counts = np.bincount(likes.users, minlength=likes.n_users)
    drawn = (np.cumsum(counts) - counts)[users] + rng.integers(0, np.maximum(counts[users], 1))
    # likes are sorted by user
    return np.where(users >= 0, likes.items[np.minimum(drawn, len(likes) - 1)], itself)


class CKANNetwork(PairNetwork):
    """CKAN's entity and relation vectors, biases, and the layers W₀, W₁ and W₂ of its attention.

    Args:
        shape: Settings.
        item_entities: Row of each item in the entity table, int64 (n_items,).
        n_entities: Number of rows of the entity table.
        triples: Head, relation and tail, int64 (n, 3), sorted by head.
        of_users, of_items: Sets of all users and of all items.
        generator: Random generator of the weights.
    """

    def __init__(
        self,
        shape: CKANShape,
        *,
        item_entities: np.ndarray,
        n_entities: int,
        triples: np.ndarray,
        of_users: RippleSets,
        of_items: RippleSets,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        dim, scale = shape.embedding_dim, shape.init_scale
        if len(triples) == 0:  # there are no memories, so this dummy triple is never used
            triples = np.zeros((1, 3), dtype=np.int64)
        self.aggregator, self.bias = shape.aggregator, shape.bias
        self.item_entities, self.of_users, self.of_items = item_entities, of_users, of_items
        self.entities = normal_table(n_entities, dim, scale, generator)
        self.relations = normal_table(int(triples[:, 1].max()) + 1, dim, scale, generator)
        self.w0 = xavier_linear(2 * dim, dim, generator)
        self.w1, self.w2 = xavier_linear(dim, dim, generator), xavier_linear(dim, 1, generator)
        self.user_bias = nn.Parameter(torch.zeros(len(of_users.initial), 1))
        self.item_bias = nn.Parameter(torch.zeros(len(item_entities), 1))
        codes, pair_of = np.unique(triples[:, 1] * np.int64(n_entities) + triples[:, 0], return_inverse=True)
        self._heads, self._relations = codes % n_entities, codes // n_entities  # of the distinct pairs
        self._pair_of, self._tails = pair_of.reshape(-1), triples[:, 2]

    def tables(self) -> list[nn.Parameter]:
        return [self.entities, self.relations] + ([self.user_bias, self.item_bias] if self.bias else [])

    def layers(self) -> list[nn.Parameter]:
        return [*self.w0.parameters(), *self.w1.parameters(), *self.w2.parameters()]

    def forward(
        self, users: np.ndarray, items: np.ndarray, left_out: np.ndarray | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (logits of pairs (B,), mean over pairs of the squared norms of their vectors and biases, a scalar).

        Args:
            users, items: Indices, int64 (B,).
            left_out: For each pair, a liked item to leave out of the user's vector, int64 (B,). If None, none is left
                out.
        """
        n, device = len(users), self.device
        user_rows, (user_of,) = distinct(users, device=device)
        item_rows, (item_of,) = distinct(items, device=device)
        if left_out is None:
            u_of, rows, hidden = user_of, user_rows.cpu().numpy(), None
        else:  # a user has a vector per item that is left out
            n_items = len(self.item_entities)
            codes, (u_of,) = distinct(users * n_items + left_out, device=device)
            rows, hidden = np.divmod(codes.cpu().numpy(), n_items)
            hidden = torch.from_numpy(self.item_entities[hidden]).to(device)
        u, of_users = self.users(rows, lookup_weights(u_of, len(rows), n), hidden)
        v, of_items = self.items(item_rows.cpu().numpy(), lookup_weights(item_of, len(item_rows), n))
        logits, penalty = pair_dots(u, u_of, v, item_of), of_users + of_items
        if self.bias:
            for table, rows, places in ((self.user_bias, user_rows, user_of), (self.item_bias, item_rows, item_of)):
                bias = lookup(table, rows)
                logits = logits + functional.embedding(places, bias).squeeze(1)
                penalty = penalty + row_penalty(bias, places, n)
            logits = logits + self.global_bias
        return logits, penalty

    def users(
        self, rows: np.ndarray, weights: torch.Tensor, hidden: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the vectors of users (n, D) and the weighted sum of their penalties, a scalar.

        A penalty is mean ‖e‖² of the initial entities + Σ_step mean (‖h‖² + ‖r‖² + ‖t‖²) of the triples.

        Args:
            rows: Indices, int64 (n,).
            weights: Weight of each penalty, float32 (n,).
            hidden: Entity of a liked item per user, int64 (n,). The user's vector ignores this like, with all triples
                to which none of the user's other initial entities leads. The penalty counts them.
        """
        initial, steps, penalty = self._around(self.of_users, rows, weights, hidden)
        return self._joined([initial, *steps]), penalty

    def items(self, rows: np.ndarray, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the same as `users` of items; their penalty also has ‖own vector‖².

        With the aggregator "concat", the initial entities are left out, so that users and items have equal lengths.
        """
        initial, steps, penalty = self._around(self.of_items, rows, weights)
        own = lookup(self.entities, torch.from_numpy(self.item_entities[rows]).to(self.device))
        parts = [own, *steps] if self.aggregator == "concat" else [own, initial, *steps]
        return self._joined(parts), penalty + weights @ own.square().sum(1)

    def _joined(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        if self.aggregator == "concat":
            return torch.cat(list(parts), dim=1)
        stacked = torch.stack(list(parts))
        return stacked.sum(0) if self.aggregator == "sum" else stacked.amax(0)

    def _around(
        self, sets: RippleSets, rows: np.ndarray, weights: torch.Tensor, hidden: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, Sequence[torch.Tensor], torch.Tensor]:
        """Return the mean initial entity (n, d), the sum of each step's tails (n, d), and the penalty as in `users`."""
        device, (n_layers, size) = self.device, sets.memories.shape[1:]
        memories, initial = sets.memories[rows], sets.initial[rows]  # (n, H, M), (n, M)
        filled, started = (torch.from_numpy(ids >= 0).to(device) for ids in (memories, initial))
        memories = np.maximum(memories, 0)
        pair_rows, (pair_of,) = distinct(self._pair_of[memories])
        heads, relations = (part[pair_rows.numpy()] for part in (self._heads, self._relations))
        ends = heads, self._tails[memories], np.maximum(initial, 0)
        entity_rows, (head_of, tail_of, initial_of) = distinct(*ends, device=device)
        relation_rows, (relation_of,) = distinct(relations, device=device)
        e, r, pair_of = lookup(self.entities, entity_rows), lookup(self.relations, relation_rows), pair_of.to(device)

        of_triples, of_initial = weights[:, None, None] * filled / size, weights[:, None] * started / size
        by_pair = _sums(pair_of, of_triples, len(pair_rows))
        by_entity = _sums(head_of, by_pair, len(e)) + _sums(tail_of, of_triples, len(e))
        by_entity = by_entity + _sums(initial_of, of_initial, len(e))
        penalty = by_entity @ e.square().sum(1) + _sums(relation_of, by_pair, len(r)) @ r.square().sum(1)

        if hidden is not None:
            started = started & (entity_rows[initial_of] != hidden[:, None])
            filled = _reached(torch.where(started, initial_of, -1), head_of[pair_of], tail_of, filled)
        scores = functional.embedding(pair_of, self.scores(e, r, head_of, relation_of)[:, None]).squeeze(3)
        attention = scores.masked_fill(~filled, HIDDEN).softmax(2) * filled
        steps = weighted_sum(e, tail_of.view(-1, size), attention.view(-1, size)).view(-1, n_layers, e.shape[1])
        shares = started / started.sum(1, keepdim=True).clamp(min=1)
        return weighted_sum(e, initial_of, shares), steps.unbind(1), penalty

    def scores(
        self, e: torch.Tensor, r: torch.Tensor, head_of: torch.Tensor, relation_of: torch.Tensor
    ) -> torch.Tensor:
        """Return π = σ(W₂ ReLU(W₁ ReLU(W₀ [h, r]))) of pairs of a head and a relation, (n_pairs,).

        Args:
            e, r: Vectors of entities and relations, (m, d) and (k, d).
            head_of, relation_of: Row of each pair's head in `e` and of its relation in `r`, int64 (n_pairs,).
        """
        of_heads, of_relations = self.w0.weight.chunk(2, dim=1)  # W₀ [h, r] is the sum of a product of h and one of r
        hidden = functional.embedding(relation_of, functional.linear(r, of_relations, self.w0.bias))
        hidden = torch.relu(hidden + functional.embedding(head_of, functional.linear(e, of_heads)))
        return torch.sigmoid(self.w2(torch.relu(self.w1(hidden)))).squeeze(1)


def _reached(initial: torch.Tensor, heads: torch.Tensor, tails: torch.Tensor, filled: torch.Tensor) -> torch.Tensor:
    """Return which triples lead from an initial entity, or from a tail of such a triple of an earlier step.

    The result is bool (n, H, M).

    Args:
        initial: Entities, -1 where there is none, int64 (n, M).
        heads, tails: Entities of the triples of each step, int64 (n, H, M).
        filled: Whether there is a triple, bool (n, H, M).
    """
    found, ends = list[torch.Tensor](), initial
    for step in range(heads.shape[1]):
        found.append(filled[:, step] & (heads[:, step, :, None] == ends[:, None]).any(2))
        ends = torch.cat([ends, torch.where(found[-1], tails[:, step], -1)], dim=1)
    return torch.stack(found, dim=1)


def _sums(places: torch.Tensor, weights: torch.Tensor, n: int) -> torch.Tensor:
    """Return the sum of the weights at each place, float32 (n,). Places and weights have the same shape."""
    return torch.bincount(places.reshape(-1), weights.reshape(-1), minlength=n)
