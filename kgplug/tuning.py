"""Search for a model's best settings with Optuna."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import pandas as pd
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, Trial, TrialState

from kgplug import models
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.values.whole_numbers import is_whole, whole_number
from kgplug.embeddings.catalogue import EMBEDDINGS
from kgplug.errors import DataError, TrainingError, UsageError, when_interrupted
from kgplug.evaluation.metrics.catalogue import LISTS_VALIDATED_BY, VALIDATED_BY
from kgplug.plain_text import counted
from kgplug.progress import bar as progress_bar
from kgplug.training import studies
from kgplug.training.config import ModelConfig, Range, Space
from kgplug.training.studies import open_study, quiet_optuna, study_path

if TYPE_CHECKING:
    from kgplug.embeddings.link_predictor import LinkPredictor
    from kgplug.recommenders.base import Recommender

MAX_RANKED_TRIPLES = 1000  # maximum number of validation triples that are ranked, the same ones in every trial
SIGNIFICANT_DIGITS = 3  # real numbers are rounded to this many significant digits before they are tried
MAX_KILLED = 3  # a trial during which this many processes were killed counts as failed
_SETTINGS, _TRIED, _REASON, _PRUNED_AFTER = "settings", "tried", "reason", "pruned_after"  # user attributes of a trial
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
_FACTS = ("trial", "state", "metric", "best", "seconds", "reason")  # columns of `Tuning.trials` that are not settings


@dataclass(frozen=True)
class Tuning:
    """Results of a search so far.

    Attributes:
        model: The model's name.
        metric: Name of the metric that was maximised.
        settings: Settings of the best trial, for `kgplug.create`: the fixed settings and those that the trial tried. If
            the defaults are best, only the fixed settings. Most recommenders also get settings="defaults" here, so that
            a training uses these settings instead of choosing some itself.
        best: The best trial's metric.
        trials: One row per ended trial, in order. Columns: trial (number, from 1), state ("complete", "pruned" or
            "failed"), metric (NaN unless complete), best (best metric so far), seconds, each searched setting, reason
            (of pruning or failure; otherwise "").
        path: The study's file; None if the study was kept in memory.
    """

    model: str
    metric: str
    settings: dict[str, Any]
    best: float
    trials: pd.DataFrame
    path: Path | None

    def __repr__(self) -> str:
        best = f"best {self.metric} {self.best:.4f} with {self.settings}"
        return f"Tuning of {self.model}, {counted(len(self.trials), 'trial')}: {best}"

    @property
    def figure(self) -> str:
        """The old name of `metric`."""
        warnings.warn("Tuning.figure is now called metric.", DeprecationWarning, stacklevel=2)
        return self.metric

    @property
    def searched(self) -> list[str]:
        """Names of the searched settings. Nested ones contain a dot, such as loss_settings.margin."""
        return [name for name in self.trials.columns if name not in _FACTS]

    @property
    def ranked(self) -> pd.DataFrame:
        """The complete trials, best first."""
        complete = self.trials.loc[self.trials["metric"].notna()]
        return complete.sort_values(by=["metric"], ascending=False, kind="stable")

    @property
    def reasons(self) -> list[str]:
        """The reason of each failed trial, in the order of the trials."""
        return list(self.trials.loc[self.trials["state"] == "failed", "reason"])


def tune(
    name: str,
    data: KnowledgeGraph | Interactions,
    knowledge: KnowledgeGraph | None = None,
    *,
    valid: KnowledgeGraph | Interactions,
    profiles: Interactions | None = None,
    trials: int = 20,
    seed: int = 0,
    epochs: int | None = None,
    folder: Path | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> Tuning:
    """Search for the settings that give a model the best metric on the validation set. The test set is never used.

    The first trial uses the default settings. A tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011)
    proposes the settings of the others. Every trial trains with the same seed, and its best weights are measured on
    the same validation rows. The metric is the filtered MRR for embeddings. For recommenders, it is the NDCG@10 of at
    most 2,000 users' lists; with the fixed setting `goal="clicks"`, it is the AUC of likes against items on which the
    user has no feedback in the training or validation set. If a training diverges or does not fit into memory, its
    trial fails; `Tuning.reasons` says why.

    After five complete trials, later ones can be pruned (stopped early), from their eleventh epoch on. A trial is
    pruned at an epoch if its best validation metric so far is below those of three quarters of the complete trials
    at that epoch.

    Several processes may work on one study: make the same call in each. A process that was killed is noticed after
    30 s, and its trial is repeated.

    Args:
        name: The model's name, as in `kgplug.create`.
        data: Training set: triples for an embedding, interactions for a recommender.
        knowledge: Triples, for a recommender that uses them.
        valid: Validation set.
        profiles: Profiles of validation users who are new (have no row in the training set), as in `kgplug.evaluate`.
            Then the metric is that of new users. Within a trial, such users cannot be used to choose the number of
            epochs. Instead, 10 % of the training rows are held out for this; if `epochs` is given, every trial trains
            for that number of epochs.
        trials: Total number of ended trials to reach, including those of earlier calls and of other processes.
        seed: Seed of the proposals and the trainings. If one process runs all trials, the same seed finds the
            same settings, interrupted or not.
        epochs: Maximum number of epochs in a trial. If omitted, the model's default.
        folder: Folder for the study's SQLite file. The same call continues the study; `trials` may differ. If omitted,
            the study is kept in memory.
        progress: Whether to show a progress bar. None: only on a terminal.
        settings: Settings of the model that stay fixed.

    Raises:
        UsageError: a name or setting is wrong, or no setting is left to search.
        DataError: the data cannot be trained on, or the validation set contains nothing to measure.
        TrainingError: no trial could be trained.
        RunError: the study's file is damaged.
    """
    seed = whole_number(seed, "seed")
    if not is_whole(trials) or trials < 1:
        raise UsageError(f"trials: expected at least 1, found {trials!r}.")
    model = models.create(name, **settings)
    if dict(model.config).get("settings") == "auto":
        if "settings" in settings:
            raise UsageError('tune: settings="auto" would search within each trial. Omit it.')
        settings = {**settings, "settings": "defaults"}  # neither a trial nor a training with its settings searches
    limit = {} if epochs is None else {"epochs": epochs}
    models.create(name, **{**settings, **limit})  # wrong settings are refused here, not in every trial
    space, own = _space_of(model, settings)
    metric, measure = _metric_of(model, data, valid, profiles, seed)

    def train(chosen: dict[str, Any], on_epoch: Callable[[int, float], None]) -> float:
        trained: Any = models.create(name, **{**chosen, **limit})
        inputs = (data, knowledge) if trained.inputs.likes_and_triples else (data,)
        own_valid = valid if profiles is None else None
        return measure(trained.fit(*inputs, valid=own_valid, seed=seed, progress=False, on_epoch=on_epoch))

    sets = [each.fingerprint for each in (data, valid, knowledge, profiles) if each is not None]
    if model.inputs.titles and isinstance(data, Interactions):
        sets.append(data.texts_fingerprint or "")
    identity = [model.name, settings, limit, {key: str(each) for key, each in space.items()}, seed]
    if model.kind.gives_lists:  # early studies of recommenders measured AUC under the same settings
        identity.append(metric)
    path = None if folder is None else study_path(folder, model.name, identity, sets)
    with quiet_optuna(), open_study(path, own) as study, when_interrupted(lambda: _kept(study, path)):
        objective = _objective(study, space, own, settings, train, seed=seed)
        _search(study, objective, trials=trials, title=model.name, progress=progress)
        return _result(study, model.name, metric, list(space), path)


def _kept(study: optuna.Study, path: Path | None) -> str | None:
    """Return a sentence on how an interrupted search continues; None if it cannot."""
    n = len(_ended(study))
    return f"The same command continues after {counted(n, 'trial')}." if path is not None and n else None


def _space_of(model: Recommender | LinkPredictor, fixed: Mapping[str, Any]) -> tuple[Space, dict[str, Any]]:
    """Return two dicts: setting → range or choices, and setting → default. Defaults outside the range are left out.

    The settings in `fixed` are not searched.
    """
    config: ModelConfig = model.config
    space, own = type(config).tuning, dict(config)
    if model.name in EMBEDDINGS:
        from kgplug.embeddings.search_space import defaults, search_space

        space, own = search_space(model.name, config), defaults(model.name, config)  # type: ignore[arg-type]
    if not space:
        raise UsageError(f"{model.name} has no settings to search (its config has no `tuning`).")
    free = {name: values for name, values in space.items() if not _is_fixed(name, fixed)}
    if not free:
        raise UsageError(f"Nothing is left to search: {', '.join(space)} are all given. Leave one open.")
    return free, {name: own[name] for name, values in free.items() if _holds(values, own.get(name))}


def _is_fixed(name: str, fixed: Mapping[str, Any]) -> bool:
    top, _, inner = name.partition(".")
    return top in fixed and (not inner or inner in fixed[top])


def _holds(values: Range | tuple[Any, ...], value: Any) -> bool:
    """Return whether a value is in a range or among choices."""
    if not isinstance(values, Range):
        return value in values
    if isinstance(value, bool) or not isinstance(value, int if values.whole else (int, float)):
        return False
    off = 0 if values.step is None else abs(math.remainder(value - values.low, values.step))
    return values.low <= value <= values.high and off < 1e-9


def _metric_of(
    model: Any,
    data: KnowledgeGraph | Interactions,
    valid: KnowledgeGraph | Interactions,
    profiles: Interactions | None,
    seed: int,
) -> tuple[str, Callable[[Any], float]]:
    """Return the metric's name and the function that measures it on a trained model."""
    metric = VALIDATED_BY[model.kind].validation_name
    if not model.kind.gives_lists:
        from kgplug.embeddings.validation import validation_triples

        if not isinstance(data, KnowledgeGraph) or not isinstance(valid, KnowledgeGraph):
            raise UsageError(f"{model.name} is an embedding: pass a KnowledgeGraph as data and as valid.")
        triples = validation_triples(valid, data, floats_per_score=1, seed=seed, max_triples=MAX_RANKED_TRIPLES)
        known = data.triples
        return metric, lambda trained: float((1 / trained.ranks(triples, known)).mean())
    from kgplug.evaluation.ctr import auc, label_pairs
    from kgplug.evaluation.experiment import score_pairs
    from kgplug.evaluation.new_users import by_profile, refuse_seen_users, with_profiles
    from kgplug.recommenders.parts.choosing.validation_lists import Validation

    if not isinstance(data, Interactions) or not isinstance(valid, Interactions):
        raise UsageError(f"{model.name} is a recommender: pass Interactions as data and as valid.")
    if not valid.is_like.any():
        raise DataError(
            f"{model.name}: none of the {len(valid):,} validation rows is a like, so nothing can be measured. Use a "
            "larger validation set, or lower like_threshold."
        )
    known = data
    if profiles is not None:
        refuse_seen_users(data, profiles, valid)
        known = with_profiles(data, profiles)

    def scoring(trained: Any) -> Any:
        return trained if profiles is None else by_profile(trained, known)

    if dict(model.config).get("goal") != "clicks":
        validation = Validation(known, valid, seed=seed, items=None)
        return LISTS_VALIDATED_BY, lambda trained: float(validation.ndcg(scoring(trained)).mean())
    pairs = label_pairs(valid, [known, valid], np.random.default_rng(seed))
    return metric, lambda trained: auc(pairs.labels, score_pairs(scoring(trained), pairs))


