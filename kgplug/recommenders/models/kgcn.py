"""KGCN: combines an item's vector with those of its neighbours in the knowledge graph, weighted for each user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch.nn import functional

from kgplug.data.erasure.user_arrays import UserArrays
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.config import SlowLayersConfig
from kgplug.recommenders.click_through.logits import SIDE_ARRAYS, SIDE_ITEMS
from kgplug.recommenders.click_through.pairs import ClickThroughData, Pairs, own_rows
from kgplug.recommenders.click_through.recommender import TrainedRecommender
from kgplug.recommenders.click_through.tasks import GradientTask
from kgplug.recommenders.models._kgcn_network import FullLayers, KGCNNetwork, receptive_field, represent_all
from kgplug.recommenders.parts.entity_graph import EntityGraph, Neighbours
from kgplug.recommenders.parts.open_graph import open_graph
from kgplug.recommenders.parts.operations.compiled_steps import lookup_all, lookup_weights, pair_dots
from kgplug.recommenders.parts.operations.layers import average_cold, distinct, row_penalty, squared_norm
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.adam import Adam
from kgplug.training.config import DataSize, Range, Space, TrainedConfig
from kgplug.training.device import choose_device
from kgplug.training.row_adam import RowAdam
from kgplug.training.tensors import tensor_of

_NEIGHBOUR_STREAM = 0x6CB0  # makes the neighbours for scoring independent of those in training
LABEL_MARGIN = 1e-6  # minimum distance of propagated labels from 0 and 1, where the logarithm diverges
_SCORED_PAIRS = 8192  # pairs whose receptive fields are in memory at a time
_BLOCK_CELLS = 16_000_000  # user × entity × dimension cells in memory at a time when ranking


class KGCNConfig(SlowLayersConfig):
    """Settings of KGCN.

    Biases, and a separate learning rate for the layers, are our additions. The paper's settings (with `bias=False`,
    `vector_l2=0`, `resample=False`, and `layer_learning_rate` equal to `learning_rate`):

    | set           | neighbours | embedding_dim | n_layers | batch_size | l2   | learning_rate |
    |---------------|------------|---------------|----------|------------|------|---------------|
    | MovieLens-20M | 4          | 32            | 2        | 65536      | 1e-7 | 2e-2          |
    | Book-Crossing | 8          | 64            | 1        | 256        | 2e-5 | 2e-4          |
    | Last.FM       | 8          | 16            | 1        | 128        | 1e-4 | 5e-4          |

    With label smoothness, the paper of KGNN-LS sets `ls_weight` to 1.0 on MovieLens-20M, 0.5 on Book-Crossing and 0.1
    on Last.FM.
    """

    tuning: ClassVar[Space] = {
        **TrainedConfig.tuning,
        "vector_l2": Range(1e-4, 1e-1, log=True),
        "neighbours": (4, 8, 16),
        "n_layers": (1, 2),
        "aggregator": ("sum", "concat", "neighbor"),
    }

    old_names: ClassVar[Mapping[str, str]] = {"hops": "n_layers"}

    batch_size: int = Field(4096, ge=1, description="twice the number of likes per step")
    learning_rate: float = Field(1e-2, gt=0, description="learning rate of Adam")
    l2: float = Field(1e-3, ge=0, description="weight of the squared norms of the batch's vectors")
    vector_l2: float = Field(
        2e-2,
        ge=0,
        description="weight of the squared norms of the two vectors whose product is the score; up to 0.05 if users "
        "have few likes",
    )
    neighbours: int = Field(8, ge=1, description="number of sampled neighbours per entity (K)")
    n_layers: int = Field(1, ge=1, description="number of propagation steps (H): depth of the receptive field")
    aggregator: Literal["sum", "concat", "neighbor"] = Field(
        "sum",
        description='how an entity and its neighbours are combined: "sum" or "concat" of both vectors, or the '
        'neighbours alone ("neighbor")',
    )
    scaling: Literal["code", "paper"] = Field(
        "code",
        description="scale of the attention logit π of user u and relation r, and of the sum v_N over neighbours e: "
        '"code": π = u · r / embedding_dim, v_N = Σ a e / neighbours; "paper": π = u · r, v_N = Σ a e; a = softmax(π)',
    )
    ls_weight: float = Field(0.0, ge=0, description="weight of the label smoothness loss of KGNN-LS; 0: none")
    resample: bool = Field(True, description="whether to sample new neighbours each epoch; False: one sample for all")
    bias: bool = Field(True, description="whether to add user, item and global biases (not in the paper)")
    own_weight: float = Field(
        1.0,
        ge=0,
        description="weight of a second log loss, computed without the side term, so that the vectors also learn what "
        "the side term explains",
    )
    backend: Literal["auto", "dgl", "torch"] = Field(
        "auto",
        description='library for the graph: "dgl", "torch", or "auto" for DGL on the CPU where it is installed; '
        "the results are the same",
    )

    @classmethod
    def of_saved(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Return saved settings in today's form. Runs saved before `own_weight` existed get own_weight=0."""
        return super().of_saved({"own_weight": 0.0} | settings)

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        return super().suited_to(size) | cls.small_batches(batch_size=2 * size.n_likes)  # each like has a negative


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """A batch of pairs, with the neighbours and all negatives of its epoch.

    Attributes:
        pairs: The pairs.
        neighbours: The sampled neighbours.
        negatives: All negatives of the epoch as codes user · n_entities + entity, ascending, int64; empty if
            `ls_weight` is 0.
    """

    pairs: Pairs
    neighbours: Neighbours
    negatives: np.ndarray


