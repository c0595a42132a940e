"""Signs that a trained embedding is dead: vectors without length or spread, the same score for all triples."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from kgplug.data.health import SEVERAL, vector_findings

_ENTITIES = 48  # heads and tails whose scores are looked at
_LEAST_RANGE = 1e-6  # of scores, next to the largest of them: float32 knows no smaller difference


class Trained(Protocol):
    """What is looked at of an embedding; see `EmbeddingModel`."""

    @property
    def entity_keys(self) -> np.ndarray: ...
    @property
    def relations(self) -> np.ndarray: ...
    def entity_vectors(self) -> np.ndarray: ...
    def score_triples(self, triples: np.ndarray) -> np.ndarray: ...


def model_findings(model: Trained) -> list[str]:
    """Return what is dead about a trained embedding, one sentence each; nothing where it is alive."""
    found = vector_findings("entity", model.entity_vectors())
    n = len(model.entity_keys)
    if n < SEVERAL:
        return found
    entities = np.arange(0, n, max(1, n // _ENTITIES))
    heads, tails = np.repeat(entities, len(entities)), np.tile(entities, len(entities))
    relations = heads % len(model.relations)
    scores = model.score_triples(np.stack([heads, relations, tails], axis=1)).reshape(len(entities), -1)
    if not np.isfinite(scores).all():
        return [*found, f"{(~np.isfinite(scores)).mean():.0%} of the scores looked at are not finite numbers"]
    ranges = scores.max(axis=1) - scores.min(axis=1)  # of the tails of each head
    if (ranges <= _LEAST_RANGE * np.abs(scores).max(axis=1)).mean() >= 0.5:
        return [*found, "all tails have the same score"]
    return found
