"""A small torch task for the tests of the loop and of checkpoints."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch


class SmallTask:
    """Linear regression with dropout, random batches, tied weights and two optimisers."""

    def __init__(self, figures: list[float] | None = None, poison: int | None = None) -> None:
        generator = torch.Generator().manual_seed(3)
        self.inputs = torch.randn(64, 4, generator=generator)
        self.targets = self.inputs.sum(dim=1, keepdim=True)
        first, last = torch.nn.Linear(4, 4), torch.nn.Linear(4, 1)
        dropout = torch.nn.Dropout(0.3)
        self.module = torch.nn.ModuleDict({"first": first, "dropout": dropout, "last": last, "same": last})
        self.module.register_buffer("epochs_seen", torch.zeros((), dtype=torch.int64))
        for parameter in self.module.parameters():
            torch.nn.init.normal_(parameter, generator=generator)
        self.optimizers = [
            torch.optim.Adam(first.parameters(), lr=0.05),
            torch.optim.SGD(last.parameters(), lr=0.01, momentum=0.9),
        ]
        self.figures, self.poison, self.epochs = figures, poison, 0

    step_floats = 64

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[torch.Tensor]:
        self.epochs = epoch + 1
        self.module.epochs_seen += 1
        yield from torch.from_numpy(rng.permutation(64)).split(16)

    def step(self, batch: torch.Tensor) -> torch.Tensor:
        hidden = self.module["dropout"](self.module["first"](self.inputs[batch]))
        loss = (self.module["same"](hidden) - self.targets[batch]).square().mean()
        if self.poison == self.epochs - 1:
            loss = loss * float("nan")
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.detach()

    def validate(self) -> float | None:
        return None if self.figures is None else self.figures[self.epochs - 1]

    def weights(self) -> dict[str, np.ndarray]:
        return {name: tensor.numpy().copy() for name, tensor in self.module.state_dict().items()}


def same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    """Tell whether weights are equal bit by bit."""
    return left.keys() == right.keys() and all(left[name].tobytes() == right[name].tobytes() for name in left)
