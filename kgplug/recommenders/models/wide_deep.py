"""Wide&Deep: a linear model and a small network over ids and pre-trained vectors of the knowledge graph."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch import nn
from torch.nn import functional

from kgplug.data.erasure.user_arrays import UserArrays
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.histories import HistoryTask, ItemFeatures, PretrainedConfig, pretrained_features
from kgplug.recommenders.click_through.logits import SIDE_ARRAYS, SIDE_ITEMS
from kgplug.recommenders.click_through.recommender import CHOOSING_FROM, TrainedRecommender
from kgplug.recommenders.click_through.tasks import PairNetwork
from kgplug.recommenders.parts.operations.layers import (
    average_cold,
    distinct,
    lookup,
    normal_table,
    row_penalty,
    xavier_linear,
)
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import DataSize, Range, Space, TrainedConfig
from kgplug.training.device import choose_device

_CELLS = 8_000_000  # floats of the first layer in memory at a time when scoring (32 MB)


class WideDeepConfig(PretrainedConfig):
    """Settings of Wide&Deep.

    Papers that compare with Wide&Deep use embeddings of length 64 and layers of 100 and 50.
    """

    tuning: ClassVar[Space] = {
        **TrainedConfig.tuning,
        "l2": Range(1e-4, 1e-1, log=True),
        "weight_l2": Range(1e-6, 1e-2, log=True),
    }

    first_layer: int = Field(100, ge=1, description="width of the first layer")
    second_layer: int = Field(50, ge=1, description="width of the second layer")
    learning_rate: float = Field(3e-3, gt=0, description="learning rate of Adam")
    l2: float = Field(1e-2, ge=0, description="weight of the squared norms of the batch's vectors")
    weight_l2: float = Field(
        1e-4,
        ge=0,
        description="weight of the squared norms of the dense layers' weights; 2e-3 with fewer than 1,000 likes",
    )
    batch_size: int = Field(2048, ge=1, description="number of pairs per step; 64 to 256 on sparse or small data")

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        # With batches of 256, the AUC rises by .012 on Book-Crossing, and by .002 to .009 on subsets of it and of
        # MovieLens-100K.
        small = {"batch_size": min(256, cls.small_batches(batch_size=2 * size.n_likes)["batch_size"])}
        # On synthetic data, where each user likes one director's films, lists with these settings contain .93 of the
        # director's other films, instead of .73 (40 users, 160 likes), or .97 instead of .70 (120 users, 480 likes).
        tiny = {"weight_l2": 2e-3, "epochs": 60} if size.n_likes < CHOOSING_FROM else {}
        return super().suited_to(size) | (small if size.is_sparse or size.has_few_likes else {}) | tiny


class WideDeepNetwork(PairNetwork):
    """A linear model plus an MLP: logit = w0 + w·x + MLP(x).

    x = [one-hot u; one-hot i; pretrained(i); mean pretrained(likes of u)]. In place of the one-hot ids, the MLP reads
    learnt vectors of the user and the item. Its first layer takes [user vector; mean pre-trained vector of the user's
    likes; item vector; pre-trained vector of the item]. The layer is split into these four parts, so that the user's
    parts are computed once per user, and the item's parts once per item.

    Args:
        n_users: Number of users.
        features: Pre-trained vectors of items, of length m, and their means over users' likes.
        config: Settings.
        generator: Random generator of the weights.
    """

    def __init__(
        self, *, n_users: int, features: ItemFeatures, config: WideDeepConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        dim, wide, n_items = config.embedding_dim, config.first_layer, len(features.items)
        self.features = features
        self.users = normal_table(n_users, dim, config.init_scale, generator)
        self.items = normal_table(n_items, dim, config.init_scale, generator)
        self.user_bias, self.item_bias = nn.Parameter(torch.zeros(n_users, 1)), nn.Parameter(torch.zeros(n_items, 1))
        self.history_weights = nn.Parameter(torch.zeros(features.dim))
        self.vector_weights = nn.Parameter(torch.zeros(features.dim))
        self.first = xavier_linear(2 * (dim + features.dim), wide, generator)
        self.second = xavier_linear(wide, config.second_layer, generator)
        self.third = xavier_linear(config.second_layer, 1, generator)

    def tables(self) -> list[nn.Parameter]:
        return [self.users, self.items, self.user_bias, self.item_bias]

    def layers(self) -> list[nn.Parameter]:
        dense = [parameter for layer in (self.first, self.second, self.third) for parameter in layer.parameters()]
        return [self.history_weights, self.vector_weights, *dense]

    def _parts(self) -> tuple[torch.Tensor, ...]:
        """Split the first layer's weights by its inputs: user vectors, histories, item vectors, pre-trained vectors."""
        dim, m = self.users.shape[1], self.features.dim
        return self.first.weight.split([dim, m, dim, m], dim=1)

    def user_side(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return what user vectors add to the first layer's output: (n, d) → (n, width)."""
        return vectors @ self._parts()[0].T

    def history_side(self, histories: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what histories add to the first layer's output, (n, width), and to the linear model's logit, (n,).

        A history, (m,), is the mean pre-trained vector of a user's likes.
        """
        return histories @ self._parts()[1].T, histories @ self.history_weights

    def item_side(self, vectors: torch.Tensor, pretrained: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what items add to the first layer's output, (n, width), and to the linear model's logit, (n,).

        Args:
            vectors: Learnt vectors of the items, (n, d).
            pretrained: Pre-trained vectors of the items, (n, m).
        """
        _, _, of_item, of_vector = self._parts()
        wide = vectors @ of_item.T + pretrained @ of_vector.T + self.first.bias
        return wide, pretrained @ self.vector_weights

    def deep(self, first: torch.Tensor) -> torch.Tensor:
        """Apply the rest of the MLP to the first layer's output before its ReLU: (..., width) → logits (...)."""
        return self.third(torch.relu(self.second(torch.relu(first)))).squeeze(-1)

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
        by_history, history_logit = self.history_side(self.features.histories(u_rows[user_of], hidden))
        by_item, item_logit = self.item_side(i, self.features.items[i_rows])
        first = functional.embedding(user_of, self.user_side(u)) + by_history + functional.embedding(item_of, by_item)
        wide = history_logit + (item_logit + item_bias.squeeze(1))[item_of] + user_bias.squeeze(1)[user_of]
        penalty = [row_penalty(rows, user_of, n) for rows in (u, user_bias)]
        penalty += [row_penalty(rows, item_of, n) for rows in (i, item_bias)]
        return self.deep(first) + wide + self.global_bias, torch.stack(penalty).sum()


class WideDeep(TrainedRecommender):
    """A linear model and an MLP over x = [one-hot u; one-hot i; pretrained(i); mean pretrained(likes of u)].

    Source: H.-T. Cheng et al., "Wide & Deep Learning for Recommender Systems", DLRS 2016, eq. 3. The pre-trained
    vector of an item is the vector of its entity in an embedding of the knowledge graph, or zero if it has no entity.
    The embedding is TransR by default, as in the paper of RippleNet. Its vectors are scaled to a mean squared norm of
    one.
    """

    name = "Wide&Deep"
    inputs = RECOMMENDERS["Wide&Deep"].inputs
    config_class = WideDeepConfig
    config: WideDeepConfig

    def _task(self, data: TrainingData) -> HistoryTask:
        self.network = WideDeepNetwork(
            n_users=data.interactions.n_users,
            features=pretrained_features(self.config, data),
            config=self.config,
            generator=torch.Generator().manual_seed(data.seed),
        ).to(choose_device(self.config.device))
        pairs = self._click_through(data)
        return HistoryTask(self.network, self.config, pairs, width=self.config.first_layer)

    def _settle(self) -> None:
        """Store what each user and each item adds to the first layer's output, and to the linear model's logit."""
        network = self.network
        with torch.no_grad():
            histories = network.features.histories(torch.arange(len(network.users), device=network.device))
            by_history, history_logit = network.history_side(histories)
            by_item, item_logit = network.item_side(network.items, network.features.items)
            users = network.user_side(network.users) + by_history
            user_logit = history_logit + network.user_bias.squeeze(1) + network.global_bias
            parts = {"users": users, "user_logits": user_logit, "items": by_item}
            parts |= {"item_logits": item_logit + network.item_bias.squeeze(1)}
            average_cold(users, self.liked)
            average_cold(user_logit, self.liked)
            for name, layer in (("second", network.second), ("third", network.third)):
                parts |= {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
        self._set(parts)

    def _set(self, parts: dict[str, torch.Tensor]) -> None:
        self._parts = {name: part.detach() for name, part in parts.items()}

    def logits(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        device = self._parts["users"].device
        u, i = (torch.from_numpy(x).to(device) for x in (users, items))
        logits = np.empty(len(u), dtype=np.float32)
        rows = max(1, _CELLS // self._parts["users"].shape[1])
        for start in range(0, len(u), rows):
            chosen = slice(start, start + rows)
            first = self._parts["users"][u[chosen]] + self._parts["items"][i[chosen]]
            wide = self._parts["user_logits"][u[chosen]] + self._parts["item_logits"][i[chosen]]
            logits[chosen] = (self._deep(first) + wide).cpu().numpy()
        return logits

    def logits_of_all(self, users: np.ndarray) -> np.ndarray:
        u = torch.from_numpy(np.asarray(users, dtype=np.int64)).to(self._parts["users"].device)
        return self._with_all(self._parts["users"][u], self._parts["user_logits"][u])

    def logits_of_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        users = np.column_stack([self.user_vectors(), self._parts["user_logits"].cpu().numpy()])
        folded = torch.from_numpy(self._folded(likes, self.item_vectors(), users)).to(self._parts["users"].device)
        return self._with_all(folded[:, :-1], folded[:, -1])

    def _with_all(self, users: torch.Tensor, user_logits: torch.Tensor) -> np.ndarray:
        """Return the logits of all items for b users, float32 (b, n_items).

        Args:
            users: What each user adds to the first layer's output, (b, width).
            user_logits: What each user adds to the linear model's logit, (b,).
        """
        parts = self._parts
        logits = np.empty((len(users), len(parts["items"])), dtype=np.float32)
        rows = max(1, _CELLS // max(1, parts["items"].numel()))  # users at a time
        cells = max(1, _CELLS // users.shape[1] // rows)  # items at a time
        for start in range(0, len(users), rows):
            some = slice(start, start + rows)
            for first_item in range(0, logits.shape[1], cells):
                chosen = slice(first_item, first_item + cells)
                first = users[some, None] + parts["items"][chosen]  # (users, items, width)
                wide = user_logits[some, None] + parts["item_logits"][chosen]
                logits[start : start + rows, chosen] = (self._deep(first) + wide).cpu().numpy()
        return logits

    def _deep(self, first: torch.Tensor) -> torch.Tensor:
        """Apply the rest of the MLP to the first layer's output before its ReLU: (..., width) → logits (...).

        `first` is overwritten.
        """
        parts = self._parts
        hidden = functional.linear(first.relu_(), parts["second.weight"], parts["second.bias"]).relu_()
        return functional.linear(hidden, parts["third.weight"], parts["third.bias"]).squeeze(-1)

    def item_vectors(self) -> np.ndarray:
        """Return what each item adds to the first layer's output: float32 (n_items, width)."""
        return self._parts["items"].cpu().numpy()

    def user_vectors(self) -> np.ndarray:
        """Return what each user adds to the first layer's output: float32 (n_users, width)."""
        return self._parts["users"].cpu().numpy()

    @classmethod
    def user_arrays(cls) -> UserArrays:
        return replace(
            SIDE_ARRAYS,
            rows=("users", "user_logits"),
            items=replace(
                SIDE_ITEMS,
                rows=("items", "item_logits"),
            ),
        )

    def _arrays(self) -> dict[str, np.ndarray]:
        return {name: part.cpu().numpy() for name, part in self._parts.items()}

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        device = choose_device(self.config.device)
        self._set({name: torch.from_numpy(array).to(device) for name, array in arrays.items()})
