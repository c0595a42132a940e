"""Weights far from where they start: a term that starts at zero, and is compared there, could be missing."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from kgplug.recommenders.click_through.recommender import TrainedRecommender

Model = TypeVar("Model", bound=TrainedRecommender)


@torch.no_grad()
def stir(module: nn.Module, seed: int = 0, *, size: float = 0.5, biases: bool = True) -> None:
    """Add noise of that standard deviation to all parameters; to biases of users, items and all only if they count."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        if biases or name not in ("user_bias", "item_bias", "global_bias"):
            parameter += size * torch.randn(parameter.shape, generator=generator)


def stirred(model: Model, *, size: float = 0.5, biases: bool = True) -> Model:
    """Return the same model, its weights stirred and what scoring needs computed from them anew."""
    stir(model.network, size=size, biases=biases)
    model._settle()
    return model
