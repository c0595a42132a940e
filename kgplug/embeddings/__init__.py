"""Knowledge-graph embeddings: every PyKEEN model by name, and as a class that is imported when first used.

`from kgplug.embeddings import TransE` gives the class that `kgplug.create("TransE")` makes.

PyKEEN, and pystow under it, make folders for their files as soon as they are imported. They belong under KGPLUG_HOME,
not in `~/.data`, so their place is set here, before any module of this package imports them.
"""

from __future__ import annotations

import os
import sys

from kgplug.embeddings.catalogue import EMBEDDINGS
from kgplug.settings import Settings

_CHOSEN = ("PYSTOW_HOME", "PYSTOW_NAME", "PYSTOW_USE_APPDIRS")  # by the user; PYKEEN_HOME stands above all of them

if "pykeen" not in sys.modules and not any(name in os.environ for name in _CHOSEN):
    os.environ["PYSTOW_HOME"] = str(Settings().pystow_dir)

__all__ = sorted(name for name in EMBEDDINGS if name.isidentifier())  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> type:
    if name not in EMBEDDINGS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kgplug.embeddings.named import named

    return named(name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
