"""Figure 8 of the film paper: F1 of lists of 1 to 100 films, with the peak of each curve."""

from __future__ import annotations

from functools import lru_cache

from kgplug.data.interactions import Interactions
from kgplug.errors import DataError
from kgplug.papers.charts import curves
from kgplug.papers.experiment import FILM_PAPER, Contender, Experiment, PaperData, Rows, of_models
from kgplug.papers.lists import fit_for_lists, list_metrics

LENGTHS = tuple(range(1, 101))
FRACTIONS = (0.8, 0.2)
PEAK, AT = "highest F1", "at K"


def measure(contender: Contender, _protocol: str, data: PaperData, seed: int) -> Rows:
    """Train a model and measure its lists of every length on the test set once."""
    train, test = _sets(data, seed)
    model, _ = fit_for_lists(contender.create, train, contender.graph(data), seed=seed)
    found = list_metrics(model, test, LENGTHS)
    curve = {f"F1@{k}": found[f"F1@{k}"] for k in LENGTHS}
    best = max(LENGTHS, key=lambda k: curve[f"F1@{k}"])
    return {contender.name: {PEAK: curve[f"F1@{best}"], AT: float(best), **curve}}


@lru_cache(maxsize=1)
def _sets(data: PaperData, seed: int) -> tuple[Interactions, Interactions]:
    """Return the training set and the likes of the test set, cached for all models of a repetition."""
    train, test = data.interactions.split(FRACTIONS, seed=seed, by="row")
    if not test.is_like.any():
        raise DataError("The test set has no like, so no list can be measured. Use data with more likes.")
    return train, test.likes()


EXPERIMENT = Experiment(
    name="movies-figure-8",
    title="Film paper, figure 8: F1 by the length of the list",
    paper=FILM_PAPER,
    question="How long should a list of recommended films be?",
    protocols={
        "lists": "80 % of the ratings are for training. Each user's list comes from the whole catalogue without the "
        "films in the user's training ratings, and the user's test likes are relevant."
    },
    contenders=of_models(
        ("LibFM", "PER", "CKE", "DKN", "Wide&Deep", "MKR", "MKR-attention", "Popularity", "MF", "EASE")
    ),
    quick=("MKR", "Popularity", "EASE"),
    repetitions=10,
    metrics=(PEAK, AT, "F1@10", "F1@20", "F1@50", "F1@100"),
    unranked=(AT,),
    measure=measure,
    draw=lambda results: curves(results, [f"F1@{k}" for k in LENGTHS], LENGTHS, "K, length of the list", "F1@K"),
    printed={"MKR": {AT: 20}},
    differences=(
        "The paper says that the curve of MKR has its peak at K = 20. The peak depends on how many test likes a user "
        "has, so it is not a property of the model: compare the peaks of all models here.",
        "The paper does not say which items its lists are chosen from. Here it is the whole catalogue, which gives "
        "lower values than lists chosen among a sample.",
    ),
    test_share=FRACTIONS[1],
)
