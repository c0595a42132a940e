"""Adam that updates only the rows of a table that a batch has looked up."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kgplug.training.adam import StatefulOptimizer
from kgplug.training.kernels import FADED, adam_rows, are_distinct, catch_up


class RowAdam(StatefulOptimizer):
    """Adam over embedding tables with sparse gradients (`F.embedding(..., sparse=True)`).

    A row's moments and bias correction count only the steps that updated it, so a row that is first seen late takes
    the same first step as any other. With `take_rows` before each step, rows instead get the values that Adam on the
    whole table would give them. The time of a step depends on the number of rows in the batch, not in the table.

    Args:
        params: Tables (n, d).
        lr: Learning rate.
        betas, eps: As in Adam (Kingma and Ba, ICLR 2015).
    """

    @torch.no_grad()
    def step(self) -> None:
        """Update the rows that have a gradient."""
        for table in self.params:
            if table.grad is not None:
                self.step_rows(table, *_rows_of(table.grad))

    @torch.no_grad()
    def step_rows(self, table: torch.Tensor, rows: torch.Tensor, grad: torch.Tensor) -> None:
        """Do one step of Adam on some rows of a table.

        Args:
            table: float32 (n, d), one of the optimiser's tables.
            rows: Indices of the rows to update, int64 (m,), distinct.
            grad: Gradients of these rows, float32 (m, d).
        """
        state = self._state_of(table)
        state["step"] += 1
        if table.device.type == "cpu":
            weights, moments, steps = (x.detach().numpy() for x in (table, state["moments"], state["steps"]))
            lr, beta1, beta2, eps = self._constants()
            adam_rows(weights, moments, steps, rows.numpy(), grad.contiguous().numpy(), lr, beta1, beta2, eps)
        else:
            _adam_rows_of_tensors(table, state["moments"], state["steps"], rows, grad, self.settings)

    @torch.no_grad()
    def take_rows(self, table: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Give rows the values that Adam on the whole table would have given them, and return these: float32 (m, d).

        Reading rows this way before each `step_rows` gives the result of `torch.optim.Adam` on the whole table.

        Args:
            table: float32 (n, d), one of the optimiser's tables.
            rows: Indices of the rows, int64 (m,), distinct.
        """
        state = self._state_of(table)
        if table.device.type == "cpu":
            weights, moments, steps = (x.detach().numpy() for x in (table, state["moments"], state["steps"]))
            lr, beta1, beta2, eps = self._constants()
            values = catch_up(weights, moments, steps, rows.numpy(), state["step"], lr, beta1, beta2, eps)
            return torch.from_numpy(values)
        return _catch_up_tensors(table, state, rows, self.settings)

    def _state_of(self, table: torch.Tensor) -> dict[str, Any]:
        state = self.state[table]
        if not state:
            state["moments"] = table.new_zeros(len(table), 2 * table.shape[1])  # mean, then square: fetched together
            state["steps"], state["step"] = table.new_zeros(len(table)), 0  # steps of each row, and of the table
        return state

    def _constants(self) -> tuple[np.float32, np.float32, np.float32, np.float32]:
        settings = self.settings
        beta1, beta2 = settings["betas"]
        return np.float32(settings["lr"]), np.float32(beta1), np.float32(beta2), np.float32(settings["eps"])


def _rows_of(grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the distinct row indices of a sparse gradient, int64 (m,), and the gradients of these rows, (m, d)."""
    rows = grad._indices()[0]
    if grad.device.type == "cpu" and are_distinct(rows.numpy(), len(grad)):
        return rows, grad._values()  # ten times faster than coalescing
    grad = grad.coalesce()
    return grad.indices()[0], grad.values()


def _adam_rows_of_tensors(
    table: torch.Tensor,
    moments: torch.Tensor,
    steps: torch.Tensor,
    rows: torch.Tensor,
    grad: torch.Tensor,
    group: dict[str, Any],
) -> None:
    (beta1, beta2), d = group["betas"], table.shape[1]
    t = (steps[rows] + 1)[:, None]  # (m, 1)
    mean = moments[rows, :d].lerp_(grad, 1 - beta1)
    square = moments[rows, d:].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    moments[rows], steps[rows] = torch.cat([mean, square], dim=1), t[:, 0]
    scale = (1 - beta2**t).sqrt_()
    table[rows] -= mean * (group["lr"] * scale / (1 - beta1**t)) / (square.sqrt_() + group["eps"] * scale)


def _catch_up_tensors(
    table: torch.Tensor, state: dict[str, Any], rows: torch.Tensor, group: dict[str, Any]
) -> torch.Tensor:
    """Do what `kernels.catch_up` does, on any device."""
    (beta1, beta2), d, steps = group["betas"], table.shape[1], state["steps"][rows][:, None]  # (m, 1)
    missed = torch.where(steps > 0, state["step"] - steps, 0)
    each = torch.arange(1, FADED + 1, device=table.device, dtype=table.dtype)  # (FADED,)
    moves = (beta1 / beta2**0.5) ** each * (1 - beta2 ** (steps + each)).sqrt() / (1 - beta1 ** (steps + each))
    total = torch.where(each <= missed, moves, 0).sum(dim=1, keepdim=True)
    mean, square = state["moments"][rows].split(d, dim=1)
    values = table[rows] - group["lr"] * total * mean / (square.sqrt() + group["eps"])
    state["moments"][rows] = torch.cat([mean * beta1**missed, square * beta2**missed], dim=1)
    state["steps"][rows] = float(state["step"])
    table[rows] = values
    return values


@torch.no_grad()
def put_rows(table: torch.Tensor, rows: torch.Tensor, values: torch.Tensor) -> None:
    """Write `values` (m, d) to rows of a table by index, int64 (m,). On a CPU, numpy is 4 times faster than torch."""
    if table.device.type == "cpu":
        table.detach().numpy()[rows.numpy()] = values.detach().numpy()
    else:
        table.index_copy_(0, rows, values)
