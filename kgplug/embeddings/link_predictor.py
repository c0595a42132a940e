"""Base class of the models that predict links: embeddings and rules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from kgplug.data.artefact import new_run_id, read_artefact
from kgplug.data.erasure.user_arrays import EntityArrays
from kgplug.data.kinds import TRIPLES, Inputs, Kind
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.publication import Publication
from kgplug.data.row_memory import RowMemory
from kgplug.errors import DataError, UsageError
from kgplug.plain_text import counted
from kgplug.renamed import renamed

PairScores = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Blocks (heads, tails, scores): int64 (b,), int64 (c,), and the score of each head with each tail, float32 (b, c)."""


class LinkPredictor(ABC):
    """A model that scores triples of a knowledge graph.

    Entity and relation indices are positions in `entity_keys` and `relations`, the same as in the training graph.

    Attributes:
        name: Name of the model, as in `kgplug.available()`.
        config: The settings.
        entity_keys, entity_labels: Keys and labels of the entities, object (n_entities,), set by `fit`.
        relations: Names of the relations, object (n_relations,), set by `fit`.
        history: Facts about the training.
        health: Signs that the model is useless, one sentence each.
        run: Id of this training, under which it is saved and published.
    """

    kind: ClassVar[Kind] = Kind.EMBEDDING
    inputs: ClassVar[Inputs] = TRIPLES

    name: str
    config: Any
    history: dict[str, Any]
    health: list[str]
    graph_schema: dict[str, Any] | None
    entity_keys: np.ndarray
    entity_labels: np.ndarray
    relations: np.ndarray
    seed: int
    run: str

    def __repr__(self) -> str:
        made = f"{self.name}({self.config.describe()})"
        if not hasattr(self, "entity_keys"):
            return f"{made}, not trained"
        entities = counted(len(self.entity_keys), "entity", plural="entities")
        graph = f"{entities} and {counted(len(self.relations), 'relation')}"
        return f"{made}, trained on {graph}, run {self.run}"

    @property
    @abstractmethod
    def is_trained(self) -> bool:
        """Whether `fit` was called, or the model was loaded."""

    @abstractmethod
    def fit(self, *args: Any, **kwargs: Any) -> Self:
        """Train on the triples of a knowledge graph, and return the model itself."""

    @abstractmethod
    def publication(self, *, details: dict[str, Any] | None = None) -> Publication:
        """Return the data to publish.

        Args:
            details: Facts to store as JSON on the run's node in Neo4j.

        Raises:
            UsageError: The model has no vectors to publish.
        """

    @abstractmethod
    def save(self, run_dir: Path, *, memory: RowMemory | None = None, **facts: object) -> None:
        """Write the model into a run's folder.

        Args:
            run_dir: The run's folder.
            memory: Hash of each triple of the split, and the set (training, validation or test) that the triple is in.
            facts: Further facts to save, as values that JSON can hold.
        """

    @abstractmethod
    def score_triples(self, triples: np.ndarray) -> np.ndarray:
        """Score triples (head, relation, tail): int64 (n, 3) → float32 (n,), higher is more plausible.

        Raises:
            UsageError: An index is out of range.
        """

    @abstractmethod
    def ranks(self, triples: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Rank the true head and the true tail of each triple among all entities.

        Ranks are filtered: other entities that would also make a known triple are left out. Ranks are also realistic:
        each other entity with the same score as the true one adds ½ to the rank.

        Args:
            triples: int64 (n, 3), the triples to rank.
            known: int64 (m, 3), further triples known to be true.

        Returns:
            float64 (n, 2): rank of the head, rank of the tail; the best is 1.

        Raises:
            UsageError: An index is out of range.
        """

    @abstractmethod
    def pair_scores(self, relation: int, heads: np.ndarray, tails: np.ndarray, *, block_floats: int) -> PairScores:
        """Yield the scores of every head with every tail, in blocks. Pairs that cannot be predicted score -inf.

        Args:
            relation: Index of the relation.
            heads, tails: int64 (h,) and (t,), entity indices, ascending.
            block_floats: Maximum number of floats in memory at a time, unless a single pair needs more.

        Yields:
            (some heads, some tails, scores): int64 (b,) and (c,), and the score of each of these b heads with each of
            these c tails, float32 (b, c).
        """

    @abstractmethod
    def findings(self) -> list[str]:
        """Return signs that the trained model is useless, one sentence each; [] if there are none."""

    def reasons(self, relation: int, heads: np.ndarray, tails: np.ndarray) -> np.ndarray | None:  # noqa: ARG002
        """Return why each link is predicted, as text: object (n,). None if the model cannot say.

        Args:
            relation: Index of the relation.
            heads, tails: int64 (n,), head and tail of each link, as entity indices.
        """
        return None

    @property
    def vocabulary(self) -> KnowledgeGraph:
        """The entities and relations that the model knows, as a graph without triples."""
        none = np.empty((0, 3), dtype=np.int64)
        return KnowledgeGraph(self.entity_keys, self.entity_labels, self.relations, none)

    @classmethod
    def user_arrays(cls) -> EntityArrays:
        """Return the object that erases an entity, such as a user, from the arrays of a saved run."""
        return EntityArrays()

    @classmethod
    @renamed(folder="run_dir")
    def load(cls, run_dir: Path) -> Self:
        """Read a model that `save` wrote.

        Raises:
            RunError: The folder is damaged or contains another kind of model.
        """
        return cls.restored(Path(run_dir), *read_artefact(Path(run_dir)))

    @classmethod
    @abstractmethod
    def restored(cls, run_dir: Path, arrays: dict[str, np.ndarray], content: dict[str, Any]) -> Self:
        """Return a model from the arrays and the JSON content of its run folder. Errors are those of `load`.

        Args:
            run_dir: The run's folder, for messages.
            arrays: Arrays by name, as `save` wrote them.
            content: JSON content, as `save` wrote it.
        """

    def _begin(self, knowledge: KnowledgeGraph, seed: int) -> None:
        """Store the entities, relations and seed of a training, and create a new run id.

        Raises:
            DataError: There is no triple, or there are fewer than two entities.
        """
        if knowledge.n_triples == 0 or knowledge.n_entities < 2:
            raise DataError(
                f"{self.name} needs at least one triple, between two entities; found {knowledge.n_triples:,} triples "
                f"and {knowledge.n_entities:,} entities. Add relationships between items and other entities, or choose "
                "a model that needs only likes (`kgplug models`)."
            )
        self.entity_keys, self.entity_labels = knowledge.entity_keys, knowledge.entity_labels
        self.relations, self.seed, self.run = knowledge.relations, seed, new_run_id(self.name)
        self.graph_schema = knowledge.graph_schema

    def _checked(self, triples: np.ndarray) -> np.ndarray:
        triples = np.ascontiguousarray(np.asarray(triples, dtype=np.int64).reshape(-1, 3))
        n, m = len(self.entity_keys), len(self.relations)
        if len(triples) and (triples.min() < 0 or (triples.max(axis=0) >= [n, m, n]).any()):
            raise UsageError(
                f"Expected triples of entities 0 … {n - 1} and relations 0 … {m - 1}; found an index out of range."
            )
        return triples

    def _content(self) -> dict[str, Any]:
        """Return what a run stores about the model as JSON."""
        return {
            "kind": self.kind,
            "model": self.name,
            "run": self.run,
            "settings": self.config.model_dump(),
            "seed": self.seed,
            "history": self.history,
            "health": self.health,
            "entity_keys": list(self.entity_keys),
            "entity_labels": list(self.entity_labels),
            "relations": list(self.relations),
            **({} if self.graph_schema is None else {"schema": self.graph_schema}),
        }

    def _take(self, content: dict[str, Any]) -> None:
        """Restore what `_content` returned, except the settings."""
        for name in ("entity_keys", "entity_labels", "relations"):
            array = np.empty(len(content[name]), dtype=object)
            array[:] = content[name]
            setattr(self, name, array)
        self.seed, self.history, self.run = content["seed"], content["history"], content["run"]
        self.health = list(content.get("health") or [])
        self.graph_schema = content.get("schema")
