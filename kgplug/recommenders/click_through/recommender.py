"""Recommenders that learn by gradient: the road from data to the training loop, once for all of them."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace
from pathlib import Path

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.values.keys import fingerprint
from kgplug.errors import TrainingError
from kgplug.recommenders.base import FitOptions
from kgplug.recommenders.click_through.config import ClickThroughConfig
from kgplug.recommenders.click_through.logits import LogitRecommender
from kgplug.recommenders.click_through.pairs import ClickThroughData
from kgplug.recommenders.click_through.side_term import SideTerm
from kgplug.recommenders.click_through.tasks import (
    WithSide,
)
from kgplug.training.device import choose_device
from kgplug.training.loop import History, TrainingTask, train
from kgplug.training.memory import train_in_memory

CHOOSING_FROM = 1_000  # likes; a tenth of fewer says little of when to stop
CHOOSING = (0.9, 0.1)  # of the rows: what learns and what tells how many epochs are best


def reach_of_guesses(n: int) -> float:
    """Return the AUC that guesses reach by luck: half, and two standard deviations for n likes and n negatives.

    Source: H. B. Mann, D. R. Whitney, Ann. Math. Statist. 18(1), 1947: the variance is (2 n + 1) / (12 n²).
    """
    return 0.5 + 2 * math.sqrt((2 * n + 1) / 12) / n if n else 0.5


class TrainedRecommender(LogitRecommender):
    """A recommender whose network `kgplug.training.loop.train` trains.

    A model gives `_task`, which builds the untrained network and what trains it, and `_settle`.
    """

    config: ClickThroughConfig
    scores_are_probabilities = True

    def _fit(
        self,
        interactions: Interactions,
        knowledge: KnowledgeGraph | None,
        valid: Interactions | None,
        seed: int,
        options: FitOptions,
    ) -> None:
        told = valid is not None or "epochs" in self._given.model_fields_set  # when to stop
        try:
            if not told and self._rows_that_tell(interactions) >= CHOOSING_FROM:
                epochs = self._best_epochs(interactions, knowledge, seed, options)
                self.config = self.config.model_copy(update={"epochs": epochs})
            self._train(interactions, knowledge, valid, seed, options)
        finally:
            if self.history:
                self._settle()

    def _rows_that_tell(self, interactions: Interactions) -> int:
        """Return how many rows there are of the rarer kind that a validation compares; negatives are drawn."""
        return int(interactions.is_like.sum())

    def _best_epochs(
        self, interactions: Interactions, knowledge: KnowledgeGraph | None, seed: int, options: FitOptions
    ) -> int:
        """Train on a part of the rows, and return how many epochs were best by the others."""
        config, file = self.config, options.checkpoint
        part, valid = interactions.split(CHOOSING, seed=seed, by="row")
        own_file = None if file is None else file.with_name(f"{file.stem}-epochs{file.suffix}")
        self._train(part, knowledge, valid, seed, replace(options, checkpoint=own_file), bar="how many epochs")
        self.config = config  # smaller batches, if memory was short, are for the whole training to find
        return self.history["best_epoch"] + 1

    def _train(
        self,
        interactions: Interactions,
        knowledge: KnowledgeGraph | None,
        valid: Interactions | None,
        seed: int,
        options: FitOptions,
        *,
        bar: str = "",
    ) -> None:
        self.history = {}
        data = (
            interactions.fingerprint,
            "" if valid is None else valid.fingerprint,
            "" if knowledge is None else knowledge.fingerprint,
        )
        texts = (interactions.texts_fingerprint or "",) if self.reads_titles else ()

        def build(config: ClickThroughConfig) -> TrainingTask:
            self.config = config
            return self._whole_task(interactions, knowledge, valid, seed)

        def go(task: TrainingTask, config: ClickThroughConfig, checkpoint: Path | None) -> History:
            return train(
                task,
                epochs=config.epochs,
                patience=config.patience,
                seed=seed,
                description=f"{self.name}, {bar}" if bar else self.name,
                chance=reach_of_guesses(0 if valid is None else int(valid.is_like.sum())),
                fingerprint=fingerprint(*data, config.model_dump_json(), str(seed), *texts),
                checkpoint=checkpoint,
                progress=options.progress,
            )

        try:
            trained = train_in_memory(self.name, self.config, build, go, checkpoint=options.checkpoint)
            self.history = trained.to_dict()
        except TrainingError as error:
            self.history = error.history or {}
            raise

    def _whole_task(
        self, interactions: Interactions, knowledge: KnowledgeGraph | None, valid: Interactions | None, seed: int
    ) -> TrainingTask:
        """Build the untrained network, with its side term where the settings ask for one, and what trains them."""
        self.side = None
        if self.config.side:
            device = choose_device(self.config.device)
            self.side = SideTerm.untrained(interactions.likes(), knowledge, seed=seed, device=device)
        task = self._task(interactions, knowledge, valid, seed)
        return task if self.side is None else WithSide(task, self.side, self.config.side_learning_rate)

    def _click_through(self, interactions: Interactions, valid: Interactions | None, seed: int) -> ClickThroughData:
        """Return what the task trains on."""
        exclude = self.config.exclude_low_rated
        return ClickThroughData(interactions, valid, seed=seed, exclude_low_rated=exclude, side=self.side)

    @abstractmethod
    def _task(
        self, interactions: Interactions, knowledge: KnowledgeGraph | None, valid: Interactions | None, seed: int
    ) -> TrainingTask:
        """Build the untrained network and what trains it."""

    def _settle(self) -> None:
        """Compute what scoring needs from the trained network."""