def _objective(
    study: optuna.Study,
    space: Space,
    own: dict[str, Any],
    fixed: dict[str, Any],
    train: Callable[[dict[str, Any], Callable[[int, float], None]], float],
    *,
    seed: int,
) -> Callable[[Trial], float]:
    """Return the function that Optuna calls for each trial: choose settings, train, measure.

    A trial whose training fails is reported to Optuna as pruned, because the sampler learns from pruned trials, but not
    from failed ones.

    The first trial uses `own`, the defaults; later ones choose from `space`. `fixed` is part of every trial's settings.
    `train(settings, on_epoch)` trains a model and returns its metric.
    """

    def objective(trial: Trial) -> float:
        all_trials = study.get_trials(deepcopy=False)
        # A trial whose process was killed has the state FAIL. It is repeated under a new number, so it does not count.
        number = sum(each.state != TrialState.FAIL for each in all_trials[: trial.number])
        # One sampler per trial: its draws depend on the seed and the earlier trials, not on interruptions.
        own_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(seed=own_seed)
        try:
            if len(RetryHeartbeatStaleTrialCallback.retry_history(all_trials[trial.number])) >= MAX_KILLED:
                raise TrainingError(f"{MAX_KILLED} processes were killed during this trial; is memory short?")
            flat = {name: _suggest(trial, name, space[name]) for name in (own if number == 0 else space)}
            chosen = dict(fixed) if number == 0 else _nested(fixed, flat)
            trial.set_user_attr(_TRIED, flat)
            trial.set_user_attr(_SETTINGS, chosen)
            value = train(chosen, lambda epoch, metric: _report(trial, epoch, metric))
            if not math.isfinite(value):
                raise TrainingError(f"The metric is {value}.")
        except KeyboardInterrupt:
            study.enqueue_trial(trial.params)
            raise
        except (TrainingError, UsageError, MemoryError, RuntimeError, ValueError) as error:
            trial.set_user_attr(_REASON, str(error) or type(error).__name__)
            raise optuna.TrialPruned from error
        if study.get_trials(deepcopy=False)[trial.number].state.is_finished():  # see `_search`
            raise optuna.TrialPruned
        return value

    return objective


