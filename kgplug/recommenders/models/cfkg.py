"""CFKG: users, items and entities in one graph with a relation "likes", embedded by any PyKEEN model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, JsonValue
from scipy import sparse

from kgplug.data.erasure.item_arrays import ItemArrays
from kgplug.data.erasure.user_arrays import EntityArrays, UserArrays
from kgplug.data.kinds import Kind
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.embeddings.catalogue import embedding_name
from kgplug.embeddings.model import EmbeddingModel
from kgplug.embeddings.validation import LabelledTriples
from kgplug.errors import UsageError
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.collaborative_graph import CollaborativeTriples
from kgplug.recommenders.click_through.config import PATIENCE_OF_FEW
from kgplug.recommenders.click_through.pairs import ClickThroughData
from kgplug.recommenders.new_users import FoldIn
from kgplug.recommenders.parts.choosing.grid import CHOOSING, CHOOSING_FROM
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import DataSize, ModelConfig

_NODES = "nodes"


class CFKGConfig(ModelConfig):
    """Settings of CFKG."""

    embedding: str = Field("TransE", description="PyKEEN model to train on likes and triples")
    embedding_settings: dict[str, JsonValue] = Field(
        {},
        description='settings of the PyKEEN model; negative_sampling is "typed" unless it or another training is set',
    )
    epochs: int = Field(100, ge=1, description="maximum number of epochs")
    patience: int = Field(10, ge=1, description="stop after this many epochs without a better validation metric")

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        return {"patience": PATIENCE_OF_FEW} if size.has_very_few_likes else {}


class CFKG(Recommender):
    """CFKG (Q. Ai, V. Azizi, X. Chen, Y. Zhang, "Learning Heterogeneous Knowledge Base Embeddings for Explainable
    Recommendation", Algorithms 11(9), 2018).

    Each like is added to the triples of the graph as a triple (user, likes, item). The score of user u and item i is
    the embedding's score of the triple (u, likes, i). The paper learns (h + r) · t by a softmax loss. Here the
    embedding is any PyKEEN model with kgplug's settings for it, by default TransE, −‖h + r − t‖. The AUC of validation
    likes decides when training stops. An embedding has no vectors of new users, so it cannot score them. A linear map,
    fitted to the scores of the training users, computes a new user's scores from the vectors of the liked items.
    """

    name = "CFKG"
    inputs = RECOMMENDERS["CFKG"].inputs
    config_class = CFKGConfig
    config: CFKGConfig

    embedding: EmbeddingModel

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)
        for name in ("epochs", "patience"):
            if name in self.config.embedding_settings:
                raise UsageError(f"CFKG: embedding_settings: {name} is a setting of CFKG itself. Pass {name}=….")
        self.embedding = self._untrained()

    def _untrained(self) -> EmbeddingModel:
        return EmbeddingModel(embedding_name(self.config.embedding), **self._embedding_settings)

    @property
    def _embedding_settings(self) -> dict[str, Any]:
        given = self.config.embedding_settings
        sampling = {"negative_sampling": "typed"} if given.get("training", "negatives") == "negatives" else {}
        return {**sampling, **given, "epochs": self.config.epochs, "patience": self.config.patience}

    def _fit(self, data: TrainingData) -> None:
        enough = int(data.interactions.is_like.sum()) >= CHOOSING_FROM
        if data.valid is None and "epochs" not in self._given.model_fields_set and enough:
            self._train(data.divided(CHOOSING, "epochs"))
            self.config = self.config.model_copy(update={"epochs": self.history["best_epoch"] + 1})
        self._train(data)

    def _train(self, data: TrainingData) -> None:
        """Train the embedding. If there are validation pairs, stop when their AUC no longer improves."""
        graph = CollaborativeTriples.build(data)
        self.embedding = self._untrained()
        labels = np.full(graph.n_nodes, "", dtype=object)
        relations = np.arange(graph.n_relations).astype(str).astype(object)
        knowledge = KnowledgeGraph(np.arange(graph.n_nodes).astype(object), labels, relations, graph.triples)
        valid, pairs = None, ClickThroughData(data.interactions, data.valid, seed=data.seed).valid
        if pairs is not None and not pairs.labels.all():
            likes = np.full(len(pairs), graph.n_relations - 1)
            triples = np.stack([pairs.users, likes, graph.n_users + pairs.items], axis=1)
            valid = LabelledTriples(triples, pairs.labels > 0)
        try:
            self.embedding.fit(
                knowledge,
                valid=valid,
                seed=data.seed,
                progress=data.progress,
                checkpoint=data.checkpoint,
                on_epoch=data.on_epoch,
            )
        finally:
            self.history = self.embedding.history

    def _score_block(self, users: np.ndarray) -> np.ndarray:
        scores = self._scores_of(users)
        cold = np.diff(self.liked.indptr)[users] == 0  # their vectors were never trained
        if cold.any():
            scores[cold] = self._score_new_users(self.liked[users[cold]])
        return scores

    def _scores_of(self, users: np.ndarray) -> np.ndarray:
        """Return the embedding's score of (user, likes, item) for all items: int64 (b,) → float32 (b, n_items)."""
        likes = len(self.embedding.relations) - 1
        return self.embedding.score_tails(users, likes, tails=self._items)

    @property
    def _items(self) -> slice:
        """The range of entity indices that are items."""
        return slice(len(self.user_keys), len(self.user_keys) + len(self.item_keys))

    def score(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        return self._score_by_blocks(users, items)

    def _score_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        items = self.item_vectors()
        if self._fold_in is None:
            self._fold_in = FoldIn.learn(self.liked, items, self._scores_of)
        return self._fold_in.vectors(likes, items)

    def item_vectors(self) -> np.ndarray:
        return self.embedding.entity_vectors()[self._items]

    def user_vectors(self) -> np.ndarray:
        return self.embedding.entity_vectors()[: len(self.user_keys)]

    @classmethod
    def user_arrays(cls) -> UserArrays:
        return UsersAsEntities(items=ItemsAsEntities())

    def _arrays(self) -> dict[str, np.ndarray]:
        sizes = [len(self.user_keys), len(self.embedding.entity_keys), len(self.embedding.relations)]
        return self.embedding.arrays() | {_NODES: np.array(sizes)}

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        _, n_nodes, n_relations = arrays[_NODES].tolist()
        content = {
            "kind": Kind.EMBEDDING,
            "model": embedding_name(self.config.embedding),
            "settings": self._untrained().config.model_dump(),
            "entity_keys": list(range(n_nodes)),
            "entity_labels": [""] * n_nodes,
            "relations": [str(relation) for relation in range(n_relations)],
            "seed": self.seed,
            "history": self.history,
            "run": self.run,
        }
        self.embedding = EmbeddingModel.restored(Path(self.run), arrays, content)


class UsersAsEntities(UserArrays):
    """Where a saved CFKG stores its users: they are the first entities of its embedding."""

    def without(self, arrays: dict[str, np.ndarray], user: int) -> dict[str, np.ndarray]:
        return EntityArrays().without(arrays, user, int(arrays[_NODES][1]))


class ItemsAsEntities(ItemArrays):
    """Where a saved CFKG stores its items: they are the entities after the users in its embedding."""

    def without(self, arrays: dict[str, np.ndarray], item: int) -> dict[str, np.ndarray]:
        n_users, n_nodes = arrays[_NODES][:2].tolist()
        return EntityArrays().without(arrays, n_users + item, n_nodes)
