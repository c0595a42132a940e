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
    """A view: a table or picture that shows metrics. Views are ordered from the fewest metrics to the most.

    A view shows all metrics of the views before it. `Metric.shown` is the first view that shows a metric.
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
        shown: The first view (table or picture) in the order of `Shown` that shows it; all later views also show it.
        description: Its definition, in one line.
        measure: Function that computes it. All metrics that a module defines have functions of the same type.
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
