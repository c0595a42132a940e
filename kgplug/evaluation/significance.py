"""Whether the difference between two models on one test set is more than chance: a paired bootstrap over users.

Users are resampled, not rows, because the rows of one user depend on each other, and a result has to hold for another
sample of users. Each metric is given as one value per user; the mean of these values is the metric. For AUC,
`kgplug.data.ranking.auc.auc_by_group` computes one value per user.

The confidence interval and the p-value come from the same resamples, by the symmetric studentised bootstrap. With six
users or more, the interval excludes 0 if and only if p < 0.05 (P. Hall, J. R. Stat. Soc. B 50(1), 1988). Holm's
correction counts all comparisons of one table (S. Holm, Scand. J. Stat. 6(2), 1979).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from kgplug.errors import UsageError
from kgplug.plain_text import counted

ALPHA = 0.05  # a difference with a lower corrected p-value counts as more than chance
_RESAMPLES = 10_000
_RESAMPLES_PER_TEST = 50  # used if p is low; after Holm's correction, p can then be as low as 0.02
_FEW = 10  # a p-value is low if fewer than this many of the first resamples reach the observed difference
_MAX_UNITS = 1_000  # more users are put into this many random groups, which are then resampled
_BLOCK_CELLS = 4_000_000  # numbers in memory at a time: how often each resample contains each user or group
_ROUNDING = 1e-12  # variances and means up to this count as 0, for values scaled to variance 1


@dataclass(frozen=True)
class Difference:
    """The difference between two models in one metric.

    Attributes:
        metric: Column of the metric, such as "NDCG@10".
        model, baseline: Names of the models.
        difference: The model's metric minus the baseline's.
        low, high: Ends of the 95 % confidence interval of the difference: NaN with fewer than two users, infinite with
            two or three.
        p: Two-sided p-value of no difference; 1 with fewer than two users.
        p_holm: `p` after Holm's correction for all comparisons of the table.
        users: Number of users measured.
        more_than_chance: Whether `p_holm` is below 0.05.
    """

    metric: str
    model: str
    baseline: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    users: int
    more_than_chance: bool

    def __str__(self) -> str:
        names = f"{self.metric}: {self.model}"
        if self.users < 2:
            measured = counted(self.users, "user") + (" is" if self.users == 1 else " are")
            return (
                f"{names} against {self.baseline}: {measured} measured. At least two are needed to say whether a "
                "difference is more than chance."
            )
        if self.difference == self.low == self.high == 0:
            return f"{names} and {self.baseline} are equal for each of {self.users:,} users."
        side = "above" if self.difference > 0 else "below" if self.difference < 0 else "level with"
        low, high = (self.low, self.high) if self.difference >= 0 else (-self.high, -self.low)
        verdict = "more than chance" if self.more_than_chance else "may be chance"
        by = f" by {abs(self.difference):.4f}" if self.difference else ""
        interval = f"{low:.4f} to {high:.4f}" if math.isfinite(low) else "infinite"
        p = f"corrected p {self.p_holm:.2g}" if self.p_holm >= 0.001 else "corrected p < 0.001"
        return f"{names} is {side} {self.baseline}{by} (95 % interval {interval}): {verdict} ({p})."


def compare_by_user(
    values: Mapping[str, pd.DataFrame], by: str, *, baseline: str | None = None, seed: int = 0
) -> list[Difference]:
    """Compare each model with the best one, or with a baseline that was chosen beforehand.

    The best model is chosen by the same values that are compared. So without a baseline, Holm's correction counts the
    comparisons of all pairs of models, not only those with the best.

    Args:
        values: Name of each model → a frame with one row per user, the same users for all models, and one column per
            metric.
        by: Column whose mean chooses the best model; if several are equal, the first.
        baseline: Name of the model with which the others are compared. None: the best one.
        seed: Seed of the bootstrap.

    Returns:
        For each model except the baseline, one `Difference` per column; [] for fewer than two models.

    Raises:
        UsageError: The baseline is not one of the models, or the models were measured on different users.
    """
    names = list(values)
    if baseline is not None and baseline not in names:
        raise UsageError(f'baseline "{baseline}": expected one of {", ".join(names)}.')
    if len(names) < 2:
        return []
    against = baseline or names[int(np.argmax([values[name][by].mean() for name in names]))]
    pairs = [(name, against) for name in names if name != against]
    n_pairs = len(pairs) if baseline else len(names) * (len(names) - 1) // 2
    return differences(values, pairs, n_pairs=n_pairs, seed=seed)


def legend(found: Sequence[Difference], by: str) -> list[str]:
    """Return the sentences to print below a table of models: what its stars mean, and which differences may be chance.

    Args:
        found: Differences of the table's models from their baselines. If there are none, the result is [].
        by: Column of one metric. A sentence names the models whose difference in this metric may be chance.
    """
    if not found:
        return []
    users = max(each.users for each in found)
    baselines = list(dict.fromkeys(each.baseline for each in found))
    which = baselines[0] if len(baselines) == 1 else "its baseline"
    test = f"paired bootstrap over {counted(users, 'test user')}, p < {ALPHA} after Holm's correction"
    if any(each.more_than_chance for each in found):
        lines = [f"* differs from {which} by more than chance ({test})."]
    else:
        lines = [f"No difference from {which} is more than chance ({test})."]
    for baseline in baselines:
        of_it = [each for each in found if each.baseline == baseline and each.metric == by]
        if close := [each.model for each in of_it if not each.more_than_chance]:
            lines.append(f"By {by}, {baseline} may differ only by chance from: {', '.join(close)}.")
    return lines


def marks(found: Iterable[Difference]) -> set[tuple[str, str]]:
    """Return (model, column) of each difference that is more than chance, to put a star there in a table."""
    return {(each.model, each.metric) for each in found if each.more_than_chance}


def differences(
    values: Mapping[str, pd.DataFrame],
    pairs: Sequence[tuple[str, str]],
    *,
    n_pairs: int | None = None,
    seed: int = 0,
) -> list[Difference]:
    """Compare pairs of models that were measured on the same users.

    Args:
        values: Name of each model → a float64 frame with one row per user (the index) and one column per metric. For
            each metric, users whose value is missing in any model are left out.
        pairs: Pairs (model, baseline).
        n_pairs: Number of pairs of models that Holm's correction counts, at least len(pairs). None: len(pairs).
        seed: Seed of the bootstrap.

    Returns:
        For each pair, one `Difference` per metric.

    Raises:
        UsageError: The models were measured on different users or by different metrics.
    """
    if not pairs:
        return []
    frames = list(values.values())
    for (name, one), (other_name, other) in pairwise(values.items()):
        if not one.index.equals(other.index) or not one.columns.equals(other.columns):
            raise UsageError(
                f"{name} and {other_name} were measured on different users or by different metrics. Compare models "
                "that were measured on one test set."
            )
    metrics = [str(column) for column in frames[0].columns]
    n_tests = len(metrics) * (len(pairs) if n_pairs is None else n_pairs)
    shape = len(pairs), len(metrics)
    mean, low, high, p = (np.full(shape, np.nan) for _ in range(4))
    users = np.zeros(len(metrics), dtype=np.int64)
    known = np.logical_and.reduce([np.isfinite(frame.to_numpy(dtype=np.float64)) for frame in frames])
    for together in _equal_columns(known):  # metrics that are known for the same users share their resamples
        rows = known[:, together[0]]
        users[together] = n = int(rows.sum())
        units = [  # one pair at a time, because all users, pairs and metrics together may not fit in memory
            _grouped((values[one] - values[other]).to_numpy(dtype=np.float64)[np.ix_(rows, together)], seed)
            for one, other in pairs
        ]
        found = _bootstrap(np.concatenate(units, axis=1), n, n_tests=n_tests, seed=seed)
        for whole, part in zip((mean, low, high, p), found, strict=True):
            whole[:, together] = part.reshape(len(pairs), -1)
    corrected = holm(p.ravel(), n_tests=n_tests).reshape(shape)
    return [
        Difference(
            metric, model, baseline, *(float(part[row, column]) for part in (mean, low, high, p, corrected)),
            users=int(users[column]), more_than_chance=bool(corrected[row, column] < ALPHA),
        )
        for row, (model, baseline) in enumerate(pairs)
        for column, metric in enumerate(metrics)
    ]  # fmt: skip


def _equal_columns(table: np.ndarray) -> Iterable[list[int]]:
    """Group equal columns of a table, bool (n, m): return the positions of the columns in each group."""
    groups: dict[bytes, list[int]] = {}
    for column in range(table.shape[1]):
        groups.setdefault(table[:, column].tobytes(), []).append(column)
    return groups.values()


def intervals_by_user(values: pd.DataFrame, *, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Return metric → the ends of the 95 % confidence interval of its mean over users.

    Args:
        values: float (n_users, n_metrics), one row per user and one column per metric; NaN where a user has none.
        seed: Seed of the bootstrap.
    """
    found: dict[str, tuple[float, float]] = {}
    for name in values.columns:
        column = values[[name]].dropna().to_numpy(dtype=np.float64)
        _, low, high, _ = paired_bootstrap(column, seed=seed)
        found[str(name)] = float(low[0]), float(high[0])
    return found


