"""What models of a pair know beside its ids: pre-trained vectors of the item and of the user's other likes."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field, JsonValue
from torch import nn

from kgplug.data.interactions import Interactions
from kgplug.recommenders.click_through.config import LayeredConfig
from kgplug.recommenders.click_through.pairs import Pairs
from kgplug.recommenders.click_through.tasks import LayeredTask
from kgplug.recommenders.parts.pretrained import item_entities
from kgplug.recommenders.training_data import TrainingData


class PretrainedConfig(LayeredConfig):
    """Settings of a model over x = [one-hot u; one-hot i; pretrained(i); mean pretrained(likes of u)]."""

    embedding: str = Field("TransR", description="PyKEEN model to train on the triples, or a run of one")
    embedding_settings: dict[str, JsonValue] = Field({}, description="settings of that PyKEEN model")


class ItemFeatures(nn.Module):
    """Vectors of items and the means over users' likes; nothing here is learnt.

    Args:
        vectors: float32 (n_items, m).
        likes: the training likes.

    Attributes:
        items: (n_items, m).
        sums: (n_users, m), the sum over a user's likes.
        counts: (n_users,), the number of a user's likes.
    """

    items: torch.Tensor
    sums: torch.Tensor
    counts: torch.Tensor

    def __init__(self, vectors: np.ndarray, likes: Interactions) -> None:
        super().__init__()
        matrix = likes.matrix()
        counts = np.asarray(matrix.sum(axis=1), dtype=np.float32)[:, 0]
        for name, array in (("items", vectors), ("sums", matrix @ vectors), ("counts", counts)):
            self.register_buffer(name, torch.from_numpy(np.asarray(array, dtype=np.float32)), persistent=False)

    @property
    def dim(self) -> int:
        return self.items.shape[1]

    def histories(self, users: torch.Tensor, left_out: torch.Tensor | None = None) -> torch.Tensor:
        """Return the mean vector of each user's likes: (n,) → (n, m), zeros without a like.

        Args:
            users: int64 (n,).
            left_out: int64 (n,), a like of each user that shall not count.
        """
        sums, counts = self.sums[users], self.counts[users]
        if left_out is not None:
            sums, counts = sums - self.items[left_out], counts - 1
            sums = torch.where(counts[:, None] > 0, sums, 0.0)  # what rounding left of the only like
        return sums / counts.clamp(min=1)[:, None]


def pretrained_features(config: PretrainedConfig, data: TrainingData) -> ItemFeatures:
    """Return pre-trained vectors of items, scaled so that the mean squared norm of linked items is one."""
    settings = dict(config.embedding_settings) or None
    found = item_entities(config.embedding, data, settings=settings, progress=False)
    size = float(np.sqrt(np.square(found.vectors[found.linked]).sum(axis=1).mean()))
    return ItemFeatures(found.vectors / np.float32(size or 1.0), data.interactions.likes())


class HistoryTask(LayeredTask):
    """Trains a network that sees the user's likes, and hides from it the like that is asked for.

    A like counts among its user's likes, and a history with it would give the label away. A history without it
    would too, as the negative's would be longer by one. So a like and its negative see one history, without the like.
    """

    def logits(self, batch: Pairs) -> tuple[torch.Tensor, torch.Tensor]:
        return self.module(batch.users, batch.items, left_out=own_likes(batch))


def own_likes(batch: Pairs) -> np.ndarray:
    """Return the like of each row: its item for a like, that of the like it was drawn for for a negative: (n,)."""
    likes, negatives = batch.matched()
    items = batch.items.copy()
    items[negatives] = batch.items[likes]
    return items
