"""Where tensors live, and how many threads work on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from kgplug.errors import UsageError


def device_at_hand(name: str) -> str:
    """Return the name of a device if it is here, else "auto": a model trained on a GPU scores on a CPU as well."""
    return "auto" if name.startswith("cuda") and not torch.cuda.is_available() else name


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name; "auto" is CUDA where there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f'device="{name}": no CUDA device was found. Use device="cpu" or "auto".')
    try:
        return torch.device(name)
    except RuntimeError:
        raise UsageError(f'device="{name}": expected "auto", "cpu" or "cuda".') from None


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch's operations of this thread be done by it alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
