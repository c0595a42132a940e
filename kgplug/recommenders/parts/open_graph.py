"""Choice of the backend of KGCN's graph: numpy with torch, or DGL."""

from __future__ import annotations

import importlib.util

import numpy as np
import torch

from kgplug.errors import UsageError
from kgplug.recommenders.parts.entity_graph import EntityGraph

BACKENDS = ("auto", "dgl", "torch")


def open_graph(
    backend: str,
    device: torch.device,
    triples: np.ndarray,
    likes: tuple[np.ndarray, np.ndarray],
    *,
    n_users: int,
    n_entities: int,
    n_relations: int,
) -> EntityGraph:
    """Build the graph of users and entities with a backend.

    Args:
        backend: "dgl", "torch" or "auto". "auto" samples neighbours with DGL and sums vectors with compiled loops, if
            the device is the CPU and DGL is installed; otherwise it is the same as "torch".
        device: Device of the training.
        triples, likes, n_users, n_entities, n_relations: As in `EntityGraph`.

    Raises:
        UsageError: The backend is "dgl", but DGL is not installed or the device is not the CPU.
    """
    installed = importlib.util.find_spec("dgl") is not None
    if backend == "dgl" and not (installed and device.type == "cpu"):
        found = f'device="{device}"' if installed else "no DGL"
        raise UsageError(f'backend="dgl" needs DGL and the CPU; found {found}. Use backend="auto" or "torch".')
    kind = EntityGraph
    if installed and device.type == "cpu" and backend != "torch":
        from kgplug.recommenders.parts.entity_graph_dgl import DglEntityGraph, DglSampledGraph

        kind = DglEntityGraph if backend == "dgl" else DglSampledGraph
    return kind(triples, likes, n_users=n_users, n_entities=n_entities, n_relations=n_relations)
