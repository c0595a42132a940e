"""RKGE: a recurrent network reads the paths from a user to an item."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch import nn
from torch.nn import functional

from kgplug.data.erasure.user_arrays import UserArrays
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.config import LayeredConfig
from kgplug.recommenders.click_through.logits import SIDE_ARRAYS, SIDE_ITEMS
from kgplug.recommenders.click_through.pairs import Pairs, own_rows
from kgplug.recommenders.click_through.recommender import TrainedRecommender
from kgplug.recommenders.click_through.tasks import ClickThroughTask, LayeredTask, PairNetwork, pair_logits
from kgplug.recommenders.models._rkge_paths import Paths, PathSampler
from kgplug.recommenders.parts.operations.layers import distinct, lookup, normal_table, row_penalty, xavier_linear
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import Range, Space, TrainedConfig
from kgplug.training.device import choose_device

RANKED_PAIRS = 32_768  # pairs whose paths are in memory at a time when ranking
NODES = 4  # number of nodes of a path: user, liked item, entity, item


class RKGEConfig(LayeredConfig):
    """Settings of RKGE.

    The authors' settings (with `bias=False`): embedding_dim 10, hidden_dim 16, 5 paths per pair.
    """

    tuning: ClassVar[Space] = {
        **TrainedConfig.tuning,
        "l2": Range(1e-4, 1e-1, log=True),
        "embedding_dim": (8, 16, 32),
        "hidden_dim": (16, 32),
    }

    embedding_dim: int = Field(16, ge=1, description="length of a node vector")
    hidden_dim: int = Field(16, ge=1, description="length of the LSTM state")
    l2: float = Field(1e-2, ge=0, description="weight of the squared norms of the batch's vectors")
    paths: int = Field(5, ge=1, description="maximum number of paths per pair")
    bias: bool = Field(True, description="whether to add user, item and global biases (not in the paper)")


class RKGENetwork(PairNetwork):
    """Vectors of users and entities, an LSTM and biases: logit = w · max over paths of LSTM(u, j, a, i), plus biases.

    A path leads from user u via a liked item j and an entity a to item i. For pairs without a path, a learnt vector
    replaces the maximum.

    Args:
        config: Settings.
        n_users, n_items: Numbers of users and items.
        n_entities: Number of rows of the entity table. Items without an entity have a row, too.
        sampler: Finds the paths.
        generator: Random generator of the weights.
    """

    def __init__(
        self,
        config: RKGEConfig,
        *,
        n_users: int,
        n_items: int,
        n_entities: int,
        sampler: PathSampler,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        dim, hidden = config.embedding_dim, config.hidden_dim
        self.config, self.sampler = config, sampler
        self.rng: np.random.Generator | None = None  # samples the paths in training; None: fixed paths
        self.users = normal_table(n_users, dim, config.init_scale, generator)
        self.entities = normal_table(n_entities, dim, config.init_scale, generator)
        self.user_bias, self.item_bias = nn.Parameter(torch.zeros(n_users, 1)), nn.Parameter(torch.zeros(n_items, 1))
        self.lstm = nn.LSTM(dim, hidden, batch_first=True)
        bound = 1 / math.sqrt(hidden)
        with torch.no_grad():
            for parameter in self.lstm.parameters():
                parameter.copy_((torch.rand(parameter.shape, generator=generator) * 2 - 1) * bound)
        self.no_path = nn.Parameter(torch.zeros(hidden))
        self.output = xavier_linear(hidden, 1, generator)

    def tables(self) -> list[nn.Parameter]:
        return [self.users, self.entities] + ([self.user_bias, self.item_bias] if self.config.bias else [])

    def layers(self) -> list[nn.Parameter]:
        return [*self.lstm.parameters(), self.no_path, *self.output.parameters()]

    def forward(self, users: np.ndarray, items: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        n, device = len(users), self.device
        paths = self.sampler.sample(users, items, self.config.paths, self.rng)
        user_rows, (user_of,) = distinct(users, device=device)
        target = self.sampler.item_entities[items[paths.pairs]]  # (n_paths,)
        entity_rows, (nodes,) = distinct(np.concatenate([paths.via, target[:, None]], axis=1), device=device)
        u, e = lookup(self.users, user_rows), lookup(self.entities, entity_rows)  # (distinct, d)
        starts = user_of[torch.from_numpy(paths.pairs).to(device)]
        logits = self.output(self.no_path).expand(n)
        if len(paths.pairs):
            x = torch.cat([functional.embedding(starts, u)[:, None], functional.embedding(nodes, e)], dim=1)
            last = self.lstm(x)[1][0][0]  # (n_paths, 4, d) → (n_paths, hidden)
            led, largest = self._largest(last, paths)
            logits = logits.index_put((led,), self.output(largest).squeeze(1))
        penalty = (row_penalty(u, starts, n) + row_penalty(e, nodes, n)) / self.config.paths
        if self.config.bias:
            item_rows, (item_of,) = distinct(items, device=device)
            for table, rows, places in ((self.user_bias, user_rows, user_of), (self.item_bias, item_rows, item_of)):
                bias = lookup(table, rows)
                logits = logits + functional.embedding(places, bias).squeeze(1)
                penalty = penalty + row_penalty(bias, places, n)
            logits = logits + self.global_bias
        return logits, penalty

    def _largest(self, states: torch.Tensor, paths: Paths) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the indices of the m pairs with paths, int64 (m,), and their maxima over all paths, (m, hidden).

        Args:
            states: Last state of the LSTM for each path, (n_paths, hidden).
            paths: Paths of the pairs.
        """
        begins = paths.slots == 0
        led, place, slots = (
            torch.from_numpy(x).to(self.device) for x in (paths.pairs[begins], np.cumsum(begins) - 1, paths.slots)
        )
        padded = states.new_full((len(led), self.config.paths, states.shape[1]), -math.inf)
        return led, padded.index_put((place, slots), states).amax(1)


