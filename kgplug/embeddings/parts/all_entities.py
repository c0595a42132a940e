"""Scores of all entities as head or tail: by a matrix product or distance matrix if possible, otherwise by PyKEEN."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from pykeen.models import ERModel

from kgplug.embeddings.parts.queries import QueryForm, query_form, query_vectors, real_vectors, relation_rows
from kgplug.embeddings.parts.ranking import ScoreAll, filtered_ranks
from kgplug.embeddings.parts.translational import Translational

BLOCK_FLOATS = 4_000_000  # floats in memory at a time while scoring: 16 MB, which the allocator reuses


class AllScores(NamedTuple):
    """Functions by which a model scores every entity as the missing end of triples.

    Attributes:
        heads: Function that scores every entity as head of (tail, relation).
        tails: Function that scores every entity as tail of (head, relation).
        floats_per_score: Number of floats in memory for one score.
    """

    heads: ScoreAll
    tails: ScoreAll
    floats_per_score: int


def all_scores(module: ERModel[Any, Any, Any]) -> AllScores:
    """Return the fastest scoring functions for a model.

    PyKEEN's own functions are the fallback. They copy vectors for each score.
    """
    if isinstance(module, Translational):
        return _own_way(module, 1)
    form = query_form(module)
    if form is not None:
        return _by_queries(module, form)
    return _own_way(module, floats_per_triple(module))


@torch.no_grad()
def ranks_of(module: ERModel[Any, Any, Any], triples: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the filtered rank of each triple's head and of its tail among all entities: float64 (n, 2).

    Args:
        module: The model.
        triples: int64 (n, 3).
        known: int64 (m, 3), further triples known to be true.
    """
    scores, n_entities = all_scores(module), module.num_entities
    rows = max(1, BLOCK_FLOATS // (n_entities * scores.floats_per_score))
    return filtered_ranks(
        scores.heads, scores.tails, triples, known, n_entities=n_entities, block_rows=rows, device=module.device
    )


@torch.no_grad()
def scores_of(module: ERModel[Any, Any, Any], triples: np.ndarray) -> np.ndarray:
    """Score triples: int64 (n, 3) → float32 (n,)."""
    rows = max(1, BLOCK_FLOATS // floats_per_triple(module))
    blocks = [torch.from_numpy(triples[start : start + rows]) for start in range(0, len(triples), rows)]
    scores = [module.predict_hrt(block).flatten() for block in blocks]
    return torch.cat(scores).float().cpu().numpy() if scores else np.empty(0, dtype=np.float32)


@torch.no_grad()
def tail_scores(module: ERModel[Any, Any, Any], pairs: np.ndarray, tails: slice) -> np.ndarray:
    """Score a range of entities as tail of (head, relation): int64 (n, 2) → float32 (n, number of tails)."""
    n_tails = len(range(*tails.indices(module.num_entities)))
    scores, found = all_scores(module), np.empty((len(pairs), n_tails), dtype=np.float32)
    rows = max(1, BLOCK_FLOATS // (module.num_entities * scores.floats_per_score))
    for start in range(0, len(pairs), rows):
        heads, relations = torch.from_numpy(pairs[start : start + rows].T.copy()).to(module.device)
        found[start : start + rows] = scores.tails(heads, relations)[:, tails].float().cpu().numpy()
    return found


def floats_per_triple(module: ERModel[Any, Any, Any]) -> int:
    """Estimate the number of floats that PyKEEN needs to score a triple: three times the size of the largest tensor.

    The tensors are the vectors and matrices of one entity or one relation.
    """
    parts = [*module.entity_representations, *module.relation_representations]
    return 3 * max(int(np.prod(part.shape)) for part in parts)


@torch.no_grad()
def pair_scores(
    module: ERModel[Any, Any, Any], relation: int, heads: np.ndarray, tails: np.ndarray, *, block_floats: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Score every head with every tail in blocks. Arguments and results are those of `LinkPredictor.pair_scores`."""
    n, scored, cost = module.num_entities, all_scores(module), floats_per_triple(module)
    # Score all entities as tails if that costs no more than scoring the wanted ones alone.
    at_once = scored.floats_per_score == 1 and n <= min(block_floats, cost * len(tails))
    columns = len(tails) if at_once else max(1, min(len(tails), block_floats // cost))
    for some_heads in _blocks(heads, max(1, block_floats // (n if at_once else cost * columns))):
        entities = torch.from_numpy(some_heads).to(module.device)
        relations = torch.full_like(entities, relation)
        for some_tails in _blocks(tails, columns):
            if at_once:
                scores = scored.tails(entities, relations).float().cpu().numpy()[:, some_tails]
            else:
                queries, candidates = torch.stack([entities, relations], dim=1), torch.from_numpy(some_tails)
                scores = module.predict_t(queries, tails=candidates.to(module.device)).float().cpu().numpy().copy()
            yield some_heads, some_tails, scores


def _blocks(numbers: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (numbers[start : start + size] for start in range(0, len(numbers), size))


def _own_way(module: ERModel[Any, Any, Any], floats_per_score: int) -> AllScores:
    return AllScores(
        lambda tails, relations: module.predict_h(torch.stack([relations, tails], dim=1)),
        lambda heads, relations: module.predict_t(torch.stack([heads, relations], dim=1)),
        floats_per_score,
    )


def _by_queries(module: ERModel[Any, Any, Any], form: QueryForm) -> AllScores:
    """Return functions that compare the vector of each query with every entity's."""
    entity, relation = module.entity_representations[0], module.relation_representations[0]

    def score(entities: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        table, relations = entity(), relation(relation_rows(module, codes))
        queries = real_vectors(query_vectors(module, form, table[entities], codes, relations))  # (b, d)
        if form.by_distance:
            return torch.cdist(queries, real_vectors(table)).neg_()
        return queries @ real_vectors(table).T

    return AllScores(
        lambda tails, relations: score(tails, 2 * relations + 1),
        lambda heads, relations: score(heads, 2 * relations),
        1,
    )
