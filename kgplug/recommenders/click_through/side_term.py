"""The side term: a logit from counts of likes and shared knowledge-graph features, added to a model's own logit."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from scipy import sparse
from torch import nn
from torch.nn import functional

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.recommenders.click_through.side_features import PairFacts, SideFeatures, kg_features
from kgplug.recommenders.parts.csr_arrays import csr_arrays, csr_of
from kgplug.recommenders.parts.operations.layers import LEAK, xavier_linear
from kgplug.training.tensors import tensor_of

DIM, WIDTH = 4, 16  # length of g and h, and width of hidden layers; other sizes did not change any metric


class SideTowers(nn.Module):
    """Two small networks on counts, and a weight for the profile: logit = g(user) · h(item) + a + b + w · profile.

    The first network computes a user's vector g and bias b from the user's number of likes. The second computes an
    item's vector h and bias a from counts of likes. The profile is a number per pair: how similar the item's
    knowledge-graph features are to those of the user's likes. Its weight w is also trained.

    Args:
        generator: Random generator of the initial weights.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.user_hidden, self.user_out = xavier_linear(1, WIDTH, generator), xavier_linear(WIDTH, DIM + 1, generator)
        self.item_hidden, self.item_out = xavier_linear(3, WIDTH, generator), xavier_linear(WIDTH, DIM + 1, generator)
        self.profile_weight = nn.Parameter(torch.zeros(1))

    @property
    def device(self) -> torch.device:
        return self.profile_weight.device

    def users(self, facts: np.ndarray) -> torch.Tensor:
        """Return the vector and the bias of each user, (n, DIM + 1), where DIM is the length of the vector.

        Args:
            facts: `PairFacts.users`, float32 (n, 1).
        """
        x = tensor_of(facts).to(self.device)
        return self.user_out(functional.leaky_relu(self.user_hidden(x), LEAK))

    def items(self, facts: np.ndarray) -> torch.Tensor:
        """Return the vector and the bias of each item, (n, DIM + 1), where DIM is the length of the vector.

        Args:
            facts: `PairFacts.items`, float32 (n, 3).
        """
        x = tensor_of(facts).to(self.device)
        return self.item_out(functional.leaky_relu(self.item_hidden(x), LEAK))

    def forward(self, facts: PairFacts) -> torch.Tensor:
        """Return the logits of the pairs whose features are given: (n,)."""
        g, h = self.users(facts.users), self.items(facts.items)
        profile = tensor_of(facts.profile).to(self.device)
        return (g[:, :-1] * h[:, :-1]).sum(1) + g[:, -1] + h[:, -1] + self.profile_weight * profile


class SideTerm:
    """The side term: computes a logit for a pair from counts of likes and shared knowledge-graph features.

    Args:
        facts: Computes the counts of likes, and the similarity of an item's features to those of the user's likes.
        towers: The networks that compute logits from them.
    """

    def __init__(self, facts: SideFeatures, towers: SideTowers) -> None:
        self.facts, self.towers = facts, towers

    @classmethod
    def untrained(
        cls, likes: Interactions, knowledge: KnowledgeGraph | None, *, seed: int, device: torch.device
    ) -> Self:
        """Return an untrained side term.

        Args:
            likes: Training likes.
            knowledge: Triples, from which the items' features are made. If None, items have no features.
            seed: Seed of the initial weights.
            device: Device of the networks.
        """
        towers = SideTowers(torch.Generator().manual_seed(seed))
        return cls(SideFeatures(likes.matrix(), kg_features(likes, knowledge)), towers.to(device))

    def of_training(self, users: np.ndarray, items: np.ndarray, hidden: np.ndarray) -> torch.Tensor:
        """Return the logits of training likes and negatives, with gradients, (n,).

        Args:
            users, items: Indices, int64 (n,).
            hidden: The like that the counts of each pair leave out, as in `SideFeatures.of_pairs`, int64 (n,).
        """
        return self.towers(self.facts.of_pairs(users, items, hidden=hidden))

    @torch.no_grad()
    def logits(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return the logits of pairs: int64 (n,), int64 (n,) → float32 (n,)."""
        return self.towers(self.facts.of_pairs(users, items)).cpu().numpy()

    def logits_of_all(self, users: np.ndarray) -> np.ndarray:
        """Return the logits of some users with every item: int64 (b,) → float32 (b, n_items)."""
        return self.logits_of_likes(sparse.csr_matrix(self.facts.likes[users]))

    @torch.no_grad()
    def logits_of_likes(self, likes: sparse.csr_matrix) -> np.ndarray:
        """Return the logits of some users with every item, given the users' likes.

        Args:
            likes: Likes of each user, CSR float32 (b, n_items), binary.

        Returns:
            float32 (b, n_items).
        """
        degrees, profile = self.facts.of_likes(likes)
        g, h = self.towers.users(degrees), self.towers.items(self.facts.of_items())
        counts = g[:, :-1] @ h[:, :-1].T + g[:, -1:] + h[:, -1]  # (b, n_items)
        profile *= self.towers.profile_weight.item()
        profile += counts.cpu().numpy()
        return profile

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the likes, the KG features and the networks' weights as named arrays."""
        weights = {f"towers.{name}": tensor.cpu().numpy() for name, tensor in self.towers.state_dict().items()}
        matrices = csr_arrays(likes=self.facts.likes, features=self.facts.features)
        return weights | matrices | {"features.shape": np.array(self.facts.features.shape)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], *, n_users: int, device: torch.device) -> Self:
        """Return a side term from what its method `arrays` returned."""
        n_items, n_features = (int(n) for n in arrays["features.shape"])
        likes, features = csr_of("likes", arrays, (n_users, n_items)), csr_of("features", arrays, (n_items, n_features))
        towers = SideTowers(torch.Generator())
        prefix = "towers."
        weights = {k.removeprefix(prefix): tensor_of(v) for k, v in arrays.items() if k.startswith(prefix)}
        towers.load_state_dict(weights)
        return cls(SideFeatures(likes, features), towers.to(device))
