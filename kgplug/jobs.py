"""What the commands do, callable from Python: train a run from the graph, evaluate runs, publish one."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from kgplug import job_health, models
from kgplug.data.artefact import read_content, write_text_whole
from kgplug.data.keys import fingerprint
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.errors import DataError, RunError, TrainingError, UsageError, when_interrupted
from kgplug.graph.graph import Graph
from kgplug.graph.schema import GraphSchema
from kgplug.job_data import DEFAULT_FRACTIONS, EVALUATION, GraphData, Split, evaluation_of, read
from kgplug.job_publish import diff, preview, publish, resume
from kgplug.progress import stage
from kgplug.strict_json import dumps
from kgplug.training.runs import Runs

if TYPE_CHECKING:
    import pandas as pd

    from kgplug.data.publication import Predictions
    from kgplug.embeddings.model import EmbeddingModel
    from kgplug.embeddings.prediction import Question
    from kgplug.recommenders.base import Recommender
    from kgplug.tuning import Tuning

__all__ = [
    "DEFAULT_FRACTIONS",
    "GraphData",
    "Split",
    "diff",
    "evaluate",
    "evaluation_of",
    "predict",
    "preview",
    "publish",
    "read",
    "resume",
    "train",
    "tune",
]

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

    Returns:
        The run's folder.

    Raises:
        UsageError: a name or setting is wrong, or `start` does not fit.
        TrainingError: training could not go on; the message names the run that holds the best weights before, if
            there are any.
    """
    earlier = None if start is None else _earlier(start, name)
    if start is not None:
        before = read_content(start)
        settings, split = {**before["settings"], **(settings or {})}, _split_of(before)
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
    }
    key = fingerprint(json.dumps({**asked, **used}, sort_keys=True))
    if reuse and (found := _find(runs, key)):
        return found
    meant = fingerprint(json.dumps({**asked, "schema": data.schema.model_dump()}, sort_keys=True))
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
    try:
        with when_interrupted(goes_on), stage(f"Training {model.name}", progress=progress):
            _fit(model, kind, data, split, options)
    except TrainingError as error:
        if not model.history:
            raise
        failure = error  # after good epochs, whose best weights the model holds
    seconds = time.perf_counter() - began
    model.save(
        runs.path(model.run),
        key="" if failure else key,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 1),
        health=_health(model, kind, data, split, seconds),
        split=asdict(split),
        data=used,
        metrics=_validation_figures(model, kind),
        schema=data.schema.model_dump(),
        started_from=None if earlier is None else earlier.run,
    )
    for path in (*outdated, *checkpoint.parent.glob(f"{checkpoint.stem}*{checkpoint.suffix}")):
        path.unlink(missing_ok=True)
    if failure is not None:
        raise TrainingError(f"{failure} The weights are kept as run {model.run}.") from failure
    return runs.path(model.run)


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


def _fit(model: Any, kind: str, data: GraphData, split: Split, options: dict[str, Any]) -> None:
    """Fit on the training part."""
    if kind == "embedding":
        assert data.knowledge is not None
        train_part, valid, _ = split.triples(data.knowledge)
        model.fit(train_part, valid=valid, **options)
    else:
        assert data.interactions is not None
        train_rows, valid_rows, _ = split.interactions(data.interactions)
        model.fit(train_rows, data.knowledge if model.needs_knowledge else None, valid=valid_rows, **options)


def _health(model: Any, kind: str, data: GraphData, split: Split, seconds: float) -> list[str]:
    """Return what is dead about a model that was just trained."""
    if kind == "embedding":
        return list(getattr(model, "health", []))
    assert data.interactions is not None
    train_rows, valid_rows, _ = split.interactions(data.interactions)
    return job_health.after_training(model, train_rows, valid_rows, seconds=seconds)


def _validation_figures(model: Any, kind: str) -> dict[str, float]:
    """Return the best validation figure of a training by name, {} without one."""
    best = model.history.get("validation") or []
    name = "MRR (validation)" if kind == "embedding" else "AUC (validation)"
    return {name: round(max(best), 4)} if best else {}


