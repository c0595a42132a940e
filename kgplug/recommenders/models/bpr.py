"""BPR: matrix factorisation that learns from comparisons of a liked item with one that is not liked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.config import ClickThroughConfig
from kgplug.recommenders.click_through.factors import FactorRecommender, Factors
from kgplug.recommenders.click_through.pairs import Comparisons
from kgplug.recommenders.click_through.recommender import TrainedRecommender
from kgplug.recommenders.click_through.tasks import ClickThroughTask, PairNetwork
from kgplug.recommenders.parts.operations.compiled_steps import lookup_all, lookup_weights, pair_dots
from kgplug.recommenders.parts.operations.layers import distinct, normal_table
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import Range, Space, TrainedConfig
from kgplug.training.device import choose_device


class BPRConfig(ClickThroughConfig):
    """Settings of BPR."""

    tuning: ClassVar[Space] = {**TrainedConfig.tuning, "l2": Range(1e-4, 1e-1, log=True)}

    negatives_per_like: ClassVar[int] = 1  # not settings: BPR compares each like with one negative
    negative_popularity: ClassVar[float] = 0.0
    l2: float = Field(3e-2, ge=0, description="weight of the squared norms of the batch's vectors")


class BPRNetwork(PairNetwork):
    """Vectors of users and items, and item biases: score = u · v + b_i.

    There are no user biases, because they would cancel in every comparison.

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
        self.item_bias = nn.Parameter(torch.zeros(n_items, 1))

    def tables(self) -> list[nn.Parameter]:
        return [self.users, self.items, self.item_bias]

    def forward(self, users: np.ndarray, items: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        u_rows, (user_of,) = distinct(users, device=self.device)
        i_rows, (item_of,) = distinct(items, device=self.device)
        n = len(users)
        of_users, of_items = lookup_weights(user_of, len(u_rows), n), lookup_weights(item_of, len(i_rows), n)
        looked_up = [(self.users, u_rows, of_users)]
        looked_up += [(table, i_rows, of_items) for table in (self.items, self.item_bias)]
        (u, v, by_item), penalty = lookup_all(looked_up)
        return pair_dots(u, user_of, v, item_of) + functional.embedding(item_of, by_item).squeeze(1), penalty


class BPRTask(ClickThroughTask):
    """Trains BPR: the loss is −log σ(s_ui − s_uj), where s_ui and s_uj are the scores of a like and of a negative.

    The negatives are drawn again in each epoch.
    """

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[Comparisons]:  # type: ignore[override]
        """Yield the likes of one epoch with new negatives, `batch_size` / 2 comparisons per step."""
        del epoch
        return self.data.comparisons(rng, self.config.batch_size)

    def loss(self, batch: Comparisons) -> torch.Tensor:  # type: ignore[override]
        """Return mean −log σ(s_ui − s_uj) + l2 · mean squared norm of a pair's vectors and bias, a scalar.

        s_ui is the score of user u and a liked item i, and s_uj that of u and a negative j.
        """
        logits, rows = self.module(*batch.pairs())
        return self.data.comparison_loss(logits, batch) + self.config.l2 * rows


class BPR(FactorRecommender, TrainedRecommender):
    """Matrix factorisation for ranking: a liked item must score above one that the user does not like.

    The score of user u and item i is s_ui = u · v_i + b_i. Adam minimises the loss −log σ(s_ui − s_uj) + λ ‖θ‖²
    (BPR-Opt) in batches. Here i is a liked item, j a sampled item that u does not like, λ is `l2`, and θ are the
    vectors and biases.

    Source: S. Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009. This is not
    `implicit`'s BPR, which is not reproducible with several threads and has no validation set.
    """

    name = "BPR"
    inputs = RECOMMENDERS["BPR"].inputs
    config_class = BPRConfig
    config: BPRConfig
    network: BPRNetwork
    scores_are_probabilities = False

    def _task(self, data: TrainingData) -> BPRTask:
        self.network = BPRNetwork(
            n_users=data.interactions.n_users,
            n_items=data.interactions.n_items,
            dim=self.config.embedding_dim,
            scale=self.config.init_scale,
            generator=torch.Generator().manual_seed(data.seed),
        ).to(choose_device(self.config.device))
        pairs = self._click_through(data)
        return BPRTask(self.network, self.config, pairs)

    def _settle(self) -> None:
        weights = {name: tensor.cpu().numpy() for name, tensor in self.network.state_dict().items()}
        no_bias = np.zeros(len(weights["users"]), dtype=np.float32)
        factors = Factors(weights["users"], weights["items"], no_bias, weights["item_bias"][:, 0])
        self.factors = factors.averaged(self.liked)
