"""The search for a model's best settings, through Optuna."""

from __future__ import annotations

import copy
import json
import logging
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import pandas as pd
from optuna.trial import FrozenTrial, Trial, TrialState

from kgplug import models
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.values.keys import fingerprint
from kgplug.data.values.whole_numbers import is_whole, whole_number
from kgplug.errors import RunError, TrainingError, UsageError, when_interrupted
from kgplug.plain_text import counted
from kgplug.progress import bar as progress_bar
from kgplug.training.config import Range, Space

if TYPE_CHECKING:
    from kgplug.embeddings.model import EmbeddingModel
    from kgplug.recommenders.base import Recommender

_log = logging.getLogger(__name__)
RANKED_TRIPLES = 1000  # of the validation part; the same ones in every trial
DIGITS = 3  # of a number tried
_SETTINGS, _TRIED, _REASON = "settings", "tried", "reason"  # what is kept beside a trial
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Tuning:
    """What a search has found so far.

    Attributes:
        model: name.
        figure: what was maximised.
        settings: the best trial's, for `kgplug.create`; {} where the model's own are best.
        best: its figure.
        trials: one row an ended trial, in order: trial (number from 1), figure (NaN where the training failed),
            best (so far), seconds, each searched setting, reason (of a failure, else "").
        path: of the study, None where it was kept in memory.
    """

    model: str
    figure: str
    settings: dict[str, Any]
    best: float
    trials: pd.DataFrame
    path: Path | None

    def __repr__(self) -> str:
        best = f"best {self.figure} {self.best:.4f} with {self.settings}"
        return f"Tuning of {self.model}, {counted(len(self.trials), 'trial')}: {best}"

    @property
    def searched(self) -> list[str]:
        """The names of the searched settings, those of the model and its loss with a dot."""
        return [name for name in self.trials.columns if name not in ("trial", "figure", "best", "seconds", "reason")]

    @property
    def ranked(self) -> pd.DataFrame:
        """The trials that were trained, the best first."""
        trained = self.trials.loc[self.trials["figure"].notna()]
        return trained.sort_values(by=["figure"], ascending=False, kind="stable")

    @property
    def reasons(self) -> list[str]:
        """Why the other trials failed, in order."""
        return [reason for reason in self.trials["reason"] if reason]


