"""What RecBole's KGAT and KGIN use of dgl and torch_scatter, written in torch and scipy.

RecBole 1.2.1 needs a DGL older than 1.0 and a compiled torch_scatter; neither exists for a current torch. KGAT uses DGL
only to build its first attention matrix, which is not timed. KGIN uses `scatter_mean` in each step. The original adds
with an index as large as the values (`scatter_add_`); the one here uses `index_add_`, which is faster.
"""

from __future__ import annotations

import sys
import types

import numpy as np
import torch
from scipy import sparse


def scatter_mean(src: torch.Tensor, index: torch.Tensor, dim_size: int, dim: int = 0) -> torch.Tensor:
    """Return the mean of the rows of `src` (n, d) with each index, int64 (n,): (dim_size, d), zeros without rows."""
    assert dim == 0
    counts = torch.bincount(index, minlength=dim_size).clamp(min=1)
    return src.new_zeros(dim_size, src.shape[1]).index_add(0, index, src) / counts[:, None]


class Graph:
    """A directed graph with data of edges, as `dgl.graph((sources, targets))` makes it."""

    def __init__(self, ends: tuple[torch.Tensor, torch.Tensor], n_nodes: int | None = None) -> None:
        self.ends, self.data = ends, {}
        self.n_nodes = 1 + max(int(end.max()) for end in ends) if n_nodes is None else n_nodes
        self.edata = self.data

    def filter_edges(self, keeps: object) -> torch.Tensor:
        """Return the indices of the edges for which `keeps` is true."""
        return torch.nonzero(keeps(self)).ravel()

    def adjacency_matrix(self, *, transpose: bool, scipy_fmt: str) -> sparse.coo_matrix:
        """Return the matrix with a 1 for each edge, source × target."""
        assert not transpose and scipy_fmt == "coo"
        ones = np.ones(len(self.ends[0]))
        return sparse.coo_matrix((ones, tuple(end.numpy() for end in self.ends)), shape=(self.n_nodes,) * 2)


def edge_subgraph(graph: Graph, edges: torch.Tensor, *, preserve_nodes: bool) -> Graph:
    """Return the graph of some edges with all nodes."""
    assert preserve_nodes
    return Graph(tuple(end[edges] for end in graph.ends), graph.n_nodes)


def install() -> None:
    """Let `import dgl` and `import torch_scatter` find these functions."""
    dgl, scatter = types.ModuleType("dgl"), types.ModuleType("torch_scatter")
    dgl.graph, dgl.edge_subgraph, scatter.scatter_mean = Graph, edge_subgraph, scatter_mean
    sys.modules |= {"dgl": dgl, "torch_scatter": scatter}
