"""What `results.py` measures: data sets, models in the order of the tables, and how a model's graph is taken away."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import book_crossing
import movies
import numpy as np

import kgplug
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.sources import movielens_100k
from kgplug.data.values.keys import fingerprint
from kgplug.recommenders.base import Recommender
from kgplug.settings import Settings

MOVIELENS, BOOKS, MOVIES = "movielens-100k", "book-crossing", "movielens-small"
DATASETS = (MOVIELENS, BOOKS)
UNSEEN = (MOVIES,)  # no setting was chosen on it; measured only by "honest" click-through and by lists
ALL_DATASETS = (*DATASETS, *UNSEEN)
TITLES = {MOVIELENS: "MovieLens-100K", BOOKS: "Book-Crossing", MOVIES: "MovieLens small"}

BASELINES = ("Popularity", "ItemKNN", "UserKNN", "EASE", "ALS", "BPR", "MF", "LightGCN")  # first in the tables
DETERMINISTIC = ("Popularity", "ItemKNN", "UserKNN", "EASE")  # no seed changes their training


def shuffled(knowledge: KnowledgeGraph) -> KnowledgeGraph:
    """Return a graph with the same number of triples, but without information: each relation's tails are shuffled."""
    triples, rng = knowledge.triples.copy(), np.random.default_rng(0)
    for relation in range(knowledge.n_relations):
        own = triples[:, 1] == relation
        triples[own, 2] = rng.permutation(triples[own, 2])
    return KnowledgeGraph.from_arrays(knowledge.entity_keys, knowledge.entity_labels, knowledge.relations, triples)


@dataclass(frozen=True)
class Ablation:
    """How a model is measured without its knowledge graph, or without one of its parts.

    Attributes:
        variant: Name in the tables.
        graph: Function from the knowledge graph to the graph that the model gets.
        settings: Settings of the model.
    """

    variant: str
    graph: Callable[[KnowledgeGraph], KnowledgeGraph]
    settings: dict[str, Any] = field(default_factory=dict)


WITHOUT = Ablation("without KG", KnowledgeGraph.without_triples)  # for models that are not in ABLATIONS
CF_ALONE = Ablation("CF alone", lambda graph: graph, {"cf_share": 1.0, "embedding_settings": {"epochs": 1}})
SHUFFLED = Ablation("shuffled KG", shuffled)  # for models that refuse a graph without triples
ABLATIONS = {
    "CKCF": CF_ALONE,
    "CKCF-relational": CF_ALONE,
    "SemanticCF": CF_ALONE,
    "LibFM": SHUFFLED,
    "Wide&Deep": SHUFFLED,
    "DKN": SHUFFLED,
    "PER": SHUFFLED,
}


def _switches(parts: dict[str, dict[str, Any]]) -> tuple[Ablation, ...]:
    return tuple(Ablation(variant, lambda graph: graph, settings) for variant, settings in parts.items())


# Parts of kgplug's own models. One part at a time is switched off.
SWITCHES = {
    "MKR-attention": _switches({
        "no attention": {"neighbours": 0},
        "no gates (cross & compress)": {"gates": False, "init_scale": 0.1},  # init_scale: MKR's
        "no propagation": {"n_layers": 0},
        "no side term": {"side": False, "init_scale": 0.1},  # at 0.01, training stops before it improves
        "no KG task": {"kge_weight": 0.0},
    }),
    "CKCF-relational": _switches({
        "items' own vectors (CKCF)": {"compare": "own"},
        "one vector for all relations": {"compare": "mean"},
        "neighbours not translated": {"translate": False},
        "popular items held down as by CKCF": {"hot_exponent": 0.5},
        "new items raised as by CKCF": {"cold_boost": "printed"},
        "half from the graph as in CKCF": {"cf_share": 0.5},
    }),
}  # fmt: skip
MADE_FOR_LISTS = ("CKCF-relational",)  # switches of these are measured by lists, those of other models by click-through
PROBE = "user balance"  # not a model: a user's number of training negatives minus its number of training positives
KEEPS_THRESHOLD = ("MKR-rated",)  # learns from low ratings, also in parts where other models take every row for a like


@dataclass(frozen=True)
class Row:
    """One row of a table: a model, whole or with an ablation.

    Attributes:
        model: Name of the model.
        takes_graph: Whether the model takes a knowledge graph.
        ablation: How the graph or a part is taken away; None for the whole model.
    """

    model: str
    takes_graph: bool
    ablation: Ablation | None = None

    @property
    def variant(self) -> str:
        """Return the ablation's name in the tables; "" for the whole model."""
        return "" if self.ablation is None else self.ablation.variant

    def create(self, **more: Any) -> Recommender:
        """Return the untrained model."""
        settings = {} if self.ablation is None else self.ablation.settings
        model = kgplug.create(self.model, **(settings | more))
        assert isinstance(model, Recommender)
        return model

    def graph(self, knowledge: KnowledgeGraph) -> KnowledgeGraph | None:
        """Return the graph that the model gets; None if it takes no graph."""
        if not self.takes_graph:
            return None
        return knowledge if self.ablation is None else self.ablation.graph(knowledge)


def rows(names: Iterable[str] | None = None) -> list[Row]:
    """Return a row for each recommender of kgplug. If it takes a graph, a row without its graph follows.

    Args:
        names: Names of models, ignoring case; None: all of kgplug's recommenders.
    """
    known = {info.name: info for info in kgplug.available() if info.kind == "recommender"}
    if names is not None:
        asked = {kgplug.create(name).name for name in names}  # raises an error for an unknown name
        known = {name: info for name, info in known.items() if name in asked}
    order = [name for name in BASELINES if name in known] + [name for name in known if name not in BASELINES]
    result = []
    for name in order:
        takes_graph = known[name].needs != "likes"
        result += [Row(name, takes_graph)]
        result += [Row(name, takes_graph, ABLATIONS.get(name, WITHOUT))] if takes_graph else []
    return result


@dataclass(frozen=True, eq=False)
class DataSet:
    """One data set.

    Attributes:
        name: Name of the data set.
        interactions: Feedback.
        knowledge: Knowledge graph.
        like_threshold: Lowest rating of a like in click-through; None: every row is a like.
    """

    name: str
    interactions: Interactions
    knowledge: KnowledgeGraph
    like_threshold: float | None

    @cached_property
    def fingerprint(self) -> str:
        """Return 12 hexadecimal digits that differ for different data."""
        return fingerprint(self.interactions.fingerprint, self.knowledge.fingerprint)[:12]

    def every_row_liked(self) -> DataSet:
        """Return the same data with every row as a like."""
        return dataclasses.replace(self, interactions=self.interactions.with_like_threshold(None))


def read(name: str, folder: Path | None) -> DataSet | None:
    """Return a data set from its folder; None without a folder. MovieLens-100K needs none, because it is downloaded."""
    if name == MOVIELENS:
        return DataSet(name, *movielens_100k.read_arrays(Settings().downloads_dir), like_threshold=4)
    if folder is None:
        return None
    if name == MOVIES:
        return DataSet(name, *movies.read(folder), like_threshold=4)
    return DataSet(name, *book_crossing.read(folder), like_threshold=None)
