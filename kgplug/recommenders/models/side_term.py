"""SideTerm: the side term as a model of its own, without vectors."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from scipy import sparse

from kgplug.data.erasure.user_arrays import UserArrays
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.config import ClickThroughConfig
from kgplug.recommenders.click_through.logits import SIDE_ARRAYS
from kgplug.recommenders.click_through.recommender import TrainedRecommender
from kgplug.recommenders.click_through.tasks import ClickThroughTask, PairNetwork
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import LEARNING_RATES, Grid, Space
from kgplug.training.device import choose_device


class SideTermConfig(ClickThroughConfig):
    """Settings of SideTerm: those of a model trained on likes that concern the side term."""

    tuning: ClassVar[Space] = {"batch_size": (1024, 4096, 16384), "side_learning_rate": LEARNING_RATES}
    grid: ClassVar[Grid] = {}
    # Not settings, because there are no vectors and nothing to choose:
    embedding_dim: ClassVar[int] = 0
    init_scale: ClassVar[float] = 0.0
    learning_rate: ClassVar[float] = 0.0
    l2: ClassVar[float] = 0.0
    settings: ClassVar[Literal["defaults"]] = "defaults"
    side: ClassVar[bool] = True

    patience: int = Field(10, ge=1, description="stop after this many epochs without a better validation metric")


class _NoVectors(PairNetwork):
    """The network of a model whose score is the side term: it adds nothing to a pair's logit."""

    def tables(self) -> list[torch.nn.Parameter]:
        return []

    def forward(self, users: np.ndarray, items: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        del items
        zeros = torch.zeros(len(users), device=self.device)
        return zeros + self.global_bias, zeros.sum()


class SideTerm(TrainedRecommender):
    """The side term alone: a score from counts of likes and shared KG features, without user or item vectors.

    The score is the logit of `click_through.side_term`: small networks over the number of likes of the user, of the
    item, and of items with the same KG features, plus a weight times the similarity of the item's KG features to those
    of the user's likes. It is a baseline for models with the setting `side`: one that is no better has learnt useless
    vectors.

    Our design. Its counts replace the user and item biases of the baseline predictors in Y. Koren, R. Bell,
    C. Volinsky, "Matrix Factorization Techniques for Recommender Systems", IEEE Computer 42(8), 2009.
    """

    name = "SideTerm"
    inputs = RECOMMENDERS["SideTerm"].inputs
    config_class = SideTermConfig
    config: SideTermConfig  # pyright: ignore[reportIncompatibleVariableOverride]

    def _task(self, data: TrainingData) -> ClickThroughTask:
        network = _NoVectors().to(choose_device(self.config.device))
        return ClickThroughTask(network, self.config, self._click_through(data))

    @property
    def makes_lists_quickly(self) -> bool:
        return True

    def logits(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return zeros, float32 (n,): the whole score is the side term's."""
        del items
        return np.zeros(len(users), dtype=np.float32)

    def logits_of_all(self, users: np.ndarray) -> np.ndarray:
        """Return zeros, float32 (b, n_items)."""
        return np.zeros((len(users), len(self.item_keys)), dtype=np.float32)

    def logits_of_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        """Return zeros, float32 (b, n_items)."""
        return np.zeros((likes.get_shape()[0], len(self.item_keys)), dtype=np.float32)

    def score_parts(self, users: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        none, side = super().score_parts(users, items)
        return side, none  # the model's own part is its side term

    @classmethod
    def user_arrays(cls) -> UserArrays:
        return SIDE_ARRAYS

    def _arrays(self) -> dict[str, np.ndarray]:
        return {}

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        del arrays
