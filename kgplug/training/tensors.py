"""Wrappers with type annotations for functions of torch that have none."""

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
    """Add the gradients of a loss, shape (), to the parameters that it depends on."""
    loss.backward()


def forked_rng(cuda_devices: list[int]) -> AbstractContextManager[None]:
    """Return a context that restores torch's global random generators (CPU and these CUDA devices) at its end."""
    return torch.random.fork_rng(devices=cuda_devices)
