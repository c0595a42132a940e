"""Vectors of items from an embedding model: trained on the spot by name, or read from a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.values.keys import fingerprint
from kgplug.embeddings.catalogue import EMBEDDINGS
from kgplug.embeddings.model import EmbeddingModel
from kgplug.errors import UsageError
from kgplug.settings import Settings
from kgplug.training.runs import Runs


@dataclass(frozen=True, eq=False)
class ItemEntities:
    """What a knowledge graph's embedding says of items.

    Attributes:
        vectors: float32 (n_items, d), zeros where an item has no entity.
        linked: bool (n_items,), whether the item has an entity that the embedding knows.
        model: the embedding, for its relation vectors and other entities.
        entities: int64 (n_items,), row of the model's entities, -1 without one.
    """

    vectors: np.ndarray
    linked: np.ndarray
    model: EmbeddingModel
    entities: np.ndarray


def item_entities(
    embedding: str,
    interactions: Interactions,
    knowledge: KnowledgeGraph,
    *,
    settings: dict[str, Any] | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> ItemEntities:
    """Return what an embedding knows of each item.

    Args:
        embedding: name of a PyKEEN model, which is then trained on `knowledge`; or a run of one: its folder,
            its id or the beginning of it.
        interactions: whose items.
        knowledge: the triples.
        settings: of the model that is trained; none with a run.
        seed: of the training.
        progress: show a bar; None shows it on a terminal.

    Raises:
        UsageError: no model and no run has this name, or settings come with a run.
        RunError: the run is damaged, or holds no embedding.
        DataError: no item has an entity.
    """
    names = {name.lower(): name for name in EMBEDDINGS}
    if embedding.lower() in names:
        model = _trained(names[embedding.lower()], settings or {}, knowledge, seed, progress=progress)
    elif settings:
        raise UsageError(f'embedding="{embedding}" is a run, which has its settings already; leave out its settings.')
    else:
        model = _run(embedding)
    return known_items(model, interactions.item_keys, interactions.item_label)


def known_items(model: EmbeddingModel, item_keys: np.ndarray, item_label: str) -> ItemEntities:
    """Return what a trained embedding knows of items: object (n_items,), their node label or "".

    Raises:
        DataError: no item has an entity.
    """
    vectors = model.vectors_of(item_keys, label=item_label)
    entities = model.vocabulary.entities_of(item_keys, label=item_label)
    return ItemEntities(vectors, entities >= 0, model, entities)


_last: dict[str, EmbeddingModel] = {}  # the embedding that was trained last, by all that it depends on


def _trained(
    name: str, settings: dict[str, Any], knowledge: KnowledgeGraph, seed: int, *, progress: bool | None
) -> EmbeddingModel:
    """Train an embedding, or return the last one where that is the same: LibFM, Wide&Deep and DKN need one TransR."""
    model = EmbeddingModel(name, **settings)
    key = fingerprint(name, model.config.model_dump_json(), knowledge.fingerprint, str(seed))
    if key not in _last:
        _last.clear()
        model.fit(knowledge, seed=seed, progress=progress)
        _last[key] = model
    return _last[key]


def _run(name: str) -> EmbeddingModel:
    try:
        folder = Runs(Settings().runs_dir).resolve(name)
    except UsageError as error:
        raise UsageError(
            f'embedding="{name}": expected a model of PyKEEN (`kgplug models`) or a run of one. {error}'
        ) from None
    return EmbeddingModel.load(folder)
