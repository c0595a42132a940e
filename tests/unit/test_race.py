"""The race of settings: what it finds, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgplug.recommenders.click_through.race import Trial, race

GRID = {"side": (True, False), "l2": 3.0}  # the order of MKR's
DEFAULTS = {"l2": 0.1, "side": True}


def trainer(
    curve_of: Callable[[dict[str, Any]], list[float]],
) -> tuple[Callable[[dict[str, Any], int | None], Trial], dict[str, int]]:
    """Return a training of given curves, and the number of epochs that each choice has taken."""
    epochs: dict[str, int] = {}

    def train(changes: dict[str, Any], until: int | None) -> Trial:
        curve = curve_of({**DEFAULTS, **changes})
        part = curve[:until]
        epochs[repr(changes)] = len(part)
        return Trial(changes, part, ended=until is None or len(part) < until)

    return train, epochs


def rising(best: float, n: int = 40) -> list[float]:
    return [best * (1 - math.exp(-epoch / 8)) for epoch in range(1, n + 1)]


def best_of(trials: list[Trial]) -> Trial:
    return max(trials, key=lambda trial: trial.best(len(trial.curve)))


def test_the_best_settings_are_trained_to_their_end() -> None:
    train, epochs = trainer(lambda settings: rising(0.8 if settings["side"] else 0.9))
    assert best_of(race(train, DEFAULTS, GRID)).changes == {"side": False}
    assert epochs["{'side': False}"] == epochs["{}"] == 40


@pytest.mark.parametrize("n", [40, 41])
def test_each_neighbour_is_tried(n: int) -> None:
    train, epochs = trainer(lambda settings: rising(0.8 if settings["l2"] == 0.1 else 0.7, n))
    race(train, DEFAULTS, GRID)
    assert {repr({"l2": 0.3}), repr({"l2": 0.03333}), repr({"side": False})} <= epochs.keys()


@pytest.mark.parametrize(("best", "grid"), [(0.9, {"l2": 3.0}), (0.1 / 9, {"l2": 3.0}), (0.3, GRID)])
def test_the_grid_grows_where_its_edge_leads(best: float, grid: dict[str, Any]) -> None:
    train, _ = trainer(lambda settings: rising(0.9 - abs(math.log10(settings["l2"] / best)) / 10))
    assert best_of(race(train, DEFAULTS, grid)).changes == {"l2": pytest.approx(best, rel=1e-3)}


def test_a_step_up_and_down_again_is_the_default() -> None:
    train, epochs = trainer(lambda settings: rising(0.8 - settings["l2"] / 10))
    race(train, {"l2": 0.05}, {"l2": 3.0})
    assert list(epochs) == ["{}", "{'l2': 0.15}", "{'l2': 0.01667}", "{'l2': 0.005556}"]


def test_a_change_that_helps_is_kept_while_another_setting_is_changed() -> None:
    train, _ = trainer(lambda s: rising(0.8 + 0.05 * (not s["side"]) + 0.05 * (s["l2"] > 0.4)))
    assert best_of(race(train, DEFAULTS, {"side": (True, False), "l2": 5.0})).changes == {"side": False, "l2": 0.5}


def test_a_slow_choice_that_leads_after_half_of_the_epochs_wins() -> None:
    slow = [0.5] * 5 + rising(0.95, 60)
    train, _ = trainer(lambda settings: rising(0.8) if settings["side"] else slow)
    assert best_of(race(train, DEFAULTS, GRID)).changes == {"side": False}


@pytest.mark.parametrize("n", [1, 2, 3])
def test_short_trainings_are_compared_too(n: int) -> None:
    train, _ = trainer(lambda settings: rising(0.8 if settings["side"] else 0.9, n))
    assert best_of(race(train, DEFAULTS, GRID)).changes == {"side": False}


def test_a_failed_choice_is_left_out() -> None:
    train, _ = trainer(lambda settings: rising(0.8 + settings["l2"] / 10))

    def failing(changes: dict[str, Any], until: int | None) -> Trial:
        return Trial(changes, [], ended=True, failure="too much") if changes else train(changes, until)

    trials = race(failing, DEFAULTS, GRID)
    assert best_of(trials).changes == {} and [trial.failure for trial in trials[1:]] == ["too much"] * (len(trials) - 1)


def test_nothing_is_tried_if_there_is_nothing_to_compare() -> None:
    train, _ = trainer(lambda _: [])
    assert race(train, DEFAULTS, GRID) == [Trial({}, [], ended=True)]


@given(st.data())
def test_a_race_takes_at_most_three_times_the_epochs_of_its_defaults_or_winner(data: st.DataObject) -> None:
    curves: dict[str, list[float]] = {}

    def curve_of(settings: dict[str, Any]) -> list[float]:
        key = repr(sorted(settings.items()))
        if key not in curves:
            curves[key] = data.draw(st.lists(st.floats(0.5, 1.0), min_size=1, max_size=30))
        return curves[key]

    train, epochs = trainer(curve_of)
    trials = race(train, DEFAULTS, GRID)
    n, longest = epochs["{}"], max(epochs["{}"], len(best_of(trials).curve))
    assert sum(epochs.values()) <= 3 * longest
    assert trials[0].changes == {} and len(trials[0].curve) == n
    again, _ = trainer(curve_of)
    assert race(again, DEFAULTS, GRID) == trials