def paired_bootstrap(
    apart: np.ndarray, *, n_tests: int = 1, resamples: int = _RESAMPLES, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean difference between two models over n users, its 95 % confidence interval and its p-value.

    This is done for c comparisons at once. The statistic is t = mean / standard error. In a resample of the users, t*
    is the same statistic for the resample's mean minus the sample's mean. Then p is the share of resamples with
    |t*| ≥ |t|, and the interval is mean ± q · standard error with the 95 % quantile q of |t*|. No p-value is below
    2^(1 - n), the lowest that a sign test of n differences can have. A resample whose users all have the same
    difference has an infinite t*, unless this difference equals the sample's mean.

    If fewer than 10 resamples reach |t| and the table has many tests, p is computed from more resamples: 50 per test.

    More than 1,000 users are put into 1,000 random groups of equal size, give or take one, and groups are resampled.

    Args:
        apart: float64 (n, c): for each user and comparison, the metric of one model minus that of the other.
        n_tests: Number of tests in the table, which determines how many more resamples are drawn.
        resamples: Number of resamples.
        seed: Seed of the groups and resamples.

    Returns:
        (mean, low, high, p): float64 (c,) each. With one user, the interval is NaN and p is 1; without users, the mean
        is also NaN. With two or three users, the interval is infinite.
    """
    return _bootstrap(_grouped(apart, seed), len(apart), n_tests=n_tests, resamples=resamples, seed=seed)


def _grouped(apart: np.ndarray, seed: int) -> np.ndarray:
    """Put more than 1,000 users into 1,000 random groups, and return the difference of each group.

    The mean over the groups equals the mean over the users. The groups depend only on the seed and the number of users.

    Args:
        apart: float64 (n, c): differences between two models for n users and c comparisons.
        seed: Seed of the groups.

    Returns:
        float64 (m, c): one row per group, or `apart` if there are at most 1,000 users.
    """
    n = len(apart)
    if n <= _MAX_UNITS:
        return apart
    group = np.random.default_rng([seed, 0x6009]).permutation(np.arange(n) % _MAX_UNITS)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(_MAX_UNITS))
    mean = apart.mean(axis=0)  # subtracted, so that a larger group does not count as a larger difference
    return mean + np.add.reduceat((apart - mean)[order], starts, axis=0) * (_MAX_UNITS / n)


def _bootstrap(
    units: np.ndarray, n: int, *, n_tests: int, resamples: int = _RESAMPLES, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Compute the result of `paired_bootstrap` from differences of users or of groups of users.

    Args:
        units: float64 (m, c), from `_grouped`: differences between two models for m users or groups of users, which
            are resampled, and c comparisons.
        n: Number of users.
        n_tests, resamples, seed: As in `paired_bootstrap`.
    """
    n_units, c = len(units), int(units.shape[1])
    unknown = np.full(c, np.nan)
    if n < 2:
        return np.asarray(units[0]) if n else unknown, unknown, unknown, np.ones(c)
    mean, deviation = units.mean(axis=0), units.std(axis=0)
    varied = deviation > _ROUNDING * np.maximum(np.abs(units).max(axis=0), np.finfo(float).tiny)
    low, high, p = mean.copy(), mean.copy(), np.zeros(c)
    p[mean == 0] = 1.0
    if varied.any():
        rng = np.random.default_rng([seed, 0xB007])
        scaled = (units[:, varied] - mean[varied]) / deviation[varied]
        error = deviation[varied] / math.sqrt(n_units)
        observed = np.abs(mean[varied]) / error
        drawn = np.concatenate([t.astype(np.float32) for t in _studentised(scaled, resamples, rng)])
        reached = (drawn >= observed).sum(axis=0)
        p[varied] = (1 + reached) / (resamples + 1)
        place = resamples + 1 - math.ceil(ALPHA * (resamples + 1))  # a higher |t| has p < ALPHA
        reach = np.partition(drawn, place, axis=0)[place] * error
        low[varied], high[varied] = mean[varied] - reach, mean[varied] + reach
        rare, more = reached < _FEW, _RESAMPLES_PER_TEST * n_tests - resamples
        if rare.any() and more > 0:
            for t in _studentised(scaled[:, rare], more, rng):
                reached[rare] += (t >= observed[rare]).sum(axis=0)
            p[np.flatnonzero(varied)[rare]] = (1 + reached[rare]) / (resamples + more + 1)
    return mean, low, high, np.clip(p, 2.0 ** (1 - n), None)


def _studentised(scaled: np.ndarray, resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield |t*| (see `paired_bootstrap`) for b resamples at a time, float64 (b, c).

    Args:
        scaled: float64 (n, c): differences of the n users or groups to resample, for c comparisons. Each column is
            scaled to mean 0 and variance 1.
        resamples: Number of resamples in all blocks together.
        rng: Generator of the resamples.
    """
    n = len(scaled)
    powers = np.concatenate([scaled, scaled**2], axis=1) / n
    rows = max(1, _BLOCK_CELLS // n)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        places = rng.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
        counts = np.bincount(places.ravel(), minlength=size * n).reshape(size, n)
        mean, square = np.split(counts @ powers, 2, axis=1)  # (size, c)
        variance = square - mean**2
        flat = variance <= _ROUNDING
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.abs(mean) * math.sqrt(n) / np.sqrt(np.where(flat, 0.0, variance))
        t[flat] = np.where(np.abs(mean[flat]) <= _ROUNDING, 0.0, np.inf)
        yield t


def holm(p_values: np.ndarray, *, n_tests: int | None = None) -> np.ndarray:
    """Return p-values after Holm's correction, float64 (m,) → float64 (m,).

    The i-th lowest p-value (i = 1, 2, …) is multiplied by n_tests - i + 1. The result is the highest of these products
    up to i, and at most 1.

    Args:
        p_values: p-values of the tests.
        n_tests: Number of tests in the family, at least m. If only some tests of a family are given, their
            results are never below those that a correction of all tests together would give. None: m.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    n = len(p_values) if n_tests is None else n_tests
    order = np.argsort(p_values, kind="stable")
    raised = p_values[order] * (n - np.arange(len(p_values)))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return corrected
