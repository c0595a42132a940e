"""What a job works on: a split, and what was read from the graph."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kgplug import models
from kgplug.data.graph_identity import GraphIdentity
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.splitting import check_fractions, check_seed
from kgplug.errors import RunError, UsageError
from kgplug.graph.graph import Graph
from kgplug.graph.identity import graph_identity
from kgplug.graph.schema import GraphSchema
from kgplug.training.runs import EVALUATION

if TYPE_CHECKING:
    from kgplug.embeddings.model import EmbeddingModel
    from kgplug.recommenders.base import Recommender

DEFAULT_FRACTIONS = {"recommender": (0.8, 0.1, 0.1), "embedding": (0.9, 0.05, 0.05)}  # of training, validation, test


@dataclass(frozen=True)
class Split:
    """How feedback (or triples) are parted into training, validation and test.

    Attributes:
        fractions: of the three parts; a part of 0 is empty.
        seed: of the shuffle.
        by: "user" or "row"; a triple's part follows from its keys (`KnowledgeGraph.split`).
        order: "random" or "time".
        method: "keys", or "positions" for runs of earlier versions of kgplug (`Interactions.split`).
    """

    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = 0
    by: Literal["user", "row"] = "user"
    order: Literal["random", "time"] = "random"
    method: Literal["keys", "positions"] = "keys"

    def __post_init__(self) -> None:
        object.__setattr__(self, "fractions", tuple(check_fractions(self.fractions).tolist()))
        object.__setattr__(self, "seed", check_seed(self.seed))
        if self.fractions[0] <= 0:
            raise UsageError("The first share of the split is the training part; it must be more than 0.")

    def interactions(self, rows: Interactions) -> tuple[Interactions, Interactions | None, Interactions | None]:
        """Return (train, valid, test); an empty part is None."""
        train, valid, test = rows.split(
            self.fractions, seed=self.seed, by=self.by, order=self.order, method=self.method
        )
        return train, valid if len(valid) else None, test if len(test) else None

    def triples(self, knowledge: KnowledgeGraph) -> tuple[KnowledgeGraph, KnowledgeGraph | None, KnowledgeGraph | None]:
        """Return (train, valid, test) over the same entities and relations; an empty part is None."""
        train, valid, test = knowledge.split(self.fractions, seed=self.seed)
        return train, valid if valid.n_triples else None, test if test.n_triples else None


@dataclass(frozen=True)
class GraphData:
    """What was read from the graph for a training.

    Attributes:
        identity: of the graph; by default unknown.
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

    def used_by(self, model: Recommender | EmbeddingModel) -> dict[str, str | None]:
        """Return the fingerprints of what a model learns from; those of titles only where it reads them."""
        used = self.fingerprints
        if models.kind(model) == "embedding":
            used["interactions"] = None
        elif not getattr(model, "needs_knowledge", False):
            used["knowledge"] = None
        if getattr(model, "reads_titles", False):
            used["titles"] = None if self.interactions is None else self.interactions.texts_fingerprint
        return used


def read(graph: Graph, schema: GraphSchema, *, name: str | None = None, progress: bool | None = None) -> GraphData:
    """Pull what a model needs from the graph: feedback for recommenders, triples where the model uses them.

    Args:
        name: of the model; None pulls both.
    """
    model = None if name is None else models.create(name)
    wants_feedback = model is None or models.kind(model) == "recommender"
    wants_triples = model is None or models.kind(model) == "embedding" or getattr(model, "needs_knowledge", False)
    return GraphData(
        schema,
        graph.read_interactions(schema, progress=progress) if wants_feedback else None,
        graph.read_knowledge(schema, progress=progress) if wants_triples else None,
        graph_identity(graph.connection, schema),
    )


def evaluation_of(folder: Path) -> dict[str, float]:
    """Return the figures that `evaluate` left beside a run, {} where it was not evaluated."""
    path = folder / EVALUATION
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    except (ValueError, TypeError, RecursionError):
        raise RunError(f"{path} is damaged. Delete it, then measure again: kgplug evaluate {folder.name}.") from None


def split_of(content: dict) -> Split:
    """Return the split of a run; a run that names no method was split by the positions of its rows."""
    return Split(**{"method": "positions", **content["split"], "fractions": tuple(content["split"]["fractions"])})


def refuse_other_graph(here: GraphIdentity, folder: Path, content: dict) -> None:
    """Raise RunError where a run was trained on another database than this one; both are named."""
    trained_on = GraphIdentity.of_run(content)
    if not here.same_store(trained_on):
        raise RunError(
            f"Run {folder.name} was trained on another graph, {trained_on}; this one is {here}. Set NEO4J_URI and "
            "NEO4J_DATABASE to that graph, or train a run on this one."
        )
