"""MKR-rated: MKR for ratings, with disliked items as negatives and users described by their ratings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from kgplug.data.erasure.user_arrays import UserArrays
from kgplug.data.interactions import Interactions
from kgplug.errors import DataError
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.pairs import ClickThroughData, Pairs
from kgplug.recommenders.click_through.side_term import SideTerm
from kgplug.recommenders.models._mkr_network import MKRNetwork
from kgplug.recommenders.models.mkr import MKR, MKRConfig, MKRTask
from kgplug.recommenders.parts.operations.layers import distinct, lookup
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import DataSize

HALF_POINT = 0.5  # by default, the neutral rating is this far below like_threshold


class MKRRatedConfig(MKRConfig):
    """Settings of MKR-rated: those of MKR, and `rating_middle`.

    The settings of drawn negatives are missing, because none are drawn: `exclude_low_rated`, `dislike_share`,
    `negatives_per_like` and `negative_popularity`.

    In the paper (Cao et al. 2021): ratings from 1 to 5, of which 4 and 5 are likes (`like_threshold=4` of the
    interactions), an 80 : 20 split, 10 runs.
    """

    removed: ClassVar[frozenset[str]] = MKRConfig.removed | {"exclude_low_rated"}
    exclude_low_rated: ClassVar[bool] = True  # not settings, because negatives are not drawn
    dislike_share: ClassVar[float] = 0.0
    negatives_per_like: ClassVar[int] = 1
    negative_popularity: ClassVar[float] = 0.0
    batch_size: int = Field(4096, ge=1, description="number of rated pairs per recommendation step")
    layer_learning_rate: float = Field(
        5e-3,
        gt=0,
        description="learning rate of the recommendation task's cross & compress units and dense layers, some of which "
        "turn ratings into user vectors",
    )
    patience: int = Field(5, ge=1, description="stop after this many epochs without a better validation metric")
    epochs: int = Field(100, ge=1, description="maximum number of epochs")
    bias_l2: float = Field(1e-4, ge=0, description="weight of the squared user and item biases of the batch")
    rating_middle: float | None = Field(None, description="neutral rating; None: half a point below like_threshold")

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        """Return settings that suit data with very few likes; {} for other data."""
        # MKR's settings for sparse data are left out, because they were measured with drawn negatives.
        settings = cls.patience_suited_to(size) | cls.batches_suited_to(size)
        return settings | ({"side": True} if size.has_very_few_likes else {})


class RatedData(ClickThroughData):
    """Training pairs with ratings: likes, and all other rated pairs as negatives.

    Args:
        train, valid: Interactions with ratings and a like_threshold.
        side: Side term, a score from counts of likes and shared KG features, which is trained with the model and added
            to every logit. None for a model without it.
    """

    def __init__(self, train: Interactions, valid: Interactions | None, side: SideTerm | None = None) -> None:
        self.rows, self.likes, self.side = train, train.likes(), side
        self.valid = None if valid is None or not valid.is_like.any() else _labelled(valid)

    def hidden_likes(self, pairs: Pairs) -> np.ndarray:
        return np.where(pairs.labels > 0, pairs.items, -1)  # a disliked item was not drawn for a like

    def epoch(self, rng: np.random.Generator, batch_size: int) -> Iterator[Pairs]:
        """Yield all rated pairs in a new order, at most `batch_size` at a time."""
        order, weights = rng.permutation(len(self.rows)), self.rows.confidence
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            pairs = _labelled(self.rows.take(chosen))
            yield pairs if weights is None else replace(pairs, weights=weights[chosen])


def _labelled(rows: Interactions) -> Pairs:
    return Pairs(rows.users, rows.items, rows.is_like.astype(np.float32))


class RatedNetwork(MKRNetwork):
    """MKR's network, but the input for a user with vector u is u + Σ_i ω_i v_i / Σ_i |ω_i|.

    The sums are over the items i that the user rated. v_i is the item's vector, and ω_i the rating minus the neutral
    rating.

    Attributes:
        rated_starts: Position of each user's first rating in the two arrays below, int64 (n_users + 1,).
        rated_items: Item of each rating, sorted by user, int64 (n,).
        rated_weights: Weight ω of each rating, float32 (n,).
    """

    rated_starts: torch.Tensor
    rated_items: torch.Tensor
    rated_weights: torch.Tensor
    learnt_late = ("rated_starts", "rated_items", "rated_weights")  # buffers whose length depends on the data

    def remember(self, train: Interactions, weights: np.ndarray) -> None:
        """Store the rated items of the training set, and the weight of each rating.

        Args:
            train: Training set with n ratings.
            weights: Weight ω of each rating: the rating minus the neutral rating, float32 (n,).
        """
        starts = np.searchsorted(train.users, np.arange(train.n_users + 1))
        for name, array in zip(self.learnt_late, (starts, train.items, weights), strict=True):
            self.register_buffer(name, torch.from_numpy(array).to(self.device))

    def _load_from_state_dict(self, state_dict: dict[str, torch.Tensor], prefix: str, *rest: Any) -> None:
        for name in self.learnt_late:  # give the buffers the lengths of the saved ones
            self.register_buffer(name, torch.empty_like(state_dict[prefix + name], device=self.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def tastes(self, users: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return each user's Σ ω v (m, d) and Σ |ω| (m, 1), summed over the items that the user rated.

        v is the item's vector, and ω the rating minus the neutral rating.

        Args:
            users: Indices, int64 (m,), distinct.
        """
        starts, sizes = self.rated_starts[users], self.rated_starts[users + 1] - self.rated_starts[users]
        offsets = torch.cumsum(sizes, 0) - sizes
        number = torch.arange(int(sizes.sum()), device=users.device)
        rows = number + torch.repeat_interleave(starts - offsets, sizes)
        weights = self.rated_weights[rows]
        items, (place,) = distinct(self.rated_items[rows].cpu().numpy(), device=users.device)
        v = lookup(self.items, items)  # (distinct, d), its gradient sparse
        sums = functional.embedding_bag(place, v, offsets, mode="sum", per_sample_weights=weights)
        totals = weights.new_zeros(len(users)).index_add_(
            0, torch.repeat_interleave(torch.arange(len(users), device=users.device), sizes), weights.abs()
        )
        return sums, totals[:, None]

    def all_users(self) -> torch.Tensor:
        """Return u_L of every user, the output of the last user layer: (n_users, d)."""
        sums, totals = self.tastes(torch.arange(len(self.users), device=self.device))
        return self.user_layers(self.users + share(sums, totals))


