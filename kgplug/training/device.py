"""The device of tensors, and the number of threads."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch

from kgplug.errors import UsageError


def device_at_hand(name: str) -> str:
    """Return "auto" if `name` names a GPU and this machine has none, otherwise `name`.

    So a run that was trained on a GPU can be loaded on any machine.
    """
    return "auto" if name.startswith("cuda") and not torch.cuda.is_available() else name


def choose_device(name: str = "auto") -> torch.device:
    """Return a device by name; "auto" is CUDA if available, otherwise the CPU.

    Raises:
        UsageError: The name is invalid, or there is no CUDA device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f'device="{name}": no CUDA device was found. Use device="cpu" or "auto".')
    try:
        return torch.device(name)
    except RuntimeError:
        raise UsageError(f'device="{name}": expected "auto", "cpu" or "cuda".') from None


@contextmanager
def one_thread() -> Generator[None]:
    """Within this context, run each torch operation that this thread calls on a single thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
