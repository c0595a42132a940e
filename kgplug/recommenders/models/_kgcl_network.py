"""The network of KGCL: attention over the facts of items, LightGCN over likes, and two random views of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from kgplug.recommenders.click_through.collaborative_graph import CollaborativeTriples
from kgplug.recommenders.click_through.propagation import Propagation
from kgplug.recommenders.parts.operations.attentive_sum import Edges, attentive_sum
from kgplug.recommenders.parts.operations.compiled_steps import pair_dots
from kgplug.recommenders.parts.operations.layers import (
    activate,
    distinct,
    lookup,
    normal_table,
    row_penalty,
    xavier_linear,
)
from kgplug.recommenders.parts.translations import Triples

LEAST_WEIGHT, HIGHEST_CHANCE = 0.3, 0.95  # p_τ and the highest chance that a like is kept, as in the authors' code
MOST_COMPARED = 4096  # with more users (or items), the contrast only compares this many of the batch


class KGCLShape(Protocol):
    """The settings that the network reads from `KGCLConfig`."""

    @property
    def embedding_dim(self) -> int: ...
    @property
    def n_layers(self) -> int: ...
    @property
    def init_scale(self) -> float: ...


@dataclass(frozen=True, eq=False)
class View:
    """The facts of items and the likes, or random parts of them.

    Attributes:
        facts: Edges from entities into items.
        likes: The graph of users and items.
    """

    facts: Edges
    likes: Propagation


class KGCLNetwork(nn.Module):
    """KGCL's vectors of users, entities (items first) and relations, and the layer of its attention.

    Args:
        shape: Settings.
        graph: Likes and triples. The inverse of a relation has the vector −r.
        generator: Random generator of the weights.
        device: Device of the products with the graph.
    """

    def __init__(
        self, shape: KGCLShape, graph: CollaborativeTriples, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__()
        dim, scale, n_relations = shape.embedding_dim, shape.init_scale, graph.n_relations - 1
        self.n_layers, self.n_users, self.n_items, self._device = shape.n_layers, graph.n_users, graph.n_items, device
        self.users = normal_table(graph.n_users, dim, scale, generator)
        self.entities = normal_table(graph.n_nodes - graph.n_users, dim, scale, generator)
        self.relations = normal_table(n_relations, dim, scale, generator)
        self.attention = xavier_linear(2 * dim, dim, generator)
        self.triples = graph.knowledge - np.array([graph.n_users, 0, graph.n_users])  # of entities, int64 (m, 3)
        self._liking, self._liked = graph.likes[:, 0], graph.likes[:, 2] - graph.n_users
        facts = Edges.around(self.triples, 0, graph.n_items, n_relations=n_relations, device=device)
        self.whole = View(facts, self._graph_of(np.ones(len(self._liked), dtype=bool)))

    def _graph_of(self, kept: np.ndarray) -> Propagation:
        users, items = self._liking[kept], self.n_users + self._liked[kept]
        weights = np.ones(len(users), dtype=np.float32)
        return Propagation(users, items, weights, n_nodes=self.n_users + self.n_items, device=self._device)

    def informed_items(self, facts: Edges) -> torch.Tensor:
        """Return x_i + Σ α(e, r, i) x_e of each item (eqs. 1 and 2), (n_items, d).

        α is the softmax of LeakyReLU(r · (W [x_e, x_i] + b)) over the item's facts.
        """
        items, r = self.entities[: self.n_items], torch.cat([self.relations, -self.relations])
        of_source, of_item = (r @ part for part in self.attention.weight.chunk(2, dim=1))  # r W, (2 · n_relations, d)
        own = functional.embedding(facts.relations, (r @ self.attention.bias)[:, None]).squeeze(1)
        scores = own + pair_dots(of_source, facts.relations, self.entities, facts.sources)
        scores = scores + pair_dots(of_item, facts.relations, items, facts.into)
        return items + attentive_sum(activate(scores, "leaky_relu"), self.entities, facts)

    def forward(self, view: View) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the vectors of users (n_users, d) and of items (n_items, d): LightGCN over informed items."""
        nodes = torch.cat([self.users, self.informed_items(view.facts)])
        nodes = view.likes.mean_of_layers(nodes, self.n_layers)
        return nodes[: self.n_users], nodes[self.n_users :]

    @torch.no_grad()
    def views(self, drop_triples: float, drop_likes: float, rng: np.random.Generator) -> tuple[View, View]:
        """Draw two views. A like is dropped more often if its item's vectors in the two views of the facts differ.

        Args:
            drop_triples: Chance that a fact is left out.
            drop_likes: Mean chance that a like is left out, before `HIGHEST_CHANCE` cuts the chances to keep one; 0
                leaves out none.
            rng: Random generator.
        """
        whole = self.whole.facts
        first, second = (whole.kept(rng.random(len(whole)) >= drop_triples) for _ in range(2))
        consistency = functional.cosine_similarity(self.informed_items(first), self.informed_items(second))
        chances = keep_chances(consistency.cpu().numpy()[self._liked], drop_likes)
        likes = [self._graph_of(rng.random(len(chances)) < chances) for _ in range(2)]
        return View(first, likes[0]), View(second, likes[1])

    def margins(self, triples: Triples) -> tuple[torch.Tensor, torch.Tensor]:
        """Return f(h, r, t') − f(h, r, t), (n,), and the mean squared norm of a triple's vectors, a scalar.

        f(h, r, t) = ‖h + r − t‖² (TransE), and t' is the corrupt tail. The gradients are sparse.
        """
        n, device = len(triples), self.entities.device
        e_rows, ends = distinct(triples.heads, triples.tails, triples.corrupt, device=device)
        r_rows, (relation_of,) = distinct(triples.relations, device=device)
        e, r = lookup(self.entities, e_rows), lookup(self.relations, r_rows)
        head, tail, corrupt = (functional.embedding(places, e) for places in ends)
        translated = head + functional.embedding(relation_of, r)
        far, near = ((translated - other).square().sum(1) for other in (corrupt, tail))
        return far - near, row_penalty(e, torch.stack(ends), n) + row_penalty(r, relation_of, n)


