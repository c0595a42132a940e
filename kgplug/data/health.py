"""Signs of a dead model in what it publishes: vectors without length or spread, scores that put nothing in order.

A healthy model shows none of them, however small its data: the limits lie where float32 or the vector index can no
longer tell two nodes apart, not where a model is merely weak.
"""

from __future__ import annotations

import numpy as np

from kgplug.data.publication import Publication, TopLists, usable_rows
from kgplug.errors import DeadModelError

MOST = 0.5  # share of vectors, or of places in lists, from which on it is most of them
NEARLY_ALL = 0.99
SEVERAL = 8  # vectors or users; fewer may be alike by accident
_LEAST_LENGTH = 1e-6  # of vectors: their products vanish next to a score of 1 in float32
_LEAST_SPREAD = 1e-4  # mean squared distance from the mean, of vectors of length 1: they differ by 1 % of it
_SAMPLE = 10_000  # vectors looked at
SURE = 1e-3  # a probability this close to 0 or 1 is saturated


def publication_findings(publication: Publication) -> list[str]:
    """Return what is dead about a publication, one sentence each; nothing where it is alive.

    Vectors that are exactly zero count where all of a label are: a model has none for nodes it knows nothing about.
    """
    found = [sentence for nodes in publication.vectors for sentence in vector_findings(nodes.label, nodes.vectors)]
    if publication.lists is not None:
        found += list_findings(publication.lists, counts=not publication.vectors)
    return found


def refuse_dead(publication: Publication, *, force: bool) -> None:
    """Refuse a publication of a dead model, unless forced.

    Raises:
        DeadModelError: names what was found.
    """
    found = list(dict.fromkeys([*publication.findings, *publication_findings(publication)]))
    if found and not force:
        raise DeadModelError(
            f"{publication.model} (run {publication.run}) was not published: it has collapsed: {'; '.join(found)}. "
            "Train it with other settings, or publish another model. To publish it anyway, use --force "
            "(force=True in Python)."
        )


def vector_findings(what: str, vectors: np.ndarray, *, learnt: np.ndarray | None = None) -> list[str]:
    """Return what is dead about the vectors of one kind of nodes, one sentence at most.

    Args:
        what: of which nodes, such as a label.
        vectors: float (n, d).
        learnt: bool (n,), of which there was something to learn, so that they cannot be zero; None where unknown.
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
    """Return the mean squared distance of vectors from their mean, relative to their mean squared length.

    Of more than one dimension directions are compared, as the vector index does.
    """
    scale = lengths[:, None] if vectors.shape[1] > 1 else np.sqrt(np.square(lengths).mean())
    scaled = vectors.astype(np.float64) / np.maximum(scale, np.finfo(np.float64).tiny)
    return float(np.square(scaled - scaled.mean(axis=0)).sum(axis=1).mean())


def list_findings(lists: TopLists, *, probabilities: bool = False, counts: bool = False) -> list[str]:
    """Return what is dead about lists, one sentence at most.

    Args:
        lists: best first.
        probabilities: whether scores are.
        counts: whether scores count something, such as likes in common: of who has seen all that is near to what
            they like, everything else has the same.
    """
    listed = lists.items >= 0
    scores = lists.scores[listed]
    if len(lists.items) < SEVERAL or len(scores) < 2 * SEVERAL:
        return []
    if not np.isfinite(scores).all():
        return [f"{(~np.isfinite(scores)).mean():.0%} of the scores in the lists are not finite numbers"]
    if scores.min() == scores.max() and not counts:
        return [f"every score in the lists is {scores[0]:.6g}, so their order is meaningless"]
    sure = np.minimum(scores, 1 - scores) <= SURE
    if probabilities and sure.mean() >= NEARLY_ALL:
        return [f"{sure.mean():.0%} of the probabilities in the lists are within {SURE} of 0 or 1: they are saturated"]
    return []
