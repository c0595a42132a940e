"""Description of a table or figure of a paper, and of the models that are measured for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kgplug import models
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.values.keys import fingerprint
from kgplug.errors import UsageError
from kgplug.recommenders.base import Recommender

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kgplug.papers.results import Results

FILM_PAPER = "Cao et al., 2021: MKR on Douban films (199,814 users, 93,956 films, 2,706,200 ratings)"
BOOK_PAPER = "Zhou et al.: CKCF, TransE neighbours fused with item-based collaborative filtering, on Book-Crossing"

Rows = dict[str, dict[str, float]]  # name of a row → metric → value


@dataclass(frozen=True, eq=False)
class PaperData:
    """The data on which an experiment is measured.

    Attributes:
        name: name of the data in tables.
        interactions: feedback.
        knowledge: triples.
    """

    name: str
    interactions: Interactions
    knowledge: KnowledgeGraph

    @cached_property
    def fingerprint(self) -> str:
        """12 hexadecimal digits that differ for different data."""
        return fingerprint(self.interactions.fingerprint, self.knowledge.fingerprint)[:12]


@dataclass(frozen=True)
class Contender:
    """A model that an experiment measures.

    Attributes:
        name: its name in tables.
        model: name of the model, as for `kgplug.create`.
        settings: its settings; all others have their defaults.
        only_neighbours: end a list before its first score of 0, because kgplug would otherwise fill it up with items
            that are near to none of the user's items.
    """

    name: str
    model: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    only_neighbours: bool = False

    def create(self, **more: Any) -> Recommender:
        """Return the untrained model; `more` has further settings, which replace those of the contender."""
        model = models.create(self.model, **{**self.settings, **more})
        if not isinstance(model, Recommender):
            raise UsageError(f"{model.name} is an embedding. The papers' experiments compare recommenders.")
        return model

    def graph(self, data: PaperData) -> KnowledgeGraph | None:
        """Return the triples for the model's `fit`; None if it does not learn from triples."""
        return data.knowledge if self.create().inputs.triples else None


def of_models(names: Sequence[str]) -> tuple[Contender, ...]:
    """Return a contender with default settings for each model."""
    return tuple(Contender(name, name) for name in names)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A table or figure of a paper.

    Attributes:
        name: name on the command line.
        title: title of the page.
        paper: the paper: authors, title, journal and year.
        question: the question that the table or figure answers, in one sentence.
        protocols: name of a protocol → its description. Every contender is measured by each.
        contenders: the models to compare, in the order of the table.
        quick: names of the contenders that `--quick` measures.
        repetitions: number of splits, as in the paper.
        metrics: columns of the table.
        unranked: metrics of which neither more nor less is better.
        measure: function from contender, protocol, data and seed to the rows that this contender contributes.
        draw: function from results to the chart.
        printed: row → metric → value that the paper prints. The metrics are those of the first protocol.
        differences: sentences that say what differs from the paper, and why.
        test_share: share of the rows in the test set; the paired test needs it.
    """

    name: str
    title: str
    paper: str
    question: str
    protocols: Mapping[str, str]
    contenders: tuple[Contender, ...]
    quick: tuple[str, ...]
    repetitions: int
    metrics: tuple[str, ...]
    measure: Callable[[Contender, str, PaperData, int], Rows]
    draw: Callable[[Results], Figure]
    printed: Mapping[str, Mapping[str, float]]
    differences: tuple[str, ...]
    test_share: float
    unranked: tuple[str, ...] = ()

    def chosen(self, names: Sequence[str] | None) -> tuple[Contender, ...]:
        """Return the contenders of the given names, ignoring case; None: all.

        Raises:
            UsageError: a name is not that of a contender.
        """
        if names is None:
            return self.contenders
        known = {contender.name.lower(): contender for contender in self.contenders}
        if unknown := [name for name in names if name.lower() not in known]:
            raise UsageError(
                f"{self.name} does not measure {', '.join(unknown)}. Choose from "
                f"{', '.join(one.name for one in self.contenders)}."
            )
        return tuple(known[name.lower()] for name in dict.fromkeys(names))
