"""The library libgomp, which implicit's wheels for Linux need but do not contain."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from importlib.metadata import distribution

from kgplug.errors import TrainingError

NAME = "libgomp.so.1"


def load_libgomp() -> None:
    """Load libgomp, so that implicit can be imported. If the system has none, as in small containers, load torch's.

    Raises:
        TrainingError: Neither has one.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError):
        ctypes.CDLL(NAME)
        return
    with suppress(OSError):
        ctypes.CDLL(str(distribution("torch").locate_file(f"torch/lib/{NAME}")))
        return
    raise TrainingError(
        f"This model needs the system library {NAME}, which is not installed. "
        "Install it: apt install libgomp1, or dnf install libgomp."
    )