def share(sums: torch.Tensor, totals: torch.Tensor) -> torch.Tensor:
    """Return sums / totals, with zero rows where the total is zero: (n, d), (n, 1) → (n, d)."""
    left = totals > 1e-6
    return torch.where(left, sums / torch.where(left, totals, 1.0), 0.0)


class RatedTask(MKRTask):
    """Trains MKR-rated. The user's input leaves out the rating of the pair's item, which would leak the label."""

    module: RatedNetwork
    data: RatedData

    def own_weights(self, batch: Pairs) -> torch.Tensor:
        """Return the weight ω of each pair, its rating minus the neutral rating, float32 (n,).

        The weight is 0 if the pair is not in the training set.
        """
        network, rows = self.module, self.data.rows
        place = np.searchsorted(rows.pairs, batch.users * np.int64(rows.n_items) + batch.items)
        place = np.minimum(place, len(rows) - 1)
        known = (rows.users[place] == batch.users) & (rows.items[place] == batch.items)
        weights = network.rated_weights[torch.from_numpy(place).to(network.device)]
        return torch.where(torch.from_numpy(known).to(network.device), weights, 0.0)

    def user_vectors(
        self, batch: Pairs, u: torch.Tensor, user_of: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the same as `MKRTask.user_vectors`, but with one final user vector per pair, (n, d).

        Two pairs of one user get separate vectors, because each leaves out its own rating. The row of pair p is p.
        """
        network = self.module
        sums, totals = network.tastes(distinct(batch.users, device=network.device)[0])
        own = self.own_weights(batch)[:, None]  # (n, 1)
        items, (item_of,) = distinct(batch.items, device=network.device)
        own_vectors = functional.embedding(item_of, lookup(network.items, items))
        left = functional.embedding(user_of, sums) - own * own_vectors
        taste = share(left, functional.embedding(user_of, totals) - own.abs())
        vectors = network.user_layers(functional.embedding(user_of, u) + taste)
        return vectors, torch.arange(len(batch), device=vectors.device), vectors.square().sum() / len(batch)


class MKRRated(MKR):
    """MKR for ratings: explicit negatives, and users described by their ratings (after Cao et al. 2021).

    Pairs rated below like_threshold are the negatives; none are drawn. So the score is the probability that a user who
    rates an item likes it. A user's input is u + Σ ω v / Σ |ω|, where v are the vectors of the rated items, and ω is
    the rating minus the neutral rating (`rating_middle`). So disliked items have negative weight. In training, the pair
    to predict is left out of both sums; otherwise it would leak the label.

    Cao et al. describe their weighting in prose only; the formula is our reading. The rest is MKR (Wang et al.,
    WWW 2019, "Multi-Task Feature Learning for Knowledge Graph Enhanced Recommendation").
    """

    name = "MKR-rated"
    inputs = RECOMMENDERS["MKR-rated"].inputs
    config_class = MKRRatedConfig
    config: MKRRatedConfig
    network: RatedNetwork
    network_class: ClassVar[type[MKRNetwork]] = RatedNetwork

    @classmethod
    def user_arrays(cls) -> UserArrays:
        rated = ("rated_starts", ("rated_items", "rated_weights"))
        inherited = super().user_arrays()
        assert inherited.items is not None
        return replace(inherited, lists=(rated,), items=replace(inherited.items, lists=(rated,)))

    def _rows_to_compare(self, interactions: Interactions) -> int:
        likes = super()._rows_to_compare(interactions)
        return min(likes, len(interactions) - likes)

    def _task_on(self, data: TrainingData, triples: np.ndarray) -> MKRTask:
        threshold = data.interactions.like_threshold
        if data.interactions.ratings is None or threshold is None or data.interactions.is_like.all():
            raise DataError(
                "MKR-rated needs ratings below like_threshold, and there are none. Give the interactions ratings and a "
                "like_threshold, or use MKR."
            )
        middle = threshold - HALF_POINT if self.config.rating_middle is None else self.config.rating_middle
        self.network.remember(data.interactions, data.interactions.ratings - np.float32(middle))
        return RatedTask(self.network, self.config, RatedData(data.interactions, data.valid, self.side), triples)