class KGCN(TrainedRecommender):
    """KGCN (Wang et al., WWW 2019, "Knowledge Graph Convolutional Networks for Recommender Systems").

    An item's vector for a user combines the vector of the item's entity with a weighted sum over K sampled neighbours.
    The weights are the user's attention to the relations. The score is the dot product of this vector and the user's,
    plus biases. Label smoothness (setting `ls_weight`) is an additional loss, that of KGNN-LS (Wang et al., KDD 2019).
    Training samples new neighbours in each epoch. Scores use one fixed sample, which depends on the seed and is saved
    with the model.
    """

    name = "KGCN"
    inputs = RECOMMENDERS["KGCN"].inputs
    config_class = KGCNConfig
    config: KGCNConfig  # pyright: ignore[reportIncompatibleVariableOverride]

    network: KGCNNetwork
    graph: EntityGraph
    neighbours: Neighbours
    item_entities: np.ndarray

    def _task(self, data: TrainingData) -> KGCNTask:
        n_entities, self.item_entities = own_rows(data.linked, data.graph.n_entities)
        pairs = self._click_through(data)
        likes = pairs.likes.users, self.item_entities[pairs.likes.items]
        sizes = n_entities, data.graph.n_relations
        self._build(self.config.backend, data.graph.triples, likes, *sizes, seed=data.seed)
        rng = np.random.default_rng([data.seed, _NEIGHBOUR_STREAM])
        self.neighbours = self.graph.sample(self.config.neighbours, rng)
        return KGCNTask(self, pairs)

    def _build(
        self,
        backend: str,
        triples: np.ndarray,
        likes: tuple[np.ndarray, np.ndarray],
        n_entities: int,
        n_relations: int,
        *,
        seed: int,
    ) -> None:
        """Build the graph and an untrained network.

        Args:
            backend: Backend of the graph, as in `open_graph`.
            triples: Head, relation and tail, int64 (n, 3).
            likes: User and entity of each like, int64 (m,) each.
            n_entities: Number of rows of the entity table.
            n_relations: Number of relations of the graph.
            seed: Seed of the initial weights.
        """
        device = choose_device(self.config.device)
        sizes = {"n_users": len(self.user_keys), "n_entities": n_entities, "n_relations": n_relations}
        self.graph = open_graph(backend, device, triples, likes, **sizes)
        generator = torch.Generator().manual_seed(seed)
        self.network = KGCNNetwork(self.config, n_items=len(self.item_keys), generator=generator, **sizes).to(device)

    def _settle(self) -> None:
        self.network.eval()
        average_cold(self.network.users, self.liked)
        average_cold(self.network.user_bias, self.liked)
        self._layers = FullLayers.build(self.item_entities, self.neighbours, self.config.n_layers, self.network.device)

    def logits(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        scores = np.empty(len(users), dtype=np.float32)
        with torch.no_grad():
            for start in range(0, len(users), _SCORED_PAIRS):
                chosen = slice(start, start + _SCORED_PAIRS)
                pairs = PairVectors(self, users[chosen], items[chosen], self.neighbours)
                scores[chosen] = pairs.logits.cpu().numpy()
        return scores

    def logits_of_all(self, users: np.ndarray) -> np.ndarray:
        u = tensor_of(users).to(self.network.device)
        return self._score_vectors(self.network.users[u], self.network.user_bias[u])

    def logits_of_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        users = np.column_stack([self.user_vectors(), self.network.user_bias.detach().cpu().numpy()])
        folded = tensor_of(self._folded(likes, self.item_vectors(), users)).to(self.network.device)
        return self._score_vectors(folded[:, :-1].contiguous(), folded[:, -1:])

    def _score_vectors(self, users: torch.Tensor, bias: torch.Tensor) -> np.ndarray:
        """Return the logits of all items, float32 (b, n_items), for users with vectors (b, d) and biases (b, 1)."""
        network, layers = self.network, self._layers
        rows = max(1, _BLOCK_CELLS // (layers.widest * (self.config.embedding_dim + self.config.neighbours)))
        scores = np.empty((len(users), len(self.item_keys)), dtype=np.float32)
        with torch.no_grad():
            for start in range(0, len(users), rows):
                u = users[start : start + rows]
                vectors = represent_all(network, self.graph, layers, u)  # (b, n_items, d)
                logits = torch.bmm(vectors, u.unsqueeze(2)).squeeze(2)
                logits = logits + bias[start : start + rows] + network.item_bias.T + network.global_bias
                scores[start : start + rows] = logits.cpu().numpy()
        return scores

    def item_vectors(self) -> np.ndarray:
        """Return the items' vectors for a user whose vector is the mean of all user vectors: float32 (n_items, d)."""
        with torch.no_grad():
            average = self.network.users.mean(dim=0, keepdim=True)
            return represent_all(self.network, self.graph, self._layers, average)[0].cpu().numpy()

    def user_vectors(self) -> np.ndarray:
        return self.network.users.detach().cpu().numpy()

    @classmethod
    def user_arrays(cls) -> UserArrays:
        return replace(
            SIDE_ARRAYS,
            rows=("network.users", "network.user_bias"),
            items=replace(
                SIDE_ITEMS,
                rows=("network.item_bias",),
                entities=("network.entities",),
                links=("neighbours.entities",),
            ),
        )

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {f"network.{name}": tensor.cpu().numpy() for name, tensor in self.network.state_dict().items()}
        arrays |= {"neighbours.entities": self.neighbours.entities, "neighbours.relations": self.neighbours.relations}
        return arrays | {"item_entities": self.item_entities}

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        self.item_entities = arrays["item_entities"]
        self.neighbours = Neighbours(arrays["neighbours.entities"], arrays["neighbours.relations"])
        weights = {
            name.removeprefix("network."): tensor_of(array)
            for name, array in arrays.items()
            if name.startswith("network.")
        }
        none = np.empty(0, dtype=np.int64)
        n_entities, n_relations = len(weights["entities"]), len(weights["relations"]) - 1
        triples = np.empty((0, 3), dtype=np.int64)
        self._build("torch", triples, (none, none), n_entities, n_relations, seed=self.seed)  # DGL is only for training
        self.network.load_state_dict(weights)
        self._settle()


class PairVectors:
    """One forward pass over B pairs: their vectors, attention and logits, and the penalties on the vectors.

    H is the number of layers, and K the number of neighbours per entity.

    Attributes:
        u: Vectors of the distinct users, (m, d).
        user_of: Row in `u` of each pair's user, int64 (B,).
        e: Vectors of the distinct entities, (n, d).
        places: Rows in `e` of the entities h steps away from each pair's item, one int64 tensor (B, K^h) for each h
            from 0 to H.
        rows_penalty: L2 penalty of the vectors (weight `l2`) and biases (weight `bias_l2`) that the pairs look up, a
            mean over pairs, a scalar.
        weights: Attention to the neighbours of the entities h steps away, one tensor (B, K^h, K) for each h from 0 to
            H − 1. The weights of one entity's K neighbours sum to 1.
        vectors: Vector v_u of each pair's item for the pair's user, (B, d).
        logits: Logit of each pair, (B,).
    """

    def __init__(self, model: KGCN, users: np.ndarray, items: np.ndarray, neighbours: Neighbours) -> None:
        network, l2, bias_l2 = model.network, model.config.l2, model.config.bias_l2
        device = network.device
        self.field = receptive_field(model.item_entities[items], neighbours, network.n_layers)
        self.users, (self.user_of,) = distinct(users, device=device)
        self.items, (self.item_of,) = distinct(items, device=device)
        entities, self.places = distinct(*self.field.levels, device=device)
        n, n_relations = len(users), len(network.relations)
        of_users, of_items = (
            lookup_weights(places, len(rows), n)
            for places, rows in ((self.user_of, self.users), (self.item_of, self.items))
        )
        of_entities = torch.stack([lookup_weights(level, len(entities), level.numel()) for level in self.places])
        of_relations = torch.full((n_relations,), 1 / n_relations, device=device)
        (self.u, self.e, r, by_user, by_item), self.rows_penalty = lookup_all([
            (network.users, self.users, l2 * of_users),
            (network.entities, entities, l2 * of_entities.sum(0)),
            (network.relations, torch.arange(n_relations, device=device), l2 * of_relations),
            (network.user_bias, self.users, bias_l2 * of_users),
            (network.item_bias, self.items, bias_l2 * of_items),
        ])  # fmt: skip
        affinities = functional.embedding(self.user_of, network.affinities(self.u, r))  # (B, n_relations + 1)
        self.weights: list[torch.Tensor] = []
        for relations in self.field.relations:
            along = tensor_of(relations).to(device)  # (B, K^h, K)
            chosen = affinities.gather(1, along.reshape(len(users), -1)).view(along.shape)
            self.weights.append(torch.softmax(chosen, dim=-1))
        scaled = [weights * network.neighbour_scale(weights.shape[-1]) for weights in self.weights]
        self.vectors = network.represent(model.graph, self.e, list(self.places), scaled)
        dots = pair_dots(self.u, self.user_of, self.vectors, torch.arange(n, device=device))
        self.logits = dots + network.global_bias
        for bias, places in ((by_user, self.user_of), (by_item, self.item_of)):
            self.logits = self.logits + functional.embedding(places, bias).squeeze(1)

    def vectors_penalty(self) -> torch.Tensor:
        """Return the mean over pairs of ‖u‖² + ‖v_u‖², a scalar.

        u is the user's vector, and v_u the item's vector for this user. The logit is u · v_u plus biases.
        """
        n = len(self.user_of)
        return row_penalty(self.u, self.user_of, n) + self.vectors.square().sum() / n


class KGCNTask(GradientTask):
    """Trains KGCN by log loss and, with `ls_weight`, label smoothness."""

    def __init__(self, model: KGCN, data: ClickThroughData) -> None:
        self.model, self.module, self.data, self.config = model, model.network, data, model.config
        network = model.network
        tables = [network.users, network.entities, network.relations]
        self._dense = list(network.layers.parameters())
        dense = list(self._dense)
        if self.config.bias:
            tables += [network.user_bias, network.item_bias]
            dense.append(network.global_bias)
        rate, layer_rate = self.config.learning_rate, self.config.layer_learning_rate
        self.optimizers = (RowAdam(tables, lr=rate), Adam(dense, lr=layer_rate))

    @property
    def step_floats(self) -> int:
        """Number of floats in the largest tensor of a training step."""
        config = self.config
        return config.pairs_per_step * config.neighbours**config.n_layers * config.embedding_dim

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[GraphBatch]:
        """Yield the batches of one epoch, with new neighbours if `resample` is set."""
        del epoch
        neighbours = self.model.neighbours
        if self.config.resample:
            neighbours = self.model.graph.sample(self.config.neighbours, rng)
        batches = list(self.data.epoch(rng, self.config.batch_size))
        negatives = np.empty(0, dtype=np.int64)
        if self.config.ls_weight > 0:
            drawn = [
                self._codes(pairs.users, self.model.item_entities[pairs.items])[pairs.labels == 0] for pairs in batches
            ]
            negatives = np.sort(np.concatenate(drawn))
        for pairs in batches:
            yield GraphBatch(pairs, neighbours, negatives)

    def _codes(self, users: np.ndarray, entities: np.ndarray) -> np.ndarray:
        return users * np.int64(len(self.module.entities)) + entities

    def loss(self, batch: GraphBatch) -> torch.Tensor:
        """Return log loss + ls_weight · label smoothness + the penalties of all L2 settings, a scalar."""
        config, pairs = self.config, batch.pairs
        forward = PairVectors(self.model, pairs.users, pairs.items, batch.neighbours)
        labels = tensor_of(pairs.labels).to(self.module.device)
        loss = self.data.log_loss(forward.logits, pairs, own_weight=config.own_weight)
        if config.ls_weight > 0:
            smooth = self._propagated_labels(forward, batch).clamp(LABEL_MARGIN, 1 - LABEL_MARGIN)
            loss = loss + config.ls_weight * functional.binary_cross_entropy(smooth, labels)
        loss = loss + forward.rows_penalty + config.vector_l2 * forward.vectors_penalty()
        return loss + config.weight_l2 * squared_norm(self._dense)

    def _propagated_labels(self, forward: PairVectors, batch: GraphBatch) -> torch.Tensor:
        """Return each pair's label, predicted from the labels of the item's neighbours (KGNN-LS): (B,) in [0, 1]."""
        values, known = zip(*(self._labels(batch, level) for level in forward.field.levels), strict=True)
        values = list(values)
        for layer in range(self.module.n_layers):
            following: list[torch.Tensor] = []
            for hop in range(self.module.n_layers - layer):
                weights = forward.weights[hop]  # (B, K^h, K)
                reached = (weights * values[hop + 1].view(weights.shape)).sum(-1)  # (B, K^h)
                following.append(torch.where(known[hop], values[hop], reached))
            values = following
        return values[0].squeeze(1)

    def _labels(self, batch: GraphBatch, level: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the labels of entities, and a mask of the known labels: float32 and bool (B, K^h).

        An entity has the label 1 if the pair's user likes it, and 0 if it is one of this user's negatives in the epoch.
        The pair's item and all other entities are unknown, with label ½.

        Args:
            batch: The pairs, and all negatives of the epoch.
            level: Entities that h steps reach from each of B items, int64 (B, K^h).
        """
        users = np.repeat(batch.pairs.users, level.shape[1])
        entities = level.reshape(-1)
        liked = self.model.graph.liked(users, entities)
        disliked = np.isin(self._codes(users, entities), batch.negatives)
        own = entities == np.repeat(self.model.item_entities[batch.pairs.items], level.shape[1])
        known = (liked | disliked) & ~own
        labels = np.where(known, liked, 0.5).astype(np.float32)
        device = self.module.device
        return (
            tensor_of(labels).view(level.shape).to(device),
            tensor_of(known).view(level.shape).to(device),
        )

    def validate(self) -> float | None:
        """Return the AUC of the validation pairs; None if they contain no likes or no negatives."""
        pairs = self.data.valid
        return None if pairs is None else self.data.validation_auc(self.model.logits(pairs.users, pairs.items))
