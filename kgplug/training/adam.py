"""Adam without torch.optim, which needlessly imports torch's compiler in its first step (several seconds, 150 MB)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Protocol

import torch


class Optimizer(Protocol):
    """Members of an optimiser that the training loop and checkpoints use. Optimisers of torch.optim have them."""

    param_groups: list[dict[str, Any]]

    def step(self) -> Any:
        """Update the parameters from their gradients."""

    def state_dict(self) -> dict[str, Any]:
        """Return {"state": {parameter index: its state}, "param_groups": settings}."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Restore what `state_dict` returned."""


class StatefulOptimizer:
    """Base class of optimisers: parameters, settings of Adam, and a state per parameter, laid out as in torch.optim.

    Args:
        params: Parameters to train.
        lr: Learning rate.
        betas, eps: As in Adam (Kingma and Ba, ICLR 2015).

    Attributes:
        param_groups: One group, [{"params": parameters, "lr": lr, "betas": betas, "eps": eps}].
        state: Parameter → its state: tensors and numbers by name.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        self.param_groups: list[dict[str, Any]] = [{"params": list(params), "lr": lr, "betas": betas, "eps": eps}]
        self.state: defaultdict[torch.Tensor, dict[str, Any]] = defaultdict(dict)

    @property
    def params(self) -> list[torch.Tensor]:
        return self.param_groups[0]["params"]

    @property
    def settings(self) -> dict[str, Any]:
        return self.param_groups[0]

    def zero_grad(self) -> None:
        """Delete the gradients."""
        for table in self.params:
            table.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Return {"state": {index of a parameter: its state}, "param_groups": [settings with indices as "params"]}."""
        state = {number: self.state[table] for number, table in enumerate(self.params) if self.state.get(table)}
        return {"state": state, "param_groups": [{**self.settings, "params": list(range(len(self.params)))}]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned. Tensors are copied to the devices of the parameters."""
        self.state.clear()
        for number, state in state_dict["state"].items():
            table = self.params[number]
            self.state[table] = {
                name: value.to(table.device, copy=True) if isinstance(value, torch.Tensor) else value
                for name, value in state.items()
            }
        self.param_groups = [{**state_dict["param_groups"][0], "params": self.params}]


class Adam(StatefulOptimizer):
    """Adam (Kingma and Ba, ICLR 2015) with torch's fused kernel. Its steps are those of `torch.optim.Adam(fused=True)`.

    Args:
        params: float32 tensors, all on one device.
        lr: Learning rate.
        betas, eps: As in the paper.
    """

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters that have a gradient."""
        moved = [(p, p.grad) for p in self.params if p.grad is not None]
        if not moved:
            return
        for p, _ in moved:
            if not self.state[p]:
                start = torch.zeros((), device=p.device), torch.zeros_like(p), torch.zeros_like(p)
                self.state[p] = dict(zip(("step", "exp_avg", "exp_avg_sq"), start, strict=True))
        steps, means, squares = ([self.state[p][name] for p, _ in moved] for name in ("step", "exp_avg", "exp_avg_sq"))
        settings = self.settings
        torch._foreach_add_(steps, 1)  # pyright: ignore[reportPrivateImportUsage]
        torch._fused_adam_(  # pyright: ignore[reportPrivateImportUsage]
            [p for p, _ in moved], [grad for _, grad in moved], means, squares, [], steps,
            lr=settings["lr"], beta1=settings["betas"][0], beta2=settings["betas"][1], eps=settings["eps"],
            weight_decay=0.0, amsgrad=False, maximize=False,
        )  # fmt: skip
