"""What a recommender is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Checked data, as `Recommender.fit` hands them to a model.

    Attributes:
        interactions: the training set.
        knowledge: triples, or None if the model gets none.
        valid: the validation set, or None.
        seed: the same seed, data and settings give the same model.
        progress: show a bar; None shows it on a terminal.
        checkpoint: file to write from time to time and to continue from, or None.
        on_epoch: Called as on_epoch(epoch, metric) after each validated epoch; see `kgplug.training.loop.train`.
    """

    interactions: Interactions
    knowledge: KnowledgeGraph | None = None
    valid: Interactions | None = None
    seed: int = 0
    progress: bool | None = None
    checkpoint: Path | None = None
    on_epoch: Callable[[int, float], None] | None = None

    @property
    def graph(self) -> KnowledgeGraph:
        """The knowledge graph of a model that needs one; `fit` has checked that it is there."""
        assert self.knowledge is not None
        return self.knowledge

    @property
    def linked(self) -> np.ndarray:
        """The entity of each item, int64 (n_items,), -1 where it has none."""
        return self.graph.entities_of(self.interactions.item_keys, label=self.interactions.item_label)

    @property
    def fingerprints(self) -> tuple[str, str, str]:
        """Fingerprints of the training set, the validation set and the triples, "" where missing."""
        valid = "" if self.valid is None else self.valid.fingerprint
        return self.interactions.fingerprint, valid, "" if self.knowledge is None else self.knowledge.fingerprint
