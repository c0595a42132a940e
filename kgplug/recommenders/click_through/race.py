"""Which of a few settings is best: a race of trainings, judged by their validation metric.

First the defaults are trained, for n epochs. Then one setting at a time is changed, and trained for n / 2 epochs; where
a changed setting leads, those next to it are tried as well. The better half of all goes on, until one is left
(successive halving). The others take at most 2 n epochs together, but if the last one leads then, it is trained to its
end. So all take at most three times as many epochs as the longer one of the defaults and the winner.

Source: K. Jamieson, A. Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS
2016. Ours: the defaults go first and set the pace, and the grid grows where its edge leads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kgplug.training.config import Grid

FIRST_PART = 2  # the first comparison is after this part of the defaults' epochs: after n / 2
# (After n / 4, MKR without its side term is still behind on data where it wins.)
MOST_EPOCHS = 2  # of all others together, as a multiple of the defaults' epochs


@dataclass(frozen=True)
class Trial:
    """One choice of settings, trained so far.

    Attributes:
        changes: Settings that differ from the defaults.
        curve: Validation metric of each epoch.
        ended: Whether the training has ended by itself.
    """

    changes: dict[str, Any]
    curve: list[float]
    ended: bool

    def best(self, epochs: int) -> float:
        """Return the best metric of the first epochs."""
        return max(self.curve[:epochs], default=-math.inf)

    def facts(self) -> dict[str, Any]:
        """Return what a run records of it."""
        return {"settings": self.changes, "epochs": len(self.curve), "metric": round(self.best(len(self.curve)), 4)}


Train = Callable[[dict[str, Any], int | None], Trial]
"""(changes, number of epochs in all, None for all) → the trial. Continues its earlier epochs."""


def race(train: Train, defaults: Mapping[str, Any], grid: Grid) -> list[Trial]:
    """Return all trials, the defaults first. The best is trained to its end.

    Args:
        train: Trains settings.
        defaults: Values of the settings in the grid.
        grid: What to change.
    """
    field = _Field(train)
    first = field.run({}, None)
    n, field.spent = len(first.curve), 0
    part, most = math.ceil(n / FIRST_PART), MOST_EPOCHS * n
    waiting = list(_neighbours({}, defaults, grid))
    while waiting and field.spent + part <= most - (n - part):  # the winner goes on for another n - part epochs
        leader = max(trial.best(part) for trial in field.trials)
        trial = field.run(waiting.pop(0), part)
        if trial.best(part) > leader:
            known = [*(each.changes for each in field.trials), *waiting]
            waiting[:0] = [each for each in _neighbours(trial.changes, defaults, grid) if each not in known]
    ahead = field.trials
    while len(ahead) > 1:
        ahead = sorted(ahead, key=lambda trial: -trial.best(part))[: len(ahead) // 2]
        part *= 2
        ahead = [field.run(trial.changes, part if len(ahead) > 1 else None, at_most=most) for trial in ahead]
    if ahead[0].best(len(ahead[0].curve)) > first.best(n):
        field.run(ahead[0].changes, None)
    return field.trials


class _Field:
    """The trials, and the number of epochs that they took."""

    def __init__(self, train: Train) -> None:
        self._train, self._of, self.spent = train, dict[str, Trial](), 0

    @property
    def trials(self) -> list[Trial]:
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
    """Yield the changes that differ in one setting by one step."""
    for name, step in grid.items():
        value = changes.get(name, defaults[name])
        others = (
            [each for each in step if each != value]
            if isinstance(step, tuple)
            else [float(f"{each:.6g}") for each in (value / step, value * step)]
        )
        for other in others:
            changed = {**changes, name: other}
            yield {key: changed[key] for key in sorted(changed) if changed[key] != defaults[key]}
