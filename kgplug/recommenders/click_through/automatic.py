"""Automatic settings: which settings are chosen on the validation set, and where their trainings are kept."""

from __future__ import annotations

import glob
import hashlib
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from kgplug.training.config import Grid, TrainedConfig

_NOT_ABOUT_ACCURACY = frozenset({"settings", "device", "backend"})


def searched(given: TrainedConfig) -> Grid:
    """Return the settings to choose: none if the user has set any, unless with `settings="auto"`.

    Args:
        given: Settings as the user gave them.
    """
    names = given.model_fields_set
    if given.settings == "defaults" or ("settings" not in names and names - _NOT_ABOUT_ACCURACY):
        return {}
    return {name: step for name, step in given.grid.items() if name not in names}


@contextmanager
def trial_files(checkpoint: Path | None) -> Generator[Callable[[TrainedConfig, str], Path]]:
    """Yield a function from settings and a fingerprint of the data to the checkpoint of their training.

    The files are next to the given checkpoint; without one, they are temporary. Disk: each has about four times the
    size of the model.
    """
    if checkpoint is not None:
        yield lambda config, data: _beside(checkpoint, config, data)
        return
    with tempfile.TemporaryDirectory(prefix="kgplug-") as folder:
        yield lambda config, data: _beside(Path(folder) / "trial.safetensors", config, data)


def remove_trial_files(checkpoint: Path | None) -> None:
    """Remove the files of all trials next to a checkpoint."""
    if checkpoint is not None:
        for path in checkpoint.parent.glob(f"{glob.escape(checkpoint.stem)}*-trial-*{checkpoint.suffix}"):
            path.unlink(missing_ok=True)


def _beside(checkpoint: Path, config: TrainedConfig, data: str) -> Path:
    digest = hashlib.sha256((config.model_dump_json() + data).encode()).hexdigest()[:12]
    return checkpoint.with_name(f"{checkpoint.stem}-trial-{digest}{checkpoint.suffix}")
