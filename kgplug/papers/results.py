"""The measurements of an experiment: a file with one line of JSON each, and the table that they make."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from kgplug.evaluation.significance import holm
from kgplug.papers.experiment import Contender, Experiment, Rows

Key = tuple[str, str, int]  # contender, protocol, repetition


@dataclass(frozen=True)
class Measurement:
    """One contender, measured on one split.

    Attributes:
        rows: its rows; empty if the contender refused the data.
        seconds: time of training and measuring.
        refused: why it refused the data; "" if it did not.
        settings: settings of the untrained model.
    """

    rows: Rows
    seconds: float
    refused: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Summary:
    """The values of one row and metric over the repetitions.

    Attributes:
        values: float64 (n,), by repetition.
        p: p-value of no difference from the best row, after Holm's correction; NaN for the best row itself, and if
            there are fewer than two common repetitions.
    """

    values: np.ndarray
    p: float = math.nan

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def sd(self) -> float:
        """Standard deviation over the repetitions; NaN for one repetition."""
        return float(self.values.std(ddof=1)) if len(self.values) > 1 else math.nan


class ResultsFile:
    """Measurements in a file, one per line. Each is appended at once, so that a killed command can continue.

    Of two lines with the same contender, protocol and repetition, the later one counts. A line that was not written
    completely is ignored.

    Args:
        path: path of the file, which may be missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[Key, Measurement] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError):
                continue

    def _take(self, line: dict[str, Any]) -> None:
        key = (line["contender"], line["protocol"], line["repetition"])
        self.found[key] = Measurement(line["rows"], line["seconds"], line["refused"], line["settings"])

    def add(self, key: Key, measured: Measurement) -> None:
        """Append a measurement."""
        line = dict(zip(("contender", "protocol", "repetition"), key, strict=True)) | vars(measured)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        begun = self.path.exists() and self.path.stat().st_size > 0 and not self.path.read_bytes().endswith(b"\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(("\n" if begun else "") + json.dumps(line) + "\n")
        self._take(line)

    def has(self, key: Key, settings: Mapping[str, Any]) -> bool:
        """Return whether the file has a measurement with these settings. One that was refused is tried again."""
        found = self.found.get(key)
        return found is not None and not found.refused and found.settings == settings


@dataclass(frozen=True)
class Results:
    """The measurements of one experiment on one data set.

    Attributes:
        experiment: the experiment.
        contenders: the measured contenders, in the order of the table.
        repetitions: number of repetitions that were asked for.
        found: the measurements.
        quick: whether they are those of `--quick`.
    """

    experiment: Experiment
    contenders: tuple[Contender, ...]
    repetitions: int
    found: Mapping[Key, Measurement]
    quick: bool = False

    def rows(self, protocol: str) -> list[str]:
        """Return the names of the rows in the order of the table."""
        names: dict[str, None] = {}
        for contender in self.contenders:
            for repetition in range(self.repetitions):
                measured = self.found.get((contender.name, protocol, repetition))
                names |= dict.fromkeys(measured.rows if measured else ())
        return list(names)

    def refused(self, protocol: str) -> dict[str, str]:
        """Return contender → why it refused the data, for those that did."""
        found: dict[str, str] = {}
        for (contender, by, repetition), measured in self.found.items():
            if by == protocol and repetition < self.repetitions and measured.refused:
                found.setdefault(contender, measured.refused)
        return found

    def values(self, protocol: str, metric: str) -> dict[str, dict[int, float]]:
        """Return row → repetition → value of a metric."""
        values: dict[str, dict[int, float]] = {name: {} for name in self.rows(protocol)}
        for (contender, by, repetition), measured in sorted(self.found.items(), key=lambda each: each[0][2]):
            if by == protocol and repetition < self.repetitions and contender in {one.name for one in self.contenders}:
                for name, row in measured.rows.items():
                    if metric in row:
                        values[name][repetition] = row[metric]
        return {name: each for name, each in values.items() if each}

    def summaries(self, protocol: str, metric: str) -> dict[str, Summary]:
        """Return row → its values of a metric, compared with the best row by a paired test."""
        values = self.values(protocol, metric)
        if not values:
            return {}
        best = max(values, key=lambda name: float(np.mean([*values[name].values()])))
        others = [name for name in values if name != best]
        ratio = self.experiment.test_share / (1 - self.experiment.test_share)
        raw = np.array([paired_p(_differences(values[best], values[name]), ratio) for name in others])
        known = ~np.isnan(raw)
        # The best row is chosen by the same values, so Holm's correction counts all pairs of rows.
        raw[known] = holm(raw[known], n_tests=len(values) * (len(values) - 1) // 2)
        corrected = dict(zip(others, raw.tolist(), strict=True))
        return {
            name: Summary(np.array([*each.values()]), corrected.get(name, math.nan)) for name, each in values.items()
        }


def _differences(best: Mapping[int, float], other: Mapping[int, float]) -> np.ndarray:
    """Return the differences of two rows on the repetitions that both have: float64 (n,)."""
    return np.array([best[each] - other[each] for each in best if each in other])


def paired_p(differences: Sequence[float] | np.ndarray, ratio: float) -> float:
    """Return the two-sided p-value of no difference between two models on n random splits of the same data.

    The splits share most of their training rows, so an ordinary paired t-test finds differences that are not there. The
    corrected resampled t-test (C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine Learning 52,
    2003) replaces the factor 1/n of the variance by 1/n + `ratio`.

    Args:
        differences: float (n,), one per split.
        ratio: number of test rows divided by the number of training rows.

    Returns:
        The p-value: 1 if all differences are 0, and NaN for fewer than two splits.
    """
    d = np.asarray(differences, dtype=np.float64)
    if len(d) < 2:
        return math.nan
    variance = d.var(ddof=1) * (1 / len(d) + ratio)
    if variance == 0:
        return 0.0 if d.any() else 1.0
    return float(2 * stats.t.sf(abs(d.mean()) / math.sqrt(variance), len(d) - 1))
