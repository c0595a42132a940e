"""Conversion between sparse matrices and the arrays of a saved run."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def csr_arrays(**matrices: sparse.csr_matrix) -> dict[str, np.ndarray]:
    """Return the arrays of sparse matrices, given as name=matrix. `csr_of` does the reverse."""
    return {
        f"{name}.{part}": getattr(matrix, part)
        for name, matrix in matrices.items()
        for part in ("data", "indices", "indptr")
    }


def csr_of(name: str, arrays: dict[str, np.ndarray], shape: tuple[int, int]) -> sparse.csr_matrix:
    """Return the sparse matrix that `csr_arrays` stored under this name. The arrays do not contain its shape."""
    return sparse.csr_matrix(tuple(arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr")), shape=shape)
