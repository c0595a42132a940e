"""Training when memory ends: with smaller batches, or a sentence that tells what would help."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from kgplug.errors import TrainingError, is_out_of_memory
from kgplug.training.config import ModelConfig
from kgplug.training.loop import History, TrainingTask

FEWEST_ROWS = 32  # smaller batches save nothing worth having

_log = logging.getLogger(__name__)
_Config = TypeVar("_Config", bound=ModelConfig)


def train_in_memory(
    name: str,
    config: _Config,
    build: Callable[[_Config], TrainingTask],
    train: Callable[[TrainingTask, _Config, Path | None], History],
    *,
    checkpoint: Path | None,
) -> History:
    """Train; where a step does not fit into memory, begin anew with batches of half as many rows, and say so.

    The model is then the one that the smaller batch size gives, bit by bit, as its config says. Each batch size has a
    checkpoint of its own (`checkpoint_of`), so a training that was interrupted finds the right one.

    Args:
        name: of the model, for messages.
        config: its settings, `batch_size` among them.
        build: makes the untrained task.
        train: trains it, with the checkpoint to write and to go on from.
        checkpoint: of the batch size asked for.

    Raises:
        TrainingError: the model itself, or even a batch of `FEWEST_ROWS`, does not fit.
    """
    asked = rows = _rows(config)
    while True:
        try:
            task = build(config)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise _too_large(name, config, error) from error
        try:
            return train(task, config, checkpoint if rows == asked else checkpoint_of(checkpoint, rows))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if rows // 2 < FEWEST_ROWS:
                raise TrainingError(
                    f"{name}: there is not enough memory even for batches of {rows:,} rows ({_first_line(error)}). "
                    f"{_advice(config)}."
                ) from error
        # Only here, when the exception is gone, is what it held on to free.
        del task
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        config, rows = _halved(config), rows // 2
        _log.warning(
            "%s: not enough memory for batches of %s rows; training anew with %s.", name, f"{2 * rows:,}", f"{rows:,}"
        )


def checkpoint_of(checkpoint: Path | None, rows: int) -> Path | None:
    """Return where a training keeps its checkpoint whose batches were cut down to so many rows."""
    return None if checkpoint is None else checkpoint.with_name(f"{checkpoint.stem}-batch{rows}{checkpoint.suffix}")


def _rows(config: ModelConfig) -> int:
    return getattr(config, "batch_size", 0)


def _halved(config: _Config) -> _Config:
    """Return the config with every batch size halved, that of triples too."""
    sizes = {name: value for name, value in config if name.endswith("batch_size")}
    return config.model_copy(update={name: max(1, value // 2) for name, value in sizes.items()})


def _too_large(name: str, config: ModelConfig, error: Exception) -> TrainingError:
    size = getattr(config, "embedding_dim", None)
    setting = "" if size is None else f" with embedding_dim={size}"
    return TrainingError(f"{name}{setting} does not fit into memory ({_first_line(error)}). {_advice(config)}.")


def _advice(config: ModelConfig) -> str:
    """Return what makes a training smaller: the model's own setting, where it has one that can be smaller."""
    size = getattr(config, "embedding_dim", None)
    if size is None or size < 2:
        return "Free some memory"
    return f"Use a smaller embedding_dim, such as {size // 2}, or free some memory"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0][:200].rstrip(".")
