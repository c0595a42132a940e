"""Signs that a trained embedding has collapsed.

The signs are vectors without length or spread, scores that are not finite, and the same score for all tails.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from kgplug.data.health import SEVERAL, vector_findings

_ENTITIES = 48  # the scores of about this many heads with as many tails are checked
_MIN_RANGE = 1e-6  # minimum range of scores / largest absolute score; a smaller range is a float32 rounding error


class Trained(Protocol):
    """The members of an embedding model that `model_findings` uses; see `EmbeddingModel`."""

    @property
    def entity_keys(self) -> np.ndarray: ...
    @property
    def relations(self) -> np.ndarray: ...
    def entity_vectors(self) -> np.ndarray: ...
    def score_triples(self, triples: np.ndarray) -> np.ndarray: ...


def model_findings(model: Trained) -> list[str]:
    """Return the signs that a trained embedding has collapsed, one sentence each; [] if there are none."""
    found = vector_findings("entity", model.entity_vectors())
    n = len(model.entity_keys)
    if n < SEVERAL:
        return found
    entities = np.arange(0, n, max(1, n // _ENTITIES))
    heads, tails = np.repeat(entities, len(entities)), np.tile(entities, len(entities))
    relations = heads % len(model.relations)
    scores = model.score_triples(np.stack([heads, relations, tails], axis=1)).reshape(len(entities), -1)
    if not np.isfinite(scores).all():
        return [*found, f"{(~np.isfinite(scores)).mean():.0%} of the checked scores are not finite numbers"]
    ranges = scores.max(axis=1) - scores.min(axis=1)  # (heads,): range over all tails
    if (ranges <= _MIN_RANGE * np.abs(scores).max(axis=1)).mean() >= 0.5:
        return [*found, "all tails have the same score"]
    return found