def keep_chances(consistency: np.ndarray, drop: float) -> np.ndarray:
    """Return the chance that each like is kept, float (n,).

    Their mean is 1 − drop, before those above `HIGHEST_CHANCE` are cut to it. If drop is 0, all are 1.

    Args:
        consistency: Cosine of the item's vectors in two views of the facts, float (n,).
        drop: Mean chance that a like is left out, before the cut.
    """
    if not drop:
        return np.ones_like(consistency)
    weights = np.exp(consistency)
    spread = np.ptp(weights)
    shares = (weights - weights.min()) / spread if spread > 0 else np.ones_like(weights)
    shares = np.maximum(shares, LEAST_WEIGHT)
    return np.minimum((1 - drop) * shares / shares.mean(), HIGHEST_CHANCE)


def contrast(first: torch.Tensor, second: torch.Tensor, places: np.ndarray, temperature: float) -> torch.Tensor:
    """Return the mean of −log(exp(s(x_n, y_n) / τ) / Σ_m exp(s(x_n, y_m) / τ)) over nodes n, a scalar (InfoNCE).

    s is the cosine. The sum is over all nodes m if there are at most `MOST_COMPARED`. Otherwise `places` is cut into
    parts of at most `MOST_COMPARED`, and the sum is over the distinct nodes of n's part.

    Args:
        first, second: Vectors x and y of all users, or of all items, in two views, (n, d).
        places: The nodes n, int64 (b,). They may be repeated.
        temperature: τ.
    """
    if len(second) > MOST_COMPARED < len(places):
        parts = np.array_split(places, -(-len(places) // MOST_COMPARED))
        sums = [len(part) * contrast(first, second, part, temperature) for part in parts]
        return torch.stack(sums).sum() / len(places)
    rows, (place_of,) = distinct(places, device=first.device)
    x, y = (functional.normalize(functional.embedding(rows, vectors)) for vectors in (first, second))
    others = functional.normalize(second) if len(second) <= MOST_COMPARED else y
    losses = torch.logsumexp(x @ others.T / temperature, dim=1) - (x * y).sum(1) / temperature
    return losses @ torch.bincount(place_of, minlength=len(rows)).to(losses.dtype) / len(places)


def contrast_floats(n: int, n_places: int) -> int:
    """Return the maximum number of elements of the largest matrix of cosines in `contrast`, for n nodes."""
    n_rows = min(n, n_places, MOST_COMPARED)
    return n_rows * (n if n <= MOST_COMPARED else n_rows)
