"""Signs that a model to be published has collapsed: vectors that are zero or identical, scores that are all equal.

A healthy model shows no sign, however small its data. The limits below are reached when float32 or the vector index no
longer distinguishes two nodes, not when a model is merely weak.
"""

from __future__ import annotations

import numpy as np

from kgplug.data.publication import Publication, TopLists, usable_rows
from kgplug.errors import DeadModelError

MOST = 0.5  # vectors are reported if at least this share of them is bad
NEARLY_ALL = 0.99  # scores are reported if at least this share of them is bad
SEVERAL = 8  # minimum number of vectors or users; fewer may be alike by chance
_LEAST_LENGTH = 1e-6  # minimum length of a vector: in float32, dot products of shorter vectors are lost when added to 1
_LEAST_SPREAD = 1e-4  # minimum mean squared distance of unit vectors from their mean: (1 % of their length)²
_SAMPLE = 10_000  # maximum number of vectors checked
MARGIN = 1e-3  # a probability this close to 0 or 1 is saturated


def publication_findings(publication: Publication) -> list[str]:
    """Return the signs of collapse in a publication, one sentence each; [] for a healthy model.

    Zero vectors are a sign only if all vectors of a label are zero, because even in a healthy model, nodes without
    training data have zero vectors.
    """
    found = [sentence for nodes in publication.vectors for sentence in vector_findings(nodes.label, nodes.vectors)]
    if publication.lists is not None:
        found += list_findings(publication.lists, counts=not publication.vectors)
    return found


def refuse_dead(publication: Publication, *, force: bool) -> None:
    """Raise an error if the model of a publication has collapsed and `force` is false.

    Raises:
        DeadModelError: the model shows signs of collapse; the message lists them.
    """
    found = list(dict.fromkeys([*publication.findings, *publication_findings(publication)]))
    if found and not force:
        raise DeadModelError(
            f"{publication.model} (run {publication.run}) was not published: it has collapsed: {'; '.join(found)}. "
            "Train it with other settings, or publish another model. To publish it anyway, use --force "
            "(force=True in Python)."
        )


def vector_findings(what: str, vectors: np.ndarray, *, learnt: np.ndarray | None = None) -> list[str]:
    """Return the first sign of collapse in vectors of one kind of node: a list of one sentence, or [] if there is none.

    Args:
        what: name of this kind of node, such as its label; used in the sentence.
        vectors: float (n, d).
        learnt: bool (n,), whether a vector had training data and so must not be zero. None if unknown: then zero
            vectors are a sign only if all vectors are zero.
    """
    if len(vectors) == 0 or vectors.shape[1] == 0:
        return []
    n, name = len(vectors), f"{what} vectors" if what else "vectors"
    finite = np.isfinite(vectors).all(axis=1)
    if (~finite).sum() >= MOST * n:
        return [f"{(~finite).sum():,} of {n:,} {name} are not finite numbers"]
    zero = ~vectors.any(axis=1)
    if zero.all():
        return [f"all {n:,} {name} are zero"]
    if learnt is not None and learnt.sum() >= SEVERAL and (zero & learnt).sum() >= MOST * learnt.sum():
        return [f"{(zero & learnt).sum():,} of the {learnt.sum():,} {name} with likes to learn from are zero"]
    some = np.flatnonzero(finite & ~zero)
    some = some[:: -(-len(some) // _SAMPLE)]
    lengths = np.linalg.norm(vectors[some].astype(np.float64), axis=1)
    if np.median(lengths) < _LEAST_LENGTH or (~usable_rows(vectors[some])).mean() >= MOST:
        return [f"the {n:,} {name} have shrunk to almost zero (median length {np.median(lengths):.1g})"]
    if len(some) >= SEVERAL and _spread(vectors[some], lengths) < _LEAST_SPREAD:
        return [f"the {n:,} {name} are almost identical, so they do not distinguish nodes"]
    return []


def _spread(vectors: np.ndarray, lengths: np.ndarray) -> float:
    """Return the mean squared distance of vectors from their mean, divided by their mean squared length.

    If they have more than one dimension, each vector is first scaled to length 1, because the vector index compares
    only directions.
    """
    scale = lengths[:, None] if vectors.shape[1] > 1 else np.sqrt(np.square(lengths).mean())
    scaled = vectors.astype(np.float64) / np.maximum(scale, np.finfo(np.float64).tiny)
    return float(np.square(scaled - scaled.mean(axis=0)).sum(axis=1).mean())


def list_findings(lists: TopLists, *, probabilities: bool = False, counts: bool = False) -> list[str]:
    """Return the first sign of collapse in recommended lists: a list of one sentence, or [] if there is none.

    Args:
        lists: lists with their scores, best first.
        probabilities: whether scores are probabilities. Then it is also a sign if nearly all are close to 0 or 1.
        counts: whether scores count something, such as common likes. Then equal scores are not a sign of collapse,
            because all items that have nothing in common with the user's likes have the same score.
    """
    listed = lists.items >= 0
    scores = lists.scores[listed]
    if len(lists.items) < SEVERAL or len(scores) < 2 * SEVERAL:
        return []
    if not np.isfinite(scores).all():
        return [f"{(~np.isfinite(scores)).mean():.0%} of the scores in the lists are not finite numbers"]
    if scores.min() == scores.max() and not counts:
        return [f"every score in the lists is {scores[0]:.6g}, so their order is meaningless"]
    sure = np.minimum(scores, 1 - scores) <= MARGIN
    if probabilities and sure.mean() >= NEARLY_ALL:
        return [
            f"{sure.mean():.0%} of the probabilities in the lists are within {MARGIN} of 0 or 1: they are saturated"
        ]
    return []
