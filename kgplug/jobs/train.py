"""Train a model on the data of a graph and save it as a run."""

from __future__ import annotations

import json
import logging
import math
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kgplug import models
from kgplug.data.artefact import peek_content, read_artefact, read_content, write_text_whole
from kgplug.data.graph_identity import GraphIdentity
from kgplug.data.interactions import Interactions
from kgplug.data.values.keys import fingerprint
from kgplug.data.values.whole_numbers import whole_number
from kgplug.errors import RunError, TrainingError, UsageError, when_interrupted
from kgplug.evaluation.ctr import auc, label_pairs
from kgplug.evaluation.experiment import score_pairs
from kgplug.evaluation.metrics.catalogue import LISTS_VALIDATED_BY, VALIDATED_BY
from kgplug.evaluation.new_users import as_new_users
from kgplug.jobs import health
from kgplug.jobs.data import (
    GraphData,
    Sets,
    Split,
    evaluation_of,
    split_of,
)
from kgplug.models import Model
from kgplug.progress import stage
from kgplug.recommenders.base import Recommender
from kgplug.strict_json import dumps
from kgplug.training.runs import EVALUATION, Runs

if TYPE_CHECKING:
    from kgplug.embeddings.model import EmbeddingModel


_log = logging.getLogger(__name__)


def train(
    model: str | Model,
    data: GraphData,
    runs: Runs,
    *,
    settings: dict[str, Any] | None = None,
    split: Split | None = None,
    seed: int = 0,
    reuse: bool = False,
    start: Path | None = None,
    freeze: bool = False,
    final: bool = False,
    progress: bool | None = None,
) -> Path:
    """Train a model and save it as a run. The test set is held out.

    An interrupted training continues from its checkpoint if `train` is called again with the same model, settings,
    seed, split and data.

    Args:
        model: An untrained model, or its name for `kgplug.create`.
        settings: Settings of the model, if it is given by name.
        split: How to split the data. By default, with the default fractions for this kind of model.
        seed: Seed of the training.
        reuse: Return an existing run with the same data, settings, split and seed, if there is one.
        start: Folder of an embedding's run to continue from. Its split is used, so no triple of its test set is learnt.
            Its settings are used, except those given in `settings`.
        freeze: Do not change the vectors of those entities and relations that `start` already has.
        final: Train on all rows, with the settings of a run on the training set (the origin) and the number of epochs
            that its validation set chose. The origin is trained first if it does not exist. The final run is
            saved with the origin's metrics.

    Returns:
        The run's folder.

    Raises:
        UsageError: A name or setting is wrong, or `start` does not fit.
        TrainingError: Training failed; the message names the run with the best weights so far, if there are any.
    """
    seed = whole_number(seed, "seed")
    origin: dict[str, Any] | None = None
    if final:
        origin = _origin(model, data, runs, settings=settings, split=split, seed=seed, start=start, progress=progress)
        model, settings, split = origin["model"], _chosen(origin), Split((1.0, 0.0, 0.0), seed)
    if start is None and freeze:
        raise UsageError("freeze keeps the vectors of an earlier run. Name that run: --from RUN (start=…).")
    earlier = None
    if start is not None:
        earlier, before = _earlier(start, model if isinstance(model, str) else model.name)
        settings, split = {**before["settings"], **(settings or {})}, split_of(before)
    model = _untrained(model, settings)
    split = split or Split(fractions=model.kind.fractions)
    used = data.used_by(model)
    asked = {
        "model": model.name,
        "settings": model.config.model_dump(),
        "seed": seed,
        "split": asdict(split),
        **({} if earlier is None else {"from": earlier.run, "freeze": freeze}),
        **({} if origin is None else {"final": True}),
    }
    key = fingerprint(json.dumps({**asked, **used}, sort_keys=True))
    if reuse and (found := _find(runs, key, data.identity)):
        return found
    schema = data.schema.model_dump(by_alias=True)  # field names of version 0.1, whose checkpoints are still found
    meant = fingerprint(json.dumps({**asked, "schema": schema}, sort_keys=True))
    checkpoint, outdated = _checkpoints(runs, meant, key)
    if outdated:
        _log.warning(
            "The graph has changed since this training of %s was interrupted. It starts again from the beginning.",
            model.name,
        )
    began = time.perf_counter()
    options: dict[str, Any] = {"seed": seed, "progress": progress, "checkpoint": checkpoint}
    if earlier is not None:
        options |= {"start": earlier, "freeze": freeze}

    def advice() -> str | None:
        kept = any(checkpoint.parent.glob(f"{checkpoint.stem}*{checkpoint.suffix}"))
        return "Run the same command again to continue from the last checkpoint." if kept else None

    failure = None
    sets, by_users = data.sets(model, split), split.by_users and model.inputs.likes
    try:
        with when_interrupted(advice), stage(f"Training {model.name}", progress=progress):
            # `fit` cannot validate on users without training rows. Without `valid`, it may hold out training rows
            # itself.
            valid = None if by_users else sets.valid
            model.fit(*data.inputs_of(model, sets), valid=valid, **options)
    except TrainingError as error:
        if not model.history:
            raise
        failure = error  # some epochs succeeded, and the model holds their best weights
    seconds = time.perf_counter() - began
    metrics = _metrics_of_new_users(model, sets, split, seed) if by_users else _validation_metrics(model)
    run_dir = runs.path(model.run)
    model.save(
        run_dir,
        memory=sets.memory,
        key="" if failure else key,
        created=datetime.now(UTC).isoformat(timespec="microseconds"),  # orders runs of the same second
        seconds=round(seconds, 1),
        health=health.after_training(model, sets, split, seconds=seconds),
        split=asdict(split),
        data=used,
        metrics=metrics if origin is None else origin["metrics"],
        schema=data.schema.model_dump(),
        graph=data.identity.to_dict(),
        started_from=None if earlier is None else earlier.run,
        origin=None if origin is None else origin["run"],
    )
    if origin is not None and (metrics := evaluation_of(runs.path(origin["run"]))):
        write_text_whole(run_dir / EVALUATION, dumps(metrics))
    for path in (*outdated, *checkpoint.parent.glob(f"{checkpoint.stem}*{checkpoint.suffix}")):
        path.unlink(missing_ok=True)
    if failure is not None:
        raise TrainingError(f"{failure} The weights are saved as run {model.run}.") from failure
    return run_dir


