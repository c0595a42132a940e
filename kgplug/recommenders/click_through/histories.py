"""Inputs of a pair in addition to its ids: pre-trained vectors of the item and of the user's other likes."""

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
from kgplug.training.tensors import tensor_of


class PretrainedConfig(LayeredConfig):
    """Settings of a model with pre-trained item vectors as inputs.

    The input of a user-item pair is the concatenation of the user's and the item's one-hot codes, the item's
    pre-trained vector, and the mean pre-trained vector of the items that the user likes.
    """

    embedding: str = Field("TransR", description="PyKEEN model to train on the triples, or an embedding's run folder")
    embedding_settings: dict[str, JsonValue] = Field({}, description="settings of that PyKEEN model")


class ItemFeatures(nn.Module):
    """Fixed vectors of items, and the means of these vectors over each user's likes.

    Args:
        vectors: Item vectors of length m, float32 (n_items, m).
        likes: Training likes.

    Attributes:
        items: Item vectors, (n_items, m).
        sums: Sum of the vectors of each user's likes, (n_users, m).
        counts: Each user's number of likes, (n_users,).
    """

    items: torch.Tensor
    sums: torch.Tensor
    counts: torch.Tensor

    def __init__(self, vectors: np.ndarray, likes: Interactions) -> None:
        super().__init__()
        matrix = likes.matrix()
        counts = np.asarray(matrix.sum(axis=1), dtype=np.float32)[:, 0]
        for name, array in (("items", vectors), ("sums", matrix @ vectors), ("counts", counts)):
            self.register_buffer(name, tensor_of(np.asarray(array, dtype=np.float32)), persistent=False)

    @property
    def dim(self) -> int:
        return self.items.shape[1]

    def histories(self, users: torch.Tensor, left_out: torch.Tensor | None = None) -> torch.Tensor:
        """Return the mean vector of the items that each user likes, float32 (n, m); zeros for a user without likes.

        Args:
            users: Indices, int64 (n,).
            left_out: One liked item per user to leave out of the mean, int64 (n,). None leaves out no item.
        """
        sums, counts = self.sums[users], self.counts[users]
        if left_out is not None:
            sums, counts = sums - self.items[left_out], counts - 1
            sums = torch.where(counts[:, None] > 0, sums, 0.0)  # no rounding errors if the only like is left out
        return sums / counts.clamp(min=1)[:, None]


def pretrained_features(config: PretrainedConfig, data: TrainingData) -> ItemFeatures:
    """Return pre-trained vectors of items. An item that is not an entity of the embedding has a zero vector.

    All vectors are scaled by the same factor, so that the mean squared norm is 1. Items without an entity are left out
    of this mean.
    """
    settings = dict(config.embedding_settings) or None
    found = item_entities(config.embedding, data, settings=settings, progress=False)
    size = float(np.sqrt(np.square(found.vectors[found.linked]).sum(axis=1).mean()))
    return ItemFeatures(found.vectors / np.float32(size or 1.0), data.interactions.likes())


class HistoryTask(LayeredTask):
    """Training task of a network whose input includes the user's history (the items that the user likes).

    A like and its negatives get the same history: all likes of the user except that like. Otherwise the history would
    leak the label.
    """

    def logits(self, batch: Pairs) -> tuple[torch.Tensor, torch.Tensor]:
        return self.module(batch.users, batch.items, left_out=batch.own_likes())
