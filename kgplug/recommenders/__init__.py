"""Recommenders: one class per model, imported when first used.

`from kgplug.recommenders import MKR` gives the class that `kgplug.create("MKR")` makes.
"""

from __future__ import annotations

import importlib

from kgplug.recommenders.catalogue import RECOMMENDERS

_HOME = {class_name: module for module, class_name in (entry.home.split(":") for entry in RECOMMENDERS.values())}
__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> type:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.models.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
