"""DKN: a convolution over the words of item titles and the items' entities, and attention over the user's likes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from scipy import sparse

from kgplug.data.erasure.user_arrays import UserArrays
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.errors import DataError
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.histories import PretrainedConfig
from kgplug.recommenders.click_through.logits import SIDE_ARRAYS, SIDE_ITEMS
from kgplug.recommenders.click_through.pairs import ClickThroughData, Pairs
from kgplug.recommenders.click_through.recommender import TrainedRecommender
from kgplug.recommenders.click_through.tasks import LayeredTask
from kgplug.recommenders.models._dkn_network import DKNNetwork, Match
from kgplug.recommenders.models._dkn_titles import read_titles
from kgplug.recommenders.parts.pretrained import ItemEntities, item_entities
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import Range, Space, TrainedConfig
from kgplug.training.device import choose_device

_CELLS = 8_000_000  # floats in memory at a time when scoring (32 MB)
_HISTORY_STREAM = 0x815  # makes the histories for scoring independent of those in training


class DKNConfig(PretrainedConfig):
    """Settings of DKN.

    The paper reads news titles, with embeddings by TransD, 128 filters per width, and small networks that compute
    attention and score (`attention="dnn"`, `head="dnn"`). The authors' code and our defaults use dot products.
    """

    tuning: ClassVar[Space] = {**TrainedConfig.tuning, "weight_l2": Range(1e-7, 1e-3, log=True)}

    old_names: ClassVar[Mapping[str, str]] = {"hidden": "hidden_dim"}

    embedding_dim: int = Field(32, ge=1, description="length of a word vector")
    embedding: str = Field("TransD", description="PyKEEN model to train on the triples, or an embedding's run folder")
    context: bool = Field(
        True, description="whether the convolution also reads the mean vector of the entity's neighbours"
    )
    title_words: int = Field(10, ge=1, description="maximum number of words per title")
    widths: tuple[int, ...] = Field((1, 2), min_length=1, description="widths of the filters, in words")
    filters: int = Field(128, ge=1, description="number of filters per width")
    history: int = Field(30, ge=1, description="maximum number of likes per user that are compared with a candidate")
    attention: Literal["dot", "dnn"] = Field(
        "dot", description='how a like is compared with a candidate: dot product ("dot") or dense network ("dnn")'
    )
    head: Literal["dot", "dnn"] = Field(
        "dot", description='score of a user and a candidate: dot product ("dot") or dense network ("dnn")'
    )
    hidden_dim: int = Field(64, ge=1, description="width of the hidden layers of attention and head")
    learning_rate: float = Field(2e-3, gt=0, description="learning rate of Adam")
    l2: float = Field(1e-3, ge=0, description="weight of the mean squared norm of the batch's item vectors")


class DKNTask(LayeredTask):
    """Trains DKN. Each epoch samples a new history (some of the likes) for each user.

    The like to predict is left out of the history, because it would leak the label.

    Args:
        network, config, data: As in `LayeredTask`.
        likes: Training likes, CSR (n_users, n_items).
    """

    module: DKNNetwork
    config: DKNConfig

    def __init__(
        self, network: DKNNetwork, config: DKNConfig, data: ClickThroughData, likes: sparse.csr_matrix
    ) -> None:
        super().__init__(network, config, data, width=config.history * network.match.dim)
        self._likes = likes

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[Pairs]:
        """Sample a history for each user, then yield the likes of one epoch with new negatives."""
        # One like more than needed, because the like to predict may be among them.
        self._histories = draw_histories(self._likes, self.config.history + 1, rng)
        return super().batches(epoch, rng)

    def logits(self, batch: Pairs) -> tuple[torch.Tensor, torch.Tensor]:
        return self.module(batch.users, batch.items, left_out=batch.own_likes(), histories=self._histories)


class DKN(TrainedRecommender):
    """Convolutions over title words and entities (KCNN), and attention over the user's likes.

    Source: H. Wang, F. Zhang, X. Xie, M. Guo, "DKN: Deep Knowledge-Aware Network for News Recommendation", WWW
    2018, eqs. 7–13. Every word of a title is paired with the entity of the item. An item without a title has one
    empty word. Titles come with the interactions: from the graph (`title` under [item] in kgplug.toml), or from
    `Interactions.with_texts`.
    """

    name = "DKN"
    inputs = RECOMMENDERS["DKN"].inputs
    config_class = DKNConfig
    config: DKNConfig
    network: DKNNetwork

    def _task(self, data: TrainingData) -> DKNTask:
        config, texts = self.config, data.interactions.item_texts
        if texts is None or not any(texts):
            raise DataError(
                f"DKN reads titles, and none of the {data.interactions.n_items:,} items has one. Set title under "
                "[item] in kgplug.toml to the items' title property, or use interactions.with_texts({item key: title})."
            )
        settings = dict(config.embedding_settings) or None
        found = item_entities(config.embedding, data, settings=settings, progress=False)
        likes = data.interactions.likes().matrix()
        self.network = DKNNetwork(
            config,
            titles=read_titles(texts, most=config.title_words, least=max(config.widths)),
            channels=item_channels(found, data.graph, context=config.context),
            histories=draw_histories(likes, config.history, np.random.default_rng([data.seed, _HISTORY_STREAM])),
            generator=torch.Generator().manual_seed(data.seed),
        ).to(choose_device(config.device))
        pairs = self._click_through(data)
        return DKNTask(self.network, config, pairs, likes)

    def _settle(self) -> None:
        """Compute and store the vectors of all items."""
        network = self.network
        rows = max(1, _CELLS // (network.words.shape[1] * network.match.dim))
        with torch.no_grad():
            numbers = torch.arange(len(network.words), device=network.device)
            self._items = torch.cat([network.item_vectors(some) for some in numbers.split(rows)])
            self._bias = float(network.global_bias)
        self._histories, self._match = network.histories, network.match

    def logits(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        logits = np.empty(len(users), dtype=np.float32)
        rows = max(1, _CELLS // (self._histories.shape[1] * self._width))
        for start in range(0, len(users), rows):
            chosen = slice(start, start + rows)
            candidates = self._items[torch.from_numpy(items[chosen]).to(self._items.device)][:, None]
            logits[chosen] = self._matched(self._histories[users[chosen]], candidates)[:, 0]
        return logits

    def logits_of_all(self, users: np.ndarray) -> np.ndarray:
        return self._matched_with_all(self._histories[users])

    def logits_of_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        rng = np.random.default_rng([self.seed, _HISTORY_STREAM])
        return self._matched_with_all(draw_histories(likes, self._histories.shape[1], rng))

    def _matched_with_all(self, histories: np.ndarray) -> np.ndarray:
        """Return the logits of all items for users with the given histories, float32 (b, n_items).

        Args:
            histories: Up to K liked items of each user, int64 (b, K), padded with -1.
        """
        logits = np.empty((len(histories), len(self._items)), dtype=np.float32)
        cells = max(1, _CELLS // (histories.shape[1] * self._width))  # users × items at a time
        items = min(len(self._items), cells)
        rows = max(1, cells // max(items, 1))
        for start in range(0, len(histories), rows):
            for first in range(0, len(self._items), items):
                some, chosen = slice(start, start + rows), slice(first, first + items)
                logits[some, chosen] = self._matched(histories[some], self._items[None, chosen])
        return logits

    @property
    def _width(self) -> int:
        """Number of floats that the comparison of a like with a candidate needs."""
        return self._match.dim if self._match.attention == "dot" else max(self.config.hidden_dim, self._match.dim)

    @torch.no_grad()
    def _matched(self, histories: np.ndarray, candidates: torch.Tensor) -> np.ndarray:
        """Return the logits of m candidates for each of b users, float32 (b, m).

        Args:
            histories: Up to K liked items of each user, int64 (b, K), padded with -1.
            candidates: Item vectors of length D, (b, m, D), or (1, m, D) if they are the same for all users.
        """
        liked = torch.from_numpy(histories).to(self._items.device)
        history = self._items[liked.clamp(min=0)]  # (b, K, D)
        logits = self._match(history, (liked >= 0).to(history.dtype), candidates) + self._bias
        return logits.cpu().numpy()

    def item_vectors(self) -> np.ndarray:
        """Return the item vectors, the outputs of the convolution: float32 (n_items, D)."""
        return self._items.cpu().numpy()

    @classmethod
    def user_arrays(cls) -> UserArrays:
        return replace(
            SIDE_ARRAYS,
            rows=("histories",),
            items=replace(
                SIDE_ITEMS,
                rows=("items",),
                indices=("histories",),
            ),
        )

    def _arrays(self) -> dict[str, np.ndarray]:
        weights = {f"match.{name}": tensor.cpu().numpy() for name, tensor in self._match.state_dict().items()}
        bias = np.array([self._bias], dtype=np.float32)
        return {"items": self.item_vectors(), "histories": self._histories, "bias": bias, **weights}

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        config, device = self.config, choose_device(self.config.device)
        self._items = torch.from_numpy(arrays["items"]).to(device)
        self._histories, self._bias = arrays["histories"], float(arrays["bias"][0])
        self._match = Match(
            dim=self._items.shape[1], attention=config.attention, head=config.head, hidden_dim=config.hidden_dim,
            generator=torch.Generator(),
        ).to(device)  # fmt: skip
        weights = {k.removeprefix("match."): torch.from_numpy(v) for k, v in arrays.items() if k.startswith("match.")}
        self._match.load_state_dict(weights)


def draw_histories(likes: sparse.csr_matrix, most: int, rng: np.random.Generator) -> np.ndarray:
    """Sample up to `most` liked items of each user: CSR (n_users, n_items) → int64 (n_users, most), padded with -1."""
    counts = np.diff(likes.indptr)
    users = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((rng.random(len(users)), users))
    place = np.arange(len(users)) - likes.indptr[users]
    kept = place < most
    histories = np.full((len(counts), most), -1, dtype=np.int64)
    histories[users[kept], place[kept]] = likes.indices[order[kept]]
    return histories


def item_channels(found: ItemEntities, knowledge: KnowledgeGraph, *, context: bool) -> np.ndarray:
    """Return the vectors of the items' entities and, with `context`, the mean vectors of their neighbours.

    Args:
        found: Vectors and entities of the items in an embedding.
        knowledge: Triples, which give the neighbours.
        context: Whether to return the mean vectors of the neighbours, too.

    Returns:
        Vectors of length m, float32 (1 or 2, n_items, m). The vectors are zero for items without an entity, and the
        mean vectors also for items whose entity has no neighbours. All vectors are divided by the same number, so that
        the mean squared norm of the entities' vectors is one.
    """
    size = np.float32(np.sqrt(np.square(found.vectors[found.linked]).sum(axis=1).mean()) or 1.0)
    if not context:
        return found.vectors[None] / size
    entities, _ = knowledge.indices_in(found.model.vocabulary)  # the embedding may lack some of the entities
    vocabulary = found.model.vocabulary.n_entities
    head, tail = entities[knowledge.triples[:, 0]], entities[knowledge.triples[:, 2]]
    known = (head >= 0) & (tail >= 0)
    ends = (np.concatenate([head[known], tail[known]]), np.concatenate([tail[known], head[known]]))
    near = sparse.csr_matrix((np.ones(len(ends[0]), dtype=np.float32), ends), shape=(vocabulary, vocabulary))
    near.data[:] = 1  # a neighbour through two relations counts once
    rows = near[found.entities[found.linked]]
    contexts = np.zeros_like(found.vectors)
    degrees = np.asarray(rows.sum(axis=1)).ravel()
    contexts[found.linked] = (rows @ found.model.entity_vectors()) / np.maximum(degrees, 1)[:, None]
    return np.stack([found.vectors, contexts]).astype(np.float32) / size
