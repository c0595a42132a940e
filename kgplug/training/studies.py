"""The files of `kgplug tune`. Each search is an Optuna study in a SQLite file, which several processes may share."""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import TrialState

from kgplug.data.values.keys import fingerprint
from kgplug.errors import RunError

_log = logging.getLogger(__name__)
HEARTBEAT_S = 5  # seconds between two heartbeats, by which a process shows that it still works on its trial
UNPRUNED_TRIALS, UNPRUNED_EPOCHS = 5, 10  # pruning starts after 5 complete trials, and in each trial after 10 epochs
KEPT_PERCENT = 75.0  # a trial is pruned after an epoch unless it is among the best 75 % of trials at that epoch
GRACE_S = 30  # seconds without a heartbeat after which a process counts as killed


def study_path(folder: Path, model: str, asked: list[Any], data: list[str]) -> Path:
    """Return the file of a study. Log a warning if the same search on other data exists.

    Args:
        folder: Folder of all studies.
        model: The model's name.
        asked: The arguments of the search, as a JSON-serialisable list.
        data: Fingerprints of the data.
    """
    name = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-") or "model"
    folder.mkdir(parents=True, exist_ok=True)
    earlier = folder / f"{name}-{_short([*asked, data])}.db"  # the name in earlier versions
    if earlier.exists():
        return earlier
    stem = f"{name}-{_short(asked)}"
    path = folder / f"{stem}-{_short(data)}.db"
    others = [other for other in folder.glob(f"{stem}-*.db") if other != path]
    if others and not path.exists():
        newest = max(others, key=lambda other: other.stat().st_mtime)
        _log.warning(
            "The data have changed since this search of %s began, so a new search begins: metrics on different data "
            "cannot be compared. The earlier search is %s.", model, newest,
        )  # fmt: skip
    return path


def _short(value: list[Any]) -> str:
    return fingerprint(json.dumps(value, sort_keys=True))[:16]


@contextmanager
def open_study(path: Path | None, own: dict[str, Any]) -> Generator[optuna.Study]:
    """Open a study for the time of this context.

    Args:
        path: The study's SQLite file, created if missing; None keeps the study in memory.
        own: The model's present values of the settings to search; a new study tries them first.

    Raises:
        RunError: The file cannot be opened.
    """
    # Hyperband is unsuitable: it assigns trials to brackets by number, but a trial that is repeated gets a new number.
    # MRR of the settings found for TransE on UMLS (20 trials, seeds 0 and 1): .564 and .604 with this pruner, .561 and
    # .589 with the median pruner, .578 and .604 without pruning.
    pruner = optuna.pruners.PercentilePruner(
        KEPT_PERCENT, n_startup_trials=UNPRUNED_TRIALS, n_warmup_steps=UNPRUNED_EPOCHS
    )
    if path is None:
        study = optuna.create_study(direction="maximize", pruner=pruner)
        study.enqueue_trial(own)
        yield study
        return
    from filelock import FileLock
    from sqlalchemy.exc import SQLAlchemyError

    with FileLock(path.with_suffix(".lock")):  # several processes may create the same study at once
        try:
            storage = optuna.storages.RDBStorage(
                f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}}, heartbeat_interval=HEARTBEAT_S,
                grace_period=GRACE_S, heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
            )  # fmt: skip
            study = optuna.create_study(
                storage=storage, study_name="tuning", direction="maximize", pruner=pruner, load_if_exists=True
            )
        except (SQLAlchemyError, RuntimeError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise RunError(f"{path} cannot be opened ({reason}). Delete it to search from the start.") from error
        if not study.trials:
            study.enqueue_trial(own)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            storage.record_heartbeat(trial._trial_id)  # earlier versions recorded none, so killed trials stayed RUNNING
    try:
        yield study
    finally:
        storage.engine.dispose()


@contextmanager
def quiet_optuna() -> Generator[None]:
    """Hide Optuna's log and warnings."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"optuna(\.|$)")
            warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