def _report(trial: Trial, epoch: int, metric: float) -> None:
    """Report the validation metric of an epoch to Optuna. Raise TrialPruned if its pruner says so."""
    trial.report(metric, epoch)
    if trial.should_prune():
        trial.set_user_attr(_PRUNED_AFTER, epoch + 1)
        raise optuna.TrialPruned


def _search(
    study: optuna.Study, objective: Callable[[Trial], float], *, trials: int, title: str, progress: bool | None
) -> None:
    """Run trials until `trials` of them have ended, counted over all processes."""
    done, began = len(_ended(study)), time.monotonic()
    with progress_bar(max(trials, done), what=f"{title} trials", unit="trial", progress=progress, initial=done) as bar:
        while done < trials:
            optuna.storages.fail_stale_trials(study)
            elsewhere = len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
            # If another trial seems to run, wait at first. If its process was killed, the trial is then repeated before
            # any new one, which gives the results of an uninterrupted search.
            if elsewhere and (done + elsewhere >= trials or time.monotonic() - began < studies.GRACE_S + 2):
                bar.show("waiting for another process")
                time.sleep(0.5)
            else:
                try:
                    study.optimize(objective, n_trials=1)
                except ValueError as error:  # this trial has ended already
                    raise UsageError(
                        f"This process was suspended for more than {studies.GRACE_S} s, so another process has "
                        "repeated its trial. Run the same command again to continue."
                    ) from error
                complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
                bar.show({"best": f"{max(map(_value_of, complete), default=math.nan):.4f}"})
            done = len(_ended(study))
            bar.update(done - bar.n)


