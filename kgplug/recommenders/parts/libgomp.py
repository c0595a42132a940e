"""The library libgomp, which implicit's wheels for Linux need but do not contain."""

from __future__ import annotations

import ctypes
import sys
from importlib.util import find_spec
from pathlib import Path

from kgplug.errors import TrainingError

NAME = "libgomp.so.1"


def load_libgomp() -> None:
    """Load libgomp, so that implicit can be imported. If the system has none, as in small containers, load torch's.

    Raises:
        TrainingError: Neither has one.
    """
    if sys.platform != "linux":
        return
    torch = find_spec("torch")
    brought = [Path(folder) / "lib" / NAME for folder in (torch and torch.submodule_search_locations) or ()]
    for path in (NAME, *brought):
        try:
            ctypes.CDLL(str(path))
        except OSError:
            continue
        return
    raise TrainingError(
        f"This model needs the system library {NAME}, which is not installed. "
        "Install it: apt install libgomp1, or dnf install libgomp."
    )
