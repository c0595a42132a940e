"""KGAT: attention over one graph of users, items and entities, whose weights come from TransR."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from kgplug.data.sampling import TailCorrupter
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.collaborative_graph import CollaborativeTriples
from kgplug.recommenders.click_through.config import KnowledgeConfig
from kgplug.recommenders.click_through.factors import Factors
from kgplug.recommenders.click_through.pairs import ClickThroughData, Comparisons
from kgplug.recommenders.click_through.propagation import PropagatedRecommender
from kgplug.recommenders.click_through.recommender import TrainedRecommender
from kgplug.recommenders.click_through.tasks import AlternatingTask
from kgplug.recommenders.models._kgat_network import KGATNetwork
from kgplug.recommenders.parts.operations.compiled_steps import pair_dots
from kgplug.recommenders.parts.translations import Triples, triple_batches
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.adam import Adam
from kgplug.training.config import DataSize, Range, Space, TrainedConfig
from kgplug.training.device import choose_device
from kgplug.training.row_adam import RowAdam
from kgplug.training.tensors import tensor_of


class KGATConfig(KnowledgeConfig):
    """Settings of KGAT.

    In the paper: 64 dimensions, 3 layers (64, 32 and 16 dimensions), batches of 1,024 likes, learning rate 1e-4, l2
    1e-5, dropout 0.1.
    """

    tuning: ClassVar[Space] = {
        **TrainedConfig.tuning,
        "l2": Range(1e-4, 1e-1, log=True),
        "n_layers": (1, 2, 3),
        "dropout": Range(0.0, 0.5),
    }

    negatives_per_like: ClassVar[int] = 1  # not settings: BPR compares each like with one negative
    negative_popularity: ClassVar[float] = 0.0
    batch_size: int = Field(4096, ge=1, description="number of pairs per step: likes and negatives")
    kge_batch_size: int = Field(4096, ge=1, description="number of triples per step of TransR")
    n_layers: int = Field(
        2, ge=1, description="number of propagation steps; each step after the first halves the number of dimensions"
    )
    l2: float = Field(2e-2, ge=0, description="weight of the squared norms of the batch's vectors before propagation")
    learning_rate: float = Field(5e-3, gt=0, description="learning rate of Adam")
    dropout: float = Field(0.1, ge=0, lt=1, description="fraction of each layer's output that is dropped in training")
    patience: int = Field(10, ge=1, description="stop after this many epochs without a better validation metric")

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        learnt = replace(size, n_triples=size.n_triples + size.n_likes)  # TransR also learns the likes
        return super().suited_to(size) | cls.batches_suited_to(learnt)


class KGAT(PropagatedRecommender, TrainedRecommender):
    """KGAT (X. Wang et al., KDD 2019, "KGAT: Knowledge Graph Attention Network for Recommendation").

    Users, items and entities are nodes of one graph, in which a like is a triple. Each layer sums the vectors of a
    node's neighbours, weighted by attention. A neighbour t of node h by relation r has the attention weight
    softmax((t M_r) · tanh(h M_r + r)). TransR learns r and its projection M_r from all triples. A layer's output is
    LeakyReLU(W₁(h + n)) + LeakyReLU(W₂(h ∘ n)), where n is the weighted sum. The score is the dot product of the user's
    and the item's vectors. Each of these is the concatenation of the node's input vector and its outputs from all
    layers. The score is learnt by BPR, so it is not a probability.

    As in the authors' code, the attention weights are recomputed once per epoch and have no gradient in the steps of
    BPR; each output is scaled to length one before it is concatenated; and an epoch has all steps of BPR, then all
    steps of TransR.
    Unlike the authors' code, an inverse relation has the same M_r, and −r instead of a vector of its own. A corrupt
    tail is drawn from the relation's tails in other triples (`TailCorrupter`). The optional side term (setting `side`),
    a score from counts of likes and shared KG features, is not in the paper.
    """

    name = "KGAT"
    inputs = RECOMMENDERS["KGAT"].inputs
    config_class = KGATConfig
    config: KGATConfig
    network: KGATNetwork
    scores_are_probabilities = False

    def _task(self, data: TrainingData) -> KGATTask:
        graph = CollaborativeTriples.build(data)
        generator = torch.Generator().manual_seed(data.seed)
        self.network = KGATNetwork(self.config, graph, generator).to(choose_device(self.config.device))
        self._triples = graph.triples
        return KGATTask(self, self._click_through(data))

    @torch.no_grad()
    def trained_factors(self) -> Factors:
        graph = self.network.attentive_graph(self._triples)
        return Factors.without_bias(*(part.cpu().numpy() for part in self.network(graph)))


class KGATTask(AlternatingTask):
    """Trains KGAT: in each epoch all steps of BPR, then all steps of TransR."""

    def __init__(self, model: KGAT, data: ClickThroughData) -> None:
        self.model, self.module, self.data, self.config = model, model.network, data, model.config
        self._triples = model._triples
        self._corrupter = TailCorrupter(self._triples)
        network, rate = self.module, self.config.learning_rate
        layers = [*network.sum_layers.parameters(), *network.product_layers.parameters()]
        self.optimizers = (
            Adam([network.nodes, *layers], lr=rate),
            RowAdam([network.nodes, network.relations, network.projections], lr=rate),
        )

    @property
    def step_floats(self) -> int:
        """Number of floats in the largest tensor of a training step."""
        return self.module.nodes.numel()

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[Comparisons | Triples]:
        """Compute the attention, then yield the epoch's comparisons (for BPR), then its triples (for TransR)."""
        del epoch
        self.graph = self.module.attentive_graph(self._triples)
        yield from self.data.comparisons(rng, self.config.batch_size)
        yield from filter(len, triple_batches(self._triples, self._corrupter, self.config.kge_batch_size, rng))

    def bpr_loss(self, batch: Comparisons) -> torch.Tensor:
        """Return mean −log σ(s_ui − s_uj) + l2 · mean squared norm of the vectors before propagation, a scalar.

        s_ui is the score of user u and a liked item i, and s_uj that of u and a negative j.
        """
        u, v = self.module(self.graph)
        users, items = (tensor_of(part).to(u.device) for part in batch.pairs())
        loss = self.data.comparison_loss(pair_dots(u, users, v, items), batch)
        norms = self.module.nodes[: self.module.n_listed].square().sum(1)
        return loss + self.config.l2 * (norms[users].mean() + norms[self.module.n_users + items].mean())

    def kge_loss(self, batch: Triples) -> torch.Tensor:
        """Return mean −log σ(g(h, r, t') − g(h, r, t)) + l2 · mean squared norm of the vectors, a scalar.

        g is the distance of a triple in TransR, and t' a corrupt tail (`KGATNetwork.margins`).
        """
        margins, norms = self.module.margins(batch)
        return functional.softplus(-margins).mean() + self.config.l2 * norms

    def validate(self) -> float | None:
        """Return the AUC of the validation pairs; None if they contain no likes or no negatives."""
        return self.model.validation_auc(self.data)
