"""Filtered ranks of true triples among all entities, in bounded memory and without a loop over triples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from kgplug.data.ranking.threads import row_blocks

ScoreAll = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Function that scores every entity as the missing end of b triples: (entities at the known end, relations), int64 (b,)
each → scores (b, n_entities), a new tensor that the caller may change."""


class Answers:
    """True answers to queries (entity, relation): the entities that complete each query to a known triple.

    The key of a query is relation · n_entities + entity.
    """

    def __init__(self, entities: np.ndarray, relations: np.ndarray, answers: np.ndarray, *, n_entities: int) -> None:
        keys = relations * n_entities + entities
        order = np.lexsort((answers, keys))
        self.n_entities, self.keys, self.answers = n_entities, keys[order], answers[order]

    def of(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return all true answers to some queries (entity, relation).

        Args:
            keys: int64 (b,), keys of the queries: relation · n_entities + entity.

        Returns:
            (rows, answers), both int64 (m,): `answers[i]` answers the query `keys[rows[i]]`.
        """
        first, last = np.searchsorted(self.keys, keys, "left"), np.searchsorted(self.keys, keys, "right")
        counts = last - first
        rows = np.repeat(np.arange(len(keys)), counts)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        return rows, self.answers[first[rows] + within]


def filtered_ranks(
    score_heads: ScoreAll,
    score_tails: ScoreAll,
    triples: np.ndarray,
    known: np.ndarray,
    *,
    n_entities: int,
    block_rows: int,
    device: torch.device,
) -> np.ndarray:
    """Rank the true head and the true tail of each triple among all entities, leaving out the other true answers.

    An entity with the same score as the true one counts half ("realistic" rank: the mean of the optimistic and the
    pessimistic rank). A score of NaN counts as the worst score.

    Args:
        score_heads: Function that scores every entity as head of (tail, relation).
        score_tails: Function that scores every entity as tail of (head, relation).
        triples: int64 (n, 3), the triples to rank.
        known: int64 (m, 3), further triples known to be true.
        n_entities: Number of entities.
        block_rows: Number of queries scored at a time.
        device: Device of the model.

    Returns:
        float64 (n, 2): rank of the head, rank of the tail; the best is 1.
    """
    everything = np.concatenate([known, triples])
    ranks = np.empty((len(triples), 2), dtype=np.float64)
    for column, score, asked, answer in ((0, score_heads, 2, 0), (1, score_tails, 0, 2)):
        answers = Answers(everything[:, asked], everything[:, 1], everything[:, answer], n_entities=n_entities)
        keys = triples[:, 1] * n_entities + triples[:, asked]  # relation first, so a block has few relations
        order = np.argsort(keys, kind="stable")
        for block in row_blocks(len(order), block_rows):
            rows = order[block]
            ranks[rows, column] = _ranks_of(score, answers, keys[rows], triples[rows, answer], device)
    return ranks


def _ranks_of(
    score: ScoreAll, answers: Answers, keys: np.ndarray, true: np.ndarray, device: torch.device
) -> np.ndarray:
    """Return the filtered rank of each true answer: float64 (b,).

    Args:
        score: Function that scores every entity as the missing end.
        answers: All true answers. They are left out of each other's ranks.
        keys: int64 (b,), keys of the queries (see `Answers`).
        true: int64 (b,), the answer to rank for each query.
        device: Device of the model.
    """
    queries, row_of = np.unique(keys, return_inverse=True)
    relations, entities = np.divmod(queries, answers.n_entities)
    scored = score(torch.from_numpy(entities).to(device), torch.from_numpy(relations).to(device))
    # Count with numpy: on a CPU it takes a tenth of torch's time.
    scores = torch.nan_to_num_(scored, nan=-torch.inf).cpu().numpy()  # (q, n_entities)
    of_true = scores[row_of, true][:, None]  # (b, 1)
    rows, columns = answers.of(queries)
    scores[rows, columns] = -np.inf  # all true answers, those to rank included
    own = scores if len(queries) == len(keys) else scores[row_of]  # (b, n_entities)
    better, equal = np.count_nonzero(own > of_true, axis=1), np.count_nonzero(own == of_true, axis=1)
    # If the true entity scores -inf, masked entities seem tied with it. They must not count.
    masked = np.bincount(rows, minlength=len(queries))[row_of]
    equal = np.where(np.isneginf(of_true[:, 0]), equal - masked, equal)
    return 1 + better + equal / 2
