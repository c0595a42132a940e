"""MKR: recommendation and knowledge-graph embedding as two tasks that share items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch.nn import functional

from kgplug.data.erasure.user_arrays import UserArrays
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.ranking.threads import row_blocks
from kgplug.data.sampling import TailCorrupter
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.config import SlowLayersConfig
from kgplug.recommenders.click_through.logits import SIDE_ARRAYS, SIDE_ITEMS
from kgplug.recommenders.click_through.pairs import ClickThroughData, Pairs, own_rows
from kgplug.recommenders.click_through.recommender import TrainedRecommender
from kgplug.recommenders.models._mkr_network import MKRNetwork
from kgplug.recommenders.parts.operations.compiled_steps import lookup_all, lookup_weights
from kgplug.recommenders.parts.operations.layers import average_cold, distinct, lookup, row_penalty, squared_norm
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.adam import Adam, Optimizer
from kgplug.training.config import LEARNING_RATES, DataSize, Range, Space, TrainedConfig
from kgplug.training.device import choose_device
from kgplug.training.row_adam import RowAdam
from kgplug.training.tensors import backward, tensor_of


class MKRConfig(SlowLayersConfig):
    """Settings of MKR.

    Our additions are biases, the offset of the cross & compress units, tanh, a separate learning rate for the layers,
    `vector_l2`, `orient_items`, and several negatives per like. The paper's settings (with `head="dot"`, `bias=False`,
    `activation="relu"`, `offset=0`, `vector_l2=0`, `orient_items=False`, `negatives_per_like=1`,
    `negative_popularity=0`, and `layer_learning_rate` equal to `learning_rate`):

    | set           | epochs | embedding_dim | low_layers | high_layers | batch_size | l2   | learning_rate | kge_learning_rate | kge_interval |
    |---------------|--------|---------------|------------|-------------|------------|------|---------------|-------------------|--------------|
    | MovieLens-1M  | 20     | 8             | 1          | 1           | 4096       | 1e-6 | 2e-2          | 1e-2              | 3            |
    | Book-Crossing | 10     | 8             | 1          | 1           | 32         | 1e-6 | 2e-4          | 2e-5              | 2            |
    | Last.FM       | 10     | 4             | 2          | 1           | 256        | 1e-6 | 1e-3          | 2e-4              | 2            |
    """  # noqa: E501

    tuning: ClassVar[Space] = {
        **TrainedConfig.tuning,
        "kge_learning_rate": LEARNING_RATES,
        "kge_interval": Range(1, 5),
        "vector_l2": Range(1e-4, 1e-1, log=True),
        "low_layers": (1, 2),
    }

    removed: ClassVar[frozenset[str]] = SlowLayersConfig.removed | {"init_mean"}

    batch_size: int = Field(4096, ge=1, description="twice the number of likes per recommendation step")
    negatives_per_like: int = Field(4, ge=1, description="number of negatives that are drawn for each like")
    negative_popularity: float = Field(
        0.5,
        ge=0,
        le=2,
        description="negatives are drawn with a chance proportional to (1 + likes of the item)^this; 0: uniformly",
    )
    kge_batch_size: int = Field(4096, ge=1, description="number of triples per KG step")
    learning_rate: float = Field(5e-3, gt=0, description="learning rate of the recommendation task")
    kge_learning_rate: float = Field(3e-3, gt=0, description="learning rate of the KG task")
    l2: float = Field(1e-4, ge=0, description="weight of the squared norms of the batch's vectors (λ2)")
    vector_l2: float = Field(
        1e-2,
        ge=0,
        description="weight of the squared norms of the two vectors whose product is the score (u_L and v_L); up to "
        "0.05 if users have few likes",
    )
    low_layers: int = Field(
        1, ge=1, description="number L of cross & compress units, of user layers and of relation layers"
    )
    high_layers: int = Field(1, ge=1, description="number H of layers of the KG prediction and of the MLP head")
    kge_interval: int = Field(3, ge=1, description="number of recommendation steps per KG step (t); see kge_turns")
    kge_turns: Literal["steps", "epochs"] = Field(
        "steps",
        description='"steps": a KG step after every t recommendation steps (paper); "epochs": a pass over all triples '
        "every t epochs (authors' code)",
    )
    kge_layers: Literal["relation", "tail"] = Field(
        "relation", description="input of the KG task's L layers: relations (paper) or tails (authors' code)"
    )
    kge_weight: float = Field(1.0, ge=0, description="weight of the KG task (λ1); 0: no KG task")
    head: Literal["dot", "mlp"] = Field("dot", description="score function: dot product or MLP")
    bias: bool = Field(True, description="whether to add user, item and global biases (not in the paper)")
    activation: Literal["tanh", "leaky_relu", "relu"] = Field(
        "tanh", description="activation of dense layers; outputs of ReLU are never negative, which slows learning"
    )
    offset: float = Field(
        1.0,
        ge=0,
        description="number added to the inputs of a cross & compress unit and subtracted from its outputs; 0: none, "
        "as in the paper",
    )
    init_scale: float = Field(0.03, gt=0, description="standard deviation of the initial vectors")
    own_weight: float = Field(
        1.0,
        ge=0,
        description="weight of a second log loss, computed without the side term, so that the vectors also learn what "
        "the side term explains",
    )
    orient_items: bool = Field(
        True, description="whether to reverse triples whose tail is an item and whose head is not"
    )

    @classmethod
    def of_saved(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Return saved settings in today's form.

        Early runs, which have the setting `init_mean`, used the paper's cross & compress unit, so they get `offset=0`.
        """
        return super().of_saved({"offset": 0.0, **settings} if "init_mean" in settings else settings)

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        return super().suited_to(size) | cls.batches_suited_to(size)


