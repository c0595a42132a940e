"""The library libgomp, which implicit's wheels for Linux need but do not contain."""

from __future__ import annotations

import ctypes
import sys
from importlib import import_module


def load_libgomp() -> None:
    """Load libgomp, so that implicit can be imported. If the system has none, as in small containers, load torch's."""
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libgomp.so.1")
        except OSError:
            import_module("torch")