def tune(
    name: str,
    data: KnowledgeGraph | Interactions,
    knowledge: KnowledgeGraph | None = None,
    *,
    valid: KnowledgeGraph | Interactions,
    trials: int = 20,
    seed: int = 0,
    epochs: int | None = None,
    folder: Path | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> Tuning:
    """Search a model's settings for the best figure on the validation part; no test part is ever seen.

    The first trial has the model's own settings, the next ones those that a tree-structured Parzen estimator
    (Bergstra et al., NeurIPS 2011) proposes. Every trial trains with the same seed and is measured after training,
    with its best weights, on the same rows: filtered MRR for embeddings, AUC of likes against items that the
    user has in neither part for recommenders. A training that diverges or does not fit is a trial that
    failed, with its reason.

    Args:
        name: of the model, as in `kgplug.create`.
        data: the training part: triples for an embedding, feedback for a recommender.
        knowledge: triples, for a recommender that uses them.
        valid: the validation part.
        trials: how many shall have ended, those of an earlier call included.
        seed: of the proposals and the trainings: the same one finds the same, interrupted or not.
        epochs: at most so many in a trial; by default as many as the model's settings say.
        folder: where the study is kept (SQLite) and gone on with when all this is asked for again, only `trials`
            apart; without it, it is kept in memory.
        progress: show a bar; None shows it on a terminal.
        settings: of the model, not to be searched.

    Raises:
        UsageError: a name or setting is wrong, nothing is left to search, or another process is at this study.
        DataError: the data cannot be trained on, or the validation part holds nothing to measure.
        TrainingError: no trial could be trained.
        RunError: the study's file is damaged.
    """
    seed = whole_number(seed, "seed")
    if not is_whole(trials) or trials < 1:
        raise UsageError(f"trials: expected at least 1, found {trials!r}.")
    model = models.create(name, **settings)
    limit = {} if epochs is None else {"epochs": epochs}
    models.create(name, **{**settings, **limit})  # refused here, not in every trial
    space, own = _space_of(model, settings)
    figure, measure = _figure_of(model, data, valid, seed)

    def run(chosen: dict[str, Any]) -> float:
        trained: Any = models.create(name, **{**chosen, **limit})
        inputs = (data, knowledge) if getattr(trained, "needs_knowledge", False) else (data,)
        return measure(trained.fit(*inputs, valid=valid, seed=seed, progress=False))

    parts = [part.fingerprint for part in (data, valid, knowledge) if part is not None]
    if getattr(model, "reads_titles", False) and isinstance(data, Interactions):
        parts.append(data.texts_fingerprint or "")
    identity = [model.name, settings, limit, {key: str(each) for key, each in space.items()}, seed]
    path = None if folder is None else _path(folder, model.name, identity, parts)
    with _quiet(), _study(path) as study, when_interrupted(lambda: _kept(study, path)):
        _search(study, space, own, settings, run, trials=trials, seed=seed, title=model.name, progress=progress)
        return _result(study, model.name, figure, list(space), path)


def _kept(study: optuna.Study, path: Path | None) -> str | None:
    """Return what an interrupted search leaves."""
    n = len(_ended(study))
    return f"The same command, given again, goes on after {counted(n, 'trial')}." if path is not None and n else None


def _space_of(model: Recommender | EmbeddingModel, fixed: Mapping[str, Any]) -> tuple[Space, dict[str, Any]]:
    """Return (what is searched, the model's own settings as far as they lie in it)."""
    space, own = getattr(type(model.config), "tuning", {}), dict(model.config)
    if models.kind(model) == "embedding":
        from kgplug.embeddings.search_space import defaults, search_space

        space, own = search_space(model.name, model.config), defaults(model.name, model.config)  # type: ignore[arg-type]
    if not space:
        raise UsageError(f"{model.name} has no settings to search (its config has no `tuning`).")
    free = {name: values for name, values in space.items() if not _is_fixed(name, fixed)}
    if not free:
        raise UsageError(f"Nothing is left to search: {', '.join(space)} are all given. Leave one open.")
    return free, {name: own[name] for name, values in free.items() if _holds(values, own.get(name))}


def _is_fixed(name: str, fixed: Mapping[str, Any]) -> bool:
    top, _, inner = name.partition(".")
    return top in fixed and (not inner or inner in fixed[top])


def _holds(values: Range | tuple, value: Any) -> bool:
    """Whether a value can be tried."""
    if not isinstance(values, Range):
        return value in values
    if isinstance(value, bool) or not isinstance(value, int if values.whole else (int, float)):
        return False
    off = 0 if values.step is None else abs(math.remainder(value - values.low, values.step))
    return values.low <= value <= values.high and off < 1e-9


def _figure_of(
    model: Any, data: KnowledgeGraph | Interactions, valid: KnowledgeGraph | Interactions, seed: int
) -> tuple[str, Callable[[Any], float]]:
    """Return the name of the figure and what measures it on a trained model."""
    if models.kind(model) == "embedding":
        from kgplug.embeddings.validation import validation_triples

        if not isinstance(data, KnowledgeGraph) or not isinstance(valid, KnowledgeGraph):
            raise UsageError(f"{model.name} is an embedding: pass a KnowledgeGraph as data and as valid.")
        triples = validation_triples(valid, data, floats_a_score=1, seed=seed, at_most=RANKED_TRIPLES)
        known = data.triples
        return "MRR (validation)", lambda trained: float((1 / trained.ranks(triples, known)).mean())
    from kgplug.evaluation.ctr import auc, label_pairs
    from kgplug.evaluation.experiment import score_pairs

    if not isinstance(data, Interactions) or not isinstance(valid, Interactions):
        raise UsageError(f"{model.name} is a recommender: pass Interactions as data and as valid.")
    pairs = label_pairs(valid, [data, valid], np.random.default_rng(seed))
    return "AUC (validation)", lambda trained: auc(pairs.labels, score_pairs(trained, pairs))


def _search(
    study: optuna.Study,
    space: Space,
    own: dict[str, Any],
    fixed: dict[str, Any],
    run: Callable[[dict[str, Any]], float],
    *,
    trials: int,
    seed: int,
    title: str,
    progress: bool | None,
) -> None:
    """Do the trials that are still to be done."""
    for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):  # by a process that was killed
        study.tell(left.number, state=TrialState.FAIL)
    done = len(_ended(study))
    if done == 0 and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.enqueue_trial(own)
    total = max(trials, done)
    with progress_bar(total, what=f"{title} trials", unit="trial", progress=progress, initial=done) as bar:
        for number in range(done, trials):
            # A sampler a trial: what it draws depends on the seed and the trials before, not on interruptions.
            study.sampler = optuna.samplers.TPESampler(seed=_sampler_seed(seed, number))
            trial = study.ask()
            tried = own if number == 0 else space
            flat = {name: _suggest(trial, name, space[name]) for name in tried}
            trial.set_user_attr(_TRIED, flat)
            _try(study, trial, dict(fixed) if number == 0 else _nested(fixed, flat), run)
            bar.show(_best_so_far(study))
            bar.update()


