"""MKR whose users are described by what they rated or liked, too: what MKR-rated and MKR-attention share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from kgplug.data.interactions import Interactions
from kgplug.recommenders.click_through import Pairs
from kgplug.recommenders.layers import distinct, lookup
from kgplug.recommenders.mkr import MKRTask
from kgplug.recommenders.mkr_network import MKRNetwork


class TasteNetwork(MKRNetwork):
    """MKR with u0 = u + Σ ω_ui v_i / Σ |ω_ui| over the items i of user u, ω what the rating says.

    What users rated stands in buffers, user after user: `rated_starts` int64 (n_users + 1,), `rated_items` int64 (n,),
    `rated_weights` float32 (n,), ω.
    """

    rated_starts: torch.Tensor
    rated_items: torch.Tensor
    rated_weights: torch.Tensor
    learnt_late = ("rated_starts", "rated_items", "rated_weights")  # buffers whose length the data tell

    def remember(self, train: Interactions, weights: np.ndarray) -> None:
        """Take what users rated, with ω of each row float32 (n,)."""
        starts = np.searchsorted(train.users, np.arange(train.n_users + 1))
        for name, array in zip(TasteNetwork.learnt_late, (starts, train.items, weights), strict=True):
            self.register_buffer(name, torch.from_numpy(array).to(self.device))

    def _load_from_state_dict(self, state_dict: dict[str, torch.Tensor], prefix: str, *rest: Any) -> None:
        for name in self.learnt_late:  # of whatever length they were saved
            self.register_buffer(name, torch.empty_like(state_dict[prefix + name], device=self.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def tastes(self, users: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (Σ ω v (m, d), Σ |ω| (m, 1)) over what each user rated: int64 (m,), each once."""
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
        """Return u_L of every user: (n_users, d)."""
        sums, totals = self.tastes(torch.arange(len(self.users), device=self.device))
        return self.user_layers(self.users + share(sums, totals))


def share(sums: torch.Tensor, totals: torch.Tensor) -> torch.Tensor:
    """Return sums / totals, zero where nothing is left: (n, d), (n, 1) → (n, d)."""
    left = totals > 1e-6
    return torch.where(left, sums / torch.where(left, totals, 1.0), 0.0)


class TasteTask(MKRTask):
    """The training of such a model: a user is described without what would tell the pair's label."""

    module: TasteNetwork

    @abstractmethod
    def left_out(self, batch: Pairs) -> tuple[np.ndarray, torch.Tensor]:
        """Return (items int64 (n,), ω float32 (n,)): what the description of each pair's user shall not hold."""

    def user_vectors(
        self, batch: Pairs, u: torch.Tensor, user_of: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return (u_L of each pair (n, d), 0 … n − 1, their mean squared norm)."""
        network = self.module
        sums, totals = network.tastes(distinct(batch.users, device=network.device)[0])
        out, own = self.left_out(batch)
        items, (item_of,) = distinct(out, device=network.device)
        own = own[:, None]  # (n, 1)
        own_vectors = functional.embedding(item_of, lookup(network.items, items))
        left = functional.embedding(user_of, sums) - own * own_vectors
        taste = share(left, functional.embedding(user_of, totals) - own.abs())
        vectors = network.user_layers(functional.embedding(user_of, u) + taste)
        return vectors, torch.arange(len(batch), device=vectors.device), vectors.square().sum() / len(batch)
