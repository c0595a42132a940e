"""MF: matrix factorisation with biases and strong L2, the baseline that KG models must beat."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.config import ClickThroughConfig
from kgplug.recommenders.click_through.factors import FactorRecommender, Factors
from kgplug.recommenders.click_through.recommender import TrainedRecommender
from kgplug.recommenders.click_through.tasks import ClickThroughTask, PairNetwork
from kgplug.recommenders.parts.operations.compiled_steps import lookup_all, lookup_weights, pair_dots
from kgplug.recommenders.parts.operations.layers import average_cold, distinct, normal_table
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import DataSize, Range, Space, TrainedConfig
from kgplug.training.device import choose_device


class MFConfig(ClickThroughConfig):
    """Settings of MF."""

    tuning: ClassVar[Space] = {**TrainedConfig.tuning, "l2": Range(1e-4, 1e-1, log=True)}

    l2: float = Field(2e-2, ge=0, description="weight of the squared norms of the batch's vectors; 0.05 on sparse data")
    init_scale: float = Field(0.01, gt=0, description="standard deviation of the initial vectors")
    negatives_per_like: int = Field(4, ge=1, description="number of negatives that are drawn for each like")
    negative_popularity: float = Field(
        0.5,
        ge=0,
        le=2,
        description="negatives are drawn with a chance proportional to (1 + likes of the item)^this; 0: uniformly",
    )

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        return super().suited_to(size) | ({"l2": 5e-2} if size.is_sparse else {})


class MFNetwork(PairNetwork):
    """Vectors and biases of users and items: logit = u · v + b_u + b_i + b.

    Args:
        n_users, n_items: Numbers of users and items.
        dim: Length of a vector.
        scale: Standard deviation of the initial vectors; biases start at zero.
        generator: Random generator of the vectors.
    """

    def __init__(self, *, n_users: int, n_items: int, dim: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.users = normal_table(n_users, dim, scale, generator)
        self.items = normal_table(n_items, dim, scale, generator)
        self.user_bias, self.item_bias = nn.Parameter(torch.zeros(n_users, 1)), nn.Parameter(torch.zeros(n_items, 1))

    def tables(self) -> list[nn.Parameter]:
        return [self.users, self.items, self.user_bias, self.item_bias]

    def forward(self, users: np.ndarray, items: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        n = len(users)
        u_rows, (user_of,) = distinct(users, device=self.device)
        i_rows, (item_of,) = distinct(items, device=self.device)
        of_users, of_items = lookup_weights(user_of, len(u_rows), n), lookup_weights(item_of, len(i_rows), n)
        looked_up = [(table, u_rows, of_users) for table in (self.users, self.user_bias)]
        looked_up += [(table, i_rows, of_items) for table in (self.items, self.item_bias)]
        (u, by_user, v, by_item), penalty = lookup_all(looked_up)
        biases = functional.embedding(user_of, by_user) + functional.embedding(item_of, by_item)
        return pair_dots(u, user_of, v, item_of) + biases.squeeze(1) + self.global_bias, penalty


class MF(FactorRecommender, TrainedRecommender):
    """Matrix factorisation with biases, trained on likes and new negatives by log loss.

    Source: Y. Koren, R. Bell, C. Volinsky, "Matrix Factorization Techniques for Recommender Systems", IEEE
    Computer 42(8), 2009, eqs. 4 and 5, with the log loss instead of the squared error. L2 is strong: on sparse data it
    matters more than any graph.
    """

    name = "MF"
    inputs = RECOMMENDERS["MF"].inputs
    config_class = MFConfig
    config: MFConfig
    network: MFNetwork

    def _task(self, data: TrainingData) -> ClickThroughTask:
        self.network = MFNetwork(
            n_users=data.interactions.n_users,
            n_items=data.interactions.n_items,
            dim=self.config.embedding_dim,
            scale=self.config.init_scale,
            generator=torch.Generator().manual_seed(data.seed),
        ).to(choose_device(self.config.device))
        pairs = self._click_through(data)
        return ClickThroughTask(self.network, self.config, pairs)

    def _settle(self) -> None:
        average_cold(self.network.users, self.liked)
        average_cold(self.network.user_bias, self.liked)
        weights = {name: tensor.cpu().numpy() for name, tensor in self.network.state_dict().items()}
        user_bias = weights["user_bias"][:, 0] + weights["global_bias"]
        self.factors = Factors(weights["users"], weights["items"], user_bias, weights["item_bias"][:, 0])
