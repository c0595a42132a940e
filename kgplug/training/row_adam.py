"""Adam that touches only the rows of a table that a batch has looked up."""

from __future__ import annotations

from collections.abc import Iterable

import torch


class RowAdam(torch.optim.Optimizer):
    """Adam over embedding tables with sparse gradients (`F.embedding(..., sparse=True)`).

    A row's moments and bias correction count only the steps that touched it, so a row seen for
    the first time late takes the same first step as any other. A step costs time in proportion
    to the rows of the batch, not of the table.

    Args:
        params: tables (n, d).
        lr: learning rate.
        betas, eps: as in Adam (Kingma and Ba, ICLR 2015).
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Update the rows that have a gradient."""
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    self._step_rows(table, table.grad.coalesce(), group)

    def _step_rows(self, table: torch.Tensor, grad: torch.Tensor, group: dict) -> None:
        rows, values = grad.indices()[0], grad.values()  # (m,), (m, d)
        state, (beta1, beta2) = self.state[table], group["betas"]
        if not state:
            state["steps"] = torch.zeros(len(table), 1, dtype=table.dtype, device=table.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(table), torch.zeros_like(table)
        steps = state["steps"].index_select(0, rows) + 1
        mean = state["exp_avg"].index_select(0, rows).lerp_(values, 1 - beta1)
        square = state["exp_avg_sq"].index_select(0, rows).mul_(beta2).addcmul_(values, values, value=1 - beta2)
        state["steps"].index_copy_(0, rows, steps)
        state["exp_avg"].index_copy_(0, rows, mean)
        state["exp_avg_sq"].index_copy_(0, rows, square)
        scale = (1 - beta2**steps).sqrt_()  # (m, 1)
        update = mean.mul_(scale / (1 - beta1**steps)).div_(square.sqrt_().add_(group["eps"] * scale))
        table.index_add_(0, rows, update, alpha=-group["lr"])