def _suggest(trial: Trial, name: str, values: Range | tuple[Any, ...]) -> Any:
    """Return the value that Optuna chooses for a setting in a trial."""
    if not isinstance(values, Range):
        return trial.suggest_categorical(name, values)
    if values.whole:
        step = int(values.step or 1)
        return trial.suggest_int(name, int(values.low), int(values.high), step=step, log=values.log)
    value = trial.suggest_float(name, values.low, values.high, step=values.step, log=values.log)
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def _nested(fixed: dict[str, Any], flat: dict[str, Any]) -> dict[str, Any]:
    """Return `fixed` and `flat` together, as settings for `kgplug.create`.

    {"loss_settings.margin": 1.0} in `flat` becomes {"loss_settings": {"margin": 1.0}}.
    """
    settings = copy.deepcopy(fixed)
    for name, value in flat.items():
        top, _, inner = name.partition(".")
        if inner:
            settings.setdefault(top, {})[inner] = value
        else:
            settings[top] = value
    return settings


def _ended(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=_ENDED)


def _value_of(trial: FrozenTrial) -> float:
    """Return a complete trial's metric; NaN for others. (Optuna gives pruned trials the metric of their last epoch.)"""
    return math.nan if trial.state != TrialState.COMPLETE or trial.value is None else trial.value


def _result(study: optuna.Study, model: str, metric: str, searched: list[str], path: Path | None) -> Tuning:
    ended = _ended(study)
    rows: list[dict[str, Any]] = []
    for number, trial in enumerate(ended, start=1):
        tried = {name: trial.user_attrs.get(_TRIED, {}).get(name) for name in searched}
        seconds = trial.duration.total_seconds() if trial.duration else math.nan
        state, reason = "complete", ""
        if trial.state != TrialState.COMPLETE:
            epochs = trial.user_attrs.get(_PRUNED_AFTER)
            state = "failed" if epochs is None else "pruned"
            reason = trial.user_attrs.get(_REASON, f"Pruned after {epochs} epochs.")
        facts = {"trial": number, "state": state, "metric": _value_of(trial), "best": math.nan}
        rows.append({**facts, "seconds": round(seconds, 2), **tried, "reason": reason})
    table = pd.DataFrame(rows)
    table[searched] = table[searched].convert_dtypes()  # whole numbers stay whole although some trials have None
    if not table["metric"].notna().to_numpy().any():
        raise TrainingError(f"{model}: none of {counted(len(ended), 'trial')} succeeded. {table['reason'].iloc[0]}")
    table["best"] = table["metric"].cummax().ffill()
    best = ended[int(table["metric"].argmax())]
    return Tuning(model, metric, best.user_attrs[_SETTINGS], _value_of(best), table, path)
