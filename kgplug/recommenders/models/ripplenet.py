"""RippleNet: likes propagate over the knowledge graph, and items are scored by attention to the triples reached."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

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
from kgplug.recommenders.click_through.tasks import LayeredTask, PairNetwork, pair_logits
from kgplug.recommenders.models._ripple_memories import both_ways, grouped, sample_memories
from kgplug.recommenders.parts.operations.layers import distinct, lookup, normal_table, row_penalty, squared_norm
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import DataSize, Range, Space, TrainedConfig
from kgplug.training.device import choose_device

GROUP = 8  # maximum number of pairs of one user that share one copy of the user's memories in a training step
BLOCK_FLOATS = 4_000_000  # floats in the largest tensor when ranking
HIDDEN = -1e9  # attention logit of an ignored memory, so that its weight is zero


class RippleNetConfig(LayeredConfig):
    """Settings of RippleNet.

    The paper's settings (with `bias=False`, `hide_target=False`, `batch_size=1024` and `memory_size=32`):

    | set           | embedding_dim | n_layers | kge_weight | paper's λ of L2 | learning_rate |
    |---------------|---------------|----------|------------|-----------------|---------------|
    | MovieLens-1M  | 16            | 2        | 0.01       | 1e-7            | 2e-2          |
    | Book-Crossing | 4             | 2        | 0.01       | 1e-5            | 1e-3          |

    Do not use the paper's λ as the setting `l2`: the paper sums the L2 penalty over the batch, and this model takes its
    mean over the pairs, so `l2` must be far larger.
    """

    tuning: ClassVar[Space] = {
        **TrainedConfig.tuning,
        "l2": Range(1e-4, 1e-1, log=True),
        "kge_weight": Range(1e-3, 1.0, log=True),
        "n_layers": (1, 2, 3),
    }

    old_names: ClassVar[Mapping[str, str]] = {"n_hops": "n_layers"}

    learning_rate: float = Field(1e-2, gt=0, description="learning rate of Adam; 2e-3 on sparse data with few likes")
    l2: float = Field(
        1e-2, ge=0, description="weight of the squared norms of the batch's vectors; far higher than in the paper"
    )
    n_layers: int = Field(2, ge=1, description="number of propagation steps (H)")
    memory_size: int = Field(32, ge=1, description="number of sampled triples (memories) per user and step")
    kge_weight: float = Field(1e-2, ge=0, description="weight of the KG loss, computed on the sampled triples")
    update: Literal["replace", "plus", "replace_transform", "plus_transform"] = Field(
        "plus_transform",
        description='how a step with result o changes the item\'s vector v: "replace": v becomes o; "plus": v + o; '
        '"…_transform": then multiplied by a learnt matrix',
    )
    all_hops: bool = Field(True, description="whether the user's vector sums all steps; False: only the last step")
    inverse: bool = Field(False, description="whether likes also propagate from tail to head (not in the paper)")
    hide_target: bool = Field(
        True, description="whether scores ignore sampled triples with the item as head or tail (not in the paper)"
    )
    bias: bool = Field(True, description="whether to add user, item and global biases (not in the paper)")

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        settings = super().suited_to(size) | cls.batches_suited_to(size)
        settings |= {"l2": 2e-2, "weight_l2": 1e-2} if size.is_sparse else {}
        return settings | ({"learning_rate": 2e-3} if size.is_sparse and size.has_few_likes else {})


@dataclass(frozen=True, eq=False)
class Ripples:
    """The memories (sampled triples) of some users: M memories in each of H steps.

    A memory is a triple. h and t are the vectors of its head and tail, and R is the matrix of its relation.

    Attributes:
        rotated: Product R h for each distinct pair of a relation and a head, (n_pairs, d).
        tails: Vector of each distinct entity, (n_rows, d).
        pair_of: Row in `rotated` of each memory's relation and head, int64 (n_users, H, M).
        tail_of: Row in `tails` of each memory's tail, int64 (n_users, H, M).
        head_ids: Entity index of each memory's head, int64 (n_users, H, M).
        tail_ids: Entity index of each memory's tail, int64 (n_users, H, M).
        known: False for a user without memories, bool (n_users, 1).
        truth: Sum of the users' KG scores, weighted by the argument of `RippleNetwork.ripples`, a scalar. A user's KG
            score is the mean of σ(hᵀ R t) over the memories of a step, summed over the steps.
        penalty: The same sum, with ‖h‖² + ‖t‖² + ‖R‖² instead of σ(hᵀ R t), a scalar.
    """

    rotated: torch.Tensor
    tails: torch.Tensor
    pair_of: torch.Tensor
    tail_of: torch.Tensor
    head_ids: torch.Tensor
    tail_ids: torch.Tensor
    known: torch.Tensor
    truth: torch.Tensor
    penalty: torch.Tensor


class RippleNetwork(PairNetwork):
    """RippleNet's entity vectors (n_entities, d), relation matrices (n_relations, d · d), biases, and matrix W (d, d).

    W transforms an item's vector after each step, if the setting `update` ends with "transform".

    Args:
        config: Settings.
        n_users: Number of users.
        item_entities: Row of each item in the entity table, int64 (n_items,).
        n_entities, n_relations: Numbers of rows of the entity and relation tables.
        triples: Head, relation and tail, int64 (n, 3), sorted by head.
        memories: Row in `triples` of each user's M memories (sampled triples) in each of H steps, int32
            (n_users, H, M); -1 for none.
        generator: Random generator of the weights.
    """

    def __init__(
        self,
        config: RippleNetConfig,
        *,
        n_users: int,
        item_entities: np.ndarray,
        n_entities: int,
        n_relations: int,
        triples: np.ndarray,
        memories: np.ndarray,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        dim = config.embedding_dim
        self.config, self.item_entities, self.triples, self.memories = config, item_entities, triples, memories
        self.entities = normal_table(n_entities, dim, config.init_scale, generator)
        self.relations = normal_table(n_relations, dim * dim, dim**-0.5, generator)  # Xavier
        self.transform = nn.Parameter(torch.eye(dim))
        self.user_bias = nn.Parameter(torch.zeros(n_users, 1))
        self.item_bias = nn.Parameter(torch.zeros(len(item_entities), 1))

    def tables(self) -> list[nn.Parameter]:
        return [self.entities, self.relations] + ([self.user_bias, self.item_bias] if self.config.bias else [])

    def layers(self) -> list[nn.Parameter]:
        return [self.transform] if self.config.update.endswith("transform") else []

    def forward(self, users: np.ndarray, items: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        logits, penalty, _ = self.parts(users, items)
        return logits, penalty

    def parts(self, users: np.ndarray, items: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the logits of pairs, (B,), and the means over pairs of their penalty and of their KG score, scalars.

        A pair's penalty is ‖v‖² + squared biases + Σ_step mean (‖h‖² + ‖t‖² + ‖R‖²), and its KG score is
        Σ_step mean σ(hᵀ R t). Here v is the item's vector. The means are over the user's memories (sampled triples) in
        a step, with vectors h and t of head and tail, and the matrix R of the relation.

        Args:
            users, items: Indices, int64 (B,).
        """
        n, device = len(users), self.device
        user_rows, counts = np.unique(users, return_counts=True)
        ripples = self.ripples(user_rows, counts / max(n, 1))
        item_rows, (item_of,) = distinct(items, device=device)
        entity_rows = self.item_entities[item_rows.cpu().numpy()]
        e = lookup(self.entities, torch.from_numpy(entity_rows).to(device))  # (distinct, d)
        group_user, group, place = (torch.from_numpy(x).to(device) for x in grouped(users, user_rows, counts, GROUP))
        chosen = torch.zeros(len(group_user), GROUP, dtype=torch.int64, device=device)
        chosen[group, place] = item_of
        targets = torch.from_numpy(entity_rows).to(device)[chosen]  # (groups, GROUP)
        logits = self.meet(ripples, group_user, functional.embedding(chosen, e), targets)[group, place]
        penalty = ripples.penalty + row_penalty(e, item_of, n)
        if self.config.bias:
            rows, (user_of,) = distinct(users, device=device)
            biases = [(lookup(self.user_bias, rows), user_of), (lookup(self.item_bias, item_rows), item_of)]
            for bias, places in biases:
                logits = logits + functional.embedding(places, bias).squeeze(1)
                penalty = penalty + row_penalty(bias, places, n)
            logits = logits + self.global_bias
        return logits, penalty, ripples.truth

    def ripples(self, users: np.ndarray, weights: np.ndarray) -> Ripples:
        """Return the memories of users, with the products R h that scoring needs and the sums that the loss needs.

        h is the vector of a memory's head, and R the matrix of its relation.

        Args:
            users: Indices, int64 (n_users,), distinct.
            weights: Weight of each user in `truth` and `penalty` of the result, float (n_users,).
        """
        device, memories = self.device, self.memories[users].astype(np.int64)  # (n, H, M)
        known = memories[:, 0, 0] >= 0
        slot_weights = np.repeat(weights * known / memories.shape[2], memories[0].size)
        rows, (places,) = distinct(np.maximum(memories, 0))
        head, relation, tail = self.triples[rows.numpy()].T  # (T,) each, of the distinct triples
        entity_rows, (head_of, tail_of) = distinct(head, tail, device=device)
        relation_rows, (relation_of,) = distinct(relation, device=device)
        e, r = lookup(self.entities, entity_rows), lookup(self.relations, relation_rows)
        both, pair_of = self._rotated(e, r, head_of.cpu().numpy(), relation_of.cpu().numpy())
        rotated, turned = both.chunk(2, dim=1)  # R h and hᵀ R, (pairs, d)
        weight = np.bincount(places.numpy().reshape(-1), weights=slot_weights, minlength=len(rows))
        weight = torch.from_numpy(weight.astype(np.float32)).to(device)
        true = (functional.embedding(pair_of, turned) * functional.embedding(tail_of, e)).sum(1)  # hᵀ R t
        norms, matrix_norms = e.square().sum(1), r.square().sum(1)
        places = places.to(device)
        return Ripples(
            rotated=rotated,
            tails=e,
            pair_of=pair_of[places],
            tail_of=tail_of[places],
            head_ids=entity_rows[head_of][places],
            tail_ids=entity_rows[tail_of][places],
            known=torch.from_numpy(known[:, None]).to(device),
            truth=weight @ torch.sigmoid(true),
            penalty=weight @ (norms[head_of] + norms[tail_of] + matrix_norms[relation_of]),
        )

    def _rotated(
        self, e: torch.Tensor, r: torch.Tensor, head_of: np.ndarray, relation_of: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the products R h and hᵀ R for each distinct pair of a relation matrix R and a head vector h.

        All heads of one relation are multiplied by its matrix in one product.

        Args:
            e: Vectors of the distinct entities, (n, d).
            r: Matrices of the distinct relations, (n_r, d · d).
            head_of, relation_of: Row in `e` of each triple's head, and row in `r` of its relation, int64 (T,).

        Returns:
            R h and hᵀ R of each of the P distinct pairs, concatenated, (P, 2d); and for each triple the row of its
            pair, int64 (T,).
        """
        codes, pair_of = np.unique(relation_of * np.int64(len(e)) + head_of, return_inverse=True)
        heads = functional.embedding(torch.from_numpy(codes % len(e)).to(e.device), e)  # (P, d)
        sizes = np.bincount(codes // len(e), minlength=len(r)).tolist()
        matrices = r.view(len(r), e.shape[1], e.shape[1])
        matrices = torch.cat([matrices.transpose(1, 2), matrices], dim=2)  # (relations, d, 2d)
        both = torch.cat([part @ matrix for part, matrix in zip(heads.split(sizes), matrices, strict=True)])
        return both, torch.from_numpy(pair_of.reshape(-1)).to(e.device)

    def meet(self, ripples: Ripples, users: torch.Tensor, v: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the logits of n items for each of g users, without biases.

        Args:
            ripples: Memories of users.
            users: Row of each user in the arrays of `ripples`, int64 (g,).
            v: Item vectors, (g, n, d).
            targets: Entities of the items, int64 (g, n).

        Returns:
            Logits, (g, n).
        """
        known, answers = ripples.known[users, :, None].to(v.dtype), []
        for hop in range(self.config.n_layers):
            rotated = functional.embedding(ripples.pair_of[users, hop], ripples.rotated)  # (g, M, d)
            tails = functional.embedding(ripples.tail_of[users, hop], ripples.tails)
            logits = v @ rotated.transpose(1, 2)  # (g, n, M)
            if self.config.hide_target:
                ends = torch.stack([ripples.head_ids[users, hop], ripples.tail_ids[users, hop]])[:, :, None]
                hidden = (ends == targets[:, :, None]).any(0)  # (g, n, M)
                attention = logits.masked_fill(hidden, HIDDEN).softmax(2).masked_fill(hidden, 0.0)
            else:
                attention = logits.softmax(2)
            o = (attention @ tails) * known  # (g, n, d)
            answers.append(o)
            v = o if self.config.update.startswith("replace") else v + o
            if self.config.update.endswith("transform"):
                v = v @ self.transform
        user = torch.stack(answers).sum(0) if self.config.all_hops else answers[-1]
        return (v * user).sum(2)


class RippleTask(LayeredTask):
    """Trains RippleNet: click-through loss minus `kge_weight` times the scores of the memories' triples (eq. 13)."""

    module: RippleNetwork
    config: RippleNetConfig

    def loss(self, batch: Pairs) -> torch.Tensor:
        """Return BCE − kge_weight · Σ_step mean σ(hᵀ R t) + l2 · mean ‖vectors‖² + weight_l2 · ‖W‖², a scalar.

        The first mean is over the memories of a step, with vectors h and t of head and tail, and the relation's matrix
        R. W is the matrix that transforms an item's vector after each step.
        """
        logits, penalty, truth = self.module.parts(batch.users, batch.items)
        loss = self.data.log_loss(logits, batch) + self.config.l2 * penalty - self.config.kge_weight * truth
        return loss + self.config.weight_l2 * squared_norm(self._layers) if self._layers else loss


class RippleNet(TrainedRecommender):
    """RippleNet (Wang et al., CIKM 2018, "RippleNet: Propagating User Preferences on
    the Knowledge Graph for Recommender Systems").

    A user has M memories (sampled triples) per step: first triples whose heads are the liked items, then triples whose
    heads are the tails of the step before. In each step the item's vector v attends to the memories with the weights
    p = softmax(vᵀ R h), which gives o = Σ p t. Then o changes v, as the setting `update` says. The score is v · Σ o,
    with v after the last step. Users without memories are scored by biases alone.
    `RippleNetConfig` lists the differences from the paper.
    """

    name = "RippleNet"
    inputs = RECOMMENDERS["RippleNet"].inputs
    config_class = RippleNetConfig
    config: RippleNetConfig
    network: RippleNetwork

    def _task(self, data: TrainingData) -> RippleTask:
        config, triples = self.config, data.graph.triples
        n_entities, item_entities = own_rows(data.linked, data.graph.n_entities)
        if config.inverse:
            triples = both_ways(triples, data.graph.n_relations)
        triples = triples[np.argsort(triples[:, 0], kind="stable")]
        likes = data.interactions.likes()
        memories = sample_memories(
            likes.users,
            item_entities[likes.items],
            triples,
            n_users=likes.n_users,
            n_layers=config.n_layers,
            size=config.memory_size,
            rng=np.random.default_rng(data.seed),
        )
        self.network = self._network(item_entities, n_entities, triples, memories, data.seed)
        pairs = self._click_through(data)
        width = max(config.embedding_dim * config.memory_size // GROUP, 1)
        return RippleTask(self.network, config, pairs, width=width)

    def _network(
        self, item_entities: np.ndarray, n_entities: int, triples: np.ndarray, memories: np.ndarray, seed: int
    ) -> RippleNetwork:
        if len(triples) == 0:  # there are no memories, so this dummy triple is never used
            triples = np.zeros((1, 3), dtype=np.int64)
        return RippleNetwork(
            self.config,
            n_users=len(memories),
            item_entities=item_entities,
            n_entities=n_entities,
            n_relations=int(triples[:, 1].max()) + 1,
            triples=triples,
            memories=memories,
            generator=torch.Generator().manual_seed(seed),
        ).to(choose_device(self.config.device))

    def logits(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        return pair_logits(self.network, users, items)

    def logits_of_all(self, users: np.ndarray) -> np.ndarray:
        return self._met(self.network, users, self.network.user_bias[users, 0].detach().cpu().numpy())

    def logits_of_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        users, items = likes.nonzero()
        new_users = np.arange(likes.get_shape()[0])
        network, config = copy.copy(self.network), self.config
        network.memories = sample_memories(
            users,
            network.item_entities[items],
            # Without memories, the only triple is a dummy.
            network.triples if (network.memories >= 0).any() else network.triples[:0],
            n_users=len(new_users),
            n_layers=config.n_layers,
            size=config.memory_size,
            rng=np.random.default_rng(self.seed),
        )
        # bias 0, as for users without likes
        return self._met(network, new_users, np.zeros(len(new_users), dtype=np.float32))

    @torch.no_grad()
    def _met(self, network: RippleNetwork, users: np.ndarray, user_bias: np.ndarray) -> np.ndarray:
        """Return the logits of all items for b users, float32 (b, n_items).

        Args:
            network: The network, with the users' memories.
            users: Indices of users in the memories, int64 (b,).
            user_bias: Bias of each user, float32 (b,).
        """
        n_items = len(self.item_keys)
        scores = np.empty((len(users), n_items), dtype=np.float32)
        entity_rows = torch.from_numpy(network.item_entities).to(network.device)
        width = max(self.config.embedding_dim, self.config.memory_size)
        rows = max(1, BLOCK_FLOATS // (width * max(n_items, self.config.n_layers * self.config.memory_size)))
        step = max(1, BLOCK_FLOATS // (width * rows))
        for start in range(0, len(users), rows):
            part, places = np.unique(users[start : start + rows], return_inverse=True)
            ripples = network.ripples(part, np.ones(len(part)))
            among = torch.from_numpy(places.reshape(-1)).to(network.device)
            for first in range(0, n_items, step):
                targets = entity_rows[first : first + step].expand(len(among), -1)  # (b, n)
                logits = network.meet(ripples, among, network.entities[targets], targets)
                scores[start : start + rows, first : first + step] = logits.cpu().numpy()
        if self.config.bias:
            scores += user_bias[:, None] + network.item_bias[:, 0].cpu().numpy() + float(network.global_bias)
        return scores

    def item_vectors(self) -> np.ndarray:
        return self.network.entities.detach().cpu().numpy()[self.network.item_entities]

    @classmethod
    def user_arrays(cls) -> UserArrays:
        return replace(
            SIDE_ARRAYS,
            rows=("user_bias", "memories"),
            items=replace(
                SIDE_ITEMS,
                rows=("item_bias",),
                entities=("entities",),
                triples=("triples",),
            ),
        )

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {name: tensor.cpu().numpy() for name, tensor in self.network.state_dict().items()}
        return arrays | {name: getattr(self.network, name) for name in ("item_entities", "triples", "memories")}

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        kept = {name: arrays.pop(name) for name in ("item_entities", "triples", "memories")}
        self.network = self._network(n_entities=len(arrays["entities"]), seed=self.seed, **kept)
        self.network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
