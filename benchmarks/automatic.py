"""What automatic settings gain over the defaults, and what they cost.

    python benchmarks/automatic.py                         eight models on MovieLens and planted data
    python benchmarks/automatic.py --models EASE,CEASE,ALS --search 30
    python benchmarks/automatic.py --models MKR --seeds 3
    python benchmarks/automatic.py --book-crossing FOLDER  also Book-Crossing (see results.py), about an hour
    python benchmarks/automatic.py --quick                 MF and LightGCN on the two smallest sets
    python benchmarks/automatic.py --json FILE             the results as JSON

Each model is trained twice on the same sets: with `settings="defaults"` and with `settings="auto"`, which chooses on
the validation set. AUC and NDCG@10 are measured on the test set. The data sets: MovieLens-100K, whole; thinned to 4, 12
and 24 training likes per user; and only its users with at least 100 likes. Also planted taste (see planted_taste.py) in
two sizes.
"""

from __future__ import annotations

import kgplug  # isort: skip  (first: it sets how OpenMP's threads wait)

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import planted_taste
from machine import report
from results_rows import BOOKS, MOVIELENS, read
from small_data import Part
from small_data import draw as sample

from kgplug.data.interactions import Interactions
from kgplug.errors import KgplugError
from kgplug.training.config import Range

MODELS = ("MF", "LightGCN", "MKR", "KGCN", "CKE", "EASE", "CEASE", "ALS", "SLIM", "RP3beta")
POPULARITY = Range(1e-6, 1.0, log=True)  # weights that a search tries, for models that have this setting
SPLIT = (0.6, 0.2, 0.2)
LIKED_FROM = 4  # stars
MANY = 100  # minimum number of likes of a user


def sets(seed: int, books: Path | None, *, quick: bool) -> Iterator[tuple[str, Interactions, kgplug.KnowledgeGraph]]:
    """Yield the name, feedback and graph of each data set."""
    films = read(MOVIELENS, None)
    assert films is not None  # never None: this data set is downloaded
    rated = films.interactions.with_like_threshold(LIKED_FROM)
    for likes in (4,) if quick else (4, 12, 24):
        yield (
            f"MovieLens-100K, {likes} likes a user",
            sample(Part(MOVIELENS, thin=likes), rated.likes(), seed),
            films.knowledge,
        )
    likes, graph, _ = planted_taste.draw(2_000, 750, seed)
    yield "planted, 2,000 users", likes, graph
    if quick:
        return
    likes, graph, _ = planted_taste.draw(4_000, 1_500, seed)
    yield "planted, 4,000 users", likes, graph
    yield "MovieLens-100K", rated, films.knowledge
    busy = np.bincount(rated.users[rated.is_like], minlength=rated.n_users) >= MANY
    yield f"MovieLens-100K, users with {MANY} likes", rated.take(np.flatnonzero(busy[rated.users])), films.knowledge
    if books is not None and (read_books := read(BOOKS, books)) is not None:
        yield "Book-Crossing", read_books.interactions, read_books.knowledge


def measure(
    name: str, rows: Interactions, graph: kgplug.KnowledgeGraph, model_name: str, seed: int, n_searched: int
) -> dict:
    """Train a model with its defaults and with automatic settings. Return the metrics and seconds of both."""
    train, valid, test = rows.split(SPLIT, seed=seed, by="row")
    row: dict = {"data": name, "model": model_name, "seed": seed}
    for how in ("defaults", "auto"):
        model = kgplug.create(model_name, settings=how)
        began = time.perf_counter()
        model.fit(train, graph if model.inputs.triples else None, valid=valid, seed=seed, progress=False)
        row[f"s {how}"] = time.perf_counter() - began
        found = kgplug.evaluate(model, train, test, valid=valid, warn=False).iloc[0]
        row |= {f"AUC {how}": float(found["AUC"]), f"NDCG@10 {how}": float(found["NDCG@10"])}
    row["times"] = row["s auto"] / row["s defaults"]
    chosen = next((trial["settings"] for trial in model.tried if trial["chosen"]), {})
    row["chosen"] = ", ".join(f"{setting}={value}" for setting, value in chosen.items()) or "defaults"
    if n_searched:
        given = graph if model.inputs.triples else None
        row |= searched(model_name, (train, valid, test), given, n_searched, seed)
    shown = (f"{key} {value:.4f}" if isinstance(value, float) else f"{value}" for key, value in row.items())
    print("  " + ", ".join(shown), flush=True)
    return row


def searched(
    name: str,
    sets: tuple[Interactions, Interactions, Interactions],
    graph: kgplug.KnowledgeGraph | None,
    n: int,
    seed: int,
) -> dict[str, float]:
    """Return the test metrics of the best of n random choices of settings, by NDCG@10 on the validation set."""
    train, valid, test = sets
    rng, config, best = np.random.default_rng(seed), kgplug.create(name).config, (-1.0, {})
    space = {**config.tuning, **({"popularity": POPULARITY} if "popularity" in type(config).model_fields else {})}
    for _ in range(n):
        settings = {setting: drawn(values, rng) for setting, values in space.items()}
        model = kgplug.create(name, **settings).fit(train, graph, seed=seed, progress=False)
        ndcg = float(kgplug.evaluate(model, train, valid, warn=False)["NDCG@10"].iloc[0])
        if ndcg > best[0] and not model.health:
            found = kgplug.evaluate(model, train, test, valid=valid, warn=False).iloc[0]
            best = ndcg, {"AUC searched": float(found["AUC"]), "NDCG@10 searched": float(found["NDCG@10"])}
    return best[1]


def drawn(values: Range | tuple, rng: np.random.Generator) -> object:
    """Return a random value of a range or of choices."""
    if isinstance(values, tuple):
        return values[rng.integers(len(values))]
    if values.log:
        return float(np.exp(rng.uniform(np.log(values.low), np.log(values.high))))
    return float(rng.uniform(values.low, values.high))


def main() -> None:
    """Measure, print a table of means over the seeds, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="MF and LightGCN on the two smallest sets")
    parser.add_argument("--models", default=",".join(MODELS), help=f"comma-separated; default {','.join(MODELS)}")
    parser.add_argument("--seeds", type=int, default=1, help="number of draws and splits; default 1")
    parser.add_argument(
        "--search",
        type=int,
        default=0,
        metavar="N",
        help="also the best of N random choices, by NDCG@10",
    )
    parser.add_argument("--book-crossing", type=Path, metavar="FOLDER", help="where Book-Crossing is")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every result to this file")
    arguments = parser.parse_args()
    models = ["MF", "LightGCN"] if arguments.quick else arguments.models.split(",")
    rows = []
    try:
        for seed in range(arguments.seeds):
            for name, feedback, graph in sets(seed, arguments.book_crossing, quick=arguments.quick):
                rows += [measure(name, feedback, graph, model, seed, arguments.search) for model in models]
    except KgplugError as error:
        raise SystemExit(str(error)) from None
    shown = [f"{metric} {how}" for metric in ("AUC", "NDCG@10") for how in ("defaults", "auto")] + ["times"]
    shown += ["AUC searched", "NDCG@10 searched"] if arguments.search else []
    table = pd.DataFrame(rows).groupby(["data", "model"], sort=False)[shown].mean()
    print(table.reset_index().to_string(index=False, float_format="%.4f"))
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
