"""A race of trainings: find the best of a few settings by the validation metric.

First a model with the defaults is trained to its end, which takes n epochs. Then models with one changed setting are
trained for n / 2 epochs each. If a change is the best so far, it is tried with a further step in the same direction,
and with other changes added to it. Only the best of all changed models is trained further, even if it is behind the
defaults, because it may learn slowly and still win. All changed models together may take 2 n epochs. If the best of
them is then ahead of the defaults, it is trained to its end. So the race takes at most three times as many epochs as
the training of the defaults or of the winner, whichever is longer.

This is successive halving (K. Jamieson, A. Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter
Optimization", AISTATS 2016) with two rounds. We changed two things. The defaults are trained first, and their number of
epochs n determines the length of the other trainings. The grid is extended if a value at its edge is the best.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kgplug.recommenders.parts.choosing.grid import steps_away
from kgplug.training.config import Grid

# Trials are first compared after n / 2 epochs. After n / 4 epochs, MKR without side term was behind but won in the end.
FIRST_PART = 2
MOST_EPOCHS = 2  # maximum number of epochs of all changed models together, as a multiple of the defaults' epochs


@dataclass(frozen=True)
class Trial:
    """One choice of settings, and the result of the training with these settings so far.

    Attributes:
        changes: Settings that differ from the defaults.
        curve: Validation metric of each epoch.
        ended: Whether the training failed, stopped early, or reached the maximum number of epochs.
        failure: Why the training failed, "" if it did not.
    """

    changes: dict[str, Any]
    curve: list[float]
    ended: bool
    failure: str = ""

    @property
    def metric(self) -> float:
        return self.best(len(self.curve))

    def best(self, epochs: int) -> float:
        """Return the best metric of the first `epochs` epochs."""
        return max(self.curve[:epochs], default=-math.inf)


class Race:
    """The plan of a race.

    Iterate over `turns`. Each turn names the settings of a trial, and for how many epochs to train it. Do so, and pass
    the trial to `note` before taking the next turn.

    Args:
        defaults: Default of each setting in the grid.
        grid: The settings to change, each with its possible values, or with the factor between neighbouring values.

    Attributes:
        trials: All trials, the defaults first. At the end of the race, the best trial is trained to its end.
        spent: Number of epochs of all trials except the defaults.
    """

    def __init__(self, defaults: Mapping[str, Any], grid: Grid) -> None:
        self._defaults, self._grid = defaults, grid
        self.trials: list[Trial] = []
        self.spent = 0

    def turns(self) -> Iterator[tuple[dict[str, Any], int | None]]:
        """Yield the changed settings of a trial, and its total number of epochs (None: train it to its end).

        If the same changes are yielded again with more epochs, continue that trial.
        """
        yield {}, None
        first = self.trials[0]
        n = len(first.curve)
        if not n:  # the validation set has nothing to compare
            return
        part, most = max(1, n // FIRST_PART), MOST_EPOCHS * n
        waiting = self._neighbours({})
        while waiting and self.spent + part <= most - (n - part):  # n - part epochs are reserved for the best
            leader = max(trial.best(part) for trial in self.trials)
            changes = waiting.pop(0)
            yield changes, part
            if self.of(changes).best(part) > leader:
                known = [*(trial.changes for trial in self.trials), *waiting]
                waiting[:0] = [each for each in self._neighbours(changes) if each not in known]
        if not self.trials[1:]:
            return
        changes = max(self.trials[1:], key=lambda trial: trial.best(part)).changes
        if not self.of(changes).ended and most > self.spent:
            yield changes, len(self.of(changes).curve) + most - self.spent
        if not self.of(changes).ended and self.of(changes).metric > first.metric:
            yield changes, None

    def of(self, changes: dict[str, Any]) -> Trial:
        """Return the trial with these changes, or an empty one if it has not been trained yet."""
        return next((trial for trial in self.trials if trial.changes == changes), Trial(changes, [], ended=False))

    def note(self, trial: Trial) -> None:
        """Record a trial, replacing its earlier state if there is one."""
        if trial.changes:
            self.spent += len(trial.curve) - len(self.of(trial.changes).curve)
        self.trials = [each for each in self.trials if each.changes != trial.changes] + [trial]

    def _neighbours(self, changes: dict[str, Any]) -> list[dict[str, Any]]:
        """Return all sets of changes that differ from the given one by one step of one setting.

        Higher values come first, because trainings with a stronger L2 penalty end earlier.
        """
        found: list[dict[str, Any]] = []
        for name, steps in self._grid.items():
            default, value = self._defaults[name], changes.get(name, self._defaults[name])
            if isinstance(steps, tuple):
                others = [each for each in steps if each != value]
            elif default > 0:
                steps_up = round(math.log(value / default, steps))
                others = [steps_away(default, steps, steps_up + 1), steps_away(default, steps, steps_up - 1)]
            else:
                others = []  # a setting that is switched off has no neighbours
            for other in others:
                changed = {**changes, name: other}
                found.append({key: changed[key] for key in sorted(changed) if changed[key] != self._defaults[key]})
        return found
