"""Knowledge-graph embeddings: one class per model of the catalogue, created on first use.

`kgplug.create("TransE")` creates an instance of the class that `from kgplug.embeddings import TransE` imports.

PyKEEN and its dependency pystow create folders when they are imported. This package puts these folders under
KGPLUG_HOME instead of `~/.data`, before any of its modules imports PyKEEN.
"""

from __future__ import annotations

import os
import sys

from kgplug.embeddings.catalogue import EMBEDDINGS, WITHOUT_VECTORS
from kgplug.settings import Settings

_CHOSEN = ("PYSTOW_HOME", "PYSTOW_NAME", "PYSTOW_USE_APPDIRS")  # users may set one; PYKEEN_HOME overrides all three

if "pykeen" not in sys.modules and not any(name in os.environ for name in _CHOSEN):
    os.environ["PYSTOW_HOME"] = str(Settings().pystow_dir)

__all__ = sorted(name for name in (*EMBEDDINGS, *WITHOUT_VECTORS) if name.isidentifier())  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> type:
    if name in WITHOUT_VECTORS:
        return WITHOUT_VECTORS[name].load()
    if name not in EMBEDDINGS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kgplug.embeddings.named import named

    return named(name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
