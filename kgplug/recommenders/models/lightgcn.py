"""LightGCN: vectors averaged over the graph of likes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import nn

from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.config import ClickThroughConfig
from kgplug.recommenders.click_through.factors import Factors
from kgplug.recommenders.click_through.pairs import ClickThroughData, Pairs
from kgplug.recommenders.click_through.propagation import PropagatedRecommender, Propagation
from kgplug.recommenders.click_through.recommender import TrainedRecommender
from kgplug.recommenders.click_through.tasks import GradientTask
from kgplug.recommenders.parts.operations.layers import normal_table
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.adam import Adam
from kgplug.training.config import DataSize, Range, Space, TrainedConfig
from kgplug.training.device import choose_device


class LightGCNConfig(ClickThroughConfig):
    """Settings of LightGCN. In the paper: 64 dimensions, 3 layers, learning rate 1e-3, l2 1e-4, BPR loss."""

    tuning: ClassVar[Space] = {
        **TrainedConfig.tuning,
        "batch_size": (8192, 16384, 32768),
        "l2": Range(1e-4, 1e-1, log=True),
        "n_layers": (1, 2, 3),
    }

    old_names: ClassVar[Mapping[str, str]] = {"layers": "n_layers"}

    batch_size: int = Field(16384, ge=1, description="twice the number of likes per step")
    negatives_per_like: int = Field(4, ge=1, description="number of negatives that are drawn for each like")
    negative_popularity: float = Field(
        0.5,
        ge=0,
        le=2,
        description="negatives are drawn with a chance proportional to (1 + likes of the item)^this; 0: uniformly",
    )
    patience: int = Field(10, ge=1, description="stop after this many epochs without a better validation metric")
    epochs: int = Field(300, ge=1, description="maximum number of epochs")
    l2: float = Field(
        1e-3,
        ge=0,
        description="weight of the squared norms of the batch's vectors before propagation; 0.02 on sparse data",
    )
    init_scale: float = Field(0.01, gt=0, description="standard deviation of the initial vectors")
    bias: bool = Field(True, description="whether to add user and item biases (not in the paper)")
    n_layers: int = Field(
        2, ge=1, description="number of propagation steps; the result is the mean over all steps and the input"
    )

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        return super().suited_to(size) | ({"l2": 2e-2} if size.is_sparse else {})


class LightGCNNetwork(nn.Module):
    """One table of vectors, for users and then items, and biases: logit = u · v + b_u + b_i + b.

    u and v are the propagated vectors of the user and the item.

    Args:
        n_nodes: Number of users and items together.
        dim: Length of a vector.
        scale: Standard deviation of the initial vectors.
        generator: Random generator of the vectors.
    """

    def __init__(self, *, n_nodes: int, dim: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.nodes = normal_table(n_nodes, dim, scale, generator)
        self.bias = nn.Parameter(torch.zeros(n_nodes))
        self.global_bias = nn.Parameter(torch.zeros(1))


class LightGCN(PropagatedRecommender, TrainedRecommender):
    """LightGCN (He et al., SIGIR 2020, "LightGCN: Simplifying and Powering Graph Convolution Network for
    Recommendation"), trained on likes and new negatives by log loss, so that its scores are probabilities.
    """

    name = "LightGCN"
    inputs = RECOMMENDERS["LightGCN"].inputs
    config_class = LightGCNConfig
    config: LightGCNConfig
    network: LightGCNNetwork

    def _task(self, data: TrainingData) -> LightGCNTask:
        device = choose_device(self.config.device)
        n_nodes = data.interactions.n_users + data.interactions.n_items
        self.network = LightGCNNetwork(
            n_nodes=n_nodes,
            dim=self.config.embedding_dim,
            scale=self.config.init_scale,
            generator=torch.Generator().manual_seed(data.seed),
        ).to(device)
        pairs = self._click_through(data)
        likes = pairs.likes
        self._graph = Propagation(
            likes.users,
            data.interactions.n_users + likes.items,
            np.ones(len(likes), dtype=np.float32),
            n_nodes=n_nodes,
            device=device,
        )
        return LightGCNTask(self, pairs)

    def propagated(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the user vectors (n_users, d) and item vectors (n_items, d) after propagation."""
        nodes = self._graph.mean_of_layers(self.network.nodes, self.config.n_layers)
        n_users = len(self.user_keys)
        return nodes[:n_users], nodes[n_users:]

    @torch.no_grad()
    def trained_factors(self) -> Factors:
        n_users, network = len(self.user_keys), self.network
        bias = network.bias.cpu().numpy()
        users, items = (part.contiguous().cpu().numpy() for part in self.propagated())
        return Factors(users, items, bias[:n_users] + network.global_bias.item(), bias[n_users:])

    def _release(self) -> None:
        del self._graph


class LightGCNTask(GradientTask):
    """Trains LightGCN. Each step propagates the vectors of all nodes once."""

    def __init__(self, model: LightGCN, data: ClickThroughData) -> None:
        self.model, self.module, self.data, self.config = model, model.network, data, model.config
        self.module.bias.requires_grad_(self.config.bias)
        trained = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        self.optimizers = (Adam(trained, lr=self.config.learning_rate),)

    @property
    def step_floats(self) -> int:
        """Number of floats in the largest tensor of a training step."""
        return self.module.nodes.numel()

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[Pairs]:
        """Yield the likes of one epoch with new negatives."""
        del epoch
        return self.data.epoch(rng, self.config.batch_size)

    def loss(self, batch: Pairs) -> torch.Tensor:
        """Return mean BCE + l2 · mean squared norm of a pair's biases and vectors before propagation, a scalar."""
        device, n_users = self.module.nodes.device, len(self.model.user_keys)
        users, items = (torch.from_numpy(x).to(device) for x in (batch.users, batch.items))
        u, v = self.model.propagated()
        bias = self.module.bias
        logits = (u[users] * v[items]).sum(1) + bias[users] + bias[n_users + items] + self.module.global_bias
        norms = self.module.nodes.square().sum(1) + bias.square()  # (n_nodes,)
        rows = norms[users].mean() + norms[n_users + items].mean()
        return self.data.log_loss(logits, batch) + self.config.l2 * rows

    def validate(self) -> float | None:
        """Return the AUC of the validation pairs; None if they contain no likes or no negatives."""
        return self.model.validation_auc(self.data)
