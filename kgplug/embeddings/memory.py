"""Estimate of the memory that a training needs, made before it starts."""

from __future__ import annotations

import numpy as np
import torch

from kgplug.data.free_memory import free_memory
from kgplug.embeddings.catalogue import EMBEDDINGS
from kgplug.embeddings.config import EmbeddingConfig
from kgplug.embeddings.parts.build import build_module
from kgplug.errors import TrainingError, UsageError

COPIES = 5  # floats per parameter: itself, its gradient, Adam's two moments, its best value so far
# Training on queries also stores the table's used rows, the table after dropout, and three gradients, one per use.
COPIES_ON_QUERIES = COPIES + 4
_FLOAT_BYTES = 4  # float32
_UPPER_BOUND = 16  # with default model_settings, models have at most 16 (n_entities d + n_relations d² + d³) floats


def check_memory(
    name: str, config: EmbeddingConfig, *, n_entities: int, n_relations: int, device: torch.device
) -> None:
    """Raise an error if a model does not fit into memory.

    Raises:
        TrainingError: The parameters need more memory than is free. The estimate includes what training stores for each
            parameter: its gradient, Adam's two moments, and its best value so far. Training on queries stores more.
    """
    copies = COPIES if config.training == "negatives" else COPIES_ON_QUERIES
    free, size = free_bytes(device), config.embedding_dim
    upper_bound = _UPPER_BOUND * (n_entities * size + n_relations * size**2 + size**3)
    if not config.model_settings and upper_bound * copies * _FLOAT_BYTES < free:
        return  # an exact count takes seconds
    needed = count_parameters(name, config, n_entities=n_entities, n_relations=n_relations) * copies * _FLOAT_BYTES
    if needed > free:
        raise TrainingError(
            f"{name} with embedding_dim={size} on {n_entities:,} entities and {n_relations:,} relations needs about "
            f"{_readable(needed)} of memory (parameters, gradients, Adam's moments, best weights), and "
            f"{_readable(free)} are free. Use a smaller embedding_dim, or free some memory."
        )


def count_parameters(name: str, config: EmbeddingConfig, *, n_entities: int, n_relations: int) -> int:
    """Return the number of floats that a model learns, without allocating them (on torch's "meta" device).

    For models that cannot be built here, such as graph networks (they need triples), the result is a lower bound: one
    vector per entity.
    """
    at_least = n_entities * config.embedding_dim
    if EMBEDDINGS[name].reads_graph:
        return at_least
    none = np.empty((0, 3), dtype=np.int64)
    try:
        with torch.device("meta"):
            module = build_module(name, config, n_entities=n_entities, n_relations=n_relations, triples=none, seed=0)
    except UsageError:  # too large for torch to count; or wrong settings, which the real build will report
        return at_least
    return sum(parameter.numel() for parameter in module.parameters())


def free_bytes(device: torch.device) -> int:
    """Return the free memory of a device, in bytes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return free_memory()


def _readable(n_bytes: int) -> str:
    unit, name = (10**9, "GB") if n_bytes >= 10**9 else (10**6, "MB")
    size = n_bytes / unit
    return f"{size:,.{0 if size >= 100 else 1}f} {name}"
