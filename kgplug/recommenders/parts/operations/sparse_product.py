"""Products of a constant sparse matrix and a matrix of vectors, with their gradient."""

from __future__ import annotations

from typing import Any

import torch
from scipy import sparse

from kgplug.training.tensors import csr_tensor, tensor_of


class SparseProduct:
    """Multiplication by a constant sparse matrix.

    Products are computed by scipy on the CPU, where it is faster than torch and DGL, and by torch on other devices.

    Args:
        matrix: The matrix M, CSR float32 (n, m).
        symmetric: Whether M is symmetric, so that no transpose needs to be stored for gradients.
        device: Device of the products.
    """

    def __init__(self, matrix: sparse.csr_matrix, *, symmetric: bool = False, device: torch.device) -> None:
        self.matrix: Any = matrix
        self._transposed: Any = matrix if symmetric else matrix.T.tocsr()
        if device.type != "cpu":
            self.matrix = csr_tensor(matrix, device)
            self._transposed = self.matrix if symmetric else csr_tensor(self._transposed, device)

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        """Return M x: (m, d) → (n, d)."""
        return _Multiply.apply(x, self.matrix, self._transposed)  # type: ignore[return-value]


class _Multiply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, matrix: Any, transposed: Any) -> torch.Tensor:
        ctx.transposed = transposed
        return _product(matrix, x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return _product(ctx.transposed, grads[0].contiguous()), None, None


def _product(matrix: Any, x: torch.Tensor) -> torch.Tensor:
    return matrix @ x if isinstance(matrix, torch.Tensor) else tensor_of(matrix @ x.detach().numpy())
