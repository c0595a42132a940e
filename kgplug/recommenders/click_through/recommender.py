"""Base class of recommenders that are trained by gradient descent. It calls the training loop and chooses settings."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from kgplug.data.interactions import Interactions
from kgplug.data.values.keys import fingerprint
from kgplug.errors import TrainingError
from kgplug.recommenders.click_through.automatic import remove_trial_files, trial_files
from kgplug.recommenders.click_through.config import ClickThroughConfig
from kgplug.recommenders.click_through.logits import LogitRecommender
from kgplug.recommenders.click_through.pairs import ClickThroughData
from kgplug.recommenders.click_through.race import Race, Trial
from kgplug.recommenders.click_through.side_term import SideTerm
from kgplug.recommenders.click_through.tasks import WithSide
from kgplug.recommenders.health import model_findings
from kgplug.recommenders.parts.choosing.grid import CHOOSING, CHOOSING_FROM, LIKES_TO_CHOOSE_ON, searched
from kgplug.recommenders.parts.choosing.validation_lists import LISTED, Validation
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import Grid
from kgplug.training.device import choose_device
from kgplug.training.loop import History, TrainingTask, train
from kgplug.training.memory import attempts, building


def auc_by_chance(n: int) -> float:
    """Return the AUC that random scores of n likes and n negatives stay below with about 97.5 % probability.

    It is half plus two standard deviations.

    Source: H. B. Mann, D. R. Whitney, Ann. Math. Statist. 18(1), 1947: the variance is (2 n + 1) / (12 n²).
    """
    return 0.5 + 2 * math.sqrt((2 * n + 1) / 12) / n if n else 0.5


class TrainedRecommender(LogitRecommender):
    """A recommender whose network is trained by `kgplug.training.loop.train`.

    A subclass implements `_task` (build the untrained network and its training task) and `_settle` (compute the arrays
    for scoring). It also implements `_release` (delete what only training needs) if there is anything to delete.
    """

    config: ClickThroughConfig
    _given: ClickThroughConfig
    scores_are_probabilities: ClassVar[bool] = True

    def _fit(self, data: TrainingData) -> None:
        if data.valid is not None:
            self._train_chosen(data)
        else:
            if "epochs" not in self._given.model_fields_set and self._enough(data.interactions, CHOOSING_FROM):
                self.config = self.config.model_copy(update=self._chosen_on_a_part(data))
            self._train(data)
        remove_trial_files(data.checkpoint)

    def _enough(self, interactions: Interactions, least: int) -> bool:
        return self._rows_to_compare(interactions) >= least

    def _rows_to_compare(self, interactions: Interactions) -> int:
        """Return the number of likes, or of dislikes if the model learns from dislikes and there are fewer of them."""
        return int(interactions.is_like.sum())

    def _chosen_on_a_part(self, data: TrainingData) -> dict[str, Any]:
        """Train on 90 % of the rows, and return the settings and number of epochs that are best on the other 10 %."""
        config, part = self.config, data.divided(CHOOSING, "epochs")
        with self._rows_of(part.interactions):
            changes = self._train_chosen(part, title=f"{self.name}, how many epochs")
        self.config = config  # if memory ran out, the full training finds its own batch size
        return {**changes, "epochs": self.history["best_epoch"] + 1}

    def _train_chosen(self, data: TrainingData, *, title: str = "") -> dict[str, Any]:
        """Choose settings on the validation set, and train with them. Return the settings that were changed.

        If no setting is to be chosen, or the validation set is too small, train with `config` and return {}.
        """
        grid = searched(self._given)
        if not grid or data.valid is None or not self._enough(data.valid, LIKES_TO_CHOOSE_ON):
            self._train(data, title=title)
            return {}
        return self._race(data, grid, title or self.name)

    def _race(self, data: TrainingData, grid: Grid, title: str) -> dict[str, Any]:
        """Try the settings of a grid in a race of trials, and keep the weights of the best trial.

        If the best model shows signs of collapse (`model_findings`), the model with the defaults is kept.

        Each trial has its own checkpoint, from which it continues. If memory runs out in a trial, this trial and all
        later ones have smaller batches.

        Returns:
            The settings in which the kept model differs from the defaults.
        """
        start, configs = self.config, dict[str, ClickThroughConfig]()
        race = Race({name: getattr(start, name) for name in grid}, grid)
        data = replace(data, resumable=data.checkpoint is not None)
        with trial_files(data) as file_of:
            for changes, until in race.turns():
                self.config = configs.get(repr(changes), start.model_copy(update=changes))
                race.note(self._trial(replace(data, checkpoint=file_of(self.config)), changes, until, title))
                configs[repr(changes)] = self.config
                sizes = {name: value for name, value in self.config if name.endswith("batch_size")}
                start = start.model_copy(update=sizes)
            first, best = race.trials[0], max(race.trials, key=lambda trial: trial.metric)
            held, dead = race.trials[-1], False  # held: the trial whose weights the model has
            for chosen in (best, first):
                if chosen is not held:
                    self.config = configs[repr(chosen.changes)]
                    part = replace(data, checkpoint=file_of(self.config))
                    self._trial(part, chosen.changes, len(chosen.curve), title)  # loads the checkpoint
                if chosen is first or not model_findings(self):
                    break
                dead = True  # a collapsed model could not be published
        if not first.curve:
            return {}
        self.tried = [
            {
                "settings": trial.changes,
                "epochs": len(trial.curve),
                "metric": f"NDCG@{LISTED}" if self.history.get("lists") else "AUC",
                "value": round(trial.metric, 4) if trial.curve else None,
                "chosen": trial is chosen,
                "note": "the model has collapsed" if dead and trial is best else trial.failure,
            }
            for trial in race.trials
        ]
        if data.on_epoch is not None:
            for epoch, metric in enumerate(chosen.curve):
                data.on_epoch(epoch, metric)
        return chosen.changes

    def _trial(self, data: TrainingData, changes: dict[str, Any], until: int | None, title: str) -> Trial:
        """Train with the settings in `self.config`, and return the trial.

        If the training fails, the trial records the failure. If it fails with the defaults, the error is raised.

        Args:
            data: Training data.
            changes: Settings that were changed in `self.config`; {} for the trial of the defaults.
            until: Total number of epochs; None trains until early stopping or the maximum number of epochs.
            title: Title of the progress report.
        """
        epochs = self.config.epochs if until is None else until
        shown = "".join(f", {name}={value}" for name, value in changes.items())
        try:
            self._train(replace(data, pause_after=epochs, on_epoch=None), title=title + shown)
        except TrainingError as error:
            if not changes:
                raise
            return Trial(changes, [], ended=True, failure=str(error))
        curve = History(**self.history).metric[:epochs]  # a resumed trial may have more epochs
        return Trial(changes, curve, ended=len(curve) < epochs or epochs == self.config.epochs)

    def _train(self, data: TrainingData, *, title: str = "") -> None:
        self.history = {}
        try:
            for attempt in attempts(self.name, self.config, data.checkpoint):
                with attempt:
                    self.config = attempt.config
                    self.history = self._train_once(data, attempt.checkpoint, title or self.name).to_dict()
        except TrainingError as error:
            self.history = error.history or {}
            raise
        finally:
            if self.history:
                self._settle()
                self._release()

    def _train_once(self, data: TrainingData, checkpoint: Path | None, title: str) -> History:
        with building(self.name, self.config):
            task = self._whole_task(data)
        texts = (data.interactions.texts_fingerprint or "",) if self.inputs.titles else ()
        return train(
            task,
            epochs=self.config.epochs,
            patience=self.config.patience,
            seed=data.seed,
            description=title,
            chance=auc_by_chance(0 if data.valid is None else int(data.valid.is_like.sum())),
            fingerprint=fingerprint(*data.fingerprints, self.config.model_dump_json(), str(data.seed), *texts),
            checkpoint=checkpoint,
            pause_after=data.pause_after,
            resumable=data.resumable,
            lists=self._list_quality(data),
            progress=data.progress,
            on_epoch=data.on_epoch,
        )

    def _list_quality(self, data: TrainingData) -> Callable[[], float] | None:
        """Return a function that makes the validation users' lists with the current weights, and returns their NDCG.

        Return None if the best epoch is not chosen by the quality of lists.
        """
        valid = data.valid
        if self.config.goal != "lists" or not self.makes_lists_quickly or valid is None or not valid.is_like.any():
            return None
        validation = Validation(data.interactions, valid, seed=data.seed, items=None)

        def quality() -> float:
            self._settle()
            return float(validation.ndcg(self).mean())

        return quality

    def _whole_task(self, data: TrainingData) -> TrainingTask:
        """Build the untrained network and its training task.

        If the setting `side` is on, the task also trains a side term (a score from counts of likes and shared
        knowledge-graph features).
        """
        self.side = None
        if self.config.side:
            device = choose_device(self.config.device)
            self.side = SideTerm.untrained(data.interactions.likes(), data.knowledge, seed=data.seed, device=device)
        task = self._task(data)
        return task if self.side is None else WithSide(task, self.side, self.config.side_learning_rate)

    def _click_through(self, data: TrainingData) -> ClickThroughData:
        """Return the likes to train on, the sampler of negatives, and the validation pairs, as one object."""
        config = self.config
        return ClickThroughData(
            data.interactions,
            data.valid,
            seed=data.seed,
            exclude_low_rated=config.exclude_low_rated,
            dislike_share=config.dislike_share,
            side=self.side,
            per_like=config.negatives_per_like,
            popularity=config.negative_popularity,
        )

    @abstractmethod
    def _task(self, data: TrainingData) -> TrainingTask:
        """Build the untrained network and its training task."""

    def _settle(self) -> None:
        """Compute the arrays for scoring from the current weights of the network."""

    def _release(self) -> None:
        """Delete what only training needs."""
