"""Recommenders: one class per model, imported when first used.

`from kgplug.recommenders import MKR` imports the class of the model that `kgplug.create("MKR")` returns. The names
that your own models need are also here: `Recommender`, `ModelConfig`, `TrainingData`, `UserArrays`, `Inputs`,
`LIKES`, `LIKES_AND_TRIPLES` (docs/howto/your-own-model.md).
"""

from __future__ import annotations

import importlib
from typing import Any

from kgplug.recommenders.catalogue import RECOMMENDERS

_HOME = {
    class_name: f"kgplug.recommenders.models.{module}"
    for module, class_name in (entry.home.split(":") for entry in RECOMMENDERS.values())
} | {
    "Recommender": "kgplug.recommenders.base",
    "ModelConfig": "kgplug.training.config",
    "TrainingData": "kgplug.recommenders.training_data",
    "UserArrays": "kgplug.data.erasure.user_arrays",
    "Inputs": "kgplug.data.kinds",
    "LIKES": "kgplug.data.kinds",
    "LIKES_AND_TRIPLES": "kgplug.data.kinds",
}
__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
