"""Typed wrappers of torch functions that lack type annotations."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager

import numpy as np
import torch
from scipy import sparse


def tensor_of(array: np.ndarray) -> torch.Tensor:
    """Return a tensor on the CPU that shares the memory of an array; same shape and dtype."""
    return torch.from_numpy(array)


def csr_tensor(matrix: sparse.csr_matrix, device: torch.device) -> torch.Tensor:
    """Copy a matrix, CSR (n, m), to a device as a sparse CSR tensor of the same dtype."""
    parts = (torch.from_numpy(array).to(device) for array in (matrix.indptr, matrix.indices, matrix.data))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(*parts, size=matrix.shape, check_invariants=False)


def backward(loss: torch.Tensor) -> None:
    """Add the gradients of `loss`, a scalar, to the `.grad` of each parameter that it depends on."""
    loss.backward()


def forked_rng(cuda_devices: list[int]) -> AbstractContextManager[None]:
    """Return a context that, on exit, restores torch's random generators on the CPU and on these CUDA devices."""
    return torch.random.fork_rng(devices=cuda_devices)
