"""KGCL: LightGCN over items that know their facts, with a contrast between two random views of the graph."""

from __future__ import annotations

from collections.abc import Iterator
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
from kgplug.recommenders.models._kgcl_network import KGCLNetwork, contrast, contrast_floats
from kgplug.recommenders.parts.operations.compiled_steps import pair_dots
from kgplug.recommenders.parts.translations import Triples, triple_batches
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.adam import Adam
from kgplug.training.config import DataSize, Range, Space, TrainedConfig
from kgplug.training.device import choose_device
from kgplug.training.row_adam import RowAdam
from kgplug.training.tensors import tensor_of


class KGCLConfig(KnowledgeConfig):
    """Settings of KGCL.

    In the authors' code: 64 dimensions, 3 layers, batches of 2,048 likes and 4,096 triples, learning rate 1e-3, l2
    1e-4, half of the facts dropped, temperature 0.2, contrast weight 0.1. It drops 5 % of the likes of Amazon-book,
    10 % of Yelp2018 and 40 % of MIND.
    """

    tuning: ClassVar[Space] = {
        **TrainedConfig.tuning,
        "l2": Range(1e-4, 1e-1, log=True),
        "n_layers": (1, 2, 3),
        "contrast_weight": Range(1e-2, 1.0, log=True),
        "drop_likes": Range(0.05, 0.5),
    }

    negatives_per_like: ClassVar[int] = 1  # not settings: BPR compares a like with one item at a time
    negative_popularity: ClassVar[float] = 0.0
    batch_size: int = Field(4096, ge=1, description="number of pairs per step: likes and negatives")
    kge_batch_size: int = Field(4096, ge=1, description="number of triples per step of TransE")
    n_layers: int = Field(
        2, ge=1, description="number of propagation steps; the result is the mean over all steps and the input"
    )
    contrast_weight: float = Field(0.1, ge=0, description="weight of the contrast between the two views; 0: none")
    temperature: float = Field(0.2, gt=0, description="divisor of the cosines in the contrast")
    drop_triples: float = Field(0.5, ge=0, lt=1, description="chance that a view lacks a fact of an item")
    drop_likes: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="mean chance that a view lacks a like, before the cap of .95 on the chance to keep one; 0: none",
    )
    l2: float = Field(2e-2, ge=0, description="weight of the squared norms of the batch's vectors before propagation")
    learning_rate: float = Field(5e-3, gt=0, description="learning rate of Adam")
    patience: int = Field(10, ge=1, description="stop after this many epochs without a better validation metric")

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        return super().suited_to(size) | cls.batches_suited_to(size)


class KGCL(PropagatedRecommender, TrainedRecommender):
    """KGCL (Y. Yang et al., SIGIR 2022, "Knowledge Graph Contrastive Learning for Recommendation").

    An item's vector is its own plus an attention-weighted sum over the entities of its facts. LightGCN propagates users
    and these items over the likes, and BPR learns the product of both, so the score is not a probability. In each
    epoch, two views of the graph lack random facts. A like is left out of a view more often if its item's vector
    differs between the two views of the facts. The contrast (InfoNCE) makes each user and item alike in both views, and
    unlike all others. TransE learns the triples.

    As in the authors' code, an epoch has all steps of TransE, then draws the views, then has all steps of BPR and
    contrast; and the chance to keep a like grows with the consistency of its item. Unlike there: each like is dropped
    by itself, as in the paper (the code drops items with all their likes); items and entities share one table; an item
    that is the tail of a triple also has it as a fact, with the relation −r; all facts are used (the code takes at most
    10 per item); there is no dropout besides the views; and with more than 4,096 users or items, the contrast only
    compares those of the batch, at most 4,096 with each other. The side term, where it is on, is not in the paper. The
    test set decides when the authors' training stops; here the validation set does.
    """

    name = "KGCL"
    inputs = RECOMMENDERS["KGCL"].inputs
    config_class = KGCLConfig
    config: KGCLConfig
    network: KGCLNetwork
    scores_are_probabilities = False

    def _task(self, data: TrainingData) -> KGCLTask:
        device = choose_device(self.config.device)
        generator = torch.Generator().manual_seed(data.seed)
        self.network = KGCLNetwork(self.config, CollaborativeTriples.build(data), generator, device).to(device)
        return KGCLTask(self, self._click_through(data))

    @torch.no_grad()
    def trained_factors(self) -> Factors:
        return Factors.without_bias(*(part.cpu().numpy() for part in self.network(self.network.whole)))


class KGCLTask(AlternatingTask):
    """Trains KGCL: in each epoch all steps of TransE, then all steps of BPR with the contrast."""

    def __init__(self, model: KGCL, data: ClickThroughData) -> None:
        self.model, self.module, self.data, self.config = model, model.network, data, model.config
        self._corrupter = TailCorrupter(self.module.triples)
        rate = self.config.learning_rate
        self.optimizers = (
            Adam(self.module.parameters(), lr=rate),
            RowAdam([self.module.entities, self.module.relations], lr=rate),
        )

    @property
    def step_floats(self) -> int:
        """Number of floats in the largest tensor of a step."""
        network, n_places = self.module, max(1, self.config.batch_size // 2)
        sizes = [network.users.numel(), network.entities.numel()]
        if self.config.contrast_weight:
            sizes += [contrast_floats(n, n_places) for n in (network.n_users, network.n_items)]
        return max(sizes)

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[Comparisons | Triples]:
        """Yield the epoch's triples, then draw the views, then yield the comparisons."""
        del epoch
        triples = triple_batches(self.module.triples, self._corrupter, self.config.kge_batch_size, rng)
        yield from filter(len, triples)
        self.views = self.module.views(self.config.drop_triples, self.config.drop_likes, rng)
        yield from self.data.comparisons(rng, self.config.batch_size)

    def bpr_loss(self, batch: Comparisons) -> torch.Tensor:
        """Return mean −log σ(s_ui − s_uj) + contrast_weight · contrast + l2 · mean squared norm, a scalar.

        The contrast is the sum of those of the batch's users and of its liked items. The norms are those of a
        comparison's unpropagated vectors.
        """
        network, config = self.module, self.config
        u, v = network(network.whole)
        users, items = (tensor_of(part).to(u.device) for part in batch.pairs())
        loss = self.data.comparison_loss(pair_dots(u, users, v, items), batch)
        if config.contrast_weight:
            views = (network(view) for view in self.views)
            for first, second, nodes in zip(*views, (batch.users, batch.liked), strict=True):
                loss = loss + config.contrast_weight * contrast(first, second, nodes, config.temperature)
        norms = [table.square().sum(1) for table in (network.users, network.entities[: network.n_items])]
        return loss + config.l2 * (norms[0][users].mean() + norms[1][items].mean())

    def kge_loss(self, batch: Triples) -> torch.Tensor:
        """Return mean −log σ(f(h, r, t') − f(h, r, t)) + l2 · mean squared norm of the vectors, a scalar."""
        margins, norms = self.module.margins(batch)
        return functional.softplus(-margins).mean() + self.config.l2 * norms

    def validate(self) -> float | None:
        """Return the AUC of the validation pairs."""
        return self.model.validation_auc(self.data)
