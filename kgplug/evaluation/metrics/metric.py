"""The class that describes a metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, Generic, TypeVar

import numpy as np

from kgplug.data.kinds import Kind

Measured = TypeVar("Measured")


class Better(StrEnum):
    """Which values of a metric are better."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


class Need(StrEnum):
    """Data that a metric is computed from."""

    LIKES = "test likes"
    NEGATIVES = "items without feedback"
    LISTS = "ranked lists"
    TRAINING_LIKES = "training likes"
    FEATURES = "features of items"
    TRIPLES = "test triples"


class Shown(IntEnum):
    """The tables and pictures that show metrics ("views"), from the one with the fewest metrics to that with the most.

    `Metric.shown` is the smallest view that shows a metric; all larger views also show it.
    """

    LINE = 1
    """A run's line in `kgplug runs`."""
    PICTURE = 2
    """The bars of `kgplug plot`."""
    SUMMARY = 3
    """The tables of `kgplug demo`."""
    TABLE = 4
    """The tables of `kgplug evaluate` and `kgplug compare`."""
    BEYOND = 5
    """The table of `kgplug evaluate --beyond`."""


@dataclass(frozen=True, kw_only=True)
class Metric(Generic[Measured]):
    """One metric.

    Attributes:
        name: Its name in tables; "@k" in it stands for the length of the lists.
        better: Whether higher or lower values are better.
        needs: Data that it is computed from.
        shown: The smallest view (table or picture) that shows it; larger views also show it.
        description: Its definition, in one line.
        measure: Function that computes it. Its argument and result have the same types for all metrics of a file.
        by_group: Whether `evaluate(beyond=True)` also measures it for cold and hot users and items.
    """

    name: str
    better: Better
    needs: tuple[Need, ...]
    shown: Shown
    description: str
    measure: Callable[[Measured], Any]
    by_group: bool = False

    @property
    def kind(self) -> Kind:
        """The kind of model that the metric measures."""
        return Kind.EMBEDDING if Need.TRIPLES in self.needs else Kind.RECOMMENDER

    @property
    def validation_name(self) -> str:
        """The name under which a run records the metric if it was measured on the validation set."""
        return f"{self.name} (validation)"

    def column(self, k: int) -> str:
        """Return the metric's name in a table, for lists of length k."""
        return self.name.replace("@k", f"@{k}")


def mean_of_known(values: np.ndarray) -> float:
    """Return the mean of the values that are not NaN; NaN if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
