"""MKR-attention: MKR over the graph of likes and knowledge, with attention and a gate per dimension."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.collaborative_graph import CollaborativeGraph, HiddenBatch
from kgplug.recommenders.click_through.factors import Factors
from kgplug.recommenders.click_through.pairs import ClickThroughData
from kgplug.recommenders.click_through.propagation import PropagatedRecommender, Propagation
from kgplug.recommenders.models._mkr_network import MKRNetwork
from kgplug.recommenders.models.mkr import MKR, MKRConfig, MKRTask
from kgplug.recommenders.parts.entity_graph import EntityGraph
from kgplug.recommenders.parts.operations.compiled_steps import pair_dots
from kgplug.recommenders.parts.operations.layers import CrossCompress, average_cold, distinct, squared_norm
from kgplug.recommenders.parts.operations.weighted_sum import weighted_sum
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.adam import Adam, Optimizer
from kgplug.training.config import DataSize, Grid, Range, Space

_NEIGHBOUR_STREAM = 0xA77  # makes the neighbours for scoring independent of those in training


class MKRAttentionConfig(MKRConfig):
    """Settings of MKR-attention: those of MKR except `head` and `layer_learning_rate`, and settings of the new parts.

    Each new part can be switched off: `n_layers=0`, `neighbours=0`, `gates=False`, `side=False`.
    """

    tuning: ClassVar[Space] = {
        **MKRConfig.tuning,
        "batch_size": (16384, 65536, 262144),
        "hidden": Range(0.2, 0.7),
        "n_layers": (1, 2, 3),
        "knowledge_weight": Range(0.1, 2.0),
        "neighbours": (4, 8, 16),
    }

    grid: ClassVar[Grid] = {**MKRConfig.grid, "knowledge_weight": (0.5, 0.0)}
    old_names: ClassVar[Mapping[str, str]] = {"propagations": "n_layers"}
    removed: ClassVar[frozenset[str]] = MKRConfig.removed | {"head", "layer_learning_rate"}
    head: ClassVar[Literal["dot"]] = "dot"  # not a setting: the only score function
    layer_learning_rate: ClassVar[float] = 0.0  # not a setting: tables and layers have one learning rate

    batch_size: int = Field(65536, ge=1, description="twice the number of likes per recommendation step")
    epochs: int = Field(600, ge=1, description="maximum number of epochs; each hides some likes and predicts them")
    patience: int = Field(30, ge=1, description="stop after this many epochs without a better validation metric")
    learning_rate: float = Field(
        3e-3, gt=0, description="learning rate of the recommendation task; 0.01 on sparse data"
    )
    l2: float = Field(1e-4, ge=0, description="weight of the squared norms of the vectors in a KG step (λ2)")
    vector_l2: float = Field(
        5e-3,
        ge=0,
        description="weight of the squared norms of the two vectors whose product is the score; 0.05 on sparse data",
    )
    bias_l2: float = Field(1.0, ge=0, description="weight of the squared user and item biases of the batch")
    init_scale: float = Field(
        0.01, gt=0, description="standard deviation of the initial vectors; 0.1 learns faster if side=False"
    )
    activation: Literal["tanh", "leaky_relu", "relu"] = Field(
        "leaky_relu", description="activation of the KG task's dense layers"
    )
    kge_interval: int = Field(1, ge=1, description="number of recommendation steps per KG step (t, Algorithm 1)")
    n_layers: int = Field(2, ge=0, description="number of propagation steps over likes and knowledge; 0: none")
    hidden: float = Field(0.5, gt=0, lt=1, description="fraction of the likes that an epoch hides and predicts")
    knowledge_weight: float = Field(0.5, ge=0, description="weight of a KG edge in a propagation; a like has 1")
    neighbours: int = Field(8, ge=0, description="number of sampled neighbours that an item attends to (K); 0: none")
    gates: bool = Field(
        True, description="whether gates mix item and entity per dimension; False: MKR's cross & compress unit"
    )
    side: bool = Field(
        True, description="whether to add the side term, a score from counts of likes and shared KG features"
    )
    side_learning_rate: float = Field(1e-1, gt=0, description="learning rate of the side term")

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        sparse = {"learning_rate": 1e-2, "vector_l2": 5e-2}
        return cls.patience_suited_to(size) | (sparse if size.is_sparse else {})


class GatedCross(nn.Module):
    """Mixes an item's vector v and its entity's vector e by gates: v' = e + g ∘ v, where g = σ(a ∘ v + b ∘ e + c).

    a, b and c are learnt vectors. The second output is e' = e + g' ∘ v, where the gates g' have other a, b and c.

    In MKR's cross & compress unit, one number per item decides how much of a vector passes, in all dimensions. Here
    each dimension has its own gate. The entity's vector passes unchanged. The item's vector passes through gates that
    are nearly closed at the start (g is about .05), because a vector learnt from very few likes says little about an
    item.

    Args:
        dim: Length d of a vector.
    """

    CLOSED = -3.0  # c at the start, so g is about .05

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gates = nn.Parameter(torch.zeros(2, 3, dim))  # a, b and c of v', then of e'
        with torch.no_grad():
            self.gates[:, 2] = self.CLOSED

    def forward(self, item: torch.Tensor, entity: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (v', e') of items v and their entities e: (n, d), (n, d) → (n, d), (n, d)."""
        of_item, of_entity = (torch.sigmoid(by_v * item + by_e * entity + c) for by_v, by_e, c in self.gates)  # (n, d)
        return entity + of_item * item, entity + of_entity * item