def tune(
    name: str,
    data: GraphData,
    runs: Runs,
    *,
    trials: int = 20,
    epochs: int | None = None,
    settings: dict[str, Any] | None = None,
    split: Split | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Tuning:
    """Search a model's settings on the training and validation part of a split; see `kgplug.tune`.

    The study stands in the runs' folder, so that the same call, given again, goes on.

    Args:
        epochs: at most so many in a trial.
        settings: not to be searched.
    """
    from kgplug import tuning

    model = models.create(name, **(settings or {}))
    kind = models.kind(model)
    split = split or Split(fractions=DEFAULT_FRACTIONS[kind])
    whole = data.knowledge if kind == "embedding" else data.interactions
    assert whole is not None
    train_part, valid, _ = split.triples(whole) if isinstance(whole, KnowledgeGraph) else split.interactions(whole)
    if valid is None:
        raise UsageError(
            "Settings are chosen by the validation part, and this split has none. Use --split 0.8,0.1,0.1."
        )
    return tuning.tune(
        model.name, train_part, data.knowledge if getattr(model, "needs_knowledge", False) else None, valid=valid,
        trials=trials, seed=seed, epochs=epochs, folder=runs.folder / ".tuning", progress=progress, **(settings or {}),
    )  # fmt: skip


def _find(runs: Runs, key: str) -> Path | None:
    """Return the newest whole run of that key."""
    for info in reversed(runs.list()):
        try:
            if read_content(info.path).get("key") == key:
                return info.path
        except RunError:
            continue
    return None


def evaluate(
    graph: Graph,
    folders: Sequence[Path],
    *,
    k: Iterable[int] = (10, 20),
    beyond: bool = False,
    progress: bool | None = None,
) -> dict[str, pd.DataFrame]:
    """Measure runs on the test part of the data they were trained on; the figures are kept in the run folders.

    Args:
        k: lengths of lists.
        beyond: measure of recommenders what `kgplug.evaluation.beyond_accuracy` knows, too.

    Returns:
        One table a kind of model ("recommender", "embedding"), one row a run.

    Raises:
        RunError: a run is damaged, or the graph is no longer the one it was trained on.
        DataError: a run left no test part.
    """

    tables: dict[str, list[pd.DataFrame]] = {}
    read_before: dict[str, GraphData] = {}
    for folder in folders:
        content = read_content(folder)
        which = json.dumps([content["schema"], content["kind"]], sort_keys=True)
        if which not in read_before:
            read_before[which] = _read_again(graph, content, progress)
        measure = _evaluate_embedding if content["kind"] == "embedding" else _evaluate_recommender
        with stage(f"Evaluating {folder.name}", progress=progress):
            table = measure(folder, content, read_before[which], tuple(k), beyond)
        job_health.keep(folder, table.attrs.get("health", {}).get(folder.name, []))
        write_text_whole(folder / EVALUATION, dumps(table.iloc[0]))
        tables.setdefault(content["kind"], []).append(table)
    return {kind: job_health.joined(parts) for kind, parts in tables.items()}


def _read_again(graph: Graph, content: dict, progress: bool | None) -> GraphData:
    schema = GraphSchema.model_validate(content["schema"])
    if content["kind"] == "embedding":
        return GraphData(schema, None, graph.read_knowledge(schema, progress=progress))
    return GraphData(schema, graph.read_interactions(schema, progress=progress), None)


def _check_unchanged(folder: Path, trained_on: str, found: str) -> None:
    if trained_on != found:
        raise RunError(
            f"Run {folder.name} was trained on data that the graph no longer holds, so its test part cannot be told "
            "from what it learnt. Train again, then evaluate."
        )


def _no_test_part(folder: Path) -> DataError:
    return DataError(f"Run {folder.name} was trained without a test part. Train with --split 0.8,0.1,0.1, say.")


def _evaluate_recommender(
    folder: Path, content: dict, data: GraphData, k: tuple[int, ...], beyond: bool
) -> pd.DataFrame:
    from kgplug.evaluation.experiment import evaluate as measure

    assert data.interactions is not None
    _check_unchanged(folder, content["data"]["interactions"], data.interactions.fingerprint)
    train_rows, valid, test = _split_of(content).interactions(data.interactions)
    if test is None:
        raise _no_test_part(folder)
    model = cast("Recommender", models.load(folder))
    return measure({folder.name: model}, train_rows, test, valid=valid, k=k, beyond=beyond, warn=False)


def _evaluate_embedding(
    folder: Path, content: dict, data: GraphData, _k: tuple[int, ...], _beyond: bool
) -> pd.DataFrame:
    import pandas as pd

    from kgplug.embeddings.health import model_findings
    from kgplug.evaluation.health import no_better_than_guesses
    from kgplug.evaluation.link_prediction import count_untrained, evaluate_link_prediction

    assert data.knowledge is not None
    _check_unchanged(folder, content["data"]["knowledge"], data.knowledge.fingerprint)
    train_part, _, test = _split_of(content).triples(data.knowledge)
    if test is None:
        raise _no_test_part(folder)
    model = cast("EmbeddingModel", models.load(folder))
    figures = evaluate_link_prediction(model, test.triples, known=data.knowledge.triples)
    figures["untrained"] = count_untrained(train_part, test.triples)
    table = pd.DataFrame([figures], index=[folder.name])
    guesses = no_better_than_guesses(figures["MRR"], 2 * len(test.triples), len(model.entity_keys))
    found = list(dict.fromkeys([*model_findings(model), *([] if guesses is None else [guesses])]))
    table.attrs["health"] = {folder.name: found} if found else {}
    return table


def _split_of(content: dict) -> Split:
    """Return the split of a run; a run that names no method was split by the positions of its rows."""
    return Split(**{"method": "positions", **content["split"], "fractions": tuple(content["split"]["fractions"])})


def predict(
    graph: Graph,
    folder: Path,
    relation: str,
    *,
    head_label: str | None = None,
    tail_label: str | None = None,
    head: int | str | None = None,
    tail: int | str | None = None,
    top: int = 10,
    announce: Callable[[Question], None] | None = None,
    progress: bool | None = None,
) -> Predictions:
    """Return the most plausible triples of a relation that are not in the graph at this moment.

    Args:
        folder: of an embedding's run.
        announce: is told what will be scored before it is; see `kgplug.embeddings.prediction` for the other ones.

    Raises:
        UsageError: the run is no embedding; unknown relation, label or key.
    """
    from kgplug.embeddings.prediction import ask, predict

    content = read_content(folder)
    if content["kind"] != "embedding":
        raise UsageError(f"{content['model']} is a recommender; links are predicted by an embedding, such as TransE.")
    model = cast("EmbeddingModel", models.load(folder))
    ends: dict[str, Any] = {"head_label": head_label, "tail_label": tail_label, "head": head, "tail": tail}
    known = graph.read_knowledge(GraphSchema.model_validate(content["schema"]), progress=progress)
    question = ask(model, known, relation, **ends)
    if announce is not None:
        announce(question)
    return predict(model, question, top=top, progress=progress)
