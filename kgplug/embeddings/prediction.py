"""Predicted links: the most plausible unknown triples of a relation. The result is exact; memory is bounded."""

from __future__ import annotations

import bisect
import difflib
import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.publication import Predictions
from kgplug.data.ranking.ties import ROUNDING, groups_of_sorted
from kgplug.data.values.whole_numbers import is_whole
from kgplug.errors import TrainingError, UsageError, unknown_name
from kgplug.progress import bar as progress_bar

if TYPE_CHECKING:
    from kgplug.embeddings.link_predictor import LinkPredictor, PairScores

_BLOCK_FLOATS = 4_000_000  # floats in memory at a time while scoring: 16 MB
_SHOWN_KEYS = 3
_COMPARED_KEYS = 500  # a misspelt key is compared with this many keys before it and after it in alphabetical order


@dataclass(frozen=True, eq=False)
class Question:
    """The pairs to score: every head with every tail.

    Attributes:
        relation: Index of the relation.
        heads, tails: int64 (h,) and (t,), entity indices, ascending.
        known: int64 (n, 2), heads and tails of the known triples of the relation, as entity indices, sorted. These
            pairs are never predicted.
        loops: Whether pairs of an entity with itself are scored: true if the relation has a known pair of this kind.
    """

    relation: int
    heads: np.ndarray
    tails: np.ndarray
    known: np.ndarray
    loops: bool

    @property
    def n_scores(self) -> int:
        return len(self.heads) * len(self.tails)


def ask(
    model: LinkPredictor,
    known: KnowledgeGraph,
    relation: str,
    *,
    head_label: str | None = None,
    tail_label: str | None = None,
    head: int | str | None = None,
    tail: int | str | None = None,
) -> Question:
    """Return the pairs that `predict` will score.

    Args:
        model: A trained model.
        known: All known triples.
        relation: Name of the relation.
        head_label, tail_label: Node label of the heads and of the tails. If omitted, all labels that known triples
            of the relation have at that end.
        head, tail: Key of a single head or tail, of the same type as in the graph.

    Raises:
        UsageError: The relation, a label or a key is unknown (the message suggests the nearest). Or several nodes have
            the key. Or neither label nor key is given for an end, and the relation has no known triple to infer labels
            from.
    """
    if relation not in model.relations:
        raise unknown_name("relation", relation, model.relations)
    relation_index = int(np.flatnonzero(model.relations == relation)[0])
    pairs = _known_pairs(model, known, relation)
    ends = (("head", head_label, head, pairs[:, 0]), ("tail", tail_label, tail, pairs[:, 1]))
    heads, tails = (_entities(model, end, label, key, seen) for end, label, key, seen in ends)
    return Question(relation_index, heads, tails, pairs, bool((pairs[:, 0] == pairs[:, 1]).any()))


def predict(model: LinkPredictor, question: Question, *, k: int = 10, progress: bool | None = None) -> Predictions:
    """Return the most plausible unknown pairs of a question, best first.

    Args:
        model: The model that the question was made for.
        question: Return value of `ask`.
        k: Maximum number of pairs. Tied pairs are ordered by the index of the head, then of the tail.
        progress: Whether to show a progress bar. None: only on a terminal.

    Raises:
        UsageError: `k` is not a whole number of at least 1.
        TrainingError: the model's scores are not numbers.
    """
    if not is_whole(k) or k < 1:
        raise UsageError(f"k: expected a whole number of at least 1, found {k!r}.")
    best, n = _Best(k), len(model.entity_keys)
    with progress_bar(question.n_scores, what="Scoring", unit="pair", progress=progress) as bar:
        for heads, tails, scores in _scored(model, question):
            _leave_out(scores, heads, tails, question)
            rows, columns = np.nonzero(scores >= max(best.minimum, np.finfo(np.float32).min))
            best.offer(scores[rows, columns], heads[rows] * n + tails[columns])
            bar.update(scores.size)
    found_scores, codes = best.ranked()
    found_heads, found_tails = np.divmod(codes, n)
    return Predictions(
        model.name,
        model.run,
        str(model.relations[question.relation]),
        model.entity_labels[found_heads],
        model.entity_keys[found_heads],
        model.entity_labels[found_tails],
        model.entity_keys[found_tails],
        found_scores,
        reasons=model.reasons(question.relation, found_heads, found_tails),
    )


