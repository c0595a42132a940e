"""HiddenEdgeGCN: LightGCN over likes and knowledge, trained to predict likes that are hidden from its graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.collaborative_graph import CollaborativeGraph, HiddenBatch
from kgplug.recommenders.click_through.config import ClickThroughConfig
from kgplug.recommenders.click_through.factors import Factors
from kgplug.recommenders.click_through.pairs import ClickThroughData, own_rows
from kgplug.recommenders.click_through.propagation import PropagatedRecommender, Propagation
from kgplug.recommenders.click_through.recommender import TrainedRecommender
from kgplug.recommenders.click_through.tasks import GradientTask
from kgplug.recommenders.parts.operations.layers import normal_table
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.adam import Adam
from kgplug.training.config import DataSize, Grid, Range, Space, TrainedConfig
from kgplug.training.device import choose_device


class HiddenEdgeGCNConfig(ClickThroughConfig):
    """Settings of HiddenEdgeGCN."""

    tuning: ClassVar[Space] = {
        **TrainedConfig.tuning,
        "batch_size": (16384, 65536, 262144),
        "l2": Range(1e-4, 1e-1, log=True),
        "hidden": Range(0.2, 0.7),
        "n_layers": (1, 2, 3),
        "knowledge_weight": Range(0.1, 2.0),
    }

    grid: ClassVar[Grid] = {**ClickThroughConfig.grid, "knowledge_weight": (0.5, 0.0)}
    old_names: ClassVar[Mapping[str, str]] = {"layers": "n_layers"}

    batch_size: int = Field(65536, ge=1, description="twice the number of likes per step")
    negatives_per_like: int = Field(4, ge=1, description="number of negatives that are drawn for each like")
    negative_popularity: float = Field(
        0.5,
        ge=0,
        le=2,
        description="negatives are drawn with a chance proportional to (1 + likes of the item)^this; 0: uniformly",
    )
    epochs: int = Field(600, ge=1, description="maximum number of epochs; each hides some likes and predicts them")
    patience: int = Field(30, ge=1, description="stop after this many epochs without a better validation metric")
    learning_rate: float = Field(3e-3, gt=0, description="learning rate of Adam; 0.01 on sparse data")
    side: bool = Field(
        True, description="whether to add the side term, a score from counts of likes and shared KG features"
    )
    side_learning_rate: float = Field(1e-1, gt=0, description="learning rate of the side term")
    l2: float = Field(5e-3, ge=0, description="weight of the squared norms of the batch's propagated vectors")
    entity_l2: float = Field(1e-3, ge=0, description="weight of the mean squared norm of all entity vectors")
    bias_l2: float = Field(1.0, ge=0, description="weight of the squared item biases of the batch")
    init_scale: float = Field(0.01, gt=0, description="standard deviation of the initial vectors")
    n_layers: int = Field(
        2, ge=1, description="number of propagation steps; the result is the mean over all steps and the input"
    )
    hidden: float = Field(0.5, gt=0, lt=1, description="fraction of the likes that an epoch hides and predicts")
    knowledge_weight: float = Field(0.5, ge=0, description="weight of a KG edge; a like has 1; 0: no KG")

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        return super().suited_to(size) | ({"learning_rate": 1e-2, "l2": 2e-2} if size.is_sparse else {})


class HiddenEdgeNetwork(nn.Module):
    """One table of node vectors (users first, then entities), item biases, and a learnt factor for the dot product.

    Args:
        n_nodes: Number of users and entities together.
        n_items: Number of items.
        config: Settings.
        generator: Random generator of the weights.
    """

    def __init__(self, *, n_nodes: int, n_items: int, config: HiddenEdgeGCNConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.nodes = normal_table(n_nodes, config.embedding_dim, config.init_scale, generator)
        self.item_bias = nn.Parameter(torch.zeros(n_items))
        self.scale = nn.Parameter(torch.ones(1))


class HiddenEdgeGCN(PropagatedRecommender, TrainedRecommender):
    """LightGCN over users, items and entities, trained to predict likes that are hidden from its graph.

    Our design, with the propagation of He et al., SIGIR 2020 ("LightGCN"). Each epoch hides a random fraction of
    the likes, propagates over the other likes and the knowledge graph, and learns to separate the hidden likes from new
    negatives. So in training, as in prediction, the like to predict is not in the graph. The score is u · v times a
    learnt scale, plus an item bias, plus the side term: a logit from counts of likes and shared KG features. In
    training, these counts leave out the pair itself.
    """

    name = "HiddenEdgeGCN"
    inputs = RECOMMENDERS["HiddenEdgeGCN"].inputs
    config_class = HiddenEdgeGCNConfig
    config: HiddenEdgeGCNConfig
    network: HiddenEdgeNetwork

    def _task(self, data: TrainingData) -> HiddenEdgeTask:
        n_entities, item_entities = own_rows(data.linked, data.graph.n_entities)
        device = choose_device(self.config.device)
        self.network = HiddenEdgeNetwork(
            n_nodes=data.interactions.n_users + n_entities,
            n_items=data.interactions.n_items,
            config=self.config,
            generator=torch.Generator().manual_seed(data.seed),
        ).to(device)
        pairs = self._click_through(data)
        self._nodes = data.interactions.n_users + item_entities  # (n_items,)
        edges = CollaborativeGraph(
            pairs.likes,
            item_entities,
            data.graph.triples,
            n_entities=n_entities,
            knowledge_weight=self.config.knowledge_weight,
            device=device,
        )
        self._graph = edges.whole()
        return HiddenEdgeTask(self, pairs, edges)

    def propagated(self, graph: Propagation) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the user vectors (n_users, d) and item vectors (n_items, d) after propagation over a graph."""
        nodes = graph.mean_of_layers(self.network.nodes, self.config.n_layers)
        items = torch.from_numpy(self._nodes).to(nodes.device)
        return nodes[: len(self.user_keys)], functional.embedding(items, nodes)

    @torch.no_grad()
    def trained_factors(self) -> Factors:
        users, items = (part.contiguous().cpu().numpy() for part in self.propagated(self._graph))
        scale, bias = self.network.scale.item(), self.network.item_bias.cpu().numpy()
        return Factors(scale * users, items, np.zeros(len(users), dtype=np.float32), bias)

    def _release(self) -> None:
        del self._graph


