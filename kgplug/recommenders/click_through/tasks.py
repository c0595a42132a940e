"""Tasks of the training loop: a model's network, its loss and its optimisers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from kgplug.recommenders.click_through.config import ClickThroughConfig, LayeredConfig
from kgplug.recommenders.click_through.pairs import ClickThroughData, Comparisons, Pairs
from kgplug.recommenders.click_through.side_term import SideTerm
from kgplug.recommenders.parts.operations.layers import squared_norm
from kgplug.recommenders.parts.translations import Triples
from kgplug.training.adam import Adam, Optimizer
from kgplug.training.loop import TrainingTask
from kgplug.training.row_adam import RowAdam
from kgplug.training.tensors import backward

SCORED_PAIRS = 65_536  # pairs scored at a time


class WithSide:
    """A model's training task, extended by the training of the side term.

    The side term is a logit from counts of likes and knowledge-graph features. The model's task adds it to the model's
    logit before it computes the loss. This class adds the side term's optimiser step.

    Args:
        task: The model's task.
        side: The side term that the task's `ClickThroughData` adds to the logits.
        learning_rate: Learning rate of the side term.
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
        """Do one training step of the model and of the side term. A batch of triples does not change the side term."""
        self._towers.zero_grad()
        loss = self._task.step(batch)
        self._optimizer.step()
        return loss

    def validate(self) -> float | None:
        return self._task.validate()


class PairNetwork(nn.Module, ABC):
    """A network that scores pairs of a user and an item.

    Attributes:
        global_bias: Bias added to every score, initially zero.
        device: Device of the parameters.
    """

    def __init__(self) -> None:
        super().__init__()
        self.global_bias = nn.Parameter(torch.zeros(1))

    @property
    def device(self) -> torch.device:
        return self.global_bias.device

    @abstractmethod
    def tables(self) -> list[nn.Parameter]:
        """Return the embedding tables, whose rows are read with `parts.layers.lookup` and have sparse gradients."""

    def layers(self) -> list[nn.Parameter]:
        """Return the weights of the dense layers, which `weight_l2` penalises; biases may be included."""
        return []

    @abstractmethod
    def forward(self, users: np.ndarray, items: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits of pairs, and the mean squared norm of their table rows for the L2 penalty.

        Args:
            users, items: Indices, int64 (B,).

        Returns:
            (logits, norm): logits (B,), and a scalar: the sum of ‖row‖² over the table rows that a pair looks up,
            averaged over the pairs.
        """


class GradientTask(ABC):
    """A task whose step applies all its optimisers to the gradient of one loss.

    Attributes:
        module: Module to train.
        optimizers: Optimisers of its parameters.
    """

    module: Any
    optimizers: Sequence[Optimizer]

    @abstractmethod
    def loss(self, batch: Any) -> torch.Tensor:
        """Return the loss of a batch, a scalar."""

    def step(self, batch: Any) -> torch.Tensor:
        """Do one optimiser step on a batch, and return the loss, a scalar."""
        loss = self.loss(batch)
        self.module.zero_grad()
        backward(loss)
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.detach()


class AlternatingTask(ABC):
    """A task with two kinds of steps, each with a loss and an optimiser of its own: on comparisons and on triples.

    Attributes:
        module: Module to train.
        optimizers: The optimiser of the comparisons (BPR), then that of the triples.
    """

    module: Any
    optimizers: tuple[Optimizer, Optimizer]

    @abstractmethod
    def bpr_loss(self, batch: Comparisons) -> torch.Tensor:
        """Return the loss of a batch of comparisons, a scalar."""

    @abstractmethod
    def kge_loss(self, batch: Triples) -> torch.Tensor:
        """Return the loss of a batch of triples, a scalar."""

    def step(self, batch: Comparisons | Triples) -> torch.Tensor:
        """Do one step of the kind that the batch belongs to, and return its loss."""
        of_bpr, of_kge = self.optimizers
        if isinstance(batch, Triples):
            loss, optimizer = self.kge_loss(batch), of_kge
        else:
            loss, optimizer = self.bpr_loss(batch), of_bpr
        self.module.zero_grad()
        backward(loss)
        optimizer.step()
        return loss.detach()


class ClickThroughTask(GradientTask):
    """Training task of a `PairNetwork`: binary cross-entropy (BCE) over likes and new negatives, with an L2 penalty.

    The validation metric is the AUC.

    Args:
        network: Network to train.
        config: Settings.
        data: Likes and negatives.
        width: Number of elements per pair in the network's largest tensor. Default: `embedding_dim`.
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
        """Number of floats in the largest tensor of a step."""
        return self.config.pairs_per_step * self._width

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[Pairs]:
        """Yield the likes of one epoch with new negatives."""
        del epoch
        return self.data.epoch(rng, self.config.batch_size)

    def logits(self, batch: Pairs) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what `PairNetwork.forward` returns for a batch."""
        return self.module(batch.users, batch.items)

    def loss(self, batch: Pairs) -> torch.Tensor:
        """Return mean BCE + l2 · mean ‖rows‖², a scalar. `rows` are the table rows that a pair looks up."""
        logits, rows = self.logits(batch)
        return self.data.log_loss(logits, batch) + self.config.l2 * rows

    def validate(self) -> float | None:
        """Return the AUC of the validation pairs."""
        pairs = self.data.valid
        return None if pairs is None else self.data.validation_auc(pair_logits(self.module, pairs.users, pairs.items))


class LayeredTask(ClickThroughTask):
    """A `ClickThroughTask` that also penalises the weights of dense layers."""

    config: LayeredConfig

    def loss(self, batch: Pairs) -> torch.Tensor:
        """Return the loss of `ClickThroughTask` + weight_l2 · ‖W‖², a scalar. W are the weights of dense layers."""
        loss = super().loss(batch)
        return loss + self.config.weight_l2 * squared_norm(self._layers) if self._layers else loss


@torch.no_grad()
def pair_logits(network: PairNetwork, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return the logits of pairs, computed in blocks: int64 (n,), int64 (n,) → float32 (n,)."""
    logits = np.empty(len(users), dtype=np.float32)
    for start in range(0, len(users), SCORED_PAIRS):
        chosen = slice(start, start + SCORED_PAIRS)
        logits[chosen] = network(users[chosen], items[chosen])[0].cpu().numpy()
    return logits