class _Best:
    """The best of the pairs scored so far.

    A pair's code is head · n_entities + tail. Scores that differ only by rounding errors count as tied
    (`kgplug.data.ranking.ties`), and tied pairs are ordered by code. So the candidates for the final list also include
    pairs that score slightly less than the last one of the best `size` pairs.

    Args:
        size: Length of the final list.

    Attributes:
        scores: float32 (n,), the candidates' scores.
        codes: int64 (n,), the candidates' codes.
    """

    def __init__(self, size: int) -> None:
        self.size, self._largest, self._last = size, 0.0, -np.inf
        self.scores, self.codes = np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int64)

    @property
    def minimum(self) -> float:
        """Minimum score that a pair needs to become a candidate."""
        return self._last - self._tolerance

    @property
    def _tolerance(self) -> float:
        return ROUNDING * self._largest

    def offer(self, scores: np.ndarray, codes: np.ndarray) -> None:
        """Add pairs, then drop those that can no longer be in the final list.

        Args:
            scores: float32 (m,), scores of the pairs.
            codes: int64 (m,), codes of the pairs: head · n_entities + tail.
        """
        self._largest = max(self._largest, float(np.abs(scores).max(initial=0)))
        scores, codes = np.concatenate([self.scores, scores]), np.concatenate([self.codes, codes])
        if len(scores) > self.size:
            self._last = float(np.partition(scores, -self.size)[-self.size])
            above = np.flatnonzero(scores > self._last + self._tolerance)
            tied = np.flatnonzero((scores >= self.minimum) & (scores <= self._last + self._tolerance))
            if len(tied) > self.size:  # for example if all pairs have the same score
                tied = tied[np.argpartition(codes[tied], self.size - 1)[: self.size]]
            kept = np.concatenate([above, tied])
            scores, codes = scores[kept], codes[kept]
        self.scores, self.codes = scores, codes

    def ranked(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (scores, codes) of the final list, best first. Tied pairs all get the best score among them.

        The code of a pair is head · n_entities + tail.
        """
        order = np.argsort(-self.scores, kind="stable")
        scores = self.scores[order]
        group = groups_of_sorted(np.zeros(len(order), dtype=np.int64), scores, np.array([self._tolerance]))
        ranks = np.lexsort((self.codes[order], group))[: self.size]
        first = np.flatnonzero(np.diff(group, prepend=0))  # first position of each group
        return scores[first[group[ranks] - 1]], self.codes[order[ranks]]


def _scored(model: LinkPredictor, question: Question) -> PairScores:
    """Yield the scores of the question's pairs in blocks."""
    pairs = model.pair_scores(question.relation, question.heads, question.tails, block_floats=_BLOCK_FLOATS)
    for heads, tails, scores in pairs:
        if np.isnan(scores).any():
            raise TrainingError(f"{model.name}'s scores are not numbers. Train again with a smaller learning_rate.")
        yield heads, tails, scores


def _leave_out(scores: np.ndarray, heads: np.ndarray, tails: np.ndarray, question: Question) -> None:
    """Set the scores of pairs that must not be predicted to -inf, in place.

    These are known pairs and, if `question.loops` is false, pairs of an entity with itself.

    Args:
        scores: Score of each head with each tail, float32 (number of heads, number of tails).
        heads, tails: int64, entity indices, ascending.
        question: The known pairs, and whether pairs of an entity with itself are scored.
    """
    known = question.known  # sorted by head
    first, last = np.searchsorted(known[:, 0], [heads[0], heads[-1] + 1])
    pairs = known[first:last]
    if not question.loops:
        pairs = np.concatenate([pairs, np.stack([heads, heads], axis=1)])
    rows, columns = np.searchsorted(heads, pairs[:, 0]), np.searchsorted(tails, pairs[:, 1])
    inside = (rows < len(heads)) & (columns < len(tails))
    rows, columns, pairs = rows[inside], columns[inside], pairs[inside]
    inside = (heads[rows] == pairs[:, 0]) & (tails[columns] == pairs[:, 1])
    scores[rows[inside], columns[inside]] = -np.inf


def _known_pairs(model: LinkPredictor, known: KnowledgeGraph, relation: str) -> np.ndarray:
    """Return heads and tails of the relation's known triples, int64 (n, 2), in the model's indices, sorted.

    Triples with an entity that the model does not know are left out.
    """
    of_relation = known.triples[known.relations[known.triples[:, 1]] == relation]
    entity_indices, _ = known.indices_in(model.vocabulary)
    pairs = entity_indices[of_relation[:, [0, 2]]]  # (n, 2)
    pairs = pairs[(pairs >= 0).all(axis=1)]
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _entities(model: LinkPredictor, end: str, label: str | None, key: int | str | None, seen: np.ndarray) -> np.ndarray:
    """Return the entities to score at one end: int64 (n,), ascending.

    Args:
        model: A trained model.
        end: "head" or "tail", for messages.
        label, key: Label and key of the entities to score; None: any. If both are None, return the entities that have
            the label of an entity in `seen`.
        seen: int64 (m,), entities that known triples have at that end.
    """
    labels = model.entity_labels
    if label is not None and not (labels == label).any():
        raise unknown_name(f"{end} type", label, set(labels))
    if key is not None:
        of_label = np.ones(len(labels), dtype=bool) if label is None else labels == label
        found = np.flatnonzero(of_label & (model.entity_keys == key))
        if len(found) == 0:
            raise _unknown_key(model, end, label, key)
        if len(found) > 1:
            several = ", ".join(f":{one}" for one in labels[found])
            raise UsageError(f"{len(found)} nodes have the key {key!r} ({several}). Choose one with --{end}-type.")
        return found
    if label is not None:
        return np.flatnonzero(labels == label)
    wanted = set(labels[seen])
    if not wanted:
        raise UsageError(f"There is no known triple to infer the type of the {end}s from. Set it with --{end}-type.")
    return np.flatnonzero(pd.Index(labels, dtype=object).isin(wanted))


def _unknown_key(model: LinkPredictor, end: str, label: str | None, key: int | str) -> UsageError:
    keys = model.entity_keys if label is None else model.entity_keys[model.entity_labels == label]
    numbers = {one for one in keys if isinstance(one, int)}  # nodes with different labels may have the same key
    if isinstance(key, int) and numbers:
        near = [str(one) for one in heapq.nsmallest(_SHOWN_KEYS, numbers, key=lambda one: abs(one - key))]
    else:
        texts = sorted({*map(str, keys)})
        position = bisect.bisect(texts, str(key))
        around = texts[max(0, position - _COMPARED_KEYS) : position + _COMPARED_KEYS]
        near = difflib.get_close_matches(str(key), around, n=_SHOWN_KEYS, cutoff=0)
    where = f":{label} node" if label else "node"
    return UsageError(f"{model.name} has no {where} with the key {key!r} as a {end}. The nearest: {', '.join(near)}.")
