"""Averaging over the neighbours in a graph: the operation of LightGCN and related models."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from scipy import sparse

from kgplug.recommenders.click_through.factors import FactorRecommender, Factors
from kgplug.recommenders.click_through.pairs import ClickThroughData
from kgplug.recommenders.parts.operations.sparse_product import SparseProduct


class Propagation:
    """Multiplication by D^-½ A D^-½, the normalised adjacency matrix of an undirected graph.

    A is the weighted adjacency matrix, and D is the diagonal matrix of A's row sums.

    Args:
        left, right: Nodes at the ends of each edge, int64 (m,); an edge given twice counts twice.
        weights: Weight of each edge, float32 (m,).
        n_nodes: Number of nodes.
        device: Device of the product.
    """

    def __init__(
        self, left: np.ndarray, right: np.ndarray, weights: np.ndarray, *, n_nodes: int, device: torch.device
    ) -> None:
        ends = np.concatenate([left, right]), np.concatenate([right, left])
        adjacency = sparse.csr_matrix(
            (np.tile(weights, 2).astype(np.float32), ends), shape=(n_nodes, n_nodes), dtype=np.float32
        )
        degrees = np.asarray(adjacency.sum(axis=1)).ravel()
        scale = np.divide(1.0, np.sqrt(degrees), out=np.zeros_like(degrees), where=degrees > 0).astype(np.float32)
        adjacency.data *= np.repeat(scale, np.diff(adjacency.indptr)) * scale[adjacency.indices]
        self._product = SparseProduct(adjacency, symmetric=True, device=device)

    @property
    def matrix(self) -> Any:
        """D^-½ A D^-½, (n_nodes, n_nodes): CSR on the CPU, a sparse tensor on other devices."""
        return self._product.matrix

    def mean_of_layers(self, x: torch.Tensor, n_layers: int) -> torch.Tensor:
        """Return the mean of x and of x propagated 1 to `n_layers` times (LightGCN eqs. 3–4, 6).

        Args:
            x: Vectors of the nodes, (n_nodes, d). The result has the same shape.
            n_layers: Number of propagation steps.
        """
        total = x
        for _ in range(n_layers):
            x = self._product.multiply(x)
            total = total + x
        return total / (n_layers + 1)


class PropagatedRecommender(FactorRecommender):
    """A recommender whose factors are computed by propagation over a graph."""

    network: Any

    def _settle(self) -> None:
        self.network.eval()
        self.factors = self.trained_factors().averaged(self.liked)

    @abstractmethod
    def trained_factors(self) -> Factors:
        """Return the user and item factors, computed by propagation with the current weights."""

    def validation_auc(self, data: ClickThroughData) -> float | None:
        """Return the AUC of the validation pairs with the current weights, None if there are no such pairs."""
        if data.valid is None:
            return None
        self.factors = self.trained_factors()
        return data.validation_auc(self.logits(data.valid.users, data.valid.items))
