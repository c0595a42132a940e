"""LibFM: a factorisation machine over ids and pre-trained vectors of the knowledge graph."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.factors import FactorRecommender, Factors
from kgplug.recommenders.click_through.histories import HistoryTask, ItemFeatures, PretrainedConfig, pretrained_features
from kgplug.recommenders.click_through.recommender import TrainedRecommender
from kgplug.recommenders.click_through.tasks import PairNetwork
from kgplug.recommenders.parts.operations.layers import distinct, lookup, normal_table, row_penalty
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import Range, Space, TrainedConfig
from kgplug.training.device import choose_device


class LibFMConfig(PretrainedConfig):
    """Settings of LibFM.

    Papers that compare with LibFM use TransR, and the dimensions {1, 1, 8} of bias, weights and factors
    (`embedding_dim=8`).
    """

    tuning: ClassVar[Space] = {**TrainedConfig.tuning, "l2": Range(1e-4, 1e-1, log=True)}

    l2: float = Field(2e-2, ge=0, description="weight of the squared norms of the batch's vectors")


class LibFMNetwork(PairNetwork):
    """A factorisation machine: logit = w0 + w·x + ½ Σ_f [(Σ_k v_kf x_k)² − Σ_k v_kf² x_k²].

    x is the input of a pair. Its entry x_k has a weight w_k and a factor v_k, a vector with entries v_kf. The entries
    of x belong to the user (id, and mean pre-trained vector of the user's likes) or to the item (id, and pre-trained
    vector). Let a be Σ_k v_k x_k over the user's entries, and b the same sum over the item's entries. Then the logit is
    w0 + a·b, plus a term that depends only on the user, plus a term that depends only on the item.

    Args:
        n_users: Number of users.
        features: Pre-trained vectors of items, of length m, and their means over users' likes.
        dim: Length d of a factor.
        scale: Standard deviation of the initial factors; weights start at zero.
        generator: Random generator of the factors.
    """

    def __init__(
        self, *, n_users: int, features: ItemFeatures, dim: int, scale: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        n_items = len(features.items)
        self.features = features
        self.users = normal_table(n_users, dim, scale, generator)
        self.items = normal_table(n_items, dim, scale, generator)
        self.user_bias, self.item_bias = nn.Parameter(torch.zeros(n_users, 1)), nn.Parameter(torch.zeros(n_items, 1))
        self.history_factors = normal_table(features.dim, dim, scale, generator)
        self.vector_factors = normal_table(features.dim, dim, scale, generator)
        self.history_weights = nn.Parameter(torch.zeros(features.dim))
        self.vector_weights = nn.Parameter(torch.zeros(features.dim))

    def tables(self) -> list[nn.Parameter]:
        return [self.users, self.items, self.user_bias, self.item_bias]

    def layers(self) -> list[nn.Parameter]:
        return [self.history_factors, self.vector_factors, self.history_weights, self.vector_weights]

    def user_side(
        self, factors: torch.Tensor, bias: torch.Tensor, histories: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the users' part of the logits.

        The logit of a pair is a·b plus a term of the user and a term of the item, where a is a vector of the user and b
        a vector of the item. This function returns a and the user's term.

        Args:
            factors, bias: Factors and biases of n users, (n, d) and (n, 1).
            histories: Mean pre-trained vectors of the users' likes, (n, m).

        Returns:
            The vectors a, (n, d), and the users' terms, (n,).
        """
        return _side(factors, bias, histories, self.history_factors, self.history_weights)

    def item_side(
        self, factors: torch.Tensor, bias: torch.Tensor, vectors: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the items' part of the logits.

        The logit of a pair is a·b plus a term of the user and a term of the item, where a is a vector of the user and b
        a vector of the item. This function returns b and the item's term.

        Args:
            factors, bias: Factors and biases of n items, (n, d) and (n, 1).
            vectors: Pre-trained vectors of the items, (n, m).

        Returns:
            The vectors b, (n, d), and the items' terms, (n,).
        """
        return _side(factors, bias, vectors, self.vector_factors, self.vector_weights)

    def forward(
        self, users: np.ndarray, items: np.ndarray, left_out: np.ndarray | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (logits of pairs (B,), mean over pairs of the squared norms of their vectors and biases, a scalar).

        Args:
            users, items: Indices, int64 (B,).
            left_out: For each pair, a liked item to leave out of the user's history, int64 (B,). If None, none
                is left out.
        """
        n = len(users)
        u_rows, (user_of,) = distinct(users, device=self.device)
        i_rows, (item_of,) = distinct(items, device=self.device)
        u, user_bias = lookup(self.users, u_rows), lookup(self.user_bias, u_rows)
        i, item_bias = lookup(self.items, i_rows), lookup(self.item_bias, i_rows)
        hidden = None if left_out is None else torch.from_numpy(left_out).to(self.device)
        a, of_user = self.user_side(
            functional.embedding(user_of, u),
            functional.embedding(user_of, user_bias),
            self.features.histories(u_rows[user_of], hidden),
        )
        b, of_item = self.item_side(i, item_bias, self.features.items[i_rows])  # once per distinct item
        logits = (a * functional.embedding(item_of, b)).sum(1) + of_user + of_item[item_of] + self.global_bias
        penalty = [row_penalty(rows, user_of, n) for rows in (u, user_bias)]
        penalty += [row_penalty(rows, item_of, n) for rows in (i, item_bias)]
        return logits, torch.stack(penalty).sum()


def _side(
    factors: torch.Tensor, bias: torch.Tensor, x: torch.Tensor, x_factors: torch.Tensor, x_weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return Σ_k v_k x_k and Σ_k w_k x_k + ½(‖Σ_k v_k x_k‖² − Σ_k ‖v_k‖² x_k²) for n users or n items.

    The inputs x_k are the one-hot id and the entries of `x`; v_k is the factor of an input, and w_k its weight.

    Args:
        factors, bias: Factor and weight of each id, (n, d) and (n, 1).
        x: Pre-trained vector of each item, or mean pre-trained vector of each user's likes, (n, m).
        x_factors, x_weights: Factor and weight of each entry of `x`, (m, d) and (m,).

    Returns:
        (n, d) and (n,).
    """
    total = factors + x @ x_factors  # (n, d)
    squares = factors.square().sum(1) + x.square() @ x_factors.square().sum(1)  # (n,)
    return total, bias.squeeze(1) + x @ x_weights + (total.square().sum(1) - squares) / 2


class LibFM(FactorRecommender, TrainedRecommender):
    """A factorisation machine of order 2 over x = [one-hot u; one-hot i; pretrained(i); mean pretrained(likes of u)].

    Source: S. Rendle, "Factorization Machines with libFM", ACM TIST 3(3), 2012, eq. 1, with log loss. The
    pre-trained vector of an item is the vector of its entity in an embedding of the knowledge graph, or zero if it has
    no entity. The embedding is TransR by default, as in the papers of MKR and RippleNet. Its vectors are scaled to a
    mean squared norm of one.
    """

    name = "LibFM"
    inputs = RECOMMENDERS["LibFM"].inputs
    config_class = LibFMConfig
    config: LibFMConfig
    network: LibFMNetwork

    def _task(self, data: TrainingData) -> HistoryTask:
        self.network = LibFMNetwork(
            n_users=data.interactions.n_users,
            features=pretrained_features(self.config, data),
            dim=self.config.embedding_dim,
            scale=self.config.init_scale,
            generator=torch.Generator().manual_seed(data.seed),
        ).to(choose_device(self.config.device))
        pairs = self._click_through(data)
        return HistoryTask(self.network, self.config, pairs)

    def _settle(self) -> None:
        network = self.network
        with torch.no_grad():
            histories = network.features.histories(torch.arange(len(network.users), device=network.device))
            users, of_user = network.user_side(network.users, network.user_bias, histories)
            items, of_item = network.item_side(network.items, network.item_bias, network.features.items)
            parts = (users, items, of_user + network.global_bias, of_item)
        self.factors = Factors(*(part.cpu().numpy() for part in parts)).averaged(self.liked)
