"""KGIN: a user's likes come from several intents, each of which is a mixture of the knowledge graph's relations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.collaborative_graph import CollaborativeTriples
from kgplug.recommenders.click_through.config import KnowledgeConfig
from kgplug.recommenders.click_through.factors import Factors
from kgplug.recommenders.click_through.pairs import ClickThroughData, Comparisons
from kgplug.recommenders.click_through.propagation import PropagatedRecommender
from kgplug.recommenders.click_through.recommender import TrainedRecommender
from kgplug.recommenders.click_through.tasks import GradientTask
from kgplug.recommenders.models._kgin_network import KGINNetwork, dependence
from kgplug.recommenders.parts.operations.compiled_steps import pair_dots
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.adam import Adam
from kgplug.training.config import DataSize, Range, Space, TrainedConfig
from kgplug.training.device import choose_device
from kgplug.training.tensors import tensor_of


class KGINConfig(KnowledgeConfig):
    """Settings of KGIN.

    In the paper: 64 dimensions, 3 layers, 4 intents, batches of 1,024 likes, learning rate 1e-4, l2 1e-5, independence
    weight 1e-4.
    """

    tuning: ClassVar[Space] = {
        **TrainedConfig.tuning,
        "l2": Range(1e-4, 1e-1, log=True),
        "n_layers": (1, 2, 3),
        "intents": (1, 2, 4, 8),
        "dropout": Range(0.0, 0.5),
    }

    negatives_per_like: ClassVar[int] = 1  # not settings: BPR compares each like with one negative
    negative_popularity: ClassVar[float] = 0.0
    batch_size: int = Field(4096, ge=1, description="number of pairs per step: likes and negatives")
    n_layers: int = Field(
        2, ge=1, description="number of propagation steps; the result is the sum of all steps and the input"
    )
    intents: int = Field(4, ge=1, description="number of intents, which are mixtures of relations")
    independence: Literal["distance", "cosine", "mi"] = Field(
        "distance",
        description='how the dependence of intents is measured: "distance" correlation, squared "cosine", or mutual '
        'information ("mi")',
    )
    independence_weight: float = Field(1e-4, ge=0, description="weight of the penalty on the dependence of intents")
    temperature: float = Field(0.2, gt=0, description='divisor of the cosines of intents if independence="mi"')
    residual: bool = Field(
        True, description="whether each layer adds the mean of the liked items to a user's vector (authors' code)"
    )
    l2: float = Field(2e-2, ge=0, description="weight of the squared norms of the batch's vectors before propagation")
    learning_rate: float = Field(5e-3, gt=0, description="learning rate of Adam")
    dropout: float = Field(0.1, ge=0, lt=1, description="fraction of each layer's output that is dropped in training")
    patience: int = Field(10, ge=1, description="stop after this many epochs without a better validation metric")

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        return super().suited_to(size) | cls.batches_suited_to(size)


class KGIN(PropagatedRecommender, TrainedRecommender):
    """KGIN (X. Wang et al., WWW 2021, "Learning Intents behind Interactions with Knowledge Graph for Recommendation").

    An intent is a mixture of relation vectors, e_p = Σ_r softmax_r(w_rp) e_r. In each layer a user's vector becomes
    (Σ_p β(u, p) e_p) ∘ m, where m is the mean of the liked items' vectors and β = softmax_p(e_p · u). An entity's
    vector becomes the mean of e_r ∘ v over its neighbours v by relation r. The score is the dot product of the user's
    and the item's sums over the input and all layers. It is learnt by BPR, so it is not a probability. A penalty keeps
    the intents different.

    As in the authors' code, each layer's output is scaled to length one, and a relation and its inverse have different
    vectors. Three things are as in the paper, not as in the code: β compares a user's unpropagated vector with the e_p
    in all layers; the penalty compares the e_p; and each step uses all edges (the code draws half of them).
    As in the code, m is also added to the user's vector; `residual=False` gives the paper's formula, without this. The
    optional side term (setting `side`), a score from counts of likes and shared KG features, is not in the paper. In
    the authors' code the test set decides when training stops; here the validation set does.
    """

    name = "KGIN"
    inputs = RECOMMENDERS["KGIN"].inputs
    config_class = KGINConfig
    config: KGINConfig
    network: KGINNetwork
    scores_are_probabilities = False

    def _task(self, data: TrainingData) -> KGINTask:
        device = choose_device(self.config.device)
        generator = torch.Generator().manual_seed(data.seed)
        self.network = KGINNetwork(self.config, CollaborativeTriples.build(data), generator, device).to(device)
        return KGINTask(self, self._click_through(data))

    @torch.no_grad()
    def trained_factors(self) -> Factors:
        network = self.network
        return Factors.without_bias(*(part.cpu().numpy() for part in network(network.intent_vectors())))


class KGINTask(GradientTask):
    """Trains KGIN. Each step propagates the vectors of all users and entities once."""

    def __init__(self, model: KGIN, data: ClickThroughData) -> None:
        self.model, self.module, self.data, self.config = model, model.network, data, model.config
        self.optimizers = (Adam(self.module.parameters(), lr=self.config.learning_rate),)

    @property
    def step_floats(self) -> int:
        """Number of floats in the largest tensor of a training step."""
        return max(self.module.users.numel(), self.module.entities.numel())

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[Comparisons]:
        """Yield the likes of one epoch with new negatives."""
        del epoch
        return self.data.comparisons(rng, self.config.batch_size)

    def loss(self, batch: Comparisons) -> torch.Tensor:
        """Return mean −log σ(s_ui − s_uj) + independence_weight · dependence + l2 · mean squared norm, a scalar.

        s_ui is the score of user u and a liked item i, and s_uj that of u and a negative j. `dependence` measures how
        much the intents depend on each other. The norms are those of the users' and items' vectors before propagation.
        """
        network, config = self.module, self.config
        intents = network.intent_vectors()
        u, v = network(intents)
        users, items = (tensor_of(part).to(u.device) for part in batch.pairs())
        loss = self.data.comparison_loss(pair_dots(u, users, v, items), batch)
        loss = loss + config.independence_weight * dependence(intents, config.independence, config.temperature)
        norms = [table.square().sum(1) for table in (network.users, network.entities[: network.n_items])]
        return loss + config.l2 * (norms[0][users].mean() + norms[1][items].mean())

    def validate(self) -> float | None:
        """Return the AUC of the validation pairs; None if they contain no likes or no negatives."""
        return self.model.validation_auc(self.data)
