"""Which of a few settings is best: a race of trainings, judged by their validation metric.

First the defaults are trained, for n epochs. Then one setting at a time is changed, and trained for n / 2 epochs. Where
such a change leads, the next step in its direction, and other changes on top of it, follow. Only the best of these goes
on. They take at most 2 n epochs together, but if the last one leads then, it is trained to its end. So all take at most
three times as many epochs as the defaults or the winner, whichever is longer.

This is successive halving (K. Jamieson, A. Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter
Optimization", AISTATS 2016) with two rounds. Ours: the defaults go first and set the pace, and the grid grows where its
edge leads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kgplug.training.config import Grid

FIRST_PART = 2  # the first comparison is after n / 2 epochs; after n / 4, MKR without side term is behind where it wins
MOST_EPOCHS = 2  # of all others together, as a multiple of the defaults' epochs


@dataclass(frozen=True)
class Trial:
    """One choice of settings, trained so far.

    Attributes:
        changes: Settings that differ from the defaults.
        curve: Validation metric of each epoch.
        ended: Whether more epochs are impossible or useless.
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
        """Return the best metric of the first epochs."""
        return max(self.curve[:epochs], default=-math.inf)


Train = Callable[[dict[str, Any], int | None], Trial]
"""(changes, number of epochs in all, None for all) → the trial. Continues its earlier epochs."""


def race(train: Train, defaults: Mapping[str, Any], grid: Grid) -> list[Trial]:
    """Return all trials, the defaults first. The best is trained to its end.

    Args:
        train: Trains settings.
        defaults: Values of the settings in the grid.
        grid: What to change.
    """
    trials = _Trials(train)
    first = trials.run({}, None)
    n, trials.spent = len(first.curve), 0
    if not n:  # the validation set holds nothing to compare
        return trials.all
    part, most = max(1, n // FIRST_PART), MOST_EPOCHS * n
    waiting = list(_neighbours({}, defaults, grid))
    while waiting and trials.spent + part <= most - (n - part):  # the last one goes on for another n - part epochs
        leader = max(trial.best(part) for trial in trials.all)
        trial = trials.run(waiting.pop(0), part)
        if trial.best(part) > leader:
            known = [*(each.changes for each in trials.all), *waiting]
            waiting[:0] = [each for each in _neighbours(trial.changes, defaults, grid) if each not in known]
    others = [trial for trial in trials.all if trial is not first]
    if others:
        best = max(others, key=lambda trial: trial.best(part))
        if trials.run(best.changes, None, at_most=most).metric > first.metric:
            trials.run(best.changes, None)
    return trials.all


class _Trials:
    """The trials so far, and the number of epochs that they took."""

    def __init__(self, train: Train) -> None:
        self._train, self._of, self.spent = train, dict[str, Trial](), 0

    @property
    def all(self) -> list[Trial]:
        return list(self._of.values())

    def run(self, changes: dict[str, Any], until: int | None, *, at_most: int | None = None) -> Trial:
        """Train settings up to an epoch, if `at_most` epochs in all allow it."""
        key = repr(changes)
        before = self._of.get(key, Trial(changes, [], ended=False))
        if at_most is not None:
            left = len(before.curve) + at_most - self.spent
            until = left if until is None else min(until, left)
        if before.ended or (until is not None and until <= len(before.curve)):
            return before
        self._of[key] = trial = self._train(changes, until)
        self.spent += len(trial.curve) - len(before.curve)
        return trial


def _neighbours(changes: dict[str, Any], defaults: Mapping[str, Any], grid: Grid) -> Iterator[dict[str, Any]]:
    """Yield the changes that differ in one setting by one step, to the higher number first: too much L2 ends early."""
    for name, steps in grid.items():
        default, value = defaults[name], changes.get(name, defaults[name])
        if isinstance(steps, tuple):
            others = [each for each in steps if each != value]
        elif default > 0:
            steps_up = round(math.log(value / default, steps))
            others = [_after(default, steps, steps_up + 1), _after(default, steps, steps_up - 1)]
        else:
            others = []  # a setting that is switched off has no neighbours
        for other in others:
            changed = {**changes, name: other}
            yield {key: changed[key] for key in sorted(changed) if changed[key] != defaults[key]}


def _after(default: float, factor: float, steps_up: int) -> float:
    """Return the number some steps away from the default, rounded so that it can be read."""
    return default if steps_up == 0 else float(f"{default * factor**steps_up:.4g}")
