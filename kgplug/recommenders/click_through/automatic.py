"""Automatic settings: which settings are chosen on the validation set, and where the checkpoints of the trials are."""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from kgplug.data.values.keys import fingerprint
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import Grid, TrainedConfig

_NOT_ABOUT_ACCURACY = frozenset({"settings", "device", "backend"})


def searched(given: TrainedConfig) -> Grid:
    """Return the settings to choose on the validation set, with their steps or choices.

    If the user has set nothing that affects accuracy, the whole grid is returned, otherwise nothing. If the user has
    set `settings="auto"`, the settings in the grid that the user has not set are returned; with `settings="defaults"`,
    nothing.

    Args:
        given: Settings as the user gave them.
    """
    names = given.model_fields_set
    if given.settings == "defaults" or ("settings" not in names and names - _NOT_ABOUT_ACCURACY):
        return {}
    return {name: step for name, step in given.grid.items() if name not in names}


@contextmanager
def trial_files(data: TrainingData) -> Generator[Callable[[TrainedConfig], Path]]:
    """Yield a function from settings to the checkpoint of their training.

    The files are next to `data.checkpoint`. If that is None, they are temporary. Each is about four times as large as
    the model.
    """
    sets = fingerprint(*data.fingerprints, str(data.seed))
    with nullcontext() if data.checkpoint else tempfile.TemporaryDirectory(prefix="kgplug-") as folder:
        near = data.checkpoint or Path(str(folder)) / "choosing.safetensors"

        def file_of(config: TrainedConfig) -> Path:
            digest = fingerprint(sets, config.model_dump_json())[:12]
            return near.with_name(f"{near.stem}-trial-{digest}{near.suffix}")

        yield file_of


def remove_trial_files(checkpoint: Path | None) -> None:
    """Remove the files of all trials next to a checkpoint."""
    if checkpoint is not None:
        for path in checkpoint.parent.glob(f"{glob.escape(checkpoint.stem)}*-trial-*{checkpoint.suffix}"):
            path.unlink(missing_ok=True)
