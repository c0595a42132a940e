"""Vectors of items from an embedding model, which is trained or loaded from a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kgplug.data.values.keys import fingerprint
from kgplug.embeddings.catalogue import EMBEDDINGS
from kgplug.embeddings.model import EmbeddingModel
from kgplug.errors import RunError, UsageError
from kgplug.recommenders.training_data import TrainingData


@dataclass(frozen=True, eq=False)
class ItemEntities:
    """Vectors and entities of items in an embedding model.

    Attributes:
        vectors: Vector of each item's entity, float32 (n_items, d); zeros for an item without an entity.
        linked: Whether the embedding has an entity for the item, bool (n_items,).
        model: The embedding model, for its relation vectors and other entities.
        entities: Entity index of each item, int64 (n_items,), -1 for an item without an entity.
    """

    vectors: np.ndarray
    linked: np.ndarray
    model: EmbeddingModel
    entities: np.ndarray


def item_entities(
    embedding: str, data: TrainingData, *, settings: dict[str, Any] | None = None, progress: bool | None = None
) -> ItemEntities:
    """Return each item's vector and entity in an embedding, which is trained now or loaded from a run.

    Args:
        embedding: Name of a PyKEEN model to train on the triples, or the folder of an embedding's run.
        data: Training data.
        settings: Settings of the PyKEEN model; not allowed with a run.
        progress: Whether to show a progress bar. None: only on a terminal.

    Raises:
        UsageError: No model has this name and no run is in this folder, or settings were given with a run.
        RunError: The run is damaged, or is not an embedding.
        DataError: No item is an entity of the embedding.
    """
    names = {name.lower(): name for name in EMBEDDINGS}
    if embedding.lower() in names:
        model = _trained(names[embedding.lower()], settings or {}, data, progress=progress)
    elif settings:
        raise UsageError(f'embedding="{embedding}" is a run, which already has settings. Omit embedding_settings.')
    else:
        model = _run(embedding)
    return known_items(model, data.interactions.item_keys, data.interactions.item_label)


def known_items(model: EmbeddingModel, item_keys: np.ndarray, item_label: str) -> ItemEntities:
    """Return each item's vector and entity in a trained embedding.

    Args:
        model: A trained embedding model.
        item_keys: Keys of items, object (n_items,).
        item_label: Node label of the items, or "" if they have none.

    Raises:
        DataError: No item is an entity of the embedding.
    """
    vectors = model.vectors_of(item_keys, label=item_label)
    entities = model.vocabulary.entities_of(item_keys, label=item_label)
    return ItemEntities(vectors, entities >= 0, model, entities)


def _trained(name: str, settings: dict[str, Any], data: TrainingData, *, progress: bool | None) -> EmbeddingModel:
    """Return an embedding of the triples, trained now or earlier within the same `fit`."""
    model = EmbeddingModel(name, **settings)
    key = fingerprint(name, model.config.model_dump_json(), data.graph.fingerprint, str(data.seed))
    if key not in data.embeddings:
        model.fit(data.graph, seed=data.seed, progress=progress)
        data.embeddings[key] = model
    return data.embeddings[key]


def _run(name: str) -> EmbeddingModel:
    try:
        return EmbeddingModel.load(Path(name))
    except RunError as error:
        if Path(name).is_dir():
            raise
        raise UsageError(
            f'embedding="{name}": expected a model of PyKEEN (`kgplug models`) or a run of one. {error}'
        ) from None
