"""What `results.py` measures: data sets, models in the order of the tables, and what a model is without its graph."""

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
UNSEEN = (MOVIES,)  # no setting was chosen on it; measured by "honest" clicks and by lists alone
ALL_DATASETS = (*DATASETS, *UNSEEN)
TITLES = {MOVIELENS: "MovieLens-100K", BOOKS: "Book-Crossing", MOVIES: "MovieLens small"}

BASELINES = ("Popularity", "ItemKNN", "UserKNN", "EASE", "ALS", "BPR", "MF", "LightGCN")  # first in the tables
DETERMINISTIC = ("Popularity", "ItemKNN", "UserKNN", "EASE")  # no seed changes their training


def shuffled(knowledge: KnowledgeGraph) -> KnowledgeGraph:
    """Return a graph of as many triples that say nothing: the tails of each relation change places."""
    triples, rng = knowledge.triples.copy(), np.random.default_rng(0)
    for relation in range(knowledge.n_relations):
        own = triples[:, 1] == relation
        triples[own, 2] = rng.permutation(triples[own, 2])
    return KnowledgeGraph.from_arrays(knowledge.entity_keys, knowledge.entity_labels, knowledge.relations, triples)


@dataclass(frozen=True)
class Ablation:
    """What makes a model one without its knowledge graph.

    Attributes:
        variant: what the tables say of it.
        graph: from the graph to the one that the model gets.
        settings: of the model.
    """

    variant: str
    graph: Callable[[KnowledgeGraph], KnowledgeGraph]
    settings: dict[str, Any] = field(default_factory=dict)


WITHOUT = Ablation("without KG", KnowledgeGraph.without_triples)  # of every model that takes a graph, but for these
CF_ALONE = Ablation("CF alone", lambda graph: graph, {"cf_share": 1.0, "embedding_settings": {"epochs": 1}})
SHUFFLED = Ablation("shuffled KG", shuffled)  # of models that refuse a graph without triples
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


# Parts of a model of ours, each taken away alone.
SWITCHES = {
    "MKR-attention": _switches({
        "no attention": {"neighbours": 0},
        "no gates (cross & compress)": {"gates": False, "init_scale": 0.1},  # MKR's own
        "no propagation": {"n_layers": 0},
        "no side term": {"side": False, "init_scale": 0.1},  # at 0.01 it waits longer than its patience
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
MADE_FOR_LISTS = ("CKCF-relational",)  # its switches are measured by lists, those of the others by click-through
PROBE = "user balance"  # no model: a user's training negatives less its training positives
KEEPS_THRESHOLD = ("MKR-rated",)  # learns from low ratings, also where the others take every row for a like


@dataclass(frozen=True)
class Row:
    """One row of a table: a model, with its graph or without.

    Attributes:
        takes_graph: whether the model takes a knowledge graph at all.
        ablation: how the graph is taken away; None: it is not.
    """

    model: str
    takes_graph: bool
    ablation: Ablation | None = None

    @property
    def variant(self) -> str:
        """Return "", or what the tables say of the model without its graph."""
        return "" if self.ablation is None else self.ablation.variant

    def create(self, **more: Any) -> Recommender:
        """Return the untrained model."""
        settings = {} if self.ablation is None else self.ablation.settings
        model = kgplug.create(self.model, **(settings | more))
        assert isinstance(model, Recommender)
        return model

    def graph(self, knowledge: KnowledgeGraph) -> KnowledgeGraph | None:
        """Return what the model is given of a graph."""
        if not self.takes_graph:
            return None
        return knowledge if self.ablation is None else self.ablation.graph(knowledge)


def rows(names: Iterable[str] | None = None) -> list[Row]:
    """Return a row for each recommender of kgplug, and after one that takes a graph one for itself without.

    Args:
        names: of models, case ignored; None: all that kgplug has.
    """
    known = {info.name: info for info in kgplug.available() if info.kind == "recommender"}
    if names is not None:
        asked = {kgplug.create(name).name for name in names}  # refuses names that there are not
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
        like_threshold: lowest rating of a like in click-through; None: every row is a like.
    """

    name: str
    interactions: Interactions
    knowledge: KnowledgeGraph
    like_threshold: float | None

    @cached_property
    def fingerprint(self) -> str:
        """Return 12 hexadecimal digits that tell this data from other data."""
        return fingerprint(self.interactions.fingerprint, self.knowledge.fingerprint)[:12]

    def every_row_liked(self) -> DataSet:
        """Return the same data, each row a like."""
        return dataclasses.replace(self, interactions=self.interactions.with_like_threshold(None))


def read(name: str, folder: Path | None) -> DataSet | None:
    """Return a data set from its folder, which MovieLens-100K needs not; None without one."""
    if name == MOVIELENS:
        return DataSet(name, *movielens_100k.read_arrays(Settings().downloads_dir), like_threshold=4)
    if folder is None:
        return None
    if name == MOVIES:
        return DataSet(name, *movies.read(folder), like_threshold=4)
    return DataSet(name, *book_crossing.read(folder), like_threshold=None)
