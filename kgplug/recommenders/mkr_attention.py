"""MKR-attention: MKR whose items look at their neighbourhood in the graph, and cross with it dimension by dimension."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from kgplug.data.interactions import Interactions
from kgplug.recommenders.click_through import ClickThroughData, Pairs
from kgplug.recommenders.item_features import own_likes
from kgplug.recommenders.layers import distinct, lookup, row_penalty
from kgplug.recommenders.mkr import MKR, MKRConfig, MKRTask, TripleBatch
from kgplug.recommenders.mkr_network import MKRNetwork
from kgplug.recommenders.mkr_tastes import TasteNetwork, TasteTask
from kgplug.recommenders.neighbours import EntityGraph, Neighbours
from kgplug.training.config import Space

_NEIGHBOUR_STREAM = 0xA77  # parts the draw of the neighbours used for scoring from the draws of the epochs


class MKRAttentionConfig(MKRConfig):
    """Settings of MKR-attention: those of MKR, and a switch for each part that is new."""

    tuning: ClassVar[Space] = {**MKRConfig.tuning, "neighbours": (4, 8, 16)}

    vector_l2: float = Field(
        2e-2, ge=0, description="weight of the squared norms of the towers' vectors u_L and v_L; 0.05 on sparse data"
    )
    neighbours: int = Field(8, ge=0, description="K: sampled neighbours that an item attends to; 0: none")
    gates: bool = Field(True, description="gates decide per dimension what crosses; False: MKR's cross & compress unit")
    history: bool = Field(True, description="a user is described by the other likes, too")
    side: bool = Field(True, description="add what counts of likes and the KG profile of the user's likes say")


class GatedCross(nn.Module):
    """Cross unit with gates: v' = g ∘ v + (1 − g) ∘ e + b_v, g = σ(a ∘ v + b ∘ e + c); e' with gates of its own.

    The cross & compress unit lets one number an item decide how much of the other task's vector passes, in all
    dimensions alike. Here each dimension has its own. At a = b = c = 0 the unit starts as the mean of its inputs,
    as that one does; and like that one it costs O(d). (A full matrix in the gate was worse on Book-Crossing.)

    Args:
        dim: d.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gates = nn.Parameter(torch.zeros(2, 3, dim))  # of v and of e: by v, by e, constant
        self.bias = nn.Parameter(torch.zeros(2, dim))

    def forward(self, item: torch.Tensor, entity: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (v', e'): (n, d), (n, d) → (n, d), (n, d)."""
        of_item, of_entity = (torch.sigmoid(by_v * item + by_e * entity + c) for by_v, by_e, c in self.gates)  # (n, d)
        crossed_item = entity + of_item * (item - entity) + self.bias[0]
        crossed_entity = item + of_entity * (entity - item) + self.bias[1]
        return crossed_item, crossed_entity


class AttentionNetwork(TasteNetwork):
    """MKR with attention over neighbours and gated crossing.

    An item's neighbours for scoring stand in buffers int64 (n_items, K). `attention_relations` (n_relations + 1, d)
    are vectors of the ways to them, the loop of lonely entities last.
    """

    neighbour_entities: torch.Tensor
    neighbour_relations: torch.Tensor
    learnt_late = (*TasteNetwork.learnt_late, "neighbour_entities", "neighbour_relations")

    def __init__(self, shape: MKRAttentionConfig, *, n_relations: int, **rest: object) -> None:
        super().__init__(shape, n_relations=n_relations, **rest)  # type: ignore[arg-type]
        dim = shape.embedding_dim
        self.attention_relations = nn.Parameter(torch.zeros(n_relations + 1, dim))
        if shape.gates:
            self.cross = nn.ModuleList(GatedCross(dim) for _ in range(shape.low_layers))

    def surround(self, neighbours: Neighbours) -> None:
        """Take the neighbours of every item that scores are made with."""
        items = self.item_entities.cpu().numpy()
        for name, array in (("entities", neighbours.entities), ("relations", neighbours.relations)):
            self.register_buffer(f"neighbour_{name}", torch.from_numpy(array[items]).to(self.device))

    def recommendation_parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        tables, dense = super().recommendation_parameters()
        return tables, [*dense, self.attention_relations]

    def context(self, v: torch.Tensor, around: torch.Tensor, relations: torch.Tensor) -> torch.Tensor:
        """Return Σ_k a_k e_k, a = softmax_k(v · (e_k + r_k) / √d).

        Args:
            v: (m, d), items.
            around: (m, K, d), vectors of their neighbours.
            relations: int64 (m, K).

        Returns:
            (m, d), zeros for K = 0.
        """
        keys = around + functional.embedding(relations, self.attention_relations)  # (m, K, d)
        weights = torch.softmax((keys * v[:, None]).sum(2) / v.shape[1] ** 0.5, dim=1)  # (m, K)
        return (weights[:, :, None] * around).sum(1)

    def all_items(self) -> torch.Tensor:
        """Return v_L of every item: (n_items, d)."""
        around = functional.embedding(self.neighbour_entities, self.entities)  # (n_items, K, d)
        seen = self.context(self.items, around, self.neighbour_relations)
        return self.item_tower(self.items, self.entities[self.item_entities] + seen)[0]


class AttentionTask(TasteTask):
    """The training of MKR-attention: new neighbours each epoch; a like is not in the history that it is asked about.

    The KG task crosses an item with its entity alone: its neighbourhood would hold the tail that is asked for.

    Args:
        network, config, data, triples: as in `MKRTask`.
        graph: draws neighbours.
    """

    module: AttentionNetwork
    config: MKRAttentionConfig

    def __init__(
        self,
        network: AttentionNetwork,
        config: MKRAttentionConfig,
        data: ClickThroughData,
        triples: np.ndarray,
        graph: EntityGraph,
    ) -> None:
        super().__init__(network, config, data, triples)
        self._graph = graph

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[Pairs | TripleBatch]:
        """Draw neighbours, then yield the steps of one epoch."""
        self._neighbours = self._graph.sample(self.config.neighbours, rng)
        return super().batches(epoch, rng)

    def left_out(self, batch: Pairs) -> tuple[np.ndarray, torch.Tensor]:
        """Return (the like of each row, that of the like a negative was drawn for; ones)."""
        return own_likes(batch), torch.ones(len(batch), device=self.module.device)

    def item_vectors(
        self, items: torch.Tensor, v: torch.Tensor, e: torch.Tensor, item_of: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (v_L (m, d), mean squared norm of a neighbour)."""
        network = self.module
        if self.config.neighbours == 0:
            return super().item_vectors(items, v, e, item_of)
        nodes = network.item_entities[items].cpu().numpy()
        entities, (places,) = distinct(self._neighbours.entities[nodes], device=network.device)  # places (m, K)
        rows = lookup(network.entities, entities)
        relations = torch.from_numpy(self._neighbours.relations[nodes]).to(network.device)
        seen = network.context(v, functional.embedding(places, rows), relations)
        return network.item_tower(v, e + seen)[0], row_penalty(rows, places[item_of], places[item_of].numel())


class MKRAttention(MKR):
    """MKR with attention over an item's KG neighbourhood and gates in place of the cross & compress unit. Ours.

    - e of an item becomes e + Σ a_k e_k over sampled neighbours, a = softmax(v · (e_k + r_k) / √d).
    - Gates decide for each dimension how much of it crosses (`GatedCross`).
    - A user is u + the mean of v over the other likes: the like that is asked about is never among them.
    - The side term adds counts and the KG profile (`side_term`).

    An item's vector still does not depend on the user, so ranking is one product. What it builds on is MKR (Wang et
    al., WWW 2019, "Multi-Task Feature Learning for Knowledge Graph Enhanced Recommendation"); attention and another
    crossing are what Cao et al. 2021 left for later. Each part has a switch (`MKRAttentionConfig`).
    """

    name = "MKR-attention"
    config_class = MKRAttentionConfig
    config: MKRAttentionConfig
    network: AttentionNetwork
    network_class: ClassVar[type[MKRNetwork]] = AttentionNetwork

    def _task_on(
        self, interactions: Interactions, valid: Interactions | None, triples: np.ndarray, seed: int
    ) -> MKRTask:
        network, likes, nobody = self.network, interactions.likes(), np.empty(0, dtype=np.int64)
        if not self.config.history:
            likes = likes.take(nobody)
        network.remember(likes, np.ones(len(likes), dtype=np.float32))
        sizes = {"n_entities": len(network.entities), "n_relations": len(network.relations)}
        graph = EntityGraph(triples, (nobody, nobody), n_users=interactions.n_users, **sizes)
        network.surround(graph.sample(self.config.neighbours, np.random.default_rng([seed, _NEIGHBOUR_STREAM])))
        data = self._click_through(interactions, valid, seed)
        return AttentionTask(network, self.config, data, triples, graph)
