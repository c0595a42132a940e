"""CKE: an item's vector is the sum of a vector learnt from likes and a vector learnt from the knowledge graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from kgplug.data.sampling import TailCorrupter
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.config import KnowledgeConfig
from kgplug.recommenders.click_through.factors import FactorRecommender, Factors
from kgplug.recommenders.click_through.pairs import ClickThroughData, Pairs, own_rows
from kgplug.recommenders.click_through.recommender import TrainedRecommender
from kgplug.recommenders.click_through.tasks import ClickThroughTask, PairNetwork
from kgplug.recommenders.parts.operations.compiled_steps import lookup_all, lookup_weights, pair_dots
from kgplug.recommenders.parts.operations.layers import distinct, normal_table
from kgplug.recommenders.parts.translations import Triples, projected_ends, triple_batches
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import DataSize, Range, Space, TrainedConfig
from kgplug.training.device import choose_device
from kgplug.training.tensors import tensor_of


class CKEConfig(KnowledgeConfig):
    """Settings of CKE.

    The paper trains with BPR (`loss="bpr"`) and vectors of length 150 on MovieLens-1M.
    """

    tuning: ClassVar[Space] = {
        **TrainedConfig.tuning,
        "l2": Range(1e-4, 1e-1, log=True),
        "kge_weight": Range(1e-2, 1.0, log=True),
    }

    batch_size: int = Field(4096, ge=1, description="twice the number of likes per step")
    kge_batch_size: int = Field(2048, ge=1, description="number of triples per step")
    kge_weight: float = Field(1.0, ge=0, description="weight of the KG loss; 0: no KG")
    l2: float = Field(3e-2, ge=0, description="weight of the squared norms of the batch's vectors; 0.1 on sparse data")
    patience: int = Field(
        10, ge=1, description="stop after this many epochs without a better validation metric; 20 on sparse data"
    )
    learning_rate: float = Field(1e-2, gt=0, description="learning rate of Adam; 0.02 on sparse data")
    loss: Literal["bpr", "bce"] = Field(
        "bpr", description='loss: "bpr" (the paper), or "bce", the log loss, which gives probabilities'
    )

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        # At 14 likes per user, the side term lowered the AUC by .009. At 2 likes per user and a lower learning rate,
        # the validation AUC falls at first, for more epochs than any reasonable patience.
        sparse = {"l2": 1e-1, "side": True, "learning_rate": 2e-2, "patience": 20}
        settings = cls.patience_suited_to(size) | cls.batches_suited_to(size)
        return settings | (sparse if size.is_sparse else {})


class CKENetwork(PairNetwork):
    """Vectors of users u, items v and entities e: score = u · (v_i + e_i).

    TransR learns the triples with the same entity vectors e.

    Args:
        n_users, n_relations: Numbers of users and relations.
        item_entities: Row of each item in the entity table, int64 (n_items,).
        n_entities: Number of rows of the entity table. Items without an entity have a row, too.
        dim: Length of a vector.
        scale: Standard deviation of the initial vectors. The projection matrices of TransR start as the identity.
        generator: Random generator of the vectors.
    """

    item_entities: torch.Tensor

    def __init__(
        self,
        *,
        n_users: int,
        item_entities: np.ndarray,
        n_entities: int,
        n_relations: int,
        dim: int,
        scale: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.users = normal_table(n_users, dim, scale, generator)
        self.items = normal_table(len(item_entities), dim, scale, generator)
        self.entities = normal_table(n_entities, dim, scale, generator)
        self.relations = normal_table(n_relations, dim, scale, generator)
        self.projections = nn.Parameter(torch.eye(dim).reshape(1, -1).repeat(n_relations, 1))  # (n_relations, d²)
        self.register_buffer("item_entities", torch.from_numpy(item_entities))

    def tables(self) -> list[nn.Parameter]:
        return [self.users, self.items, self.entities, self.relations, self.projections]

    def forward(self, users: np.ndarray, items: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        n = len(users)
        u_rows, (user_of,) = distinct(users, device=self.device)
        i_rows, (item_of,) = distinct(items, device=self.device)
        of_users, of_items = lookup_weights(user_of, len(u_rows), n), lookup_weights(item_of, len(i_rows), n)
        looked_up = [(self.users, u_rows, of_users), (self.items, i_rows, of_items)]
        (u, v, e), penalty = lookup_all([*looked_up, (self.entities, self.item_entities[i_rows], of_items)])
        return pair_dots(u, user_of, v + e, item_of), penalty

    def margins(self, triples: Triples) -> tuple[torch.Tensor, torch.Tensor]:
        """Return d(h, r, t') − d(h, r, t) of n triples, (n,), and the mean squared norm of their vectors, a scalar.

        d(h, r, t) = ‖norm(h M_r) + norm(r) − norm(t M_r)‖² is the distance of a triple in TransR, where M_r is the
        projection of relation r and norm(x) = x / ‖x‖. t' is the corrupt tail. All normalised vectors have length one,
        so the difference is 2 (norm(h M_r) + norm(r)) · (norm(t M_r) − norm(t' M_r)).
        """
        ends = projected_ends(self.entities, self.relations, self.projections, triples, normalize=True)
        return 2 * ((ends.heads + ends.relations) * (ends.tails - ends.corrupt)).sum(1), ends.penalty


class CKETask(ClickThroughTask):
    """Trains CKE: each step of Adam uses one batch of likes and one of triples.

    Args:
        network, config, data: As in `ClickThroughTask`.
        triples: Head, relation and tail, int64 (n, 3).
    """

    module: CKENetwork
    config: CKEConfig

    def __init__(self, network: CKENetwork, config: CKEConfig, data: ClickThroughData, triples: np.ndarray) -> None:
        super().__init__(network, config, data)
        self._triples = triples
        self._corrupter = TailCorrupter(triples)

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[tuple[Pairs, Triples | None]]:
        """Yield the steps of one epoch: a batch of likes with new negatives, and a batch of triples.

        The batch of triples is None if there are no triples, or if `kge_weight` is 0.
        """
        likes, triples = super().batches(epoch, rng), self._endless_triples(np.random.default_rng(rng.integers(2**63)))
        if self.config.kge_weight == 0 or len(self._triples) == 0:
            return ((pairs, None) for pairs in likes)
        return zip(likes, triples, strict=False)

    def _endless_triples(self, rng: np.random.Generator) -> Iterator[Triples]:
        while True:
            yield from triple_batches(self._triples, self._corrupter, self.config.kge_batch_size, rng)

    def loss(self, batch: tuple[Pairs, Triples | None]) -> torch.Tensor:  # type: ignore[override]
        """Return the loss of the likes + kge_weight · mean −log σ(d' − d) + l2 · mean ‖vectors‖², a scalar.

        d is the distance of a triple (`CKENetwork.margins`), and d' that of the triple with a corrupt tail.
        """
        pairs, triples = batch
        loss = self._likes_loss(pairs)
        if triples is None or len(triples) == 0:
            return loss
        margins, rows = self.module.margins(triples)
        return loss + self.config.kge_weight * functional.softplus(-margins).mean() + self.config.l2 * rows

    def _likes_loss(self, pairs: Pairs) -> torch.Tensor:
        if self.config.loss == "bce":
            logits, rows = self.module(pairs.users, pairs.items)
            return self.data.log_loss(logits + self.module.global_bias, pairs) + self.config.l2 * rows
        scores, rows = self.module(pairs.users, pairs.items)
        scores = self.data.with_side(scores, pairs.users, pairs.items, self.data.hidden_likes(pairs))
        liked, disliked = (torch.from_numpy(part).to(scores.device) for part in pairs.matched())
        losses = functional.softplus(scores[disliked] - scores[liked])
        if pairs.weights is not None:
            losses = tensor_of(pairs.weights).to(scores.device)[liked] * losses
        return losses.sum() / max(len(liked), 1) + self.config.l2 * rows


class CKE(FactorRecommender, TrainedRecommender):
    """Collaborative filtering trained jointly with TransR: score = u · (v_i + e_i).

    Source: F. Zhang, N. J. Yuan, D. Lian, X. Xie, W.-Y. Ma, "Collaborative Knowledge Base Embedding for Recommender
    Systems", KDD 2016, only the structural part (eqs. 1, 2 and 10). Likes are learnt by BPR. Triples are learnt by
    −log σ(d(h, r, t') − d(h, r, t)), where d is the distance of TransR, and t' a corrupt tail, which never forms a
    triple of the graph. An item without an entity gets an entity vector of its own, without triples. Scores learnt by
    BPR are not probabilities.
    """

    name = "CKE"
    inputs = RECOMMENDERS["CKE"].inputs
    config_class = CKEConfig
    config: CKEConfig
    network: CKENetwork

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)
        self.scores_are_probabilities = self.config.loss == "bce"  # pyright: ignore[reportAttributeAccessIssue]

    def _task(self, data: TrainingData) -> CKETask:
        n_entities, item_entities = own_rows(data.linked, data.graph.n_entities)
        self.network = CKENetwork(
            n_users=data.interactions.n_users,
            item_entities=item_entities,
            n_entities=n_entities,
            n_relations=data.graph.n_relations,
            dim=self.config.embedding_dim,
            scale=self.config.init_scale,
            generator=torch.Generator().manual_seed(data.seed),
        ).to(choose_device(self.config.device))
        pairs = self._click_through(data)
        return CKETask(self.network, self.config, pairs, data.graph.triples)

    def _settle(self) -> None:
        with torch.no_grad():
            network = self.network
            items = (network.items + network.entities[network.item_entities]).cpu().numpy()
            factors = Factors.without_bias(network.users.cpu().numpy(), items)
            factors.user_bias[:] = float(network.global_bias)
        self.factors = factors.averaged(self.liked)