def _origin(
    model: str | Model,
    data: GraphData,
    runs: Runs,
    *,
    settings: dict[str, Any] | None,
    split: Split | None,
    seed: int,
    start: Path | None,
    progress: bool | None,
) -> dict[str, Any]:
    """Return the content of a final run's origin, the run that chooses its settings and epochs; train it if missing."""
    if start is not None:
        raise UsageError("A final run cannot continue from another run. Omit --from or --final.")
    if split is not None and split.fractions[0] >= 1:
        raise UsageError(
            "A final run takes its epochs and metrics from a run with a validation set, and this split has none. Use "
            "--split 0.8,0.1,0.1, or omit --final: with this split a run is trained on all rows anyway."
        )
    run_dir = train(model, data, runs, settings=settings, split=split, seed=seed, reuse=True, progress=progress)
    return read_content(run_dir)


def _untrained(model: str | Model, settings: dict[str, Any] | None) -> Model:
    """Return the model itself, or for a name, a new model with the settings."""
    return models.create(model, **(settings or {})) if isinstance(model, str) else model


def _chosen(origin: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a run, with the number of epochs that its validation set chose."""
    history = origin["history"]
    best = {"epochs": history["best_epoch"] + 1} if history.get("validation") else {}
    return {**origin["settings"], **best}


def _checkpoints(runs: Runs, asked: str, key: str) -> tuple[Path, list[Path]]:
    """Return the path of a training's checkpoint, and the paths of its outdated ones, made before the data changed.

    Args:
        asked: Fingerprint of model, settings, seed, split and schema.
        key: Fingerprint of model, settings, seed, split and data.
    """
    folder, suffix = runs.folder / ".checkpoints", ".safetensors"
    ours = f"{asked[:16]}-{key[:32]}"
    outdated = [path for path in folder.glob(f"{asked[:16]}-*{suffix}") if not path.name.startswith(ours)]
    return folder / f"{ours}{suffix}", outdated


def _earlier(run_dir: Path, name: str) -> tuple[EmbeddingModel, dict[str, Any]]:
    """Return the model and the content of a run to continue from.

    Raises:
        UsageError: The run, or the model called `name`, is not an embedding.
    """
    from kgplug.embeddings.model import EmbeddingModel

    if not issubclass(models.class_of(name), EmbeddingModel):
        raise UsageError(f"{name} cannot continue from a run; only embeddings can. Train it without --from.")
    arrays, content = read_artefact(run_dir)
    model = models.restored(run_dir, arrays, content)
    if not isinstance(model, EmbeddingModel):
        raise UsageError(
            f"Run {run_dir.name} is a {model.name}, and only an embedding can be continued. Train {name} without "
            "--from."
        )
    return model, content


def _validation_metrics(model: Model) -> dict[str, float]:
    """Return validation metric → its value at the epoch whose weights were kept; {} if there was no validation."""
    names = {"validation": VALIDATED_BY[model.kind].validation_name, "lists": LISTS_VALIDATED_BY}
    curves = {name: model.history.get(curve) for curve, name in names.items()}
    return {name: round(curve[model.history["best_epoch"]], 4) for name, curve in curves.items() if curve}


def _metrics_of_new_users(model: Model, sets: Sets, split: Split, seed: int) -> dict[str, float]:
    """Return validation metric → its value for the validation users, who are new; {} if it cannot be computed."""
    if not isinstance(model, Recommender) or not isinstance(sets.valid, Interactions):
        return {}
    assert isinstance(sets.train, Interactions)
    scoring, known, rest = as_new_users(model, sets.train, sets.valid, order=split.order)
    if not rest.is_like.any():
        return {}
    pairs = label_pairs(rest, [known, rest], np.random.default_rng(seed))
    try:
        found = auc(pairs.labels, score_pairs(scoring, pairs))
    except TrainingError:  # a score is NaN; the run is saved all the same
        return {}
    # The AUC is NaN if there are no negatives, because these users have feedback on every item.
    return {} if math.isnan(found) else {VALIDATED_BY[model.kind].validation_name: round(found, 4)}


def _find(runs: Runs, key: str, graph: GraphIdentity) -> Path | None:
    """Return the folder of a graph's newest undamaged run that has the fingerprint `key`; None if there is none."""
    for info in reversed(runs.of(graph)[0]):
        try:
            if peek_content(info.path).get("key") == key:
                read_content(info.path)  # raises RunError if the run is damaged
                return info.path
        except RunError:
            continue
    return None
