"""Building blocks that several models share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy import sparse
from torch import nn
from torch.nn import functional

from kgplug.recommenders.parts.operations.compiled_steps import cross_compress

LEAK = 0.1  # slope of the leaky ReLU below zero


def normal_table(n_rows: int, dim: int, scale: float, generator: torch.Generator) -> nn.Parameter:
    """Return an embedding table (n_rows, dim) with random values from N(0, scale²)."""
    return nn.Parameter(_normal(n_rows, dim, scale, generator))


def _normal(n_rows: int, dim: int, scale: float, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(n_rows, dim, generator=generator) * scale


class _Linear(nn.Linear):
    """A dense layer without initial weights: `nn.Linear` would draw them from torch's global generator."""

    def reset_parameters(self) -> None:
        pass


def xavier_linear(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    """Return a dense layer with Xavier-uniform weights and zero bias."""
    layer = _Linear(n_in, n_out)
    with torch.no_grad():
        bound = math.sqrt(6.0 / (n_in + n_out))
        layer.weight.copy_((torch.rand(n_out, n_in, generator=generator) * 2 - 1) * bound)
        layer.bias.zero_()
    return layer


def activate(x: torch.Tensor, name: str) -> torch.Tensor:
    """Apply the activation function with this name, "tanh", "relu" or "leaky_relu", to each element of x."""
    if name == "tanh":
        return torch.tanh(x)
    return functional.relu(x) if name == "relu" else functional.leaky_relu(x, LEAK)


def lookup(table: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Return rows of a table: int64 (m,) → (m, d). The table's gradient is sparse, as `RowAdam` needs it.

    The row indices must be distinct.
    """
    return functional.embedding(rows, table, sparse=True)


def distinct(*ids: np.ndarray, device: torch.device | str = "cpu") -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """Return the distinct ids of several arrays, and the position of each array's values among them.

    Args:
        ids: Arrays of ids ≥ 0, int64 of any shapes.
        device: Device of the results.

    Returns:
        (rows, places): the distinct ids in ascending order, int64 (m,); and for each argument the positions of its ids
        in `rows`, int64 of the argument's shape.
    """
    flat = np.concatenate([part.reshape(-1) for part in ids])
    n = int(flat.max(initial=-1)) + 1
    if n <= 16 * len(flat):  # a table of all ids is faster than sorting
        used = np.zeros(n, dtype=bool)
        used[flat] = True
        rows = np.flatnonzero(used)
        place_of = np.zeros(n, dtype=np.int64)
        place_of[rows] = np.arange(len(rows))
        inverse = place_of[flat]
    else:
        rows, inverse = np.unique(flat, return_inverse=True)
    cuts = np.cumsum([part.size for part in ids])[:-1]
    places = (part.reshape(like.shape) for part, like in zip(np.split(inverse, cuts), ids, strict=True))
    return torch.from_numpy(rows).to(device), tuple(torch.from_numpy(part).to(device) for part in places)


def row_penalty(rows: torch.Tensor, places: torch.Tensor, n: int) -> torch.Tensor:
    """Return the L2 penalty of the rows that a batch looks up: Σ ‖rows[p]‖² / n over all p in `places`, a scalar.

    Args:
        rows: Distinct rows, (m, d).
        places: Index in `rows` of each lookup, int64 of any shape.
        n: Number of pairs or triples in the batch.
    """
    counts = torch.bincount(places.reshape(-1), minlength=len(rows)).to(rows.dtype)
    return (rows.square().sum(1) * counts).sum() / n


def squared_norm(parameters: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the sum of squares of all parameters, a scalar."""
    return torch.stack([parameter.square().sum() for parameter in parameters]).sum()


class CrossCompress(nn.Module):
    """Cross & compress unit of MKR (eqs. 1–4) in O(d): the matrix C = v eᵀ is never built.

    v is an item's vector, e the vector of its entity, and d their length. The unit learns vectors w and b, and returns
    new vectors v' and e'.

    v' = C w_vv + Cᵀ w_ev + b_v = v (e·w_vv) + e (v·w_ev) + b_v. The other output, e', has the same form with w_ve, w_ee
    and b_e.

    The scalars in brackets decide how much of v and of e is in each output. In the paper they are products of small
    numbers. Near zero their gradients vanish faster than the gradient of the L2 penalty, so on sparse data all vectors
    shrink to zero. With an offset o, the unit of the paper is applied to v + o and e + o with weights w / (d o), and o
    is subtracted from its outputs. All w start as ½, so each scalar starts near ½. For small v and e, the initial unit
    then returns about (v + e) / 2 + (mean(v) + mean(e)) / 2. The L2 penalty still acts on v and e, without the offset.
    `offset=0` is the unit of the paper.

    Args:
        dim: Length d of a vector.
        offset: Offset o, added to every input dimension.
        generator: Random generator; draws the initial weights from N(0, 1 / d) if the offset is 0.
    """

    def __init__(self, dim: int, offset: float, generator: torch.Generator) -> None:
        super().__init__()
        self.offset = offset
        start = torch.full((4, dim), 0.5) if offset else _normal(4, dim, dim**-0.5, generator)
        self.weights = nn.Parameter(start)  # w_vv, w_ev, w_ve, w_ee
        self.bias = nn.Parameter(torch.zeros(2, dim))  # b_v, b_e

    def forward(self, item: torch.Tensor, entity: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return new vectors of n items and of their entities: (n, d), (n, d) → (n, d), (n, d)."""
        if not self.offset:
            return cross_compress(item, entity, self.weights, self.bias)
        o = self.offset
        weights = self.weights / (o * self.weights.shape[1])  # so an optimiser step changes a scalar as much as w
        item, entity = cross_compress(item + o, entity + o, weights, self.bias)
        return item - o, entity - o


class Dense(nn.Module):
    """A stack of dense layers of widths d_0 to d_L, each followed by the activation: (n, d_0) → (n, d_L)."""

    def __init__(self, widths: Sequence[int], activation: str, generator: torch.Generator) -> None:
        super().__init__()
        self.activation = activation
        self.layers = nn.ModuleList(xavier_linear(n_in, n_out, generator) for n_in, n_out in itertools.pairwise(widths))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply all layers."""
        for layer in self.layers:
            x = activate(layer(x), self.activation)
        return x


@torch.no_grad()
def average_cold(rows: torch.Tensor, likes: sparse.csr_matrix) -> None:
    """Give users without likes the mean of the other users' vectors, because their own were not trained.

    Args:
        rows: User vectors, (n_users, d), changed in place.
        likes: Training likes, CSR (n_users, n_items).
    """
    cold = torch.from_numpy(np.diff(likes.indptr) == 0).to(rows.device)
    if cold.any():
        rows[cold] = rows[~cold].mean(dim=0)
