"""Choice, on the validation set, of how the strengths of rules are added up."""

from __future__ import annotations

import numpy as np

from kgplug.data.ranking.threads import row_blocks
from kgplug.embeddings.parts.ranking import Answers
from kgplug.embeddings.rules.scoring import RuleScorer

_BLOCK_FLOATS = 4_000_000  # scores in memory at a time: 16 MB


def reciprocal_ranks(scorer: RuleScorer, triples: np.ndarray, known: np.ndarray, ways: np.ndarray) -> np.ndarray:
    """Return the filtered reciprocal rank of each triple's tail and head, for each way to add up rule strengths.

    Ranks are computed as in `kgplug.embeddings.parts.ranking.filtered_ranks`.

    Args:
        scorer: Object that scores entities by the rules.
        triples: int64 (n, 3), the triples to rank.
        known: int64 (m, 3), further triples known to be true.
        ways: float64 (n_ways, 4). Each row is a way to add up strengths: the discount, and the weights of the three
            kinds of rule (see `RuleScorer`).

    Returns:
        float64 (2n, n_ways): first the n tails, then the n heads.
    """
    n_entities, n_relations = len(scorer.edges.segments) - 1, scorer.edges.n_relations

    def both(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        heads, relations, tails = rows.T
        return (
            np.concatenate([heads, tails]),
            np.concatenate([relations, relations + n_relations]),
            np.concatenate([tails, heads]),
        )

    entities, steps, true = both(triples)
    answers = Answers(*both(np.concatenate([known, triples])), n_entities=n_entities)
    keys = steps * n_entities + entities
    order = np.argsort(keys, kind="stable")
    found = np.empty((len(keys), len(ways)))
    for block in row_blocks(len(order), max(1, _BLOCK_FLOATS // (n_entities * len(ways)))):
        rows = order[block]
        scores = scorer.scores(entities[rows], steps[rows], np.broadcast_to(ways, (len(rows), *ways.shape)))
        own = scores[np.arange(len(rows)), :, true[rows]][:, :, None]  # (b, n_ways, 1)
        masked, columns = answers.of(keys[rows])
        scores[masked, :, columns] = -np.inf
        found[rows] = 1 / (1 + (scores > own).sum(axis=2) + (scores == own).sum(axis=2) / 2)
    return found


def chosen_ways(reciprocal: np.ndarray, steps: np.ndarray, *, n_steps: int, prior: float) -> np.ndarray:
    """Return, for each step, the column of `reciprocal` with the best way to add up rule strengths: int64 (n_steps,).

    A step is a relation in one direction. The best way has the highest mean reciprocal rank (MRR). The MRR of a step is
    averaged with the MRR of all steps, which counts as much as `prior` ranks. So a step with few ranks gets the way
    that is best for all steps together.

    Args:
        reciprocal: float64 (n, n_ways), n reciprocal ranks for each way, as `reciprocal_ranks` returns them.
        steps: int64 (n,), the step that each rank belongs to.
        n_steps: Number of steps.
        prior: Weight of the MRR of all steps, as a number of ranks.
    """
    sums = np.zeros((n_steps, reciprocal.shape[1]))
    np.add.at(sums, steps, reciprocal)
    return (sums + prior * reciprocal.mean(axis=0)).argmax(axis=1)
