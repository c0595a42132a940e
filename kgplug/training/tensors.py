"""Functions of torch that lack types, with types."""

from __future__ import annotations

import numpy as np
import torch


def tensor_of(array: np.ndarray) -> torch.Tensor:
    """Return a tensor on the CPU that shares the memory of an array; same shape and dtype."""
    return torch.from_numpy(array)


def backward(loss: torch.Tensor) -> None:
    """Add the gradients of a loss, shape (), to the parameters that it depends on."""
    loss.backward()
