"""The network of KGIN: intents as attention over relations, relational paths, and the independence of intents."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from scipy import sparse
from torch import nn
from torch.nn import functional

from kgplug.recommenders.click_through.collaborative_graph import CollaborativeTriples
from kgplug.recommenders.parts.operations.layers import normal_table
from kgplug.recommenders.parts.operations.relational_mean import RelationalMean
from kgplug.recommenders.parts.operations.sparse_product import SparseProduct

_SMALLEST = 1e-8  # added under square roots, as in the authors' code, so that the gradient is finite at 0
_SHORTEST = 1e-6  # shorter vectors are divided by this, not scaled to length one: bounds the gradient at a zero vector


class KGINShape(Protocol):
    """The settings that the network reads from `KGINConfig`."""

    @property
    def embedding_dim(self) -> int: ...
    @property
    def n_layers(self) -> int: ...
    @property
    def intents(self) -> int: ...
    @property
    def residual(self) -> bool: ...
    @property
    def dropout(self) -> float: ...
    @property
    def init_scale(self) -> float: ...


class KGINNetwork(nn.Module):
    """KGIN's vectors of users, entities (items first) and relations, and the weight of each relation in each intent.

    Args:
        shape: Settings.
        graph: Likes and triples. The inverse of each relation has a vector of its own.
        generator: Random generator of the weights.
        device: Device that computes the products with the graph.
    """

    def __init__(
        self, shape: KGINShape, graph: CollaborativeTriples, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__()
        dim, scale = shape.embedding_dim, shape.init_scale
        self.n_layers, self.residual, self.dropout = shape.n_layers, shape.residual, shape.dropout
        self.n_items, n_entities, n_relations = graph.n_items, graph.n_nodes - graph.n_users, graph.n_relations - 1
        self.users = normal_table(graph.n_users, dim, scale, generator)
        self.entities = normal_table(n_entities, dim, scale, generator)
        self.relations = normal_table(2 * n_relations, dim, scale, generator)
        self.intents = normal_table(shape.intents, 2 * n_relations, 1.0, generator)  # weights w_rp
        triples = graph.knowledge - np.array([graph.n_users, 0, graph.n_users])
        self._knowledge = RelationalMean(triples, n_entities=n_entities, n_relations=n_relations, device=device)
        self._likes = SparseProduct(_means_of_likes(graph), device=device)

    def intent_vectors(self) -> torch.Tensor:
        """Return the vector of each intent, (n_intents, d) (eqs. 1–2).

        Intent p has the vector Σ_r softmax_r(w_rp) e_r, where e_r is the vector of relation r, and w_rp is learnt.
        """
        return torch.softmax(self.intents, dim=1) @ self.relations

    def forward(self, intents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the vectors of users (n_users, d) and items (n_items, d).

        Each is the sum of the node's input vector and its outputs from all layers (eq. 12).

        Args:
            intents: The result of `intent_vectors`.
        """
        attention = torch.softmax(self.users @ intents.T, dim=1)  # β(u, p), (n_users, n_intents)
        wanted = attention @ intents  # (n_users, d)
        u, e = self.users, self.entities
        users, items = u, e[: self.n_items]
        for layer in range(self.n_layers):
            of_likes = self._likes.multiply(e[: self.n_items])  # (n_users, d)
            n = self.n_items if layer == self.n_layers - 1 else len(e)  # the last layer is only read for items
            u = self._finished(wanted * of_likes + of_likes if self.residual else wanted * of_likes)
            e = self._finished(self._knowledge.of_first(n, e, self.relations))
            users, items = users + u, items + e[: self.n_items]
        return users, items

    def _finished(self, x: torch.Tensor) -> torch.Tensor:
        return functional.normalize(functional.dropout(x, self.dropout, training=self.training), eps=_SHORTEST)


def _means_of_likes(graph: CollaborativeTriples) -> sparse.csr_matrix:
    """Return the matrix that averages item vectors over each user's likes, CSR float32 (n_users, n_items)."""
    users, items = graph.likes[:, 0], graph.likes[:, 2] - graph.n_users
    shares = (1 / np.bincount(users, minlength=graph.n_users)[users]).astype(np.float32)
    return sparse.csr_matrix((shares, (users, items)), shape=(graph.n_users, graph.n_items))


def dependence(vectors: torch.Tensor, measure: str, temperature: float) -> torch.Tensor:
    """Return how much intents depend on each other, a scalar.

    Args:
        vectors: Vectors of the intents, (n, d).
        measure: "distance", the sum of the distance correlations of all pairs of intents (eq. 5); "cosine", the sum of
            the squared cosines of all pairs; or "mi" (mutual information), the sum over all intents p of
            −log(exp(s_pp / τ) / Σ_q exp(s_pq / τ)), where s_pq is the cosine of intents p and q (eq. 4).
        temperature: τ, used only by "mi".
    """
    first, second = torch.triu_indices(len(vectors), len(vectors), offset=1, device=vectors.device)
    if measure == "distance":
        products = _distance_covariances(vectors)
        own = products.diag()
        return (products[first, second] / torch.sqrt(own[first] * own[second] + _SMALLEST)).sum()
    units = functional.normalize(vectors)
    cosines = units @ units.T
    if measure == "cosine":
        return cosines[first, second].square().sum()
    return -torch.log_softmax(cosines / temperature, dim=1).diag().sum()


def _distance_covariances(vectors: torch.Tensor) -> torch.Tensor:
    """Return the distance covariance of each pair of rows, (n, d) → (n, n). A row's d numbers are its samples.

    Source: G. J. Székely, M. L. Rizzo, N. K. Bakirov, Ann. Statist. 35(6), 2007.
    """
    n, d = vectors.shape
    distances = torch.sqrt((vectors[:, :, None] - vectors[:, None, :]).square() + _SMALLEST)  # (n, d, d)
    means = distances.mean(dim=1, keepdim=True)  # also of columns: distances are symmetric
    centred = (distances - means - means.transpose(1, 2) + means.mean(dim=2, keepdim=True)).view(n, -1)
    return torch.sqrt((centred @ centred.T / d**2).clamp(min=0) + _SMALLEST)