class HiddenEdgeTask(GradientTask):
    """Trains HiddenEdgeGCN. In each epoch, the graph lacks a random fraction of the likes, which are to be predicted.

    Args:
        model: The model, with its network.
        data: Likes and negatives.
        edges: The graph of all likes and triples.
    """

    def __init__(self, model: HiddenEdgeGCN, data: ClickThroughData, edges: CollaborativeGraph) -> None:
        self.model, self.module, self.data, self.config, self.edges = model, model.network, data, model.config, edges
        network = self.module
        parameters = [network.nodes, network.item_bias, network.scale]
        self.optimizers = (Adam(parameters, lr=self.config.learning_rate),)

    @property
    def step_floats(self) -> int:
        """Number of floats in the largest tensor of a training step."""
        return self.module.nodes.numel()

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[HiddenBatch]:
        """Hide a new random fraction of the likes, and yield the hidden likes with new negatives."""
        del epoch
        return self.edges.epoch(self.data, self.config.hidden, self.config.batch_size, rng)

    def loss(self, batch: HiddenBatch) -> torch.Tensor:
        """Return mean BCE + the penalties of `l2`, `entity_l2` and `bias_l2`, a scalar."""
        pairs, network, config = batch.pairs, self.module, self.config
        device, n_users = network.nodes.device, len(self.model.user_keys)
        users, items = (torch.from_numpy(x).to(device) for x in (pairs.users, pairs.items))
        u, v = self.model.propagated(batch.graph)
        u, v = functional.embedding(users, u), functional.embedding(items, v)
        bias = network.item_bias[items]
        loss = self.data.log_loss(network.scale * (u * v).sum(1) + bias, pairs)
        rows = (u.square().sum() + v.square().sum()) / len(users)
        entities = network.nodes[n_users:].square().sum(1).mean()
        return loss + config.l2 * rows + config.entity_l2 * entities + config.bias_l2 * bias.square().mean()

    def validate(self) -> float | None:
        """Return the AUC of the validation pairs; None if they contain no likes or no negatives."""
        return self.model.validation_auc(self.data)
