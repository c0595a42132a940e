"""Figure 3 of the book paper: precision, recall and F1 of CKCF by the ratio of its two lists."""

from __future__ import annotations

from kgplug.papers.books_figures_4_5 import CKCF, DIFFERENCES, FRACTIONS, metrics, sets
from kgplug.papers.charts import by_row
from kgplug.papers.experiment import BOOK_PAPER, Contender, Experiment, PaperData, Rows

RATIOS = range(11)  # tenths of the list that come from collaborative filtering
LENGTH = 10


def measure(contender: Contender, _protocol: str, data: PaperData, seed: int) -> Rows:
    """Train CKCF once, and measure its lists with every ratio. The ratio has no effect on the training."""
    train, test = sets(data, seed)
    model = contender.create()
    model.fit(train, contender.graph(data), seed=seed, progress=False)
    rows: Rows = {}
    for ratio in RATIOS:
        model.config = model.config.model_copy(update={"cf_share": ratio / 10})
        rows[f"{ratio}:{10 - ratio}"] = metrics(model, contender, train, test)
    return rows


EXPERIMENT = Experiment(
    name="books-figure-3",
    title="Book paper, figure 3: how much of the list should come from the graph",
    paper=BOOK_PAPER,
    question="Which ratio of collaborative filtering to neighbours in the graph gives the best lists?",
    protocols={
        "lists": "Three quarters of the ratings are for training, and every rating is a like. Lists have ten books. "
        "The ratio goes from 0:10 (all from the graph) to 10:0 (all from collaborative filtering)."
    },
    contenders=(CKCF,),
    quick=("CKCF",),
    repetitions=10,
    metrics=tuple(f"{name}@{LENGTH}" for name in ("precision", "recall", "F1")),
    measure=measure,
    draw=lambda results: by_row(results, [f"{name}@{LENGTH}" for name in ("precision", "recall", "F1")], "CF : graph"),
    printed={},
    differences=("The paper finds that 5:5 is best.", *DIFFERENCES),
    test_share=FRACTIONS[1],
)
