"""Weights far from where they start: a term that starts at zero, and is compared there, could be missing."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from kgplug.recommenders.trained import TrainedRecommender

Model = TypeVar("Model", bound=TrainedRecommender)


@torch.no_grad()
def stir(module: nn.Module, seed: int = 0) -> None:
    """Add noise to all parameters, biases too."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter += 0.5 * torch.randn(parameter.shape, generator=generator)


def stirred(model: Model) -> Model:
    """Return the same model, its weights stirred and what scoring needs computed from them anew."""
    stir(model.network)
    model._settle()
    return model
