"""The network of KGAT: attention over the collaborative knowledge graph, and bi-interaction layers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from scipy import sparse
from torch import nn
from torch.nn import functional

from kgplug.data.ranking.threads import row_blocks
from kgplug.recommenders.click_through.collaborative_graph import CollaborativeTriples
from kgplug.recommenders.parts.operations.layers import activate, normal_table, xavier_linear
from kgplug.recommenders.parts.operations.sparse_product import SparseProduct
from kgplug.recommenders.parts.translations import Triples, projected_ends

_ATTENTION_EDGES = 65_536  # edges whose projected ends are in memory at a time


class KGATShape(Protocol):
    """The settings that the network reads from `KGATConfig`."""

    @property
    def embedding_dim(self) -> int: ...
    @property
    def n_layers(self) -> int: ...
    @property
    def dropout(self) -> float: ...
    @property
    def init_scale(self) -> float: ...


@dataclass(frozen=True, eq=False)
class AttentiveGraph:
    """The matrix of attention weights, for products with node vectors. Row h has the weights of node h's neighbours.

    Attributes:
        whole: The matrix with all rows.
        listed: The matrix with the rows of users and items only. The last layer computes only their vectors.
    """

    whole: SparseProduct
    listed: SparseProduct


class KGATNetwork(nn.Module):
    """KGAT's vectors of nodes and relations, a projection per relation, and two dense layers per propagation step.

    Args:
        shape: Settings.
        graph: The collaborative knowledge graph.
        generator: Random generator of the weights; projections start as the identity.
    """

    def __init__(self, shape: KGATShape, graph: CollaborativeTriples, generator: torch.Generator) -> None:
        super().__init__()
        dim, scale = shape.embedding_dim, shape.init_scale
        self.n_users, self.n_listed = graph.n_users, graph.n_users + graph.n_items
        self.dropout = shape.dropout
        self.nodes = normal_table(graph.n_nodes, dim, scale, generator)
        self.relations = normal_table(graph.n_relations, dim, scale, generator)
        self.projections = nn.Parameter(torch.eye(dim).reshape(1, -1).repeat(graph.n_relations, 1))  # (n_relations, d²)
        widths = [max(1, dim >> max(0, layer - 1)) for layer in range(shape.n_layers + 1)]  # d, d, d/2, d/4, …
        self.sum_layers, self.product_layers = (
            nn.ModuleList(xavier_linear(n_in, n_out, generator) for n_in, n_out in itertools.pairwise(widths))
            for _ in range(2)
        )

    @property
    def device(self) -> torch.device:
        return self.nodes.device

    @torch.no_grad()
    def attention(self, triples: np.ndarray) -> np.ndarray:
        """Return the attention logit π of each triple and of its inverse (eq. 4), float32 (2, n).

        The first row has the triples, the second row their inverses. π(h, r, t) = (t M_r) · tanh(h M_r + r), where h, r
        and t are vectors, and M_r is the projection of relation r. The inverse of r has the same projection and the
        vector −r.

        Args:
            triples: Head, relation and tail, int64 (n, 3).
        """
        found = np.empty((2, len(triples)), dtype=np.float32)
        dim = self.nodes.shape[1]
        for relation in np.unique(triples[:, 1]):
            rows = np.flatnonzero(triples[:, 1] == relation)
            matrix, r = self.projections[relation].view(dim, dim), self.relations[relation]
            for block in row_blocks(len(rows), _ATTENTION_EDGES):
                ends = torch.from_numpy(triples[rows[block]]).to(self.device)
                head, tail = (functional.embedding(ends[:, end], self.nodes) @ matrix for end in (0, 2))
                both = (tail * torch.tanh(head + r)).sum(1), (head * torch.tanh(tail - r)).sum(1)
                found[:, rows[block]] = torch.stack(both).cpu().numpy()
        return found

    def attentive_graph(self, triples: np.ndarray) -> AttentiveGraph:
        """Return the graph weighted by attention: a softmax over all triples with the same head (eq. 5).

        The softmax is that of the logits that `attention` returns. Inverse triples are included.

        Args:
            triples: Head, relation and tail, int64 (n, 3).
        """
        n_nodes, pi = len(self.nodes), self.attention(triples).ravel()
        heads, tails = triples[:, [0, 2]].T.reshape(-1), triples[:, [2, 0]].T.reshape(-1)
        order = np.argsort(heads, kind="stable")
        degrees = np.bincount(heads, minlength=n_nodes)
        starts = np.concatenate([[0], np.cumsum(degrees)])
        weights, some = pi[order], degrees > 0
        if len(order):
            weights = np.exp(weights - np.repeat(np.maximum.reduceat(weights, starts[:-1][some]), degrees[some]))
            weights /= np.repeat(np.add.reduceat(weights, starts[:-1][some]), degrees[some])
        matrix = sparse.csr_matrix((weights, tails[order], starts), shape=(n_nodes, n_nodes))
        listed = matrix[: self.n_listed]
        return AttentiveGraph(*(SparseProduct(part, device=self.device) for part in (matrix, listed)))

    def forward(self, graph: AttentiveGraph) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the vectors of users (n_users, D) and of items (n_items, D).

        Each vector is the concatenation of a node's input vector and of its outputs from all layers (eq. 11), so D is
        the sum of their lengths. Each output is scaled to norm one.
        """
        x = self.nodes
        found = [x[: self.n_listed]]
        for layer in range(len(self.sum_layers)):
            last = layer == len(self.sum_layers) - 1
            around = (graph.listed if last else graph.whole).multiply(x)
            x = self._aggregated(layer, x[: len(around)], around)
            found.append(functional.normalize(x[: self.n_listed]))
        vectors = torch.cat(found, dim=1)
        return vectors[: self.n_users], vectors[self.n_users :]

    def _aggregated(self, layer: int, own: torch.Tensor, around: torch.Tensor) -> torch.Tensor:
        """Return a layer's output for nodes (eq. 8).

        Args:
            layer: Number of the layer, from 0.
            own: Vectors of the nodes, (n, d).
            around: Weighted sums of their neighbours' vectors, (n, d).
        """
        joined = activate(self.sum_layers[layer](own + around), "leaky_relu")
        joined = joined + activate(self.product_layers[layer](own * around), "leaky_relu")
        return functional.dropout(joined, self.dropout, training=self.training)

    def margins(self, triples: Triples) -> tuple[torch.Tensor, torch.Tensor]:
        """Return g(h, r, t') − g(h, r, t) of n triples, (n,), and the mean squared norm of their vectors, a scalar.

        g(h, r, t) = ‖h M_r + r − t M_r‖² is the distance of a triple in TransR (eq. 1), where M_r is the projection of
        relation r. t' is the corrupt tail.
        """
        ends = projected_ends(self.nodes, self.relations, self.projections, triples)
        translated = ends.heads + ends.relations
        distances = [(translated - tail).square().sum(1) for tail in (ends.corrupt, ends.tails)]
        return distances[0] - distances[1], ends.penalty
