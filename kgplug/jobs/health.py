"""Signs of a collapsed model: found after training or evaluation, saved with the run, reported before a publish."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from kgplug.data.artefact import write_text_whole
from kgplug.data.interactions import Interactions
from kgplug.errors import RunError
from kgplug.evaluation.new_users import as_new_users
from kgplug.jobs.data import Sets, Split
from kgplug.models import Model
from kgplug.recommenders.base import Recommender
from kgplug.strict_json import dumps
from kgplug.training.runs import HEALTH

_log = logging.getLogger(__name__)
_SHARE, _LEAST_S = 0.05, 2.0  # time limit for comparing lists: this share of the training time, but at least 2 s


def after_training(model: Model, sets: Sets, split: Split, *, seconds: float) -> list[str]:
    """Return signs that a model has collapsed, one sentence each; log those that `fit` has not logged yet.

    Args:
        model: Model fitted on the training set.
        sets: The training, validation and test set.
        split: How the data were split.
        seconds: Duration of the training.
    """
    from kgplug.evaluation.health import after_training as findings_of

    if not (isinstance(model, Recommender) and isinstance(sets.train, Interactions)):
        return list(model.health)
    train, valid = sets.train, sets.valid if isinstance(sets.valid, Interactions) else None
    scoring = model
    if split.by_users and valid is not None:
        scoring, train, valid = as_new_users(model, train, valid, order=split.order)
    found = findings_of(scoring, train, valid, health=model.health, within_s=max(_LEAST_S, _SHARE * seconds))
    for sentence in found:
        if sentence not in model.health:
            _log.warning("%s: %s.", model.name, sentence)
    return found


def keep(run_dir: Path, findings: Sequence[str]) -> None:
    """Save in a run's folder the signs of collapse that an evaluation found; replace those of an earlier evaluation."""
    if findings or (run_dir / HEALTH).exists():
        write_text_whole(run_dir / HEALTH, dumps(list(findings), ascii_only=False))


def found_at_evaluation(run_dir: Path) -> list[str]:
    """Return the signs of collapse that a run's evaluation found, one sentence each; [] if there are none.

    Raises:
        RunError: The file with them is damaged.
    """
    path = run_dir / HEALTH
    try:
        return [str(sentence) for sentence in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []
    except (ValueError, TypeError, RecursionError):
        raise RunError(f"{path} is damaged. Delete it, then run: kgplug evaluate {run_dir.name}.") from None


def joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate tables of metrics, and merge their signs of collapse in `attrs["health"]` (run → sentences)."""
    health = {run: said for table in tables for run, said in table.attrs.get("health", {}).items()}
    plain = [table.copy() for table in tables]
    for table in plain:
        table.attrs = {}  # otherwise, `concat` keeps attrs that are equal in all tables
    whole = pd.concat(plain)
    whole.attrs["health"] = health
    return whole


def notes(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Return the signs of collapse in `attrs["health"]` of some tables, one sentence each with the run's id."""
    found = {run: said for table in tables.values() for run, said in table.attrs.get("health", {}).items()}
    return [f"{run}: {sentence}." for run, said in found.items() for sentence in said]
