"""The inverse of a large positive definite matrix, computed in place.

Some builds of LAPACK count bytes or cells in 32 bits (scipy's build, with several threads, crashes from about 24,000
rows). So larger matrices are inverted by products of blocks, and LAPACK only inverts blocks of a few hundred rows.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import get_lapack_funcs

_LAPACK_ROWS = 16_000  # a float64 matrix with more than 16,383 rows takes 2^31 bytes or more
_BLOCK_ROWS = 512
_MIRRORED_ROWS = 512


def invert(matrix: np.ndarray) -> bool:
    """Invert a positive definite matrix in place; return False if it is not positive definite up to rounding.

    Args:
        matrix: Symmetric matrix, float64 (n, n), C order; overwritten. If False is returned, its content is undefined.
    """
    done = _by_lapack(matrix) if len(matrix) <= _LAPACK_ROWS else _by_blocks(matrix)
    return done and bool(np.isfinite(matrix.diagonal()).all())  # LAPACK does not reject NaN


def bytes_beside(n: int) -> int:
    """Return the number of bytes that the inversion of an (n, n) matrix needs in addition to the matrix."""
    return 0 if n <= _LAPACK_ROWS else 2 * 8 * n * _BLOCK_ROWS


def _by_lapack(matrix: np.ndarray) -> bool:
    functions = get_lapack_funcs(("potrf", "potri"), (matrix,))
    assert isinstance(functions, list)  # one per name
    potrf, potri = functions
    factor, failed = potrf(matrix.T, lower=0, overwrite_a=1, clean=0)  # .T: Fortran order, no copy
    if failed:
        return False
    upper, failed = potri(factor, lower=0, overwrite_c=1)
    if failed:
        return False
    if not np.shares_memory(upper, matrix):
        matrix[:] = upper.T
    _mirror(matrix)  # its lower triangle is filled
    return True


def _by_blocks(matrix: np.ndarray) -> bool:
    """Invert block by block, by the symmetric sweep.

    Let A be the matrix, D the inverse of a block K on its diagonal, and B the columns of A that contain K. A becomes
    −A⁻¹ if this is done for each block K, with rows i and j outside K:

        A_ij ← A_ij − B_i D B_jᵀ   A_iK ← B_i D   A_KK ← −D

    This takes n³ operations, as Cholesky does. Only blocks on and below the diagonal are computed, and mirrored at the
    end.

    Source: J. Goodnight, "A Tutorial on the SWEEP Operator", The American Statistician 33(3), 1979.
    """
    import torch  # imported here: it takes half a gigabyte that small catalogues do not need

    block_rows = _BLOCK_ROWS
    n, a = len(matrix), torch.from_numpy(matrix)
    panel, swept = (torch.empty((n, min(n, block_rows)), dtype=a.dtype) for _ in range(2))  # B, B D: (n, b)
    for start in range(0, n, block_rows):
        stop = min(start + block_rows, n)
        inverse = _small_inverse(matrix[start:stop, start:stop])
        if inverse is None:
            return False
        d, b, bd = torch.from_numpy(inverse), panel[:, : stop - start], swept[:, : stop - start]
        b[:start] = a[start:stop, :start].T
        b[start:stop] = 0
        b[stop:] = a[stop:, start:stop]
        torch.mm(b, d, out=bd)
        for first in range(0, n, block_rows):
            last = min(first + block_rows, n)
            a[first:last, :last].addmm_(bd[first:last], b[:last].T, alpha=-1)
        a[start:stop, :start] = bd[:start].T
        a[start:stop, start:stop] = -d
        a[stop:, start:stop] = bd[stop:]
    a.neg_()
    _mirror(matrix)
    return True


def _mirror(matrix: np.ndarray) -> None:
    """Copy the lower triangle to the upper one, in place."""
    for start in range(0, len(matrix), _MIRRORED_ROWS):
        stop = start + _MIRRORED_ROWS
        matrix[start:stop, stop:] = matrix[stop:, start:stop].T
        square = matrix[start:stop, start:stop]
        square[:] = np.tril(square) + np.tril(square, -1).T


def _small_inverse(block: np.ndarray) -> np.ndarray | None:
    """Return the inverse of a positive definite matrix of a few hundred rows; None if it is not positive definite."""
    inverse = block.copy()
    return inverse if _by_lapack(inverse) else None