def _try(study: optuna.Study, trial: Trial, chosen: dict[str, Any], run: Callable[[dict[str, Any]], float]) -> None:
    """Train once and tell the study; what cannot be trained is pruned, which the sampler learns from."""
    trial.set_user_attr(_SETTINGS, chosen)
    try:
        value = run(chosen)
        if not math.isfinite(value):
            raise TrainingError(f"The figure is {value}.")
    except (TrainingError, UsageError, MemoryError, RuntimeError, ValueError) as error:
        trial.set_user_attr(_REASON, str(error) or type(error).__name__)
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, value)


def _suggest(trial: Trial, name: str, values: Range | tuple) -> Any:
    """Return the value to try."""
    if not isinstance(values, Range):
        return trial.suggest_categorical(name, values)
    if values.whole:
        step = int(values.step or 1)
        return trial.suggest_int(name, int(values.low), int(values.high), step=step, log=values.log)
    return float(f"{trial.suggest_float(name, values.low, values.high, step=values.step, log=values.log):.{DIGITS}g}")


def _nested(fixed: dict[str, Any], flat: dict[str, Any]) -> dict[str, Any]:
    """Return settings for `kgplug.create`: {"loss_settings.margin": 1.0} becomes {"loss_settings": {"margin": 1.0}}."""
    settings = copy.deepcopy(fixed)
    for name, value in flat.items():
        top, _, inner = name.partition(".")
        if inner:
            settings.setdefault(top, {})[inner] = value
        else:
            settings[top] = value
    return settings


def _sampler_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _ended(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=_ENDED)


def _best_so_far(study: optuna.Study) -> dict[str, str]:
    figures = [trial.value for trial in _ended(study) if trial.value is not None]
    return {"best": f"{max(figures):.4f}"} if figures else {}


def _result(study: optuna.Study, model: str, figure: str, searched: list[str], path: Path | None) -> Tuning:
    ended, rows = _ended(study), []
    for number, trial in enumerate(ended, start=1):
        value = math.nan if trial.value is None else trial.value
        tried = {name: trial.user_attrs[_TRIED].get(name) for name in searched}
        seconds = trial.duration.total_seconds() if trial.duration else math.nan
        facts = {"trial": number, "figure": value, "best": math.nan, "seconds": round(seconds, 2)}
        rows.append({**facts, **tried, "reason": trial.user_attrs.get(_REASON, "")})
    table = pd.DataFrame(rows)
    table[searched] = table[searched].convert_dtypes()  # whole numbers stay whole where the first trial has none
    if not any(trial.value is not None for trial in ended):
        none = (
            f"None of the {len(ended)} trials of {model} could"
            if len(ended) > 1
            else f"The one trial of {model} could not"
        )
        raise TrainingError(f"{none} be trained. {table['reason'].iloc[0]}")
    table["best"] = table["figure"].cummax().ffill()
    best = ended[int(table["figure"].argmax())]
    assert best.value is not None
    return Tuning(model, figure, best.user_attrs[_SETTINGS], best.value, table, path)


def _path(folder: Path, model: str, asked: list, data: list[str]) -> Path:
    """Return the file of a study; one of the same search on other data is named in a warning.

    Args:
        folder: of all studies.
        model: name.
        asked: what is searched, JSON-able.
        data: fingerprints of what is learnt.
    """
    name = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-") or "model"
    folder.mkdir(parents=True, exist_ok=True)
    earlier = folder / f"{name}-{_short([*asked, data])}.db"  # as earlier versions called it
    if earlier.exists():
        return earlier
    stem = f"{name}-{_short(asked)}"
    path = folder / f"{stem}-{_short(data)}.db"
    others = [other for other in folder.glob(f"{stem}-*.db") if other != path]
    if others and not path.exists():
        newest = max(others, key=lambda other: other.stat().st_mtime)
        _log.warning(
            "The data have changed since this search of %s began, so it begins again: figures on other data cannot be "
            "compared. The earlier search is %s.", model, newest,
        )  # fmt: skip
    return path


def _short(value: list) -> str:
    return fingerprint(json.dumps(value, sort_keys=True))[:16]


@contextmanager
def _study(path: Path | None) -> Iterator[optuna.Study]:
    """Open a study, new or gone on with, for this process alone."""
    if path is None:
        yield optuna.create_study(direction="maximize")
        return
    from sqlalchemy.exc import SQLAlchemyError

    with _alone(path):
        try:
            storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
            study = optuna.create_study(storage=storage, study_name="tuning", direction="maximize", load_if_exists=True)
        except (SQLAlchemyError, RuntimeError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise RunError(f"{path} cannot be opened ({reason}). Delete it to search from the start.") from error
        try:
            yield study
        finally:
            storage.engine.dispose()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock that the kernel frees when its holder ends, however it ends."""
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_suffix(".lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(f"Another process is at this search ({path}). Wait for it, or end it.") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back Optuna's log and its warnings."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"optuna(\.|$)")
            warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
