"""What `results.py` measures: data sets, models in the order of the tables, and what a model is without its graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from accuracy import book_crossing

import kgplug
from kgplug.data.datasets import movielens_100k
from kgplug.data.interactions import Interactions
from kgplug.data.keys import fingerprint
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.recommenders.base import Recommender
from kgplug.settings import Settings

MOVIELENS, BOOKS = "movielens-100k", "book-crossing"
DATASETS = (MOVIELENS, BOOKS)
TITLES = {MOVIELENS: "MovieLens-100K", BOOKS: "Book-Crossing"}

WITHOUT = "without KG"
BASELINES = ("Popularity", "ItemKNN", "UserKNN", "EASE", "ALS", "BPR", "MF", "LightGCN")  # first in the tables
DETERMINISTIC = ("Popularity", "ItemKNN", "UserKNN", "EASE")  # no seed changes their training

# What makes a model one without its knowledge graph: settings, or None where there is no such model. A model that needs
# a graph and does not stand here is trained on the same entities and relations without a triple.
WITHOUT_GRAPH: dict[str, dict[str, Any] | None] = {
    "CKCF": {"cf_share": 1.0, "embedding_settings": {"epochs": 1}},  # the graph's list fills up what CF leaves short
    "CKCF-relational": {"cf_share": 1.0, "embedding_settings": {"epochs": 1}},
    "SemanticCF": {"cf_share": 1.0, "embedding_settings": {"epochs": 1}},
    "LibFM": None,  # a factorisation machine over two ids alone is MF
    "Wide&Deep": None,
    "DKN": None,
    "PER": None,
}
# Settings of a second training, on training and validation rows, beside its number of epochs.
REFIT: dict[str, dict[str, Any]] = {"MKR-rated": {"valid_share": 0.0}}
KEEPS_THRESHOLD = ("MKR-rated",)  # learns from low ratings, also where the others take every row for a like


@dataclass(frozen=True)
class Row:
    """One row of a table: a model, with its graph or without.

    Attributes:
        variant: "" or WITHOUT.
        settings: that make the variant.
        needs_graph: whether the model takes a knowledge graph at all.
    """

    model: str
    variant: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    needs_graph: bool = False

    def create(self, **more: Any) -> Recommender:
        """Return the untrained model."""
        model = kgplug.create(self.model, **(self.settings | more))
        assert isinstance(model, Recommender)
        return model

    def graph(self, knowledge: KnowledgeGraph) -> KnowledgeGraph | None:
        """Return what the model is given of a graph."""
        if not self.needs_graph:
            return None
        return knowledge.without_triples() if self.variant and not self.settings else knowledge


def rows(names: Iterable[str] | None = None) -> list[Row]:
    """Return a row for each recommender of kgplug and one for each that can be without its graph.

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
        needs = known[name].needs != "likes"
        result.append(Row(name, needs_graph=needs))
        if needs and WITHOUT_GRAPH.get(name, {}) is not None:
            result.append(Row(name, WITHOUT, WITHOUT_GRAPH.get(name) or {}, needs_graph=True))
    return result


@dataclass(frozen=True, eq=False)
class DataSet:
    """One data set.

    Attributes:
        positive: least rating of a like in click-through; None: every row is one.
    """

    name: str
    interactions: Interactions
    knowledge: KnowledgeGraph
    positive: float | None

    @cached_property
    def fingerprint(self) -> str:
        """Return 12 hexadecimal digits that tell this data from other data."""
        return fingerprint(self.interactions.fingerprint, self.knowledge.fingerprint)[:12]

    def every_row_liked(self) -> DataSet:
        """Return the same data, each row a like."""
        return dataclasses.replace(self, interactions=self.interactions.with_threshold(None))


def read(name: str, books: Path | None) -> DataSet | None:
    """Return a data set; None for Book-Crossing without its folder."""
    if name == MOVIELENS:
        return DataSet(name, *movielens_100k(Settings().downloads_dir), positive=4)
    return None if books is None else DataSet(name, *book_crossing(books), positive=None)
