"""Checkpoints: one safetensors file, replaced atomically, with weights, best weights and optimiser state.

Its header holds the sha256 of the content, so a damaged checkpoint is never used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from kgplug.data.artefact import disk_errors, flush_to_disk
from kgplug.errors import RunError
from kgplug.training.adam import Optimizer


def save_checkpoint(
    path: Path,
    module: torch.nn.Module,
    optimizers: Sequence[Optimizer],
    best: dict[str, torch.Tensor],
    history: dict[str, Any],
    *,
    fingerprint: str,
) -> None:
    """Write the state of a training; the previous file stays valid until the new one is complete on disk.

    Args:
        path: File to write.
        best: Weights of the best epoch so far.
        history: Fields of `kgplug.training.loop.History`.
        fingerprint: Fingerprint of data and settings.

    Raises:
        RunError: The file could not be written.
    """
    tensors = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    scalars: dict[str, dict[str, Any]] = {}
    for number, optimizer in enumerate(optimizers):
        for parameter, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                key = f"optimizer.{number}.{parameter}.{name}"
                if isinstance(value, torch.Tensor):
                    tensors[key] = value
                else:
                    scalars[key] = value
    # Clone each tensor: safetensors refuses tensors that share memory (tied weights).
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    header = json.dumps({"fingerprint": fingerprint, "history": history, "scalars": scalars})
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        building = path.with_name(f".{path.name}.{os.getpid()}")  # a folder, for safetensors' own temporary file
        building.mkdir(exist_ok=True)
        try:
            temporary = building / path.name
            save_file(tensors, temporary, metadata={"kgplug": header, "sha256": _digest(header, tensors)})
            flush_to_disk(temporary)
            temporary.replace(path)
            flush_to_disk(path.parent)
        finally:
            shutil.rmtree(building, ignore_errors=True)


def _digest(header: str, tensors: dict[str, torch.Tensor]) -> str:
    """Return the sha256 (hex) of a header and of tensors with their names, types and shapes."""
    digest = hashlib.sha256(header.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _remove_abandoned(path: Path) -> None:
    """Remove the files of processes that were killed while they wrote this checkpoint."""
    for other in path.parent.glob(f".{path.name}.*"):
        writer = other.suffix[1:]
        if writer.isdigit() and not psutil.pid_exists(int(writer)):
            shutil.rmtree(other, ignore_errors=True)


def load_checkpoint(
    path: Path, module: torch.nn.Module, optimizers: Sequence[Optimizer], *, fingerprint: str
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Restore module and optimisers in place; return (best weights, history).

    Raises:
        RunError: The file is damaged, or was written for other data or settings.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            header = json.loads(metadata["kgplug"])
            written_for, history, scalars = header["fingerprint"], header["history"], header["scalars"]
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            if metadata["sha256"] != _digest(metadata["kgplug"], tensors):
                raise ValueError("its content does not match its sha256")
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise RunError(f"Checkpoint {path} is damaged ({error}). Delete it to train from the start.") from error
    if written_for != fingerprint:
        raise RunError(f"Checkpoint {path} was written for other data or settings. Delete it to train from the start.")
    try:
        _restore(module, optimizers, tensors, scalars)
    except (RuntimeError, LookupError, ValueError, AttributeError, TypeError) as error:  # such as a renamed weight
        raise RunError(f"Checkpoint {path} is damaged: its tensors do not fit the training.") from error
    device = next(module.parameters()).device
    best = {name: tensor.to(device) for name, tensor in _below("best.", tensors).items()}
    return best, history


def _restore(
    module: torch.nn.Module, optimizers: Sequence[Optimizer], tensors: dict[str, Any], scalars: dict[str, Any]
) -> None:
    """Load the tensors and scalars of a checkpoint into a module and its optimisers."""
    module.load_state_dict(_below("module.", tensors))
    for number, optimizer in enumerate(optimizers):
        full = optimizer.state_dict()
        state: dict[int, dict[str, Any]] = {}
        for key, value in (_below(f"optimizer.{number}.", tensors) | _below(f"optimizer.{number}.", scalars)).items():
            parameter, name = key.split(".", 1)
            state.setdefault(int(parameter), {})[name] = value
        optimizer.load_state_dict({"state": state, "param_groups": full["param_groups"]})


def _below(prefix: str, mapping: dict[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in mapping.items() if key.startswith(prefix)}
