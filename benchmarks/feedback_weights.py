"""What models gain from weights of feedback, and from dislikes as negatives.

    python benchmarks/feedback_weights.py                   every part; some minutes
    python benchmarks/feedback_weights.py --quick           EASE and MF on small planted data
    python benchmarks/feedback_weights.py --parts dislikes  only dislikes; the other parts are kinds, noise and plays
    python benchmarks/feedback_weights.py --models EASE,MF
    python benchmarks/feedback_weights.py --json FILE       the results as JSON

- kinds: MovieLens-100K. One kind of feedback is "rated", of strength 1; the other is "at least 4 stars", of strength 5.
- noise: planted data. Half of each user's likes are of the user's cluster and have weight 1. The others are random and
  have weight .05.
- plays: the same likes, with numbers of plays as weights. They are lognormal with σ = 1.5. The median number is 7 for
  likes of the user's cluster and 1 for the others.
- dislikes: MovieLens-100K, where ratings below 4 stars are dislikes. A fraction of the negatives are dislikes
  (`dislike_share`).

A model learns from the same rows without weights, with weights, and with weights of which no logarithm is taken
("linear"). The test set has only likes of at least 4 stars, or of the user's cluster. "AUC of rated" is the probability
that a like of the test set scores higher than a dislike of the test set. All settings have their defaults.
"""

from __future__ import annotations

import kgplug  # isort: skip  (first: it sets how OpenMP's threads wait)

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
from machine import report

from kgplug.data.interactions import Interactions
from kgplug.data.kinds_of_feedback import combine_kinds
from kgplug.data.ranking.auc import auc
from kgplug.data.sources import movielens_100k
from kgplug.errors import KgplugError
from kgplug.settings import Settings

MODELS = ("EASE", "ItemKNN", "ALS", "MF", "LightGCN")
PARTS = ("kinds", "noise", "plays", "dislikes")
SHARES = (0.0, 0.05, 0.1, 0.2)
SPLIT = (0.7, 0.1, 0.2)
N_CLUSTERS, N_GOOD = 10, 8


def planted(n_users: int, n_items: int, seed: int, *, plays: bool) -> Interactions:
    """Return weighted likes. Those of the user's cluster are rated 1, the others 0."""
    rng = np.random.default_rng(seed)
    cluster, taste = np.arange(n_items) % N_CLUSTERS, rng.integers(0, N_CLUSTERS, n_users)
    popularity = 1 / np.arange(1, n_items + 1) ** 0.5
    items = list[np.ndarray]()
    for user in range(n_users):
        own = np.flatnonzero(cluster == taste[user])
        good = rng.choice(own, N_GOOD, replace=False, p=popularity[own] / popularity[own].sum())
        items += [good, rng.choice(np.setdiff1d(np.arange(n_items), good), N_GOOD, replace=False)]
    is_good = np.tile(np.repeat([True, False], N_GOOD), n_users)
    weights = rng.lognormal(np.where(is_good, 2, 0), 1.5) if plays else np.where(is_good, 1, 0.05)
    keys = (np.arange(n).astype(object) for n in (n_users, n_items))
    users = np.repeat(np.arange(n_users), 2 * N_GOOD)
    return Interactions.from_arrays(
        *keys, users, np.concatenate(items), ratings=is_good, like_threshold=1, weights=weights
    )


def sets_of(part: str, seed: int, *, quick: bool) -> tuple[Interactions, Interactions, Interactions]:
    """Return a training set in which all rows are likes, with weights; and a validation and a test set."""
    if part == "kinds":
        train, valid, test = movielens_100k.read_arrays(Settings().downloads_dir)[0].split(SPLIT, seed=seed)
        rated = replace(train, ratings=None, like_threshold=None)
        return combine_kinds([rated, replace(train.likes(), ratings=None, like_threshold=None)], [1, 5]), valid, test
    size = (300, 200) if quick else (1_000, 300)
    train, valid, test = planted(*size, seed, plays=part == "plays").split(SPLIT, seed=seed)
    return replace(train, ratings=None, like_threshold=None), valid, test


def linear(rows: Interactions) -> np.ndarray | None:
    """Return the weights divided by their mean, in place of `Interactions.confidence`."""
    return None if rows.weights is None else (rows.weights / rows.weights.mean()).astype(np.float32)


def trained(name: str, train: Interactions, valid: Interactions, seed: int, **settings: float) -> kgplug.Recommender:
    """Return a model trained with its defaults."""
    model = kgplug.create(name, **settings)
    if "settings" in type(model.config).model_fields:
        model = kgplug.create(name, settings="defaults", **settings)
    return model.fit(train, valid=valid, seed=seed, progress=False)


def measure_weights(part: str, names: list[str], seed: int, *, quick: bool) -> Iterator[dict]:
    """Yield one row per model and way to use the weights."""
    train, valid, test = sets_of(part, seed, quick=quick)
    for name in names:
        for way in ("none", "weights", "linear"):
            rows = replace(train, weights=None) if way == "none" else train
            taken = property(linear) if way == "linear" else Interactions.confidence
            with mock.patch.object(Interactions, "confidence", taken):
                model = trained(name, rows, valid, seed)
            found = kgplug.evaluate(model, rows, test, valid=valid, warn=False).iloc[0]
            yield {"part": part, "model": name, "weights": way, "seed": seed, "NDCG@10": float(found["NDCG@10"])}


def measure_dislikes(seed: int) -> Iterator[dict]:
    """Yield one row per share of dislikes among the negatives of MF."""
    train, valid, test = movielens_100k.read_arrays(Settings().downloads_dir)[0].split(SPLIT, seed=seed)
    for share in SHARES:
        model = trained("MF", train, valid, seed, dislike_share=share)
        found = kgplug.evaluate(model, train, test, valid=valid, warn=False).iloc[0]
        yield {
            "part": "dislikes", "model": "MF", "dislike_share": share, "seed": seed,
            "NDCG@10": float(found["NDCG@10"]), "AUC": float(found["AUC"]),
            "AUC of rated": auc(test.is_like, model.score(test.users, test.items)),
        }  # fmt: skip


def main() -> None:
    """Measure, print a table of means over the seeds, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="EASE and MF on small planted data, one seed")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"comma-separated; default {','.join(PARTS)}")
    parser.add_argument("--models", default=",".join(MODELS), help=f"comma-separated; default {','.join(MODELS)}")
    parser.add_argument("--seeds", type=int, default=2, help="number of seeds; default 2")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every result to this file")
    arguments = parser.parse_args()
    quick = arguments.quick
    parts, names = ("noise,plays", "EASE,MF") if quick else (arguments.parts, arguments.models)
    results = list[dict]()
    try:
        for part in parts.split(","):
            for seed in range(1 if quick else arguments.seeds):
                measured = (
                    measure_dislikes(seed)
                    if part == "dislikes"
                    else measure_weights(part, names.split(","), seed, quick=quick)
                )
                for row in measured:
                    results.append(row)
                    print(
                        "  " + ", ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
                    )
    except KgplugError as error:
        raise SystemExit(str(error)) from None
    table = pd.DataFrame(results)
    for part, rows in table.groupby("part", sort=False):
        by = "dislike_share" if part == "dislikes" else "weights"
        means = rows.dropna(axis=1).groupby(["model", by], sort=False).mean(numeric_only=True).drop(columns="seed")
        print(f"\n{part}\n{means.reset_index().to_string(index=False, float_format='%.4f')}")
    report(results, arguments.json)


if __name__ == "__main__":
    main()
