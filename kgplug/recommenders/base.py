"""The base class of all recommenders."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from scipy import sparse

from kgplug.data.artefact import new_run_id, read_artefact, write_artefact
from kgplug.data.erasure.erased_keys import erased
from kgplug.data.erasure.user_arrays import UserArrays
from kgplug.data.interactions import Interactions
from kgplug.data.kinds import LIKES, Inputs, Kind
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.own_items import OWN_ITEMS, same_keys_as
from kgplug.data.publication import NodeVectors, Publication, TopLists
from kgplug.data.ranking.ties import popularity_ranks
from kgplug.data.row_memory import RowMemory
from kgplug.data.values.whole_numbers import whole_number
from kgplug.errors import DataError, RunError, UsageError
from kgplug.plain_text import counted
from kgplug.recommenders.health import model_findings
from kgplug.recommenders.lists import SCORE_BLOCK_CELLS, ListMaker
from kgplug.recommenders.new_users import FoldIn
from kgplug.recommenders.training_data import TrainingData
from kgplug.renamed import renamed
from kgplug.training.config import DataSize, ModelConfig, make_config, signature

_log = logging.getLogger(__name__)
_FEEDBACK = "kgplug.Interactions, for example Interactions.from_dataframe(frame, user=…, item=…)"
_BUILT_BY = {
    "interactions": _FEEDBACK,
    "valid": _FEEDBACK,
    "knowledge": "kgplug.KnowledgeGraph, for example KnowledgeGraph.from_dataframe(frame)",
}


class Recommender(ListMaker):
    """A model that is trained on interactions, and on a knowledge graph if it needs one, and ranks items for users.

    A subclass cites its paper in its docstring and implements `_fit`, `score`, `_score_block`, `_score_new_users`,
    `_arrays` and `_restore`. User and item indices are positions in `user_keys` and `item_keys`.

    Attributes:
        name: Name of the model for `kgplug.create`.
        config_class: Class of the model's settings.
        inputs: What the model learns from. If `inputs.triples` is true, `fit` requires a knowledge graph.
        scores_are_probabilities: Whether a score is the probability that the user likes the item.
        personal: Whether different users get different lists.
        vectors_of_all: Whether users and items with likes have vectors even if they are not in the graph.
        user_keys, item_keys: Keys of users and items, object (n_users,) and (n_items,), set by `fit`.
        seen: 1 for each pair of user and item in the training set, CSR float32 (n_users, n_items).
        liked: 1 for each like in the training set, CSR float32 (n_users, n_items).
        run: Id of this training, under which the model is saved and published.
        history: Losses and validation metrics by epoch, as returned by `kgplug.training.loop.History.to_dict`. PER
            stores its path weights here. For other models without epochs it is {}.
        tried: One dict per trial of automatic settings. Its keys are "settings" (those that differ from the defaults),
            "epochs", "metric" (name of the validation metric), "value" (value of this metric), "AUC" (only if the
            model has no epochs), "chosen" (whether the trial won) and "note" (why it failed, or "").
        health: Signs that the model has collapsed, one sentence each (`kgplug.recommenders.health`).
        graph_schema: Schema of the Neo4j graph that the training set was read from (`GraphSchema.model_dump()`). None
            for data from other sources.
    """

    name: str
    config_class: ClassVar[type[ModelConfig]]
    kind: ClassVar[Kind] = Kind.RECOMMENDER
    inputs: ClassVar[Inputs] = LIKES
    scores_are_probabilities: ClassVar[bool] = False
    personal: ClassVar[bool] = True
    vectors_of_all: ClassVar[bool] = True

    user_keys: np.ndarray
    item_keys: np.ndarray
    user_label: str
    item_label: str
    seen: sparse.csr_matrix
    liked: sparse.csr_matrix
    seed: int
    run: str

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "config_class" in cls.__dict__:  # for help(cls) and editors
            cls.__signature__ = signature(cls.config_class)

    def __init__(self, **settings: object) -> None:
        self.config = self._given = make_config(self.name, self.config_class, settings)
        self.history: dict[str, Any] = {}
        self.health: list[str] = []
        self.tried: list[dict[str, Any]] = []
        self.graph_schema: dict[str, Any] | None = None
        self._fold_in: FoldIn | None = None
        self._places: np.ndarray | None = None

    def __repr__(self) -> str:
        made = f"{self.name}({self.config.describe()})"
        if not hasattr(self, "seen"):
            return f"{made}, not trained"
        users, items = counted(len(self.user_keys), "user"), counted(len(self.item_keys), "item")
        return f"{made}, trained on {counted(self.seen.nnz, 'row')} of {users} and {items}, run {self.run}"

    def fit(
        self,
        interactions: Interactions,
        knowledge: KnowledgeGraph | None = None,
        *,
        valid: Interactions | None = None,
        seed: int = 0,
        progress: bool | None = None,
        checkpoint: Path | None = None,
        on_epoch: Callable[[int, float], None] | None = None,
    ) -> Self:
        """Train the model. Settings that you did not give are adapted to the size of the data; see `config` afterwards.

        Args:
            interactions: Training set. The model learns from its likes; all its rows count as seen. If it has weights
                and the model does not use them (`inputs.weights`), this is logged.
            knowledge: Triples. An entity that has the same key as an item is taken to be that item.
            valid: Validation set, for early stopping and automatic settings. If omitted, `epochs` is used as given. If
                `epochs` is not set either, 10 % of the rows are held out to find the best number of epochs and to
                choose automatic settings, and the model is retrained on all rows. If there are fewer than 1,000 likes
                (or, for a model that learns from dislikes, fewer than 1,000 dislikes), the defaults are used instead.
            seed: Random seed. The same seed, data and settings give the same model.
            progress: Whether to show a progress bar. None: only on a terminal.
            checkpoint: File to write from time to time, and to continue from if it exists; see
                `kgplug.training.loop.train`.
            on_epoch: Called as on_epoch(epoch, metric) after each validated epoch; epochs count from 0. It may raise an
                exception to end the training. With automatic settings it is called at the end, once for each epoch of
                the chosen training. Models without epochs never call it.

        Returns:
            The model itself.

        Raises:
            DataError: There are no likes; or the model needs a knowledge graph, and it is missing or contains no item.
            UsageError: An argument has the wrong type, or `valid` comes from another split.
            TrainingError: The loss is not finite, or memory runs out.
        """
        seed = whole_number(seed, "seed")
        for what, given, expected in (
            ("interactions", interactions, Interactions), ("valid", valid, Interactions | None),
            ("knowledge", knowledge, KnowledgeGraph | None),
        ):  # fmt: skip
            if not isinstance(given, expected):
                raise UsageError(f"{self.name}.fit: {what} must be a {_BUILT_BY[what]}; found {type(given).__name__}.")
        if self.inputs.triples and knowledge is None:
            raise DataError(f"{self.name} needs a knowledge graph: pass it as the second argument of fit().")
        if not interactions.is_like.any():
            at_least = (
                ""
                if interactions.like_threshold is None
                else f" (a rating of at least {interactions.like_threshold:g})"
            )
            where = "" if interactions.graph_schema is None else " under [feedback] in kgplug.toml"
            raise DataError(
                f"{self.name}: none of the {len(interactions):,} training rows is a like{at_least}. Lower "
                f"like_threshold{where}, or add feedback."
            )
        if self.inputs.triples and knowledge is not None:
            self._check_links(interactions, knowledge)
        if valid is not None and not valid.same_keys(interactions.user_keys, interactions.item_keys):
            raise UsageError("The validation set must come from the same split as the training set.")
        self.user_keys, self.item_keys = interactions.user_keys, interactions.item_keys
        self.user_label, self.item_label = interactions.user_label, interactions.item_label
        self.graph_schema = interactions.graph_schema
        self.own_items, self.erased_items = interactions.own_items, None
        self.seen, self.seed, self.run = interactions.matrix(), seed, new_run_id(self.name)
        self.tried = []
        likes = interactions.likes()
        self.liked, self._fold_in, self._places = likes.matrix(), None, None
        if likes.confidence is not None and not self.inputs.weights:
            _log.warning("%s ignores the weights of the feedback: every like counts the same.", self.name)
        n_triples = 0 if knowledge is None else knowledge.n_triples
        size = DataSize(interactions.n_users, interactions.n_items, self.liked.nnz, n_triples)
        self.config = self._given.suited(size)
        self._fit(TrainingData(interactions, knowledge, valid, seed, progress, checkpoint, on_epoch=on_epoch))
        self.health = model_findings(self)
        if self.health:
            _log.warning("%s has collapsed: %s.", self.name, "; ".join(self.health))
        return self

    def _check_links(self, interactions: Interactions, knowledge: KnowledgeGraph) -> None:
        linked = knowledge.entities_of(interactions.item_keys, label=interactions.item_label) >= 0
        if not linked.any():
            entity = f", and an entity's is {knowledge.entity_keys[0]!r}" if len(knowledge.entity_keys) else ""
            raise DataError(
                f"{self.name}: none of the {interactions.n_items:,} items is an entity of the knowledge graph. "
                f"Items and entities must have the same keys, of the same type. An item's key is "
                f"{interactions.item_keys[0]!r}{entity}."
            )

    @abstractmethod
    def _fit(self, data: TrainingData) -> None:
        """Train on checked data."""

    @abstractmethod
    def score(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Score pairs of a user and an item.

        Args:
            users, items: Indices, int64 (n,). A single user is paired with each item, a single item with each user.

        Returns:
            Scores, float32 (n,), higher is better; probabilities if `scores_are_probabilities`.

        Raises:
            UsageError: An index is out of range, or the numbers of users and items differ and neither is 1.
        """

    def score_parts(self, users: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores of pairs, before any sigmoid, as two summands.

        The first summand is the score of the model itself. The second is that of its side term, a small network on
        counts of likes and on the knowledge-graph features that the item shares with the user's likes.

        Args:
            users, items: Indices, int64 (n,).

        Returns:
            float64 (n,) each. The second is zero for a model without a side term.
        """
        return self.score(users, items).astype(np.float64), np.zeros(len(users))

    def _score_by_blocks(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Score pairs by scoring all items for blocks of users. Models without a faster way use this as `score`."""
        users, items = self._pair_rows(users, items)
        scores = np.empty(len(users), dtype=np.float32)
        order = np.argsort(users, kind="stable")
        distinct, starts = np.unique(users[order], return_index=True)
        ends = np.append(starts[1:], len(users))
        rows = max(1, SCORE_BLOCK_CELLS // max(1, len(self.item_keys)))
        for start in range(0, len(distinct), rows):
            stop = min(start + rows, len(distinct))
            pairs = order[starts[start] : ends[stop - 1]]
            block = self._score_block(distinct[start:stop])  # (b, n_items)
            scores[pairs] = block[np.searchsorted(distinct, users[pairs]) - start, items[pairs]]
        return scores

    @contextmanager
    def _rows_of(self, interactions: Interactions) -> Generator[None]:
        """Use `interactions` in place of the training set within a `with` block.

        Lists made in the block leave out only the items that the user has in `interactions`.
        """
        kept = self.seen, self.liked
        self.seen, self.liked, self._places = interactions.matrix(), interactions.likes().matrix(), None
        try:
            yield
        finally:
            (self.seen, self.liked), self._places = kept, None

    @property
    def _tie_places(self) -> np.ndarray:
        if self._places is None:
            self._places = popularity_ranks(self.liked.getnnz(axis=0))
        return self._places

    def _folded(self, likes: sparse.csr_matrix, items: np.ndarray, users: np.ndarray) -> np.ndarray:
        """Compute vectors of new users by a linear map that is fitted to the training users (`FoldIn`).

        Args:
            likes: Likes of b new users, CSR (b, n_items).
            items: Item vectors of length d, (n_items, d).
            users: Vectors of the training users, of length e, (n_users, e).

        Returns:
            Vectors of the new users, float32 (b, e).
        """
        if self._fold_in is None:
            self._fold_in = FoldIn.learn(self.liked, items, users)
        return self._fold_in.vectors(likes, items)

    @abstractmethod
    def _arrays(self) -> dict[str, np.ndarray]:
        """Return the trained weights as named arrays of numbers."""

    @abstractmethod
    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Restore the weights from what `_arrays` returned. Keys, `seen` and `config` are set before this is called."""

    @classmethod
    def user_arrays(cls) -> UserArrays | None:
        """Return the names of the arrays that contain data of users, so that `kgplug erase-user` can erase a user.

        None means that the names are unknown. Then a user can only be erased by deleting the model's runs.
        """
        return None

    def _state(self) -> dict[str, np.ndarray]:
        """Return all trained arrays to save: those that `_arrays` returns, and any that a base class adds."""
        return self._arrays()

    def _take_state(self, arrays: dict[str, np.ndarray]) -> None:
        """Restore the model from the arrays that `_state` returned."""
        self._restore(arrays)

    def user_vectors(self) -> np.ndarray | None:
        """Return the user vectors, float32 (n_users, d); None if the model has none."""
        return None

    def publication(
        self,
        *,
        k: int = 10,
        details: dict[str, Any] | None = None,
        also_seen: Interactions | None = None,
        exclude_seen: bool = True,
        only: np.ndarray | None = None,
        exclude: np.ndarray | None = None,
        diversity: float = 0.0,
        vectors: np.ndarray | None = None,
    ) -> Publication:
        """Return the data to publish: user and item vectors, and the best items of every user.

        A user who is also an item is a single node, and gets only the item vector.

        Args:
            k: Length of a list.
            details: Facts to store as JSON with the run, in the graph's list of published runs.
            also_seen, exclude_seen, only, exclude, diversity, vectors: As in `recommend`.
        """
        self._check_trained()
        items, scores = self.recommend(
            np.arange(len(self.user_keys)), k, exclude_seen=exclude_seen, also_seen=also_seen, only=only,
            exclude=exclude, diversity=diversity, vectors=vectors,
        )  # fmt: skip
        lists = TopLists(self.user_label, self.item_label, self.user_keys, self.item_keys, items, scores)
        findings = list(dict.fromkeys([*self.health, *model_findings(self, lists)]))
        return Publication(self.name, self.run, self._node_vectors(), lists, details or {}, findings=findings)

    def _node_vectors(self) -> list[NodeVectors]:
        """Return the vectors of users and of items, one set per label and one vector per node."""
        users, items = self.user_vectors(), self.item_vectors()
        nodes: list[NodeVectors] = []
        one_label = bool(self.user_label) and self.user_label == self.item_label
        if users is not None and (items is None or not one_label):
            only = np.ones(len(users), dtype=bool)  # users that are not also items
            if items is not None and self.own_items is not None:
                only = (self.own_items < 0) & ~erased(self.user_keys)
            if only.any():
                nodes.append(NodeVectors(self.user_label, self.user_keys[only], users[only]))
        if items is not None:
            nodes.append(NodeVectors(self.item_label, self.item_keys, items))
        return nodes

    @renamed(folder="run_dir")
    def save(self, run_dir: Path, *, memory: RowMemory | None = None, **facts: object) -> None:
        """Write the model to a run folder: its arrays, and its settings and other facts as JSON.

        Args:
            run_dir: The run's folder.
            memory: Hash of each row of the run's data, and the set (training, validation or test) that the row is in.
            facts: Other values to save, as JSON.
        """
        self._check_trained()
        arrays = {f"model.{name}": array for name, array in self._state().items()}
        for name, matrix in (("seen", self.seen), ("liked", self.liked)):
            arrays[f"{name}.indptr"], arrays[f"{name}.indices"] = matrix.indptr, matrix.indices
        if self.own_items is not None:
            arrays[OWN_ITEMS] = self.own_items
        arrays |= {} if memory is None else memory.to_arrays()
        write_artefact(Path(run_dir), arrays, {
            "kind": self.kind,
            "model": self.name,
            "run": self.run,
            "settings": self.config.model_dump(),
            "seed": self.seed,
            "history": self.history,
            "health": self.health,
            **({"tried": self.tried} if self.tried else {}),
            "user_label": self.user_label,
            "item_label": self.item_label,
            "user_keys": list(self.user_keys),
            "item_keys": list(self.item_keys),
            **({} if self.graph_schema is None else {"schema": self.graph_schema}),
            **facts,
        })  # fmt: skip

    @classmethod
    @renamed(folder="run_dir")
    def load(cls, run_dir: Path, *, device: str | None = None) -> Self:
        """Read a model that `save` wrote.

        Args:
            run_dir: The run's folder.
            device: Device to score on. Default: the device on which the model was trained, or "auto" if this machine
                does not have that device.

        Raises:
            RunError: The folder is damaged or contains another model.
            UsageError: The device does not exist.
        """
        if device is not None:
            from kgplug.training.device import choose_device  # torch

            choose_device(device)  # checked first, so that an error does not blame the run
        return cls.restored(Path(run_dir), *read_artefact(Path(run_dir)), device=device)

    @classmethod
    def restored(
        cls, run_dir: Path, arrays: dict[str, np.ndarray], content: dict[str, Any], *, device: str | None = None
    ) -> Self:
        """Return the model from the arrays and the JSON content of its run folder.

        `device` and the errors raised are as in `load`.
        """
        if content.get("model") != cls.name:
            raise RunError(f"{run_dir} holds {content.get('model')}, not {cls.name}. Open any run with kgplug.load().")
        try:
            settings = cls.config_class.of_saved(dict(content["settings"]))
            if "device" in settings:
                from kgplug.training.device import device_at_hand  # torch

                settings["device"] = device_at_hand(settings["device"]) if device is None else device
            model = cls(**settings)
            model._take(arrays, content)
        except (UsageError, KeyError, ValueError, TypeError) as error:
            raise RunError(
                f"{run_dir} was written by another version of {cls.name} ({error!r}). Train again."
            ) from error
        return model

    def _take(self, arrays: dict[str, np.ndarray], content: dict[str, Any]) -> None:
        self.user_keys = _object_array(content["user_keys"])
        self.item_keys = _object_array(content["item_keys"])
        self.user_label, self.item_label = content["user_label"], content["item_label"]
        self.own_items = arrays.get(OWN_ITEMS)
        gone = erased(self.item_keys)
        self.erased_items = gone if gone.any() else None
        if self.own_items is None and self.user_label and self.user_label == self.item_label:  # an old run
            self.own_items = same_keys_as(self.user_keys, self.item_keys)
        self.seed, self.history, self.run = content["seed"], content["history"], content["run"]
        self.health, self.tried = list(content.get("health") or []), list(content.get("tried") or [])
        self.graph_schema = content.get("schema")
        self.seen = self._rows("seen", arrays)
        self.liked = self._rows("liked", arrays) if "liked.indptr" in arrays else self.seen  # runs of earlier versions
        self._take_state({k.removeprefix("model."): v for k, v in arrays.items() if k.startswith("model.")})

    def _rows(self, name: str, arrays: dict[str, np.ndarray]) -> sparse.csr_matrix:
        indptr, indices = arrays[f"{name}.indptr"], arrays[f"{name}.indices"]
        ones = np.ones(len(indices), dtype=np.float32)
        return sparse.csr_matrix((ones, indices, indptr), shape=(len(self.user_keys), len(self.item_keys)))


def _object_array(values: list[Any]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
