"""Publishing the result of a PyKEEN pipeline: `graph.publish(pipeline_result)`.

The pipeline's triples must name entities as `dataset="neo4j"` does (see `kgplug.pykeen_bridge.names`), but they may
come from another data set.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import torch

from kgplug.data.publication import Publication, RelationVectors, vectors_by_label
from kgplug.data.values.keys import fingerprint
from kgplug.embeddings.catalogue import EMBEDDINGS
from kgplug.embeddings.export import entity_vectors, object_array, real_numbers
from kgplug.errors import UsageError
from kgplug.pykeen_bridge.names import entity_of

_METRICS = {"MRR": "both.realistic.inverse_harmonic_mean_rank", "hits@10": "both.realistic.hits_at_10"}
_DIGEST_DIGITS = 12  # number of digits of the digest in a run's id


class PykeenResult:
    """A trained PyKEEN pipeline that can be published.

    Args:
        result: Return value of `pykeen.pipeline.pipeline`.

    Attributes:
        name: Class name of the PyKEEN model.

    Raises:
        UsageError: the result has no labelled training triples, or its model has no entity vectors.
    """

    def __init__(self, result: Any) -> None:
        if not hasattr(getattr(result, "training", None), "entity_id_to_label"):
            raise UsageError(
                f"Expected the result of a PyKEEN pipeline over labelled triples, found {type(result).__name__}. "
                'Train with pipeline(dataset="neo4j", …).'
            )
        if not hasattr(result.model, "entity_representations"):
            raise UsageError(
                f"PyKEEN's {type(result.model).__name__} has no entity vectors, so there is nothing to publish."
            )
        self._result = result
        self.name = type(result.model).__name__

    def publication(self, *, details: dict[str, Any] | None = None) -> Publication:
        """Return the vectors of entities (by label) and of relations, with a run id derived from them.

        The same result has the same id, so publishing it again changes nothing.

        Args:
            details: Further facts to store as JSON with the run, in the graph's list of published runs.

        Raises:
            DataError: an entity's name does not identify a node.
        """
        model, training = self._result.model, self._result.training
        vectors = entity_vectors(model, self.name)
        entities = [entity_of(training.entity_id_to_label[number]) for number in range(training.num_entities)]
        labels, keys = (object_array([entity[side] for entity in entities]) for side in (0, 1))
        parts = vectors_by_label(labels, keys, vectors)
        n_relations = len(training.relation_to_id)
        names = object_array([training.relation_id_to_label[number] for number in range(n_relations)])
        tensors = _relation_tensors(model, self.name, n_relations)
        run = fingerprint(labels, keys, vectors, names, *tensors.values())[:_DIGEST_DIGITS]
        slug = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")
        settings = json.loads(json.dumps(dict(self._result.configuration), default=_named))
        found = {"settings": settings, "seed": self._result.random_seed}
        found["metrics"] = {short: self._metric(long) for short, long in _METRICS.items()}
        return Publication(
            self.name, f"{slug}-pykeen-{run}", parts, None, found | (details or {}), RelationVectors(names, tensors)
        )

    def _metric(self, name: str) -> float | None:
        try:
            return round(float(self._result.metric_results.get_metric(name)), 4)
        except (AttributeError, KeyError, ValueError):  # the evaluator was not PyKEEN's rank-based one
            return None


def _named(value: object) -> str:
    """Return a PyKEEN setting as text: the name of a function or class, or `str` of another object."""
    return getattr(value, "__qualname__", None) or str(value)


@torch.no_grad()
def _relation_tensors(model: Any, name: str, n_relations: int) -> dict[str, np.ndarray]:
    """Return the model's relation tensors by name, float32 (n_relations, …) each.

    If the model has learnt inverse relations, the names of their tensors have the prefix "inverse_".
    """
    tensors = [real_numbers(part()) for part in getattr(model, "relation_representations", ())]
    known = EMBEDDINGS[name].relation_parts if name in EMBEDDINGS else ()
    meanings = known if len(known) == len(tensors) else [f"relation_{number}" for number in range(len(tensors))]
    named: dict[str, np.ndarray] = {}
    for meaning, tensor in zip(meanings, tensors, strict=True):
        if len(tensor) == 2 * n_relations:  # relation r has row 2r, its inverse row 2r + 1
            named[meaning] = np.ascontiguousarray(tensor[0::2])
            named[f"inverse_{meaning}"] = np.ascontiguousarray(tensor[1::2])
        elif len(tensor) == n_relations:
            named[meaning] = tensor
    return named
