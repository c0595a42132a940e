"""The vectors of a trained PyKEEN model, as arrays of real numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kgplug.embeddings.catalogue import EMBEDDINGS


@torch.no_grad()
def entity_vectors(module: Any, name: str) -> np.ndarray:
    """Return one vector per entity: the entity tensors that the catalogue names, concatenated, float32 (n_entities, d).

    For a model that is not in the catalogue, return only the first entity tensor.
    """
    wanted = EMBEDDINGS[name].entity_parts if name in EMBEDDINGS else (0,)
    tensors = [real_numbers(module.entity_representations[number]()) for number in wanted]
    return np.concatenate([tensor.reshape(len(tensor), -1) for tensor in tensors], axis=1)


def real_numbers(tensor: torch.Tensor) -> np.ndarray:
    """Return a tensor as a float32 array; a complex vector becomes [real parts, imaginary parts], twice as long."""
    if tensor.is_complex():
        tensor = torch.cat([tensor.real, tensor.imag], dim=-1)
    return tensor.detach().float().cpu().numpy().copy()


def object_array(values: list[Any]) -> np.ndarray:
    """Return values of any type as an array: object (n,)."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
