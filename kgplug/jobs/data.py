"""Input of the jobs: the split, and the data read from the graph."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from kgplug import models
from kgplug.data.graph_identity import GraphIdentity
from kgplug.data.interactions import By, Interactions, Order
from kgplug.data.kinds import LIKES_AND_TRIPLES, Kind
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.row_memory import RowMemory
from kgplug.data.splitting import check_fractions, check_seed
from kgplug.data.values.keys import distinct
from kgplug.errors import DataError, RunError, UsageError
from kgplug.graph.graph import Graph
from kgplug.graph.identity import graph_identity
from kgplug.graph.schema import GraphSchema
from kgplug.models import Model
from kgplug.plain_text import counted
from kgplug.training.runs import EVALUATION

DEFAULT_FRACTIONS = {kind: kind.fractions for kind in Kind}  # fractions of training, validation and test set


@dataclass(frozen=True)
class Sets:
    """The training, validation and test set of one split: feedback for a recommender, triples for an embedding.

    An empty validation or test set is None.
    """

    train: Interactions | KnowledgeGraph
    valid: Interactions | KnowledgeGraph | None
    test: Interactions | KnowledgeGraph | None

    @property
    def memory(self) -> RowMemory:
        """Return the hash of each row, and which of the three sets the row is in.

        A run stores both, to find its rows again in a changed graph.
        """
        return RowMemory.of_sets(*(None if rows is None else rows.row_hashes for rows in vars(self).values()))


@dataclass(frozen=True)
class Split:
    """How feedback or triples are split into training, validation and test set.

    `by`, `order` and `method` apply only to feedback. Triples are always split at random (`KnowledgeGraph.split`).

    Attributes:
        fractions: Fractions of the three sets; a set with fraction 0 is empty.
        seed: Seed of the shuffle.
        by: "user" splits the rows of each user, "row" splits all rows together, and "new-users" splits the users: users
            of the validation and test set are not in the training set (`kgplug.evaluation.new_users`).
        order: "random", or "time" for the latest rows as test set.
        method: "keys" splits as this version of kgplug does. "positions" splits as early versions did, to reconstruct
            the sets of runs that they trained (`Interactions.split`).

    Raises:
        UsageError: A fraction or the seed is invalid, or the training set's fraction is 0.
    """

    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = 0
    by: By = "user"
    order: Order = "random"
    method: Literal["keys", "positions"] = "keys"

    def __post_init__(self) -> None:
        object.__setattr__(self, "fractions", tuple(check_fractions(self.fractions).tolist()))
        object.__setattr__(self, "seed", check_seed(self.seed))
        if self.fractions[0] <= 0:
            raise UsageError("The first fraction of a split is that of the training set. It must be more than 0.")

    @property
    def by_users(self) -> bool:
        """Whether the users are split, so that those of the validation and test set are new to a recommender."""
        return self.by == "new-users"

    def interactions(self, rows: Interactions) -> tuple[Interactions, Interactions | None, Interactions | None]:
        """Split feedback into (train, valid, test); an empty set is None.

        Raises:
            DataError: No row is left for the training set.
        """
        train, valid, test = rows.split(
            self.fractions, seed=self.seed, by=self.by, order=self.order, method=self.method
        )
        if len(rows) and not len(train):
            found = f"{counted(len(rows), 'row')} of {counted(len(distinct(rows.users)), 'user')}"
            raise DataError(
                f"The split leaves no row for training: there are {found}, and the training set's fraction is "
                f"{self.fractions[0]:g}. Use a larger first fraction, or add feedback."
            )
        return train, valid if len(valid) else None, test if len(test) else None

    def triples(self, knowledge: KnowledgeGraph) -> tuple[KnowledgeGraph, KnowledgeGraph | None, KnowledgeGraph | None]:
        """Split triples into (train, valid, test), with the same entities and relations; an empty set is None."""
        train, valid, test = knowledge.split(self.fractions, seed=self.seed)
        return train, valid if valid.n_triples else None, test if test.n_triples else None


@dataclass(frozen=True)
class GraphData:
    """Data read from the graph for training.

    Attributes:
        schema: Schema with which the data were read.
        interactions: Feedback; None if it was not read.
        knowledge: Triples; None if they were not read.
        identity: Identity of the graph; unknown if omitted.
    """

    schema: GraphSchema
    interactions: Interactions | None
    knowledge: KnowledgeGraph | None
    identity: GraphIdentity = field(default_factory=GraphIdentity)

    @property
    def fingerprints(self) -> dict[str, str | None]:
        return {
            "interactions": None if self.interactions is None else self.interactions.fingerprint,
            "knowledge": None if self.knowledge is None else self.knowledge.fingerprint,
        }

    def used_by(self, model: Model) -> dict[str, str | None]:
        """Return kind of data → its fingerprint, or None if the model does not learn from this kind."""
        used = self.fingerprints
        if not model.inputs.likes:
            used["interactions"] = None
        if not model.inputs.triples:
            used["knowledge"] = None
        if model.inputs.titles:
            used["titles"] = None if self.interactions is None else self.interactions.texts_fingerprint
        return used

    def sets(self, model: Model, split: Split) -> Sets:
        """Return the training, validation and test set of a model."""
        if model.inputs.likes:
            assert self.interactions is not None
            return Sets(*split.interactions(self.interactions))
        assert self.knowledge is not None
        return Sets(*split.triples(self.knowledge))

    def inputs_of(self, model: Model, sets: Sets) -> list[Interactions | KnowledgeGraph]:
        """Return the positional arguments of a model's `fit`.

        These are the training set and, if the model learns from likes and triples, all triples.
        """
        if model.inputs.likes_and_triples and self.knowledge is not None:
            return [sets.train, self.knowledge]
        return [sets.train]


def read(
    graph: Graph,
    schema: GraphSchema,
    *,
    model: Model | Sequence[Model] | None = None,
    name: str | None = None,
    progress: bool | None = None,
) -> GraphData:
    """Read the data that models need from the graph: feedback, triples, or both.

    Args:
        model: The models that will be trained. None: read feedback and triples.
        name: Name of one model, instead of `model`.
    """
    if name is not None:
        model = models.create(name)
    needed = [LIKES_AND_TRIPLES] if model is None else [one.inputs for one in _several(model)]
    return GraphData(
        schema,
        graph.read_interactions(schema, progress=progress) if any(inputs.likes for inputs in needed) else None,
        graph.read_knowledge(schema, progress=progress) if any(inputs.triples for inputs in needed) else None,
        graph_identity(graph.connection, schema),
    )


def _several(model: Model | Sequence[Model]) -> Sequence[Model]:
    return model if isinstance(model, Sequence) else [model]


def evaluation_of(run_dir: Path) -> dict[str, float]:
    """Return the metrics that `evaluate` saved with a run; {} if it was not evaluated.

    Raises:
        RunError: The file with the metrics is damaged.
    """
    path = run_dir / EVALUATION
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    except (ValueError, TypeError, RecursionError):
        raise RunError(f"{path} is damaged. Delete it, then run: kgplug evaluate {run_dir.name}.") from None


def split_of(content: dict[str, Any]) -> Split:
    """Return the split in a run's content. Early runs store no method: they were split by the rows' positions."""
    stored: dict[str, Any] = {"method": "positions", **content["split"]}
    stored["fractions"] = tuple(stored["fractions"])
    return Split(**stored)


def refuse_other_graph(here: GraphIdentity, run_dir: Path, content: dict[str, Any]) -> None:
    """Raise RunError if a run was trained on another database; the message names both."""
    trained_on = GraphIdentity.of_run(content)
    if not here.same_store(trained_on):
        raise RunError(
            f"Run {run_dir.name} was trained on another graph: expected {trained_on}, found {here}. Set NEO4J_URI and "
            "NEO4J_DATABASE to the run's graph, or train on this one."
        )
