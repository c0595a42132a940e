"""Adagrad for whole tensors, and for the rows of a table that a batch has looked up."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from kgplug.training.adam import StatefulOptimizer


class Adagrad(StatefulOptimizer):
    """Adagrad (Duchi, Hazan and Singer, JMLR 2011). Its steps are those of `torch.optim.Adagrad`.

    A row without a gradient stays as it is, so a step on some rows of a table equals a step on the whole table.

    Args:
        params: float32 tensors.
        lr: Learning rate.
        eps: Added to the root of the sum of squared gradients.
    """

    def __init__(self, params: Iterable[torch.Tensor], lr: float, eps: float = 1e-10) -> None:
        super().__init__(params, lr, eps=eps)

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters that have a gradient."""
        for p in self.params:
            if p.grad is not None:
                total = self._total_of(p).addcmul_(p.grad, p.grad)
                p.addcdiv_(p.grad, total.sqrt().add_(self.settings["eps"]), value=-self.settings["lr"])

    @torch.no_grad()
    def step_rows(self, table: torch.Tensor, rows: torch.Tensor, grad: torch.Tensor) -> None:
        """Do one step on some rows of a table. Arguments are those of `RowAdam.step_rows`."""
        total = self._total_of(table)
        found = total[rows].addcmul_(grad, grad)
        total[rows] = found
        table[rows] -= self.settings["lr"] * grad / found.sqrt_().add_(self.settings["eps"])

    @torch.no_grad()
    def take_rows(self, table: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return rows of a table, float32 (m, d)."""
        return table[rows]

    def _total_of(self, parameter: torch.Tensor) -> torch.Tensor:
        """Return the sum of the squared gradients of a parameter so far, same shape."""
        state = self.state[parameter]
        if not state:
            state["sum"] = torch.zeros_like(parameter)
        return state["sum"]