class AttentionNetwork(MKRNetwork):
    """The network of MKR, with attention over neighbours, and with gates in place of cross & compress units.

    There is no MLP over user vectors, because it lowered the validation AUC on Book-Crossing by .01.

    Attributes:
        attention_relations: Vector r of each relation to a neighbour, (n_relations + 1, d). The last row is for the
            self-loop of entities without neighbours.
        scale: Learnt factor of all user vectors, (1,).
    """

    def __init__(self, shape: MKRAttentionConfig, *, n_relations: int, **rest: object) -> None:
        super().__init__(shape, n_relations=n_relations, **rest)  # type: ignore[arg-type]
        dim = shape.embedding_dim
        self.n_layers = shape.n_layers
        self.attention_relations = nn.Parameter(torch.zeros(n_relations + 1, dim))
        self.scale = nn.Parameter(torch.ones(1))

    def crossing(self, shape: MKRAttentionConfig, generator: torch.Generator) -> nn.Module:  # type: ignore[override]
        dim = shape.embedding_dim
        return GatedCross(dim) if shape.gates else CrossCompress(dim, shape.offset, generator)

    def recommendation_parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        tables = [self.users, self.items, self.entities]
        dense = [*self.cross.parameters(), self.attention_relations, self.scale]
        if self.uses_bias:
            tables += [self.user_bias, self.item_bias]
            dense.append(self.global_bias)
        return tables, dense

    def propagated(self, graph: Propagation) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the user and entity vectors after propagation over a graph: (n_users, d), (n_entities, d)."""
        nodes = graph.mean_of_layers(torch.cat([self.users, self.entities]), self.n_layers)
        users, entities = nodes.split([len(self.users), len(self.entities)])
        return self.scale * users, entities

    def crossed(
        self, items: torch.Tensor, entities: torch.Tensor, near: torch.Tensor, relations: torch.Tensor
    ) -> torch.Tensor:
        """Return the final item vectors v_L: the item's own vector v, mixed by the gates with e + Σ_k a_k e_k.

        e is the vector of the item's entity, e_k that of its k-th neighbour, and r_k the vector of the relation to it.
        The attention is a = softmax_k(e · (e_k + r_k) / √d).

        Args:
            items: Indices, int64 (m,).
            entities: Propagated entity vectors, (n_entities, d).
            near: Entities that are the K neighbours of each item, int64 (m, K).
            relations: Relation to each of these neighbours, int64 (m, K).

        Returns:
            Item vectors, (m, d).
        """
        e = functional.embedding(self.item_entities[items], entities)
        if near.shape[1] > 0:
            places = torch.arange(len(e), device=e.device).repeat_interleave(near.shape[1])
            products = pair_dots(e, places, entities, near.reshape(-1)).view(near.shape)  # e · e_k
            products = products + (e @ self.attention_relations.T).gather(1, relations)
            e = e + weighted_sum(entities, near, torch.softmax(products / e.shape[1] ** 0.5, dim=1))
        return self.item_tower(functional.embedding(items, self.items), e)[0]


class AttentionTask(MKRTask):
    """Trains MKR-attention. Each epoch hides a new random part of the likes and samples new neighbours.

    The KG task uses the entity vectors before propagation. After propagation, the vector of a triple's head would
    contain that of the tail to predict.

    Args:
        model: The model, with its graphs.
        data, triples: As in `MKRTask`.
    """

    module: AttentionNetwork
    config: MKRAttentionConfig

    def __init__(self, model: MKRAttention, data: ClickThroughData, triples: np.ndarray) -> None:
        super().__init__(model.network, model.config, data, triples)
        self.model = model

    def recommendation_optimizers(self, tables: list[nn.Parameter], dense: list[nn.Parameter]) -> tuple[Optimizer, ...]:
        """Return the optimiser of the recommendation task. It updates whole tables: propagation involves every row."""
        return (Adam([*tables, *dense], lr=self.config.learning_rate),)

    @property
    def step_floats(self) -> int:
        """Number of floats in the largest tensor of a training step."""
        return self.model.likes_graph.n_nodes * self.config.embedding_dim

    def pairs(self, rng: np.random.Generator) -> Iterator[HiddenBatch]:
        """Sample new neighbours, hide some likes, and yield batches of the hidden likes with negatives."""
        self._neighbours = self.model.neighbours_of_items(rng)
        return self.model.likes_graph.epoch(self.data, self.config.hidden, self.config.batch_size, rng)

    def recommendation_loss(self, batch: HiddenBatch) -> torch.Tensor:
        """Return mean BCE + vector_l2 · mean ‖vectors‖² + bias_l2 · mean biases² + weight_l2 · ‖W‖², a scalar.

        The vectors are those whose product is the score. W are the dense weights of the task.
        """
        network, config, pairs = self.module, self.config, batch.pairs
        users = torch.from_numpy(pairs.users).to(network.device)
        items, (item_of,) = distinct(pairs.items, device=network.device)
        u, e = network.propagated(batch.graph)
        near, relations = (x[items] for x in self._neighbours)
        u = functional.embedding(users, u)  # (n, d)
        v = functional.embedding(item_of, network.crossed(items, e, near, relations))  # (n, d)
        logits = (u * v).sum(1)
        penalty = config.vector_l2 * (u.square().sum() + v.square().sum())
        if config.bias:
            of_users, of_items = network.user_bias[users, 0], network.item_bias[items, 0][item_of]
            logits = logits + of_users + of_items + network.global_bias
            penalty = penalty + config.bias_l2 * (of_users.square().sum() + of_items.square().sum())
        loss = self.data.log_loss(logits, pairs, own_weight=config.own_weight) + penalty / len(pairs)
        return loss + config.weight_l2 * squared_norm(self._dense)

    def validate(self) -> float | None:
        """Return the AUC of the validation pairs; None if they contain no likes or no negatives."""
        return self.model.validation_auc(self.data)


class MKRAttention(PropagatedRecommender, MKR):
    """Our design: MKR over the graph of likes and triples, with attention, and gates instead of cross & compress units.

    - User vectors u and entity vectors e are propagated over the graph of likes and triples, as LightGCN does over
      likes (He et al., SIGIR 2020). Each epoch hides a fraction of the likes and predicts only these, so no like
      predicts itself.
    - An item's e becomes e + Σ_k a_k e_k, where e_k are the vectors of sampled neighbours in the KG, r_k those of the
      relations to these neighbours, and a = softmax_k(e · (e_k + r_k) / √d).
    - Gates decide per dimension how much of the item's own vector is added (`GatedCross`).
    - The side term adds a logit from counts of likes and from the KG features that the item shares with the user's
      likes.

    An item's vector does not depend on the user, so ranking takes one matrix product. The base is MKR (Wang et al., WWW
    2019, "Multi-Task Feature Learning for Knowledge Graph Enhanced Recommendation"); Cao et al. 2021 name attention
    and another unit in place of cross & compress as future work. `MKRAttentionConfig` has a switch for each part.
    """

    name = "MKR-attention"
    inputs = RECOMMENDERS["MKR-attention"].inputs
    config_class = MKRAttentionConfig
    config: MKRAttentionConfig
    network: AttentionNetwork
    network_class: ClassVar[type[MKRNetwork]] = AttentionNetwork

    def _task_on(self, data: TrainingData, triples: np.ndarray) -> MKRTask:
        network, nobody = self.network, np.empty(0, dtype=np.int64)
        n_users, n_entities, n_relations = data.interactions.n_users, len(network.entities), len(network.relations)
        pairs = self._click_through(data)
        self.likes_graph = CollaborativeGraph(
            pairs.likes,
            network.item_entities.cpu().numpy(),
            triples,
            n_entities=n_entities,
            knowledge_weight=self.config.knowledge_weight,
            device=network.device,
        )
        self._whole_graph = self.likes_graph.whole()
        self._near = EntityGraph(
            triples, (nobody, nobody), n_users=n_users, n_entities=n_entities, n_relations=n_relations
        )
        self._neighbours = self.neighbours_of_items(np.random.default_rng([data.seed, _NEIGHBOUR_STREAM]))
        return AttentionTask(self, pairs, triples)

    def neighbours_of_items(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return K (setting `neighbours`) sampled neighbours of each item, and the relations to these neighbours.

        Both arrays are int64 (n_items, K).
        """
        network = self.network
        drawn, items = self._near.sample(self.config.neighbours, rng), network.item_entities.cpu().numpy()
        near, relations = (torch.from_numpy(x[items]) for x in (drawn.entities, drawn.relations))
        return near.to(network.device), relations.to(network.device)

    @torch.no_grad()
    def trained_factors(self) -> Factors:
        """Return the user and item factors, computed with all likes and a fixed sample of neighbours."""
        network = self.network
        u, e = network.propagated(self._whole_graph)
        v = network.crossed(torch.arange(len(network.items), device=network.device), e, *self._neighbours)
        user_bias = network.user_bias + network.global_bias
        average_cold(u, self.liked)
        average_cold(user_bias, self.liked)
        parts = (u, v, user_bias.squeeze(1), network.item_bias.squeeze(1))
        return Factors(*(part.contiguous().cpu().numpy() for part in parts))

    def _settle(self) -> None:
        self.factors = self.trained_factors()

    def _release(self) -> None:
        del self.likes_graph, self._whole_graph, self._near, self._neighbours
