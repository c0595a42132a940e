"""Propose which nodes of two sources are the same: probabilities from names, years, neighbours and vectors.

Source: I. P. Fellegi and A. B. Sunter, "A Theory for Record Linkage", JASA 64(328), 1969. Its probabilities are
estimated without labels, by expectation maximisation (W. E. Winkler, "Using the EM Algorithm for Weight Computation in
the Fellegi-Sunter Model of Record Linkage", 1988). The levels, the prior counts, and the rules for doubtful pairs are
ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import sparse

from kgplug.data.linking.names import nearest_names, normal_name, year_in_name
from kgplug.errors import DataError

CANDIDATES = 10  # most similar names that are compared, for each node of the left source
_ROUNDS = 100
_PRIOR = 20.0  # weight of the prior, in pairs: it decides for tiny data, and the data decide for larger ones
_MISSING = -1  # level of a feature that one of the two nodes lacks; it says nothing
# For each feature, from the most similar level to the least: its share among same pairs, and among other candidates.
_LEVELS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "name": ((0.80, 0.12, 0.05, 0.02, 0.01), (0.02, 0.03, 0.10, 0.25, 0.60)),
    "year": ((0.85, 0.12, 0.03), (0.05, 0.08, 0.87)),
    "neighbours": ((0.75, 0.20, 0.05), (0.01, 0.04, 0.95)),
    "vectors": ((0.70, 0.20, 0.10), (0.05, 0.15, 0.80)),
}
Verdict = Literal["same", "doubtful"]


@dataclass(frozen=True, eq=False)
class Source:
    """Nodes to link.

    Attributes:
        keys: object (n,), key of each node.
        names: object (n,) of str, "" if a node has no name.
        years: float64 (n,), NaN where unknown. None: the years in brackets at the end of the names.
        neighbours: for each node the names of its neighbours; None if unknown.
        vectors: float (n, d), of one space with those of the other source; None if there are none.
    """

    keys: np.ndarray
    names: np.ndarray
    years: np.ndarray | None = None
    neighbours: Sequence[Sequence[str]] | None = None
    vectors: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def known_years(self) -> np.ndarray:
        """float64 (n,), the years, or those in the names where no year is given."""
        named = np.array([year_in_name(str(name)) for name in self.names], dtype=np.float64)
        return named if self.years is None else np.where(np.isnan(self.years), named, self.years)


@dataclass(frozen=True, eq=False)
class Links:
    """Proposed pairs, most probable first. Each node is in at most one pair.

    Attributes:
        left, right: int64 (n,), positions in the two sources.
        probability: float64 (n,), that the two are the same.
        verdicts: object (n,), "same" or "doubtful".
        reasons: object (n,) of str: what speaks for and against each pair.
    """

    left: np.ndarray
    right: np.ndarray
    probability: np.ndarray
    verdicts: np.ndarray
    reasons: np.ndarray

    def __len__(self) -> int:
        return len(self.left)


def propose(left: Source, right: Source, *, threshold: float = 0.9, least: float = 0.5) -> Links:
    """Propose which nodes of two sources are the same.

    For each node on the left, the ten nodes on the right with the most similar names are candidates. The probability of
    a candidate comes from the similarity of the names, the years, the share of common neighbours, and the vectors, as
    far as both nodes have them. How much each of these tells is learnt from the candidates, without labels.

    Args:
        left, right: the sources.
        threshold: probability from which a pair is "same". A pair is "doubtful" if it is less probable, or if another
            pair with one of its nodes also reaches `least`.
        least: probability below which a pair is left out.

    Raises:
        DataError: a source has no named node.
    """
    for source, side in ((left, "left"), (right, "right")):
        if not any(str(name).strip() for name in source.names):
            raise DataError(f"No node of the {side} source has a name, and nodes are compared by name.")
    a, b, similarity = nearest_names(
        [str(each) for each in left.names], [str(each) for each in right.names], CANDIDATES
    )
    if not len(a):
        return Links(a, b, similarity, np.empty(0, dtype=object), np.empty(0, dtype=object))
    levels = _levels(left, right, a, b, similarity)
    probability = _probabilities(levels, min(len(left), len(right)))
    return _one_to_one(a, b, probability, levels, threshold, least)


def _levels(left: Source, right: Source, a: np.ndarray, b: np.ndarray, similarity: np.ndarray) -> dict[str, np.ndarray]:
    """Return feature → level of each candidate, int64 (n,): 0 is the most similar, −1 is missing."""
    same = np.array(
        [normal_name(str(left.names[i])) == normal_name(str(right.names[j])) for i, j in zip(a, b, strict=True)]
    )
    found = {
        "name": np.where(same, 0, np.select([similarity >= 0.9, similarity >= 0.75, similarity >= 0.5], [1, 2, 3], 4))
    }
    apart = np.abs(left.known_years[a] - right.known_years[b])
    found["year"] = np.where(np.isnan(apart), _MISSING, np.minimum(apart, 2)).astype(np.int64)
    if left.neighbours is not None and right.neighbours is not None:
        found["neighbours"] = _neighbour_levels(left.neighbours, right.neighbours, a, b)
    if left.vectors is not None and right.vectors is not None:
        x, y = _unit(left.vectors)[a], _unit(right.vectors)[b]
        cosine = (x * y).sum(axis=1)
        found["vectors"] = np.select([cosine >= 0.8, cosine >= 0.5], [0, 1], 2)
    return {name: each for name, each in found.items() if (each != _MISSING).any()}


def _neighbour_levels(
    left: Sequence[Sequence[str]], right: Sequence[Sequence[str]], a: np.ndarray, b: np.ndarray
) -> np.ndarray:
    """Return the level of the common neighbours of each candidate.

    The share is the sum of the weights of common neighbours, divided by that of the node with the smaller sum. A rare
    neighbour weighs more (IDF).
    """
    names = [[normal_name(str(each)) for each in of_one] for of_one in (*left, *right)]
    rows = np.repeat(np.arange(len(names)), [len(each) for each in names])
    codes, known = pd.factorize(np.array([name for each in names for name in each], dtype=object))
    has = sparse.csr_matrix((np.ones(len(codes)), (rows, codes)), shape=(len(names), max(len(known), 1)))
    has.data[:] = 1
    frequency = np.maximum(np.asarray(has.sum(axis=0)).ravel(), 1)
    weighted = (has @ sparse.diags(np.log(1 + len(names) / frequency))).tocsr()
    x, y = weighted[a], has[b + len(left)]
    common = np.asarray(x.multiply(y).sum(axis=1)).ravel()
    total = np.asarray(weighted.sum(axis=1)).ravel()
    smaller = np.minimum(total[a], total[b + len(left)])
    share = common / np.maximum(smaller, 1e-12)
    return np.where(smaller <= 0, _MISSING, np.select([share >= 0.5, share > 0], [0, 1], 2))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _probabilities(levels: dict[str, np.ndarray], most: int) -> np.ndarray:
    """Return the probability that each candidate is the same pair, float64 (n,), by expectation maximisation.

    Args:
        levels: feature → level of each candidate.
        most: highest possible number of same pairs.
    """
    n = len(levels["name"])
    same = {name: np.array(_LEVELS[name][0]) for name in levels}
    other = {name: np.array(_LEVELS[name][1]) for name in levels}
    prior = min(0.5 * most / n, 0.5)
    probability = np.full(n, prior)
    for _ in range(_ROUNDS):
        odds = np.full(n, np.log(prior) - np.log1p(-prior))
        for name, level in levels.items():
            given = level != _MISSING
            odds[given] += np.log(same[name][level[given]]) - np.log(other[name][level[given]])
        before, probability = probability, 1 / (1 + np.exp(-odds))
        for name, level in levels.items():
            given = level != _MISSING
            same[name] = _shares(level[given], probability[given], _LEVELS[name][0])
            other[name] = _shares(level[given], 1 - probability[given], _LEVELS[name][1])
        prior = float(np.clip(probability.sum(), 0.5, most) / max(n, most + 1))
        if np.abs(probability - before).max() < 1e-9:
            break
    return probability


def _shares(level: np.ndarray, weight: np.ndarray, expected: tuple[float, ...]) -> np.ndarray:
    """Return the share of each level, with prior counts in proportion to the expected shares."""
    counts = np.bincount(level, weights=weight, minlength=len(expected)) + _PRIOR * np.array(expected)
    return counts / counts.sum()


def _one_to_one(
    a: np.ndarray,
    b: np.ndarray,
    probability: np.ndarray,
    levels: dict[str, np.ndarray],
    threshold: float,
    least: float,
) -> Links:
    """Choose pairs so that each node is in at most one; of two pairs with a common node, take the more probable."""
    order = np.lexsort((b, a, -probability))
    order = order[probability[order] >= least]
    rivals_a, rivals_b = np.bincount(a[order], minlength=1), np.bincount(b[order], minlength=1)
    left, chosen = order, [np.empty(0, dtype=np.int64)]
    while len(left):  # pairs that are the best for both of their nodes, until none is left
        first_a, first_b = (np.unique(side[left], return_index=True)[1] for side in (a, b))
        best = left[np.intersect1d(first_a, first_b)]
        chosen.append(best)
        left = left[~(np.isin(a[left], a[best]) | np.isin(b[left], b[best]))]
    kept = np.concatenate(chosen)
    kept = kept[np.lexsort((b[kept], a[kept], -probability[kept]))]
    clear = (probability[kept] >= threshold) & (rivals_a[a[kept]] == 1) & (rivals_b[b[kept]] == 1)
    return Links(
        a[kept],
        b[kept],
        probability[kept],
        np.where(clear, "same", "doubtful").astype(object),
        np.array([_reason(levels, place) for place in kept.tolist()], dtype=object),
    )


_WORDS = {
    "name": ("same name", "name nearly the same", "similar name", "partly similar name", "other name"),
    "year": ("same year", "a year apart", "other year"),
    "neighbours": ("most neighbours in common", "some neighbours in common", "no neighbour in common"),
    "vectors": ("similar vectors", "partly similar vectors", "other vectors"),
}


def _reason(levels: dict[str, np.ndarray], place: int) -> str:
    said = [_WORDS[name][level[place]] for name, level in levels.items() if level[place] != _MISSING]
    return ", ".join(said)
