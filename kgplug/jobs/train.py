"""Train a model on the data of a graph and keep it as a run."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgplug import models
from kgplug.data.artefact import peek_content, read_content, write_text_whole
from kgplug.data.graph_identity import GraphIdentity
from kgplug.data.values.keys import fingerprint
from kgplug.data.values.whole_numbers import whole_number
from kgplug.errors import RunError, TrainingError, UsageError, when_interrupted
from kgplug.jobs import health
from kgplug.jobs.data import (
    GraphData,
    Split,
    evaluation_of,
    split_of,
)
from kgplug.models import Model
from kgplug.progress import stage
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
    """Train a model and keep it as a run; the test set is split off and not used.

    A training that was interrupted goes on from its checkpoint when it is asked for again with the
    same model, settings, seed, split and data.

    Args:
        model: an untrained model, or its name for `kgplug.create`.
        settings: of the model, if it is given by name.
        reuse: return the run that was trained on just this, if there is one.
        start: a run of an embedding to go on from; its settings and its split are taken over, so that no
            triple of its test set is learnt.
        freeze: what that run knows keeps its vectors bit for bit.
        final: train on all rows, with the settings and the number of epochs that the validation set has chosen in a
            training on the training set alone. That run, the origin, is trained first if it does not exist; the final
            run keeps its metrics.

    Returns:
        The run's folder.

    Raises:
        UsageError: a name or setting is wrong, or `start` does not fit.
        TrainingError: training could not go on; the message names the run that holds the best weights before, if
            there are any.
    """
    seed = whole_number(seed, "seed")
    origin: dict | None = None
    if final:
        origin = _origin(model, data, runs, settings=settings, split=split, seed=seed, start=start, progress=progress)
        model, settings, split = origin["model"], _chosen(origin), Split((1.0, 0.0, 0.0), seed)
    if start is None and freeze:
        raise UsageError("freeze keeps the vectors of an earlier run: name it with --from RUN (start=…).")
    earlier = None if start is None else _earlier(start, model if isinstance(model, str) else model.name)
    if start is not None:
        before = read_content(start)
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
    schema = data.schema.model_dump(by_alias=True)  # under its names in version 0.1, whose checkpoints are still found
    meant = fingerprint(json.dumps({**asked, "schema": schema}, sort_keys=True))
    checkpoint, outdated = _checkpoints(runs, meant, key)
    if outdated:
        _log.warning(
            "The graph has changed since this training of %s was interrupted, so it cannot go on: training again.",
            model.name,
        )
    began = time.perf_counter()
    options: dict[str, Any] = {"seed": seed, "progress": progress, "checkpoint": checkpoint}
    if earlier is not None:
        options |= {"start": earlier, "freeze": freeze}

    def goes_on() -> str | None:
        kept = any(checkpoint.parent.glob(f"{checkpoint.stem}*{checkpoint.suffix}"))
        return "The same command, given again, goes on from the last checkpoint." if kept else None

    failure = None
    sets = data.sets(model, split)
    try:
        with when_interrupted(goes_on), stage(f"Training {model.name}", progress=progress):
            model.fit(*data.inputs_of(model, sets), valid=sets.valid, **options)
    except TrainingError as error:
        if not model.history:
            raise
        failure = error  # after good epochs, whose best weights the model holds
    seconds = time.perf_counter() - began
    folder = runs.path(model.run)
    model.save(
        folder,
        memory=sets.memory,
        key="" if failure else key,
        created=datetime.now(UTC).isoformat(timespec="microseconds"),  # runs of one second have an order
        seconds=round(seconds, 1),
        health=health.after_training(model, sets, seconds=seconds),
        split=asdict(split),
        data=used,
        metrics=_validation_metrics(model) if origin is None else origin["metrics"],
        schema=data.schema.model_dump(),
        graph=data.identity.to_dict(),
        started_from=None if earlier is None else earlier.run,
        origin=None if origin is None else origin["run"],
    )
    if origin is not None and (figures := evaluation_of(runs.path(origin["run"]))):
        write_text_whole(folder / EVALUATION, dumps(figures))
    for path in (*outdated, *checkpoint.parent.glob(f"{checkpoint.stem}*{checkpoint.suffix}")):
        path.unlink(missing_ok=True)
    if failure is not None:
        raise TrainingError(f"{failure} The weights are kept as run {model.run}.") from failure
    return folder


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
) -> dict:
    """Return the content of the run that a final run takes its settings from; it is trained if it does not exist."""
    if start is not None:
        raise UsageError("A final run begins from nothing: omit --from, or omit --final.")
    if split is not None and split.fractions[0] >= 1:
        raise UsageError(
            "A final run takes its epochs and metrics from a run with a validation set, and this split has none. Use "
            "--split 0.8,0.1,0.1, or omit --final: the run learns all rows anyway."
        )
    folder = train(model, data, runs, settings=settings, split=split, seed=seed, reuse=True, progress=progress)
    return read_content(folder)


def _untrained(model: str | Model, settings: dict[str, Any] | None) -> Model:
    """Return the model itself, or the one of that name with the settings."""
    return models.create(model, **(settings or {})) if isinstance(model, str) else model


def _chosen(origin: dict) -> dict[str, Any]:
    """Return the settings of a run, with the number of epochs that its validation set has chosen."""
    history = origin["history"]
    best = {"epochs": history["best_epoch"] + 1} if history.get("validation") else {}
    return {**origin["settings"], **best}


def _checkpoints(runs: Runs, asked: str, key: str) -> tuple[Path, list[Path]]:
    """Return the checkpoint of a training, and those of the same training on data that are no more.

    Args:
        asked: fingerprint of model, settings, seed, split and schema.
        key: of all that and the data.
    """
    folder, suffix = runs.folder / ".checkpoints", ".safetensors"
    ours = f"{asked[:16]}-{key[:32]}"
    outdated = [path for path in folder.glob(f"{asked[:16]}-*{suffix}") if not path.name.startswith(ours)]
    return folder / f"{ours}{suffix}", outdated


def _earlier(folder: Path, name: str) -> EmbeddingModel:
    """Return the model of a run to go on from."""
    from kgplug.embeddings.model import EmbeddingModel

    model = models.load(folder)
    if not isinstance(model, EmbeddingModel):
        raise UsageError(
            f"Run {folder.name} is a {model.name}, and only an embedding can be trained further. Train {name} without "
            "--from."
        )
    return model


def _validation_metrics(model: Model) -> dict[str, float]:
    """Return the best validation metric of a training by name, {} without one."""
    best = model.history.get("validation") or []
    return {model.kind.validation_metric: round(max(best), 4)} if best else {}


def _find(runs: Runs, key: str, graph: GraphIdentity) -> Path | None:
    """Return the newest whole run of that key on a graph."""
    for info in reversed(runs.of(graph)[0]):
        try:
            if peek_content(info.path).get("key") == key:
                read_content(info.path)  # whole
                return info.path
        except RunError:
            continue
    return None
