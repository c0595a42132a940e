"""Automatic settings: which settings are chosen on the validation set, and where their trainings are kept."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
def trial_files(checkpoint: Path | None) -> Generator[Callable[[dict[str, Any]], Path]]:
    """Yield a function from settings to the checkpoint of their training.

    The checkpoints are next to the given one. Without one they are temporary.
    """
    with tempfile.TemporaryDirectory(prefix="kgplug-") as folder:
        near = Path(folder) / "trial.safetensors" if checkpoint is None else checkpoint

        def file_of(changes: dict[str, Any]) -> Path:
            if not changes:
                return near
            digest = hashlib.sha256(json.dumps(changes, sort_keys=True).encode()).hexdigest()[:12]
            return near.with_name(f"{near.stem}-{digest}{near.suffix}")

        yield file_of
