"""Checkpoint files of the trials that automatic settings compare."""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from kgplug.data.values.keys import fingerprint
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import TrainedConfig


@contextmanager
def trial_files(data: TrainingData) -> Generator[Callable[[TrainedConfig], Path]]:
    """Yield a function from a trial's settings to the path of its checkpoint file.

    The files are next to `data.checkpoint`. If that is None, they are temporary. Each file is about four times as large
    as the model.
    """
    sets = fingerprint(*data.fingerprints, str(data.seed))
    with nullcontext() if data.checkpoint else tempfile.TemporaryDirectory(prefix="kgplug-") as folder:
        near = data.checkpoint or Path(str(folder)) / "choosing.safetensors"

        def file_of(config: TrainedConfig) -> Path:
            digest = fingerprint(sets, config.model_dump_json())[:12]
            return near.with_name(f"{near.stem}-trial-{digest}{near.suffix}")

        yield file_of


def remove_trial_files(checkpoint: Path | None) -> None:
    """Remove the checkpoint files of all trials next to `checkpoint`, the checkpoint file of the training."""
    if checkpoint is not None:
        for path in checkpoint.parent.glob(f"{glob.escape(checkpoint.stem)}*-trial-*{checkpoint.suffix}"):
            path.unlink(missing_ok=True)
