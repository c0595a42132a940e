"""Averaging over the neighbours in a graph: the one operation of LightGCN and its kin."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from scipy import sparse

from kgplug.recommenders.click_through.factors import FactorRecommender, Factors
from kgplug.recommenders.click_through.pairs import ClickThroughData


class Propagation:
    """Multiplies by D^-½ A D^-½, A the weighted adjacency matrix of an undirected graph and D its row sums.

    On the CPU scipy's product does the work, which there takes less time than torch's and DGL's; on a device
    torch's sparse product does.

    Args:
        left, right: int64 (m,), the nodes at the ends of each edge; an edge given twice counts twice.
        weights: float32 (m,).
        n_nodes: number of nodes.
        device: where the product is taken.
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
        self._matrix: Any = adjacency
        if device.type != "cpu":
            parts = (torch.from_numpy(x).to(device) for x in (adjacency.indptr, adjacency.indices, adjacency.data))
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
                self._matrix = torch.sparse_csr_tensor(*parts, size=adjacency.shape, check_invariants=False)

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        """Return D^-½ A D^-½ x without a gradient: (n_nodes, d) → (n_nodes, d)."""
        if isinstance(self._matrix, torch.Tensor):
            return self._matrix @ x
        return torch.from_numpy(self._matrix @ x.detach().numpy())

    def mean_of_layers(self, x: torch.Tensor, n_layers: int) -> torch.Tensor:
        """Return the mean of x and of what `n_layers` propagations make of it (LightGCN eqs. 3–4, 6): (n_nodes, d)."""
        total = x
        for _ in range(n_layers):
            x = _Multiply.apply(x, self)  # type: ignore[assignment]
            total = total + x
        return total / (n_layers + 1)


class _Multiply(torch.autograd.Function):
    """The product with its gradient: the matrix is symmetric, so both are the same product."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, propagation: Propagation) -> torch.Tensor:
        ctx.propagation = propagation
        return propagation.multiply(x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.propagation.multiply(grads[0].contiguous()), None


class PropagatedRecommender(FactorRecommender):
    """A recommender whose factors a propagation over the whole graph gives, after training and at each validation."""

    @abstractmethod
    def trained_factors(self) -> Factors:
        """Return what scores are made of by now."""

    def validation_auc(self, data: ClickThroughData) -> float | None:
        """Return the AUC of the validation pairs, None without them."""
        if data.valid is None:
            return None
        self.factors = self.trained_factors()
        return data.validation_auc(self.logits(data.valid.users, data.valid.items))
