"""Recommenders that learn by gradient: the road from data to the training loop, once for all of them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from kgplug.data.interactions import Interactions
from kgplug.data.keys import fingerprint
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.errors import TrainingError
from kgplug.recommenders.base import FitOptions
from kgplug.recommenders.click_through import ClickThroughData, Pairs
from kgplug.recommenders.layers import squared_norm
from kgplug.recommenders.logits import LogitRecommender
from kgplug.recommenders.side_term import SideTerm
from kgplug.training.adam import Adam, Optimizer
from kgplug.training.config import DataSize, TrainedConfig
from kgplug.training.device import choose_device
from kgplug.training.loop import History, TrainingTask, train
from kgplug.training.memory import train_in_memory
from kgplug.training.row_adam import RowAdam

SIDE_BELOW = 20  # likes a user
PATIENCE_OF_FEW = 20  # epochs, where likes are very few
CHOOSING_FROM = 1_000  # likes; a tenth of fewer says little of when to stop
CHOOSING = (0.9, 0.1)  # of the rows: what learns and what tells how many epochs are best
SCORED_PAIRS = 65_536  # pairs that a network scores at a time


class ClickThroughConfig(TrainedConfig):
    """Settings of a model that learns to tell likes from negatives redrawn each epoch."""

    weight_l2: float = Field(1e-5, ge=0, description="weight of the squared norms of the layers")
    init_scale: float = Field(0.1, gt=0, description="standard deviation of the tables at the start")
    exclude_low_rated: bool = Field(True, description="keep items that the user rated low out of the negatives")
    side: bool = Field(
        False, description="add what counts of likes and the KG profile of the user's likes say (not in the papers)"
    )
    side_learning_rate: float = Field(
        1e-2, gt=0, description="of Adam for the networks on counts; for models with a graph 3e-2 if likes are few"
    )

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        return cls.patience_suited_to(size)

    @classmethod
    def patience_suited_to(cls, size: DataSize) -> dict[str, float]:
        """Return more patience for very few likes, whose validation figure goes up and down by chance.

        With 3,100 likes of 100 users of MovieLens-100K, trainings that chose their epochs with a patience of 5 and of
        20 had a validation AUC of .851 and .873 (MF), .868 and .875 (BPR), .881 and .882 (KGCN; mean of two draws).
        """
        usual = int(cls.model_fields["patience"].default)
        return {"patience": max(usual, PATIENCE_OF_FEW)} if size.has_very_few_likes else {}


class KnowledgeConfig(ClickThroughConfig):
    """Settings of a click-through model with a knowledge graph: the side term is on where users have few likes.

    On one split of Book-Crossing (2 likes a user) it took MKR's AUC from .769 to .804 and KGCN's from .777 to .815; of
    likes of MovieLens-100K, thinned to 14 a user, MKR's from .857 to .869 and KGCN's from .8766 to .8773; on
    MovieLens-100K (35) it changed neither by more than .002.

    Few likes make few steps, in which the vectors overfit before the side term has learnt, so that it learns three
    times as fast: of 2,000 users of Book-Crossing validation AUC then was .725 and .743 for KGCN's .718 and .728 (two
    draws), .747 and .752 for MKR's .743 and .749; of 6,000 users .771 and .766 for .762 and .761, .778 and .770 for
    .776 and .770.
    """

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        settings = super().suited_to(size)
        if size.likes_per_user >= SIDE_BELOW:
            return settings
        return settings | {"side": True} | ({"side_learning_rate": 3e-2} if size.has_few_likes else {})

    @classmethod
    def batches_suited_to(cls, size: DataSize) -> dict[str, float]:
        """Return smaller batches for very few likes, of the models that gained from them.

        Validation AUC of seven parts of Book-Crossing and MovieLens-100K with 1,000 to 8,000 likes
        (`benchmarks/small_data.py`): MKR .001 to .019 more, KGCN .001 to .012, CKE .001 to .020, RippleNet -.001 to
        .012. With 10,000 likes and more it was no better any more.
        """
        if not size.has_very_few_likes:
            return {}
        rows = {"batch_size": 2 * size.n_likes, "kge_batch_size": size.n_triples}  # of likes with a negative each
        return cls.small_batches(**{name: n for name, n in rows.items() if name in cls.model_fields})


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


class WithSide:
    """A task and the side term, trained together: the task's loss holds the side term's logits already.

    Args:
        task: of the model.
        side: of its `ClickThroughData`.
        learning_rate: of Adam for the side term.
    """

    def __init__(self, task: TrainingTask, side: SideTerm, learning_rate: float) -> None:
        self._task, self._towers = task, side.towers
        self.module = nn.ModuleList([task.module, side.towers])
        self._optimizer = Adam(side.towers.parameters(), lr=learning_rate)
        self.optimizers = (*task.optimizers, self._optimizer)

    @property
    def step_floats(self) -> int:
        return self._task.step_floats

    def batches(self, epoch: int, rng: np.random.Generator) -> Sequence[Any] | Iterator[Any]:
        return self._task.batches(epoch, rng)

    def step(self, batch: Any) -> torch.Tensor:
        """Do a step of the task; a batch that asks for no pair leaves the side term as it is."""
        self._towers.zero_grad()
        loss = self._task.step(batch)
        self._optimizer.step()
        return loss

    def validate(self) -> float | None:
        return self._task.validate()


class PairNetwork(nn.Module, ABC):
    """A network that scores pairs of a user and an item.

    Attributes:
        global_bias: one for all, zero at the start; it tells the device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.global_bias = nn.Parameter(torch.zeros(1))

    @property
    def device(self) -> torch.device:
        return self.global_bias.device

    @abstractmethod
    def tables(self) -> list[nn.Parameter]:
        """Return the tables whose gradients are sparse (read through `layers.lookup`)."""

    def layers(self) -> list[nn.Parameter]:
        """Return the other weights that `weight_l2` keeps small; biases among them do no harm."""
        return []

    @abstractmethod
    def forward(self, users: np.ndarray, items: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Score pairs.

        Args:
            users, items: int64 (B,).

        Returns:
            (logits (B,), mean squared norm of the rows that a pair looked up, a scalar).
        """


class GradientTask(ABC):
    """A task whose step follows the gradient of one loss with all its optimisers.

    Attributes:
        module: what is trained.
        optimizers: of its parameters.
    """

    module: Any
    optimizers: Sequence[Optimizer]

    @abstractmethod
    def loss(self, batch: Any) -> torch.Tensor:
        """Return the loss of a batch, a scalar."""

    def step(self, batch: Any) -> torch.Tensor:
        """Do one step of Adam."""
        loss = self.loss(batch)
        self.module.zero_grad()
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.detach()


class ClickThroughTask(GradientTask):
    """Trains a `PairNetwork`: BCE over likes and fresh negatives, with L2; the AUC of validation pairs decides.

    Args:
        network: what is trained.
        config: settings.
        data: likes and negatives.
        width: numbers that the network holds a pair.
    """

    def __init__(
        self, network: PairNetwork, config: ClickThroughConfig, data: ClickThroughData, *, width: int | None = None
    ) -> None:
        self.module, self.config, self.data = network, config, data
        self._width = config.embedding_dim if width is None else width
        self._layers = network.layers()
        rate = config.learning_rate
        dense = Adam([*self._layers, network.global_bias], lr=rate)
        tables = network.tables()
        self.optimizers = (RowAdam(tables, lr=rate), dense) if tables else (dense,)

    @property
    def step_floats(self) -> int:
        """Numbers in the largest tensor of a step."""
        return self.config.batch_size * self._width

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[Pairs]:
        """Yield the likes of one epoch with new negatives."""
        del epoch
        return self.data.epoch(rng, self.config.batch_size)

    def logits(self, batch: Pairs) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the network makes of a batch, as `PairNetwork.forward` does."""
        return self.module(batch.users, batch.items)

    def loss(self, batch: Pairs) -> torch.Tensor:
        """Return mean BCE + l2 · mean ‖rows‖² + weight_l2 · ‖W‖², a scalar."""
        logits, rows = self.logits(batch)
        logits = self.data.with_side(logits, batch.users, batch.items)
        labels = torch.from_numpy(batch.labels).to(logits.device)
        loss = functional.binary_cross_entropy_with_logits(logits, labels) + self.config.l2 * rows
        return loss + self.config.weight_l2 * squared_norm(self._layers) if self._layers else loss

    def validate(self) -> float | None:
        """Return the AUC of the validation pairs."""
        pairs = self.data.valid
        return None if pairs is None else self.data.validation_auc(pair_logits(self.module, pairs.users, pairs.items))


@torch.no_grad()
def pair_logits(network: PairNetwork, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Score pairs, so many at a time: int64 (n,), int64 (n,) → float32 (n,)."""
    logits = np.empty(len(users), dtype=np.float32)
    for start in range(0, len(users), SCORED_PAIRS):
        chosen = slice(start, start + SCORED_PAIRS)
        logits[chosen] = network(users[chosen], items[chosen])[0].cpu().numpy()
    return logits
