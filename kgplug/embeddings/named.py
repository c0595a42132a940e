"""A class for each embedding model, such as TransE."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from kgplug.embeddings.catalogue import EMBEDDINGS
from kgplug.embeddings.config import EmbeddingConfig, embedding_config
from kgplug.embeddings.model import EmbeddingModel
from kgplug.errors import RunError
from kgplug.renamed import renamed
from kgplug.training.config import signature


@cache
def named(name: str) -> type[EmbeddingModel]:
    """Return the class of an embedding model.

    Args:
        name: Key of `EMBEDDINGS`.
    """

    def __init__(self: EmbeddingModel, **settings: Any) -> None:
        EmbeddingModel.__init__(self, name, **settings)

    @renamed(folder="run_dir")
    def load(cls: type[EmbeddingModel], run_dir: Path) -> EmbeddingModel:
        """Load a run of this model. Raise RunError if the folder is damaged or contains another model."""
        loaded = EmbeddingModel.load.__func__(cls, run_dir)
        if loaded.name != name:
            raise RunError(f"{run_dir} contains {loaded.name}, not {name}. kgplug.load() opens any run.")
        return loaded

    doc = f"{name} ({EMBEDDINGS[name].paper}), trained by PyKEEN: {EMBEDDINGS[name].good_for}."
    members = {
        "name": name,
        "__init__": __init__,
        "load": classmethod(load),
        "__doc__": doc,
        "__module__": "kgplug.embeddings",
    }
    made = type(name, (EmbeddingModel,), members)
    made.__signature__ = signature(EmbeddingConfig, dict(embedding_config(name, {})))  # type: ignore[attr-defined]
    return made
