"""The training data of a recommender."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Checked data that `Recommender.fit` passes to `_fit`.

    Attributes:
        interactions: Training set.
        knowledge: Triples, or None.
        valid: Validation set, or None.
        seed: Random seed. The same seed, data and settings give the same model.
        progress: Whether to show a progress bar. None: only on a terminal.
        checkpoint: File to write from time to time and to continue from, or None.
        pause_after: Total number of epochs after which a training writes its checkpoint and pauses; None: no pause.
        resumable: Whether the checkpoint is kept when this process ends, so that another one can continue from it.
        on_epoch: Called as on_epoch(epoch, metric) after each validated epoch; see `kgplug.training.loop.train`.
        embeddings: Embedding models trained during this `fit`, so that its later trainings can reuse them. Keys are
            fingerprints of the embeddings' inputs.
    """

    interactions: Interactions
    knowledge: KnowledgeGraph | None = None
    valid: Interactions | None = None
    seed: int = 0
    progress: bool | None = None
    checkpoint: Path | None = None
    pause_after: int | None = None
    resumable: bool = True
    on_epoch: Callable[[int, float], None] | None = None
    embeddings: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def graph(self) -> KnowledgeGraph:
        """The triples, for models that need them; `fit` has checked that they were given."""
        assert self.knowledge is not None
        return self.knowledge

    def divided(self, fractions: tuple[float, float], purpose: str) -> TrainingData:
        """Return a copy in which part of the training rows are the validation set. It has its own checkpoint file.

        Args:
            fractions: Fraction of the rows to train on, and fraction to validate on.
            purpose: Word to add to the name of the checkpoint file.
        """
        learnt, valid = self.interactions.split(fractions, seed=self.seed, by="row")
        file = self.checkpoint
        own_file = None if file is None else file.with_name(f"{file.stem}-{purpose}{file.suffix}")
        return replace(self, interactions=learnt, valid=valid, checkpoint=own_file)

    @property
    def linked(self) -> np.ndarray:
        """Entity index of each item, int64 (n_items,), -1 for items that are not entities."""
        return self.graph.entities_of(self.interactions.item_keys, label=self.interactions.item_label)

    @property
    def fingerprints(self) -> tuple[str, str, str]:
        """Fingerprints (hashes) of the training set, the validation set and the triples, "" where missing."""
        valid = "" if self.valid is None else self.valid.fingerprint
        return self.interactions.fingerprint, valid, "" if self.knowledge is None else self.knowledge.fingerprint
