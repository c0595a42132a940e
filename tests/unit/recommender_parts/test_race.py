"""The race of settings: what it finds, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgplug.recommenders.click_through.race import Race, Trial

GRID = {"side": (True, False), "l2": 3.0}  # the order of MKR's
DEFAULTS = {"l2": 0.1, "side": True}


def race(
    curve_of: Callable[[dict[str, Any]], list[float]],
    defaults: dict[str, Any] = DEFAULTS,
    grid: dict[str, Any] = GRID,
    *,
    failure: str = "",
) -> list[Trial]:
    """Run a race of trainings with given curves. With a failure, all but the defaults fail."""
    plan = Race(defaults, grid)
    for changes, until in plan.turns():
        curve = curve_of({**defaults, **changes})
        part = curve[:until]
        failed = failure if changes else ""
        plan.note(Trial(changes, [] if failed else part, ended=bool(failed) or len(part) == len(curve), failure=failed))
    return plan.trials


def epochs_of(trials: list[Trial]) -> dict[str, int]:
    return {repr(trial.changes): len(trial.curve) for trial in trials}


def rising(best: float, n: int = 40) -> list[float]:
    return [best * (1 - math.exp(-epoch / 8)) for epoch in range(1, n + 1)]


def best_of(trials: list[Trial]) -> Trial:
    return max(trials, key=lambda trial: trial.metric)


def test_the_best_settings_are_trained_to_their_end() -> None:
    trials = race(lambda settings: rising(0.8 if settings["side"] else 0.9))
    assert best_of(trials).changes == {"side": False}
    assert epochs_of(trials)["{'side': False}"] == epochs_of(trials)["{}"] == 40


@pytest.mark.parametrize("n", [40, 41])
def test_each_neighbour_is_tried(n: int) -> None:
    trials = race(lambda settings: rising(0.8 if settings["l2"] == 0.1 else 0.7, n))
    assert {repr({"l2": 0.3}), repr({"l2": 0.03333}), repr({"side": False})} <= epochs_of(trials).keys()


@pytest.mark.parametrize(("best", "grid"), [(0.9, {"l2": 3.0}), (0.1 / 9, {"l2": 3.0}), (0.3, GRID)])
def test_the_grid_grows_where_its_edge_leads(best: float, grid: dict[str, Any]) -> None:
    trials = race(lambda settings: rising(0.9 - abs(math.log10(settings["l2"] / best)) / 10), grid=grid)
    assert best_of(trials).changes == {"l2": pytest.approx(best, rel=1e-3)}


def test_a_step_up_and_down_again_is_the_default() -> None:
    trials = race(lambda settings: rising(0.8 - settings["l2"] / 10), {"l2": 0.05}, {"l2": 3.0})
    assert sorted(epochs_of(trials)) == sorted(["{}", "{'l2': 0.15}", "{'l2': 0.01667}", "{'l2': 0.005556}"])


def test_a_change_that_helps_is_kept_while_another_setting_is_changed() -> None:
    trials = race(lambda s: rising(0.8 + 0.05 * (not s["side"]) + 0.05 * (s["l2"] > 0.2)))
    assert best_of(trials).changes == {"side": False, "l2": 0.3}


def test_a_slow_choice_that_is_ahead_at_the_end_of_the_defaults_wins() -> None:
    slow = [0.5] * 8 + rising(0.95, 60)  # it is behind after half of the epochs
    trials = race(lambda settings: rising(0.8) if settings["side"] else slow)
    assert best_of(trials).changes == {"side": False} and len(best_of(trials).curve) == len(slow)


def test_of_the_others_only_the_best_goes_on() -> None:
    trials = race(lambda settings: rising(0.8 if settings["side"] else 0.79))
    assert [len(trial.curve) for trial in trials] == [40, 20, 20, 40]
    assert trials[-1].changes == {"l2": 0.3}


@pytest.mark.parametrize("n", [1, 2, 3])
def test_short_trainings_are_compared_too(n: int) -> None:
    assert best_of(race(lambda settings: rising(0.8 if settings["side"] else 0.9, n))).changes == {"side": False}


def test_a_failed_choice_is_left_out() -> None:
    trials = race(lambda _: rising(0.8), failure="too much")
    assert best_of(trials).changes == {}
    assert [trial.failure for trial in trials[1:]] == ["too much"] * (len(trials) - 1)


def test_nothing_is_tried_if_there_is_nothing_to_compare() -> None:
    assert race(lambda _: []) == [Trial({}, [], ended=True)]


@given(st.data())
def test_a_race_takes_at_most_three_times_the_epochs_of_its_longest_training(data: st.DataObject) -> None:
    curves: dict[str, list[float]] = {}

    def curve_of(settings: dict[str, Any]) -> list[float]:
        key = repr(sorted(settings.items()))
        if key not in curves:
            curves[key] = data.draw(st.lists(st.floats(0.5, 1.0), min_size=1, max_size=30))
        return curves[key]

    trials = race(curve_of)
    assert sum(epochs_of(trials).values()) <= 3 * max(epochs_of(trials).values())
    assert trials[0].changes == {} and trials[0].curve == curve_of(DEFAULTS)
    assert race(curve_of) == trials
