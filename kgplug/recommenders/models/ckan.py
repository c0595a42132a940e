"""CKAN: users and items as sampled entities around likes, with attention over the triples that lead from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from kgplug.data.ranking.threads import row_blocks
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.config import LayeredConfig
from kgplug.recommenders.click_through.factors import Factors
from kgplug.recommenders.click_through.histories import HistoryTask
from kgplug.recommenders.click_through.pairs import own_rows
from kgplug.recommenders.click_through.propagation import PropagatedRecommender
from kgplug.recommenders.click_through.recommender import TrainedRecommender
from kgplug.recommenders.click_through.tasks import LayeredTask
from kgplug.recommenders.models._ckan_network import CKANNetwork, RippleSets, sample_liked_together
from kgplug.recommenders.models._ripple_memories import both_ways, sample_members
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import DataSize, Range, Space, TrainedConfig
from kgplug.training.device import choose_device

_BLOCK_TRIPLES = 100_000  # triples of users or items whose attention is in memory at a time when factors are computed


class CKANConfig(LayeredConfig):
    """Settings of CKAN.

    In the authors' code (with `bias=False` and `hide_target=False`): 64 dimensions, 3 layers, aggregator "concat", 8
    triples per user and 64 per item, batches of 1,024 likes, learning rate 2e-3, and a weight decay of 1e-5 on all
    weights.
    """

    tuning: ClassVar[Space] = {
        **TrainedConfig.tuning,
        "l2": Range(1e-4, 1e-1, log=True),
        "n_layers": (1, 2, 3),
        "aggregator": ("concat", "sum", "pool"),
    }

    learning_rate: float = Field(5e-3, gt=0, description="learning rate of Adam")
    l2: float = Field(3e-3, ge=0, description="weight of the squared norms of the batch's vectors")
    n_layers: int = Field(2, ge=1, description="number of propagation steps")
    memory_size: int = Field(32, ge=1, description="number of triples per user and step")
    item_memory_size: int = Field(32, ge=1, description="number of triples per item and step")
    aggregator: Literal["concat", "sum", "pool"] = Field(
        "sum", description='how the vectors of all steps become one: "concat", "sum", or "pool" (maximum)'
    )
    inverse: bool = Field(False, description="whether likes also propagate from tail to head (not in the paper)")
    hide_target: bool = Field(
        True,
        description="whether a user's vector ignores, in training, the like to predict (for a negative: the like for "
        "which it was drawn), and all triples to which no other like leads (not in the paper)",
    )
    bias: bool = Field(True, description="whether to add user, item and global biases (not in the paper)")

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        return super().suited_to(size) | cls.batches_suited_to(size)


class CKAN(PropagatedRecommender, TrainedRecommender):
    """CKAN (Z. Wang et al., SIGIR 2020, "CKAN: Collaborative Knowledge-aware Attentive Network for Recommender
    Systems").

    The initial entities of a user are the liked items; those of an item are items that its users like. From both,
    steps lead over triples: in each step, M triples are sampled, and their tails are summed with the weights
    softmax(π(h, r)), where π is an MLP of head and relation. The vectors of all steps, the mean initial entity and, of
    an item, its own vector are joined. The score is the product of the user's and the item's.

    As in the authors' code, the initial entities are a sample, and the aggregator "concat" leaves out an item's mean
    initial entity. Unlike there, an item that more users like together with the target is drawn more often (the code
    draws without this weight); the mean is over sampled entities, not over heads of sampled triples; the MLP has
    biases, as in the paper; and L2 counts the vectors that a batch looks up. With `hide_target`, the user's vector in
    training is what the sampled likes other than the one to predict lead to; a negative gets the same vector as its
    like. Nothing is hidden from the item's vector, nor in scoring. `hide_target`, `inverse`, `bias` and the side
    term are not in the paper. The default aggregator is "sum", which did better than "concat" on the validation set of
    MovieLens-100K.
    """

    name = "CKAN"
    inputs = RECOMMENDERS["CKAN"].inputs
    config_class = CKANConfig
    config: CKANConfig
    network: CKANNetwork

    def _task(self, data: TrainingData) -> LayeredTask:
        config, triples, likes = self.config, data.graph.triples, data.interactions.likes()
        n_entities, item_entities = own_rows(data.linked, data.graph.n_entities)
        if config.inverse:
            triples = both_ways(triples, data.graph.n_relations)
        triples = triples[np.argsort(triples[:, 0], kind="stable")]
        rng = np.random.default_rng(data.seed)
        size, item_size = config.memory_size, config.item_memory_size
        liked = sample_members(likes.users, likes.items, n_groups=likes.n_users, size=size, rng=rng)
        together = item_entities[sample_liked_together(likes, item_size, rng)]
        of_users, of_items = (
            RippleSets.around(initial, triples, n_layers=config.n_layers, rng=rng)
            for initial in (np.where(liked >= 0, item_entities[liked], -1), together)
        )
        self.network = CKANNetwork(
            config,
            item_entities=item_entities,
            n_entities=n_entities,
            triples=triples,
            of_users=of_users,
            of_items=of_items,
            generator=torch.Generator().manual_seed(data.seed),
        ).to(choose_device(config.device))
        task = HistoryTask if config.hide_target else LayeredTask
        return task(self.network, config, self._click_through(data))

    @torch.no_grad()
    def trained_factors(self) -> Factors:
        network = self.network
        users = self._vectors(network.users, network.of_users)
        items = self._vectors(network.items, network.of_items)
        user_bias, item_bias = (bias[:, 0].cpu().numpy() for bias in (network.user_bias, network.item_bias))
        return Factors(users, items, user_bias + network.global_bias.item(), item_bias)

    def _vectors(self, vectors: Callable[..., tuple[torch.Tensor, torch.Tensor]], sets: RippleSets) -> np.ndarray:
        """Return the vectors of all users or of all items, by blocks: float32 (n, D)."""
        found = list[np.ndarray]()
        for block in row_blocks(len(sets.memories), max(1, _BLOCK_TRIPLES // sets.memories[0].size)):
            rows = np.arange(block.start, block.stop)
            found.append(vectors(rows, torch.zeros(len(rows), device=self.network.device))[0].cpu().numpy())
        return np.concatenate(found)