@dataclass(frozen=True, eq=False)
class TripleBatch:
    """Triples of one KG step, and corrupt tails.

    A corrupt tail is an entity that replaces a triple's tail, so that the new triple is not in the graph.

    Attributes:
        heads, relations, tails: The triples, int64 (n,) each.
        corrupt: A corrupt tail for each triple that can have one, int64 (m,).
        triple_of_corrupt: Position in `heads` of the triple that each corrupt tail belongs to, int64 (m,).
    """

    heads: np.ndarray
    relations: np.ndarray
    tails: np.ndarray
    corrupt: np.ndarray
    triple_of_corrupt: np.ndarray


class MKR(TrainedRecommender):
    """MKR (Wang et al., WWW 2019, "Multi-Task Feature Learning for Knowledge Graph Enhanced Recommendation").

    Recommendation learns from likes, and the KG task learns to predict the tails of triples. An item has a vector in
    each task, as an item and as an entity. Cross & compress units mix the two vectors. An item without an entity gets
    an entity vector of its own, without triples. As in the paper's Algorithm 1, the tasks alternate, each with
    optimisers of its own, and the KG task corrupts tails. `MKRConfig` lists the differences from the paper.
    """

    name = "MKR"
    inputs = RECOMMENDERS["MKR"].inputs
    config_class = MKRConfig
    config: MKRConfig  # pyright: ignore[reportIncompatibleVariableOverride]
    network: MKRNetwork
    network_class: ClassVar[type[MKRNetwork]] = MKRNetwork

    def _task(self, data: TrainingData) -> MKRTask:
        linked = data.linked
        n_entities, item_entities = own_rows(linked, data.graph.n_entities)
        self.network = self.network_class(
            self.config,
            n_users=data.interactions.n_users,
            item_entities=tensor_of(item_entities),
            n_entities=n_entities,
            n_relations=data.graph.n_relations * (2 if self.config.orient_items else 1),
            generator=torch.Generator().manual_seed(data.seed),
        ).to(choose_device(self.config.device))
        triples = oriented(data.graph, linked) if self.config.orient_items else data.graph.triples
        return self._task_on(data, triples)

    def _task_on(self, data: TrainingData, triples: np.ndarray) -> MKRTask:
        pairs = self._click_through(data)
        return MKRTask(self.network, self.config, pairs, triples)

    def _settle(self) -> None:
        """Compute and store u_L of all users and v_L of all items: the user and item vectors that give the score.

        This is possible because a user's u_L is the same for all items.
        """
        self.network.eval()
        with torch.no_grad():
            self._users, self._items = self.network.all_users(), self.network.all_items()
        average_cold(self._users, self.liked)
        average_cold(self.network.user_bias, self.liked)

    @property
    def makes_lists_quickly(self) -> bool:
        return self.config.head == "dot"

    def logits(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        u, i = (tensor_of(x).to(self._users.device) for x in (users, items))
        with torch.no_grad():
            logits = self.network.joined(self._users[u], self._items[i]) + self.network.all_biases(u, i)
            return logits.cpu().numpy()

    def logits_of_all(self, users: np.ndarray) -> np.ndarray:
        u = tensor_of(users).to(self._users.device)
        return self._score_vectors(self._users[u], self.network.user_bias[u])

    def logits_of_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        users = np.column_stack([self.user_vectors(), self.network.user_bias.detach().cpu().numpy()])
        folded = tensor_of(self._folded(likes, self.item_vectors(), users)).to(self._users.device)  # (b, d + 1)
        return self._score_vectors(folded[:, :-1], folded[:, -1:])

    @torch.no_grad()
    def _score_vectors(self, users: torch.Tensor, bias: torch.Tensor) -> np.ndarray:
        """Return the logits of all items, float32 (b, n_items), for users with vectors (b, d) and biases (b, 1)."""
        network = self.network
        logits = network.joined_with_all(users, self._items) + bias + network.item_bias.T + network.global_bias
        return logits.cpu().numpy()

    def item_vectors(self) -> np.ndarray:
        return self._items.cpu().numpy()

    def user_vectors(self) -> np.ndarray:
        return self._users.cpu().numpy()

    @classmethod
    def user_arrays(cls) -> UserArrays:
        return replace(
            SIDE_ARRAYS,
            rows=("users", "user_bias"),
            items=replace(
                SIDE_ITEMS,
                rows=("items", "item_bias"),
                entities=("entities",),
            ),
        )

    def _arrays(self) -> dict[str, np.ndarray]:
        return {name: tensor.cpu().numpy() for name, tensor in self.network.state_dict().items()}

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        tensors = {name: tensor_of(array) for name, array in arrays.items()}
        self.network = self.network_class(
            self.config,
            n_users=len(self.user_keys),
            item_entities=tensors["item_entities"],
            n_entities=len(tensors["entities"]),
            n_relations=len(tensors["relations"]),
            generator=torch.Generator().manual_seed(self.seed),
        )
        self.network.load_state_dict(tensors)
        self.network.to(choose_device(self.config.device))
        self._settle()


class MKRTask:
    """Trains MKR: `kge_interval` recommendation steps, then one KG step (Algorithm 1).

    With `kge_turns="epochs"`, a pass over all triples follows every `kge_interval` epochs, as in the authors' code.
    """

    def __init__(self, network: MKRNetwork, config: MKRConfig, data: ClickThroughData, triples: np.ndarray) -> None:
        self.module, self.config, self.data = network, config, data
        self.triples, self._corrupter = triples, TailCorrupter(triples)
        tables, dense = network.recommendation_parameters()
        kge_tables, kge_dense = network.kge_parameters()
        self._recommendation_optimizers = self.recommendation_optimizers(tables, dense)
        self._kge_optimizers = (
            RowAdam(kge_tables, lr=config.kge_learning_rate),
            Adam(kge_dense, lr=config.kge_learning_rate),
        )
        self.optimizers = (*self._recommendation_optimizers, *self._kge_optimizers)
        self._dense, self._kge_dense = dense, kge_dense

    def recommendation_optimizers(
        self, tables: list[torch.nn.Parameter], dense: list[torch.nn.Parameter]
    ) -> tuple[Optimizer, ...]:
        """Return the optimisers of the recommendation task.

        Args:
            tables: Tables of vectors and biases. A step updates only the rows that the batch uses.
            dense: All other weights: layers and global bias.
        """
        return RowAdam(tables, lr=self.config.learning_rate), Adam(dense, lr=self.config.layer_learning_rate)

    @property
    def step_floats(self) -> int:
        """Number of floats in the largest tensor of a training step."""
        return self.config.pairs_per_step * self.config.embedding_dim

    def pairs(self, rng: np.random.Generator) -> Iterator[Any]:
        """Yield the batches of the recommendation steps of one epoch."""
        return self.data.epoch(rng, self.config.batch_size)

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[Any]:
        """Yield the batches of both tasks for one epoch, with triples in a new order."""
        order, start, interval = rng.permutation(len(self.triples)), 0, self.config.kge_interval
        trains_kg = len(order) > 0 and self.config.kge_weight > 0
        alternates = trains_kg and self.config.kge_turns == "steps"
        for number, pairs in enumerate(self.pairs(rng), start=1):
            yield pairs
            if alternates and number % interval == 0:
                rows = np.take(order, range(start, start + min(self.config.kge_batch_size, len(order))), mode="wrap")
                start = (start + len(rows)) % len(order)
                yield self._with_corrupt_tails(rows, rng)
        if trains_kg and not alternates and epoch % interval == 0:
            for rows in row_blocks(len(order), self.config.kge_batch_size):
                yield self._with_corrupt_tails(order[rows], rng)

    def _with_corrupt_tails(self, rows: np.ndarray, rng: np.random.Generator) -> TripleBatch:
        corrupt = self._corrupter.draw(rows, rng)
        drawn = np.flatnonzero(corrupt >= 0)
        heads, relations, tails = self.triples[rows].T
        return TripleBatch(heads, relations, tails, corrupt[drawn], drawn)

    def step(self, batch: Any) -> torch.Tensor:
        """Do one step of the task that the batch belongs to, and return its loss."""
        if isinstance(batch, TripleBatch):
            loss, optimizers = self.kge_loss(batch), self._kge_optimizers
        else:
            loss, optimizers = self.recommendation_loss(batch), self._recommendation_optimizers
        self.module.zero_grad()
        backward(loss)
        for optimizer in optimizers:
            optimizer.step()
        return loss.detach()

    def recommendation_loss(self, batch: Pairs) -> torch.Tensor:
        """Return the log loss plus penalties, a scalar.

        The penalties are l2 · mean ‖inputs‖² + bias_l2 · mean biases² + vector_l2 · mean ‖outputs‖² + weight_l2 · ‖W‖².
        Inputs and outputs are those of the towers: the layers that turn table rows into the user and item vectors u_L
        and v_L. W are the dense weights of the task. The towers run once per distinct user and item.
        """
        network, config, n = self.module, self.config, len(batch)
        users, (user_of,) = distinct(batch.users, device=network.device)
        items, (item_of,) = distinct(batch.items, device=network.device)
        of_users, of_items = lookup_weights(user_of, len(users), n), lookup_weights(item_of, len(items), n)
        looked_up = [(network.users, users, config.l2 * of_users), (network.items, items, config.l2 * of_items)]
        looked_up += [(network.entities, network.item_entities[items], config.l2 * of_items)]
        if config.bias:
            looked_up += [(network.user_bias, users, config.bias_l2 * of_users)]
            looked_up += [(network.item_bias, items, config.bias_l2 * of_items)]
        (u, v, e, *biases), rows_penalty = lookup_all(looked_up)  # (distinct, d), biases (distinct, 1)
        user_vectors, place_of, user_penalty = self.user_vectors(batch, u, user_of)  # u_L
        item_vectors = network.item_tower(v, e)[0]  # v_L (distinct, d)
        logits = network.joined_pairs(user_vectors, place_of, item_vectors, item_of)
        for bias, places in zip(biases, (user_of, item_of), strict=False):
            logits = logits + functional.embedding(places, bias).squeeze(1)
        if config.bias:
            logits = logits + network.global_bias
        loss = self.data.log_loss(logits, batch, own_weight=config.own_weight)
        outputs = user_penalty + row_penalty(item_vectors, item_of, n)
        return loss + rows_penalty + config.vector_l2 * outputs + config.weight_l2 * squared_norm(self._dense)

    def user_vectors(
        self, batch: Pairs, u: torch.Tensor, user_of: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the batch's final user vectors u_L, the outputs of the user layers.

        Args:
            batch: The pairs.
            u: Rows of the user table for the batch's m distinct users, by ascending user, (m, d).
            user_of: Row in `u` of each pair's user, int64 (n,).

        Returns:
            u_L; for each pair the row of its user in u_L, int64 (n,); and the mean over pairs of ‖u_L‖², a scalar.
        """
        vectors = self.module.user_layers(u)  # once per distinct user
        return vectors, user_of, row_penalty(vectors, user_of, len(batch))

    def kge_loss(self, batch: TripleBatch) -> torch.Tensor:
        """Return −λ1 (mean true − mean corrupt score) + l2 · mean ‖vectors‖² + weight_l2 · ‖W‖², a scalar.

        λ1 is `kge_weight`. A score is σ(predicted tail · tail), with the true or the corrupt tail. W are the dense
        weights of the task.
        """
        network, n = self.module, len(batch.heads)
        entities, (head_of, tail_of, corrupt_of) = distinct(
            batch.heads, batch.tails, batch.corrupt, device=network.device
        )
        relations, (relation_of,) = distinct(batch.relations, device=network.device)
        e, r = lookup(network.entities, entities), lookup(network.relations, relations)  # (distinct, d)
        looked_up = [(e, torch.cat([head_of, tail_of, corrupt_of])), (r, relation_of)]
        places = network.entity_items[entities]
        crossed = torch.nonzero(places >= 0).squeeze(1)  # distinct entities that are items
        heads = e
        if len(crossed):
            v = lookup(network.items, places[crossed])
            heads = e.index_copy(0, crossed, network.item_tower(v, e[crossed])[1])
            item_of = torch.bincount(head_of, minlength=len(entities))[crossed]
            looked_up.append((v, torch.repeat_interleave(torch.arange(len(crossed), device=v.device), item_of)))
        of_tails = self.config.kge_layers == "tail"
        tails, relations = (network.relation_layers(e), r) if of_tails else (e, network.relation_layers(r))
        predicted = network.predicted_tails(
            functional.embedding(head_of, heads), functional.embedding(relation_of, relations)
        )
        triple_of = tensor_of(batch.triple_of_corrupt).to(network.device)
        true = torch.sigmoid((predicted * functional.embedding(tail_of, tails)).sum(1))
        corrupt = torch.sigmoid((predicted[triple_of] * functional.embedding(corrupt_of, tails)).sum(1))
        gain = true.mean() - (corrupt.mean() if len(corrupt) else 0.0)
        return -self.config.kge_weight * gain + self._penalty(looked_up, n, self._kge_dense)

    def _penalty(
        self, looked_up: list[tuple[torch.Tensor, torch.Tensor]], n: int, dense: list[torch.nn.Parameter]
    ) -> torch.Tensor:
        rows = torch.stack([row_penalty(rows, places, n) for rows, places in looked_up]).sum()
        return self.config.l2 * rows + self.config.weight_l2 * squared_norm(dense)

    def validate(self) -> float | None:
        """Return the AUC of the validation pairs; None if they contain no likes or no negatives."""
        pairs, network = self.data.valid, self.module
        if pairs is None:
            return None
        with torch.no_grad():
            users = tensor_of(pairs.users).to(network.device)
            items = tensor_of(pairs.items).to(network.device)
            logits = network.joined(network.all_users()[users], network.all_items()[items])
            logits = logits + network.all_biases(users, items)
        return self.data.validation_auc(logits.cpu().numpy())


def oriented(knowledge: KnowledgeGraph, linked: np.ndarray) -> np.ndarray:
    """Return the triples, int64 (n, 3). A triple is reversed if its tail is an item and its head is not.

    A reversed triple has the relation n_relations + r instead of r.

    Args:
        knowledge: Triples.
        linked: Entity of each item, int64 (n_items,), -1 where missing.
    """
    is_item = np.zeros(knowledge.n_entities, dtype=bool)
    is_item[linked[linked >= 0]] = True
    columns: list[np.ndarray] = list(knowledge.triples.T)
    head, relation, tail = columns
    turned = is_item[tail] & ~is_item[head]
    return np.stack(
        [
            np.where(turned, tail, head),
            np.where(turned, relation + knowledge.n_relations, relation),
            np.where(turned, head, tail),
        ],
        axis=1,
    )
