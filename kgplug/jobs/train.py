"""Train a model on the data of a graph and keep it as a run."""

from __future__ import annotations

import inspect
import json
import logging
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from kgplug import models
from kgplug.data.artefact import peek_content, read_content, write_text_whole
from kgplug.data.graph_identity import GraphIdentity
from kgplug.data.row_memory import RowMemory
from kgplug.data.values.keys import fingerprint
from kgplug.data.values.whole_numbers import whole_number
from kgplug.errors import RunError, TrainingError, UsageError, when_interrupted
from kgplug.jobs import health
from kgplug.jobs.data import (
    DEFAULT_FRACTIONS,
    GraphData,
    Split,
    evaluation_of,
    split_of,
)
from kgplug.progress import stage
from kgplug.strict_json import dumps
from kgplug.training.runs import EVALUATION, Runs

if TYPE_CHECKING:
    from kgplug.embeddings.model import EmbeddingModel


_log = logging.getLogger(__name__)


def train(
    name: str,
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
    """Train a model and keep it as a run; the test part is split off and not looked at.

    A training that was interrupted goes on from its checkpoint when it is asked for again with the
    same model, settings, seed, split and data.

    Args:
        reuse: return the run that was trained on just this, if there is one.
        start: a run of an embedding to go on from; its settings and its split are taken over, so that no
            triple of its test part comes to be trained on.
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
        origin = _origin(name, data, runs, settings=settings, split=split, seed=seed, start=start, progress=progress)
        settings, split = _chosen(origin), Split((1.0, 0.0, 0.0), seed)
    earlier = None if start is None else _earlier(start, name)
    if start is not None:
        before = read_content(start)
        settings, split = {**before["settings"], **(settings or {})}, split_of(before)
    elif freeze:
        raise UsageError("freeze keeps the vectors of an earlier run: name it with --from RUN (start=…).")
    model = models.create(name, **(settings or {}))
    kind = models.kind(model)
    split = split or Split(fractions=DEFAULT_FRACTIONS[kind])
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
            "The graph has changed since this training of %s was interrupted, so it cannot go on: training anew.", name
        )
    began = time.perf_counter()
    options: dict[str, Any] = {"seed": seed, "progress": progress, "checkpoint": checkpoint}
    if earlier is not None:
        options |= {"start": earlier, "freeze": freeze}

    def goes_on() -> str | None:
        kept = any(checkpoint.parent.glob(f"{checkpoint.stem}*{checkpoint.suffix}"))
        return "The same command, given again, goes on from the last checkpoint." if kept else None

    failure = None
    parts = _parts(kind, data, split)
    try:
        with when_interrupted(goes_on), stage(f"Training {model.name}", progress=progress):
            _fit(model, data, parts, options)
    except TrainingError as error:
        if not model.history:
            raise
        failure = error  # after good epochs, whose best weights the model holds
    seconds = time.perf_counter() - began
    folder = runs.path(model.run)
    model.save(
        folder,
        **_memory(model, parts),
        key="" if failure else key,
        created=datetime.now(UTC).isoformat(timespec="microseconds"),  # runs of one second have an order
        seconds=round(seconds, 1),
        health=_health(model, parts, seconds),
        split=asdict(split),
        data=used,
        metrics=_validation_figures(model, kind) if origin is None else origin["metrics"],
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
    name: str,
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
    folder = train(
        name, data, runs, settings=settings, split=split, seed=seed, reuse=True, progress=progress
    )  # fmt: skip
    return read_content(folder)


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
    model = models.load(folder)
    if models.kind(model) != "embedding":
        raise UsageError(
            f"Run {folder.name} is a {model.name}; a training goes on from embeddings only. Train {name} anew."
        )
    return cast("EmbeddingModel", model)


def _parts(kind: str, data: GraphData, split: Split) -> tuple[Any, Any, Any]:
    """Return the training, validation and test set of what a kind of model learns; an empty one is None."""
    if kind == "embedding":
        assert data.knowledge is not None
        return split.triples(data.knowledge)
    assert data.interactions is not None
    return split.interactions(data.interactions)


def _fit(model: Any, data: GraphData, parts: tuple[Any, Any, Any], options: dict[str, Any]) -> None:
    """Fit on the training set."""
    learnt, valid, _ = parts
    if models.kind(model) == "embedding":
        model.fit(learnt, valid=valid, **options)
    else:
        model.fit(learnt, data.knowledge if model.needs_knowledge else None, valid=valid, **options)


def _memory(model: Any, parts: tuple[Any, Any, Any]) -> dict[str, RowMemory]:
    """Return what a run remembers of its split, as the argument of `save`; {} for a class that does not take it."""
    if "memory" not in inspect.signature(model.save).parameters:
        return {}
    name = "triple_hashes" if models.kind(model) == "embedding" else "row_hashes"
    return {"memory": RowMemory.of_sets(*(None if part is None else getattr(part, name) for part in parts))}


def _health(model: Any, parts: tuple[Any, Any, Any], seconds: float) -> list[str]:
    """Return what is dead about a model that was just trained."""
    if models.kind(model) == "embedding":
        return list(getattr(model, "health", []))
    return health.after_training(model, parts[0], parts[1], seconds=seconds)


def _validation_figures(model: Any, kind: str) -> dict[str, float]:
    """Return the best validation figure of a training by name, {} without one."""
    best = model.history.get("validation") or []
    name = "MRR (validation)" if kind == "embedding" else "AUC (validation)"
    return {name: round(max(best), 4)} if best else {}


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