class RKGETask(LayeredTask):
    """Trains RKGE on paths that are sampled again in each epoch."""

    module: RKGENetwork

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[Pairs]:
        """Yield the likes of one epoch with new negatives.

        During the epoch, the network samples random paths; afterwards it uses fixed paths again.
        """
        self.module.rng = np.random.default_rng(rng.integers(2**63))
        yield from super().batches(epoch, rng)
        self.module.rng = None


class RKGE(TrainedRecommender):
    """RKGE (Sun et al., RecSys 2018, "Recurrent Knowledge Graph Embedding for Effective Recommendation").

    For each pair of a user and an item, up to 5 simple paths of 3 edges are chosen (setting `paths`). A path leads from
    the user to a liked item, to an entity that both items share, to the pair's item. An LSTM reads each path, and the
    score is computed from the maximum of the LSTM's last states. For pairs without a path, a learnt state replaces the
    maximum. Training samples new paths in each epoch; scoring uses fixed paths, spread evenly over all paths of the
    pair.

    Ranking all items for a user is slow, because the LSTM reads up to 5 · n_items paths. Pairs are scored in blocks, so
    memory use is limited. For large catalogues, rank the candidates of a faster model by `score`.
    """

    name = "RKGE"
    inputs = RECOMMENDERS["RKGE"].inputs
    config_class = RKGEConfig
    config: RKGEConfig
    network: RKGENetwork

    def _task(self, data: TrainingData) -> ClickThroughTask:
        n_entities, item_entities = own_rows(data.linked, data.graph.n_entities)
        self._facts = {
            "item_entities": item_entities,
            "triples": data.graph.triples,
            "likes": np.stack([data.interactions.likes().users, data.interactions.likes().items]),
        }
        self.network = self._network(self._sampler(n_entities), data.interactions.n_users, data.seed)
        pairs = self._click_through(data)
        width = NODES * self.config.paths * max(self.config.embedding_dim, self.config.hidden_dim)
        return RKGETask(self.network, self.config, pairs, width=width)

    def _sampler(self, n_entities: int) -> PathSampler:
        facts = self._facts
        users, items = facts["likes"]
        return PathSampler(users, items, facts["item_entities"], facts["triples"], n_entities=n_entities)

    def _network(self, sampler: PathSampler, n_users: int, seed: int) -> RKGENetwork:
        return RKGENetwork(
            self.config,
            n_users=n_users,
            n_items=len(self.item_keys),
            n_entities=sampler.n_entities,
            sampler=sampler,
            generator=torch.Generator().manual_seed(seed),
        ).to(choose_device(self.config.device))

    def logits(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        return pair_logits(self.network, users, items)

    def logits_of_all(self, users: np.ndarray) -> np.ndarray:
        return self._logits_of_all(self.network, users)

    def logits_of_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        """Return the logits of all items for b new users, float32 (b, n_items).

        The paths lead over the given likes. The users' vectors and biases come from a ridge regression.

        Args:
            likes: Likes of the new users, CSR (b, n_items).
        """
        users = np.column_stack([self.user_vectors(), self.network.user_bias.detach().cpu().numpy()])
        folded = torch.from_numpy(self._folded(likes, self.item_vectors(), users))  # (b, d + 1)
        folded[np.diff(likes.indptr) == 0, -1] = 0  # bias 0, as for training users without likes
        weights = self.network.state_dict() | {"users": folded[:, :-1], "user_bias": folded[:, -1:]}
        network = self._network(self.network.sampler.of_others(*likes.nonzero()), len(folded), self.seed)
        network.load_state_dict(weights)
        return self._logits_of_all(network, np.arange(len(folded)))

    def _logits_of_all(self, network: RKGENetwork, users: np.ndarray) -> np.ndarray:
        n_items = len(self.item_keys)
        scores = np.empty(len(users) * n_items, dtype=np.float32)
        for start in range(0, len(scores), RANKED_PAIRS):
            chosen = np.arange(start, min(start + RANKED_PAIRS, len(scores)))
            scores[chosen] = pair_logits(network, users[chosen // n_items], chosen % n_items)
        return scores.reshape(len(users), n_items)

    def item_vectors(self) -> np.ndarray:
        return self.network.entities.detach().cpu().numpy()[self._facts["item_entities"]]

    def user_vectors(self) -> np.ndarray:
        return self.network.users.detach().cpu().numpy()

    @classmethod
    def user_arrays(cls) -> UserArrays:
        return replace(
            SIDE_ARRAYS,
            rows=("users", "user_bias"),
            pairs=("likes",),
            items=replace(
                SIDE_ITEMS,
                rows=("item_bias",),
                pairs=("likes",),
                entities=("entities",),
                triples=("triples",),
            ),
        )

    def _arrays(self) -> dict[str, np.ndarray]:
        return {name: tensor.cpu().numpy() for name, tensor in self.network.state_dict().items()} | self._facts

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        self._facts = {name: arrays.pop(name) for name in ("item_entities", "triples", "likes")}
        self.network = self._network(self._sampler(len(arrays["entities"])), len(self.user_keys), self.seed)
        self.network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
