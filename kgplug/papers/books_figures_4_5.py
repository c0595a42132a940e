"""Figures 4 and 5 of the book paper: recall and precision of lists of 5, 10, 20 and 50 books."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from kgplug.data.interactions import Interactions
from kgplug.papers.charts import panels
from kgplug.papers.experiment import BOOK_PAPER, Contender, Experiment, PaperData, Rows, of_models
from kgplug.papers.lists import fit_for_lists, list_metrics
from kgplug.recommenders.base import Recommender

LENGTHS = (5, 10, 20, 50)
FRACTIONS = (0.75, 0.25)
COLD_BELOW = 2  # training ratings; the paper's definition of a new book
COLD = "cold "  # before the metrics that only count the test ratings of new books
CKCF = Contender("CKCF", "CKCF", {"back_fill": "none", "linked_only": True}, only_neighbours=True)
DIFFERENCES = (
    "The paper's formulas are printed only in part; docs/recommenders.md says how kgplug reads them.",
    "The paper compares CKCF with KGCN, RippleNet and RKGE-CF. On sparse ratings of books, these can be below "
    "popularity, which the paper does not show; so popularity and two models without a graph of their own are added.",
    "CKCF lists only neighbours of the user's items, as in the paper, so its lists can be shorter than K.",
)


def measure(contender: Contender, _protocol: str, data: PaperData, seed: int) -> Rows:
    """Train a model and measure its lists on the test set once, for all books and for new books."""
    train, test = sets(data, seed)
    model, _ = fit_for_lists(contender.create, train, contender.graph(data), seed=seed)
    return {contender.name: metrics(model, contender, train, test)}


def metrics(model: Recommender, contender: Contender, train: Interactions, test: Interactions) -> dict[str, float]:
    """Return the metrics at every length, over all test ratings and, as "cold …", over those of new books."""
    found = list_metrics(model, test, LENGTHS, only_neighbours=contender.only_neighbours)
    cold = test.take(np.bincount(train.items, minlength=train.n_items)[test.items] < COLD_BELOW)
    if len(cold):
        of_new = list_metrics(model, cold, LENGTHS, only_neighbours=contender.only_neighbours)
        found |= {f"{COLD}{name}": value for name, value in of_new.items()}
    return found


@lru_cache(maxsize=1)
def sets(data: PaperData, seed: int) -> tuple[Interactions, Interactions]:
    """Return the training and the test set of a repetition, cached for all its models. Every rating is a like."""
    train, test = data.interactions.with_like_threshold(None).split(FRACTIONS, seed=seed, by="row")
    return train, test


EXPERIMENT = Experiment(
    name="books-figures-4-5",
    title="Book paper, figures 4 and 5: recall and precision of lists",
    paper=BOOK_PAPER,
    question="Are lists better if collaborative filtering is fused with neighbours in the knowledge graph?",
    protocols={
        "lists": "Three quarters of the ratings are for training, and every rating is a like. Each user's list comes "
        "from the whole catalogue without the books in the user's training ratings."
    },
    contenders=(CKCF, *of_models(("KGCN", "RippleNet", "RKGE-CF", "Popularity", "EASE", "CEASE"))),
    quick=("CKCF", "Popularity", "EASE"),
    repetitions=5,
    metrics=tuple(f"{name}@{k}" for name in ("recall", "precision") for k in LENGTHS),
    measure=measure,
    draw=lambda results: panels(results, ("recall", "precision"), LENGTHS),
    printed={"CKCF": {"precision@5": 0.0437, "precision@50": 0.0131}},
    differences=DIFFERENCES,
    test_share=FRACTIONS[1],
)
