"""The class of all embedding models: train, score, rank, export, save."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from kgplug.data.artefact import write_artefact
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.publication import Publication, RelationVectors, vectors_by_label
from kgplug.data.ranking.ties import Ties
from kgplug.data.ranking.top_k import top_k
from kgplug.data.row_memory import RowMemory
from kgplug.data.values.keys import fingerprint
from kgplug.data.values.whole_numbers import is_whole, whole_number
from kgplug.embeddings.catalogue import EMBEDDINGS, embedding_name
from kgplug.embeddings.config import EmbeddingConfig, embedding_config
from kgplug.embeddings.export import entity_vectors, real_numbers
from kgplug.embeddings.health import model_findings
from kgplug.embeddings.link_predictor import LinkPredictor, PairScores
from kgplug.embeddings.validation import LabelledTriples, Validation, labelled_triples, validation_triples
from kgplug.errors import DataError, RunError, TrainingError, UsageError, unknown_name
from kgplug.renamed import renamed
from kgplug.training.config import DataSize
from kgplug.training.tensors import tensor_of

if TYPE_CHECKING:
    from kgplug.embeddings.parts.frozen import CarriedOver
    from kgplug.embeddings.query_training import QueryTask
    from kgplug.embeddings.training import TripleTask
    from kgplug.training.loop import History

_log = logging.getLogger(__name__)


class EmbeddingModel(LinkPredictor):
    """A PyKEEN model, chosen by name and trained on the triples of a knowledge graph.

    Attributes:
        config: The settings, an `EmbeddingConfig`.
        history: `History.to_dict()`: losses, validation metrics and times of the epochs.
        health: Signs that the model has collapsed, one sentence each (`kgplug.embeddings.health`).
    """

    def __init__(self, name: str, **settings: Any) -> None:
        self.name = embedding_name(name)
        self.config = embedding_config(self.name, settings)
        if settings.get("model_settings") or settings.get("loss") or settings.get("loss_settings"):
            from kgplug.embeddings.parts.build import build_loss, check_model_settings  # imports PyKEEN: seconds

            check_model_settings(self.name, self.config.model_settings)
            build_loss(self.name, self.config)
        self.history: dict[str, Any] = {}
        self.health: list[str] = []
        self.graph_schema: dict[str, Any] | None = None
        self._module: Any = None
        self._graph_triples: np.ndarray | None = None
        self._unit: np.ndarray | None = None

    def fit(
        self,
        knowledge: KnowledgeGraph,
        *,
        valid: KnowledgeGraph | np.ndarray | LabelledTriples | None = None,
        seed: int = 0,
        progress: bool | None = None,
        checkpoint: Path | None = None,
        on_epoch: Callable[[int, float], None] | None = None,
        start: EmbeddingModel | None = None,
        freeze: bool = False,
    ) -> Self:
        """Train the model.

        Args:
            knowledge: Training triples.
            valid: Validation triples: a graph, or int64 (n, 3) with `knowledge`'s indices, or `LabelledTriples`, which
                are true or false. Training stops early when the validation metric no longer improves. The metric is
                the filtered mean reciprocal rank of at most 300 triples, or the AUC of `LabelledTriples`. If omitted,
                all epochs are trained.
            seed: Seed of the training. The same seed, data and settings give the same model (bit by bit on one CPU).
            progress: Whether to show a progress bar. None: only on a terminal.
            checkpoint: File to write from time to time, and to continue from if it exists; see
                `kgplug.training.loop.train`.
            on_epoch: Function called as on_epoch(epoch, metric) after each epoch with validation; the first epoch is 0.
                It may raise an exception to end the training.
            start: An earlier model with the same name. Training starts from its vectors. The vectors of new entities
                are initialised by `growth.carry_over`.
            freeze: Leave the vectors taken from `start` unchanged, and train only the new vectors.

        Returns:
            The model itself.

        Raises:
            UsageError: `start` cannot be continued by this model; `freeze` leaves nothing to train; or
                `LabelledTriples` do not fit `knowledge`.
            DataError: There is no triple, or there are fewer than two entities.
            TrainingError: The loss is not finite, or memory is short.
        """
        from kgplug.embeddings.memory import check_memory
        from kgplug.training.device import choose_device
        from kgplug.training.memory import attempts

        seed = whole_number(seed, "seed")
        self._begin(knowledge, seed)
        self._graph_triples = knowledge.triples if EMBEDDINGS[self.name].reads_graph else None
        self.config = self.config.suited(DataSize(n_triples=knowledge.n_triples))
        device = choose_device(self.config.device)
        check_memory(
            self.name, self.config, n_entities=knowledge.n_entities, n_relations=knowledge.n_relations, device=device
        )
        self._unit, self.history = None, {}
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Sparse invariant checks")  # torch's advice to PyKEEN
                for attempt in attempts(self.name, self.config, checkpoint):
                    with attempt:
                        self.config = attempt.config
                        history = self._train_once(
                            knowledge, valid, start, freeze, attempt.checkpoint, progress, on_epoch
                        )
                        self.history = history.to_dict()
        except TrainingError as error:
            self.history = error.history or {}
            raise
        finally:
            if self._module is not None:
                self._forget_cached()
        self.health = self.findings()
        if self.health:
            _log.warning("%s has collapsed: %s.", self.name, "; ".join(self.health))
        return self

    def _train_once(
        self,
        knowledge: KnowledgeGraph,
        valid: KnowledgeGraph | np.ndarray | LabelledTriples | None,
        start: EmbeddingModel | None,
        freeze: bool,
        checkpoint: Path | None,
        progress: bool | None,
        on_epoch: Callable[[int, float], None] | None,
    ) -> History:
        """Build the PyKEEN module, train it with the settings of `config`, and return the history.

        Arguments are those of `fit`.
        """
        from kgplug.embeddings.parts.all_entities import all_scores
        from kgplug.training.device import choose_device
        from kgplug.training.loop import train
        from kgplug.training.memory import building

        with building(self.name, self.config):
            self._module = self._build(knowledge.triples).to(choose_device(self.config.device))
            held_out = None
            if isinstance(valid, LabelledTriples):
                held_out = labelled_triples(valid, knowledge)
            elif valid is not None:
                floats = all_scores(self._module).floats_per_score
                held_out = validation_triples(valid, knowledge, floats_per_score=floats, seed=self.seed)
            task = self._task(knowledge, held_out, start, freeze)
        origin = None if start is None else start.run
        identity = json.dumps([self.name, self.config.model_dump(), self.seed, origin, freeze])
        return train(
            task,
            epochs=self.config.epochs,
            patience=self.config.patience,
            seed=self.seed,
            description=self.name,
            fingerprint=fingerprint(knowledge.fingerprint, identity, *_arrays_of(held_out)),
            checkpoint=checkpoint,
            progress=progress,
            on_epoch=on_epoch,
        )

    def _task(
        self,
        knowledge: KnowledgeGraph,
        held_out: np.ndarray | LabelledTriples | None,
        start: EmbeddingModel | None,
        freeze: bool,
    ) -> TripleTask | QueryTask:
        """Return the task for the training loop.

        Args:
            knowledge: Training triples.
            held_out: Validation triples, int64 (n, 3) or with labels, or None.
            start, freeze: As in `fit`.
        """
        from kgplug.embeddings.parts.queries import query_form
        from kgplug.embeddings.query_training import QueryTask
        from kgplug.embeddings.training import TripleTask

        positives, frozen = self._numbered(knowledge.triples), None
        if start is not None:
            known = self._take_over(start, positives)
            frozen = known if freeze else None
        validation = Validation(held_out, knowledge.triples) if isinstance(held_out, np.ndarray) else held_out
        if self.config.training != "negatives":
            form = query_form(self.module)
            if form is None:
                raise UsageError(
                    f"{self.name} with model_settings={self.config.model_settings} cannot score all entities by one "
                    f'matrix product, which training="{self.config.training}" needs. Omit model_settings, or set '
                    'training="negatives".'
                )
            return QueryTask(self.module, form, self.config, knowledge.triples, validation=validation, frozen=frozen)
        return TripleTask(self.module, self.config, positives, validation=validation, frozen=frozen)

    def _take_over(self, earlier: EmbeddingModel, positives: np.ndarray) -> CarriedOver:
        """Copy the vectors of an earlier model into the new module, and return which rows were copied.

        Entities are matched by label and key, relations by name.

        Args:
            earlier: The earlier model.
            positives: int64 (n, 3), the training triples in the module's indices.

        Raises:
            UsageError: The models differ in name or shapes, only one has inverse relations, or they compute their
                vectors from the whole graph.
        """
        from kgplug.embeddings.parts.growth import carry_over, check_fit

        if earlier.name != self.name:
            raise UsageError(f"{self.name} cannot continue from run {earlier.run}, which is a {earlier.name}.")
        if earlier._has_inverse != self._has_inverse:
            theirs, own = earlier.config, self.config
            raise UsageError(
                f"{self.name} with reciprocal={own.reciprocal} cannot continue from run {earlier.run}, which has "
                f"reciprocal={theirs.reciprocal}. "
                f'Set reciprocal={theirs.reciprocal} and training="{theirs.training}", as in that run.'
            )
        check_fit(earlier.module, self.module, name=self.name, run=earlier.run)
        entities, relations = self.vocabulary.indices_in(earlier.vocabulary)
        if self._has_inverse:
            relations = np.maximum(np.stack([2 * relations, 2 * relations + 1], axis=1).ravel(), -1)
        return carry_over(earlier.module, self.module, positives, entities=entities, relations=relations)

    def _build(self, triples: np.ndarray) -> Any:
        from kgplug.embeddings.parts.build import build_module

        return build_module(
            self.name, self.config, n_entities=len(self.entity_keys), n_relations=len(self.relations),
            triples=triples, seed=self.seed,
        ).eval()  # fmt: skip

    def _numbered(self, triples: np.ndarray) -> np.ndarray:
        """Return triples in the module's indices, int64 (n, 3), or (2n, 3) if the model trains on inverse triples.

        In that case, relation r of the graph is relation 2r of the module, and its inverse is 2r + 1.
        """
        if not self._has_inverse:
            return triples
        head, relation, tail = triples.T
        return np.concatenate(
            [np.stack([head, 2 * relation, tail], axis=1), np.stack([tail, 2 * relation + 1, head], axis=1)]
        )

    @property
    def _has_inverse(self) -> bool:
        """Whether the module has vectors of inverse relations."""
        return self.config.reciprocal or EMBEDDINGS[self.name].inverse

    def _forget_cached(self) -> None:
        """Delete the vectors that a graph network computed from earlier weights and cached."""
        for part in self.module.modules():
            if getattr(part, "enriched_embeddings", None) is not None:
                part.enriched_embeddings = None

    @property
    def is_trained(self) -> bool:
        return self._module is not None

    @property
    def module(self) -> Any:
        """The PyKEEN model, in evaluation mode."""
        if self._module is None:
            raise UsageError(f"{self.name} is not trained yet: call fit() first.")
        return self._module

    @torch.no_grad()
    def entity_vectors(self) -> np.ndarray:
        """Return the entity vectors, float32 (n_entities, d), real numbers.

        Complex vectors are [real parts, imaginary parts], so d is twice `embedding_dim`. If a model has several vectors
        per entity (such as one as head and one as tail), they are concatenated. Biases, variances and projections are
        left out.
        """
        return entity_vectors(self.module, self.name)

    def vectors_of(self, keys: np.ndarray, *, label: str = "") -> np.ndarray:
        """Return the vectors of nodes, float32 (n, d); zeros for unknown nodes.

        Args:
            keys: Keys of nodes, object (n,).
            label: Label of these nodes; "" for a graph without labels.

        Raises:
            DataError: The model knows none of the nodes.
        """
        entities = self.vocabulary.entities_of(keys, label=label)
        if not (entities >= 0).any():
            examples = ", ".join(repr(key) for key in keys[:3])
            raise DataError(
                f"None of the {len(keys):,} items (such as {examples}) is an entity of the knowledge graph. "
                "Items and entities must have the same keys."
            )
        return np.where((entities >= 0)[:, None], self.entity_vectors()[np.maximum(entities, 0)], np.float32(0))

    @torch.no_grad()
    def relation_vectors(self) -> dict[str, np.ndarray]:
        """Return the model's relation tensors by name, float32 (n_relations, …) each.

        TransE has {"translation"}, TransH {"normal", "translation"}, TransR {"translation", "projection"}.
        RotatE's complex "rotation" is [real parts, imaginary parts]. A model trained on inverse triples also has the
        tensors of the inverse relations, with the prefix `inverse_`.
        """
        entry = EMBEDDINGS[self.name]
        tensors = [real_numbers(part()) for part in self.module.relation_representations]
        named = dict(zip(entry.relation_parts, tensors, strict=True))
        if not self._has_inverse:
            return named
        forward = {name: np.ascontiguousarray(tensor[0::2]) for name, tensor in named.items()}
        return forward | {f"inverse_{name}": np.ascontiguousarray(tensor[1::2]) for name, tensor in named.items()}

    def score_triples(self, triples: np.ndarray) -> np.ndarray:
        from kgplug.embeddings.parts.all_entities import scores_of

        return scores_of(self.module, self._checked(triples))

    @torch.no_grad()
    def score_tails(self, heads: np.ndarray, relation: int, *, tails: slice = slice(None)) -> np.ndarray:
        """Score a range of entities as the tail of (head, relation).

        Args:
            heads: Indices of the heads, int64 (n,).
            relation: Index of the relation, the same for all heads.
            tails: Range of entity indices to score as tails; by default, all entities.

        Returns:
            Scores, higher is more plausible, float32 (n, number of tails).

        Raises:
            UsageError: An index is out of range.
        """
        from kgplug.embeddings.parts.all_entities import tail_scores

        pairs = self._checked(np.stack([heads, np.full(len(heads), relation), heads], axis=1))
        return tail_scores(self.module, pairs[:, :2], tails)

    def ranks(self, triples: np.ndarray, known: np.ndarray) -> np.ndarray:
        from kgplug.embeddings.parts.all_entities import ranks_of

        return ranks_of(self.module, self._checked(triples), self._checked(known))

    def pair_scores(self, relation: int, heads: np.ndarray, tails: np.ndarray, *, block_floats: int) -> PairScores:
        from kgplug.embeddings.parts.all_entities import pair_scores

        return pair_scores(self.module, relation, heads, tails, block_floats=block_floats)

    def findings(self) -> list[str]:
        return model_findings(self)

    def nearest(self, entity: int, k: int = 10, *, label: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the entities with the most similar vectors (cosine), without the entity itself.

        Args:
            entity: Index of the entity.
            k: Maximum number of entities.
            label: Label of the entities to return; None for all labels.

        Returns:
            (entities, cosines): int64 and float32 (at most k,), best first.

        Raises:
            UsageError: `entity` or `k` is out of range, or no entity has the label.
        """
        if not is_whole(k) or k < 1:
            raise UsageError(f"k must be at least 1; found {k!r}. Give the length of a list, a whole number.")
        if not is_whole(entity) or not 0 <= entity < len(self.entity_keys):
            raise UsageError(f"{self.name} knows entities 0 … {len(self.entity_keys) - 1}; found {entity!r}.")
        unit = self._unit
        if unit is None:
            vectors = self.entity_vectors()
            unit = self._unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        cosines = unit @ unit[entity]  # (n_entities,)
        cosines[entity] = -np.inf
        if label is not None:
            if not (self.entity_labels == label).any():
                raise unknown_name("label", label, set(self.entity_labels))
            cosines[self.entity_labels != label] = -np.inf
        entities, cosines = top_k(cosines[None], min(k, len(cosines)), ties=Ties.by_index(1.0, (1, len(cosines))))
        found = entities[0] >= 0
        return entities[0][found].astype(np.int64), cosines[0][found]

    def publication(self, *, details: dict[str, Any] | None = None) -> Publication:
        """Return the data to publish: the vectors of the entities, by label, and of the relations.

        Entities without a label (read from a table, not from Neo4j) have no node in the graph and are left out.

        Args:
            details: Facts to store as JSON on the run's node in the graph.

        Raises:
            DataError: No entity has a label.
        """
        has_node = self.entity_labels != ""
        if not has_node.any():
            raise DataError(
                f"{self.name} was trained on triples without node labels, so its vectors belong to no node. "
                "Train on a graph read from Neo4j to publish."
            )
        entities = (self.entity_labels, self.entity_keys, self.entity_vectors())
        parts = vectors_by_label(*(each[has_node] for each in entities))
        relations = RelationVectors(self.relations, self.relation_vectors())
        findings = list(dict.fromkeys([*self.health, *self.findings()]))
        return Publication(self.name, self.run, parts, None, details or {}, relations, findings=findings)

    @renamed(folder="run_dir")
    def save(self, run_dir: Path, *, memory: RowMemory | None = None, **facts: object) -> None:
        """Write the model into a run's folder.

        Args:
            run_dir: The run's folder.
            memory: Hash of each triple of the split, and the set (training, validation or test) that the triple is in.
            facts: Further facts to save, as values that JSON can hold.
        """
        arrays = self.arrays() | ({} if memory is None else memory.to_arrays())
        write_artefact(Path(run_dir), arrays, {**self._content(), **facts})

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the trained weights, and the training triples of a graph network, as arrays by name."""
        arrays = {f"module.{name}": tensor.cpu().numpy() for name, tensor in self.module.state_dict().items()}
        return arrays if self._graph_triples is None else arrays | {"graph.triples": self._graph_triples}

    @classmethod
    def restored(cls, run_dir: Path, arrays: dict[str, np.ndarray], content: dict[str, Any]) -> Self:
        if content.get("kind") != cls.kind or content.get("model") not in EMBEDDINGS:
            raise RunError(
                f"{run_dir} holds {content.get('model')}, not an embedding. Open any run with kgplug.load()."
            )
        model = cls.__new__(cls)
        EmbeddingModel.__init__(model, content["model"], **EmbeddingConfig.of_saved(content["settings"]))
        model._take(content)
        model._graph_triples = arrays.get("graph.triples")
        none = np.empty((0, 3), dtype=np.int64)
        model._module = model._build(none if model._graph_triples is None else model._graph_triples)
        state = {
            name.removeprefix("module."): tensor_of(array)
            for name, array in arrays.items()
            if name.startswith("module.")
        }
        try:
            model._module.load_state_dict(state)
        except RuntimeError as error:
            raise RunError(f"{run_dir}: its arrays do not fit {model.name} ({error}). Train again.") from error
        model._forget_cached()
        return model


def _arrays_of(held_out: np.ndarray | LabelledTriples | None) -> tuple[np.ndarray, ...]:
    """Return the arrays of the validation triples (none if there are no such triples), to compute a fingerprint."""
    if isinstance(held_out, LabelledTriples):
        return tuple(held_out)
    return (np.empty(0) if held_out is None else held_out,)
