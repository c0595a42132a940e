"""Training when memory is short: smaller batches, or an error that says what helps."""

from __future__ import annotations

import gc
import logging
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, Self, TypeVar

import torch

from kgplug.errors import TrainingError, is_out_of_memory
from kgplug.training.config import ModelConfig

FEWEST_ROWS = 32  # smaller batches hardly need less memory

_log = logging.getLogger(__name__)
_Config = TypeVar("_Config", bound=ModelConfig)


class Attempt(Generic[_Config]):
    """One attempt at a training: a context that catches the error if a step does not fit into memory.

    Attributes:
        config: Settings to train with.
        checkpoint: File to write from time to time and to continue from, or None.
        memory_ended: Whether the attempt ran out of memory, so another one follows.
    """

    def __init__(self, name: str, config: _Config, checkpoint: Path | None) -> None:
        self.name, self.config, self.checkpoint, self.memory_ended = name, config, checkpoint, False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception) or not is_out_of_memory(error):
            return False
        rows = _rows(self.config)
        if rows // 2 < FEWEST_ROWS:
            raise TrainingError(
                f"{self.name}: not enough memory even for batches of {rows:,} rows ({_first_line(error)}). "
                f"{_advice(self.config)}."
            ) from error
        self.memory_ended = True
        return True


def attempts(name: str, config: _Config, checkpoint: Path | None) -> Iterator[Attempt[_Config]]:
    """Yield attempts at a training, each with half the batch size of the one before, until memory suffices.

    The result is the same, bit for bit, as if training had started with the smaller batch size. Each batch size has
    its own checkpoint (`checkpoint_of`), so a resumed training finds the right one. Use this function as follows,
    so that the memory of a failed attempt is freed before the next one:

        for attempt in attempts(name, config, checkpoint):
            with attempt:
                history = ...  # build and train with attempt.config and attempt.checkpoint, in a function of its own

    Args:
        name: Name of the model, for messages.
        config: Settings, including `batch_size`.
        checkpoint: Checkpoint for the given batch size.

    Raises:
        TrainingError: Memory ran out, and half the batch would have fewer than 32 rows.
    """
    asked = rows = _rows(config)
    while True:
        attempt = Attempt(name, config, checkpoint if rows == asked else checkpoint_of(checkpoint, rows))
        yield attempt
        if not attempt.memory_ended:
            return
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        config, rows = _halved(config), rows // 2
        _log.warning(
            "%s: not enough memory for batches of %s rows; training again with %s.",
            name,
            f"{2 * rows:,}",
            f"{rows:,}",
        )


@contextmanager
def building(name: str, config: ModelConfig) -> Generator[None]:
    """Within this context, build a model. If memory is short, raise an error: smaller batches would not help here.

    Raises:
        TrainingError: The model itself does not fit into memory.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        size = dict(config).get("embedding_dim")
        setting = "" if size is None else f" with embedding_dim={size}"
        raise TrainingError(
            f"{name}{setting} does not fit into memory ({_first_line(error)}). {_advice(config)}."
        ) from error


def checkpoint_of(checkpoint: Path | None, rows: int) -> Path | None:
    """Return the checkpoint file of a training whose batches were reduced to this number of rows."""
    return None if checkpoint is None else checkpoint.with_name(f"{checkpoint.stem}-batch{rows}{checkpoint.suffix}")


def _rows(config: ModelConfig) -> int:
    return dict(config).get("batch_size", 0)


def _halved(config: _Config) -> _Config:
    """Return the config with every batch size halved, including `kge_batch_size` for triples."""
    sizes = {name: value for name, value in config if name.endswith("batch_size")}
    return config.model_copy(update={name: max(1, value // 2) for name, value in sizes.items()})


def _advice(config: ModelConfig) -> str:
    """Return advice on how to train with less memory."""
    size = dict(config).get("embedding_dim")
    if size is None or size < 2:
        return "Free some memory"
    return f"Use a smaller embedding_dim, such as {size // 2}, or free some memory"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0][:200].rstrip(".")
