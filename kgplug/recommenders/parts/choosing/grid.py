"""The settings that are chosen on the validation set, and the values to try."""

from __future__ import annotations

from kgplug.training.config import ChosenConfig, Grid

LIKES_TO_CHOOSE_ON = 100  # likes of a validation set; with fewer, chance would choose the settings
CHOOSING_FROM = 1_000  # likes of a training set; with fewer, 10 % are too few to choose settings or epochs
CHOOSING = (0.9, 0.1)  # fractions of rows to train on and to choose on, if there is no validation set
_NOT_ABOUT_ACCURACY = frozenset({"settings", "goal", "device", "backend"})


def searched(given: ChosenConfig) -> Grid:
    """Return the part of the model's `grid` that is to be chosen on the validation set.

    With `settings="auto"`, this is the part that the user has not set. With `settings="defaults"`, it is empty. If the
    user has not set `settings`, it is the whole grid, or empty if the user has set anything that affects accuracy.

    Args:
        given: Settings as the user gave them.
    """
    names = given.model_fields_set
    if given.settings == "defaults" or ("settings" not in names and names - _NOT_ABOUT_ACCURACY):
        return {}
    return {name: step for name, step in given.grid.items() if name not in names}


def steps_away(default: float, factor: float, steps_up: int) -> float:
    """Return default · factor^steps_up, rounded to four significant digits. `steps_up` may be negative."""
    return default if steps_up == 0 else float(f"{default * factor**steps_up:.4g}")
