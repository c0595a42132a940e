"""How good recommenders without a graph are on Amazon-book, in the public split of the KGAT paper.

    python benchmarks/amazon_book.py --data FOLDER                  all models: hours on one core
    python benchmarks/amazon_book.py --data FOLDER --models RP3beta,SLIM
    python benchmarks/amazon_book.py --data FOLDER --defaults       with default settings: a third of the time
    python benchmarks/amazon_book.py --data FOLDER --quick          some users and items, within a minute
    python benchmarks/amazon_book.py --data FOLDER --json FILE      the results as JSON

FOLDER holds train.txt and test.txt, or the same files with the ending .xz. Each line is a user, followed by the items
that the user likes. They are in the folder Data/amazon-book of
https://github.com/xiangwang1223/knowledge_graph_attention_network.

The settings of a model are chosen on a fifth of each user's training rows, because the public test set was split off in
this way. The model is then trained on all training rows with these settings, and measured once on the test set. With
--defaults, only numbers of epochs and the weights of Blend are chosen. Each model has a process of its own, so its peak
of memory is known.
"""

from __future__ import annotations

import kgplug  # isort: skip  (first: it sets how OpenMP's threads wait)

import argparse
import itertools
import json
import lzma
import multiprocessing
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import report

from kgplug.data.interactions import Interactions
from kgplug.data.list_hits import ListHits, list_hits, ndcg
from kgplug.data.values.keys import distinct
from kgplug.errors import KgplugError
from kgplug.recommenders.base import Recommender
from kgplug.training.config import ChosenConfig, TrainedConfig

MODELS = ("Popularity", "ItemKNN", "RP3beta", "SLIM", "EASE", "Blend", "ALS", "MF", "BPR", "LightGCN")
QUICK_MODELS = ("Popularity", "ItemKNN", "RP3beta", "SLIM", "EASE")
MEMBERS = ("SLIM", "RP3beta")  # of Blend
PUBLISHED = {"LightGCN": ".140", "KGAT": ".149", "KGCL": ".150", "KGIN": ".144 to .169"}  # recall@20, in papers
NEAREST = {"similarity": ("cosine", "bm25", "tfidf"), "neighbours": (20, 50, 100, 200, 400)}  # tried for ItemKNN
K = 20
VALIDATING = (0.8, 0.2)  # of each user's rows, as in the public split
QUICK_USERS, QUICK_ITEMS = 6_000, 2_500


def read(folder: Path) -> tuple[Interactions, Interactions]:
    """Return the training and the test set. Both have the same users and items."""
    parts = [_pairs(folder, name) for name in ("train", "test")]
    n_users, n_items = (max(int(part[:, column].max()) for part in parts) + 1 for column in (0, 1))
    train, test = (Interactions.from_arrays(np.arange(n_users), np.arange(n_items), *part.T) for part in parts)
    return train, test


def _pairs(folder: Path, name: str) -> np.ndarray:
    """Return the pairs of user and item in a file, int64 (n, 2)."""
    for path, opened in ((folder / f"{name}.txt", open), (folder / f"{name}.txt.xz", lzma.open)):
        if path.exists():
            with opened(path, "rt", encoding="utf-8") as file:
                lines = [np.array(line.split(), dtype=np.int64) for line in file]
            users = np.repeat([line[0] for line in lines if len(line)], [len(line) - 1 for line in lines if len(line)])
            return np.column_stack([users, np.concatenate([line[1:] for line in lines])])
    raise SystemExit(
        f"No {name}.txt or {name}.txt.xz in {folder}: expected the folder Data/amazon-book of "
        "https://github.com/xiangwang1223/knowledge_graph_attention_network. Name it with --data FOLDER."
    )


def smaller(train: Interactions, test: Interactions, seed: int) -> tuple[Interactions, Interactions]:
    """Return the rows of some random users and items. All keys stay."""
    rng = np.random.default_rng(seed)
    users, items = np.zeros(train.n_users, dtype=bool), np.zeros(train.n_items, dtype=bool)
    users[rng.permutation(train.n_users)[:QUICK_USERS]] = True
    items[rng.permutation(train.n_items)[:QUICK_ITEMS]] = True
    kept = [rows.take(users[rows.users] & items[rows.items]) for rows in (train, test)]
    return kept[0], kept[1]


def hits_of(model: Recommender, relevant: Interactions) -> ListHits:
    """Return the hits in the lists of all users who have relevant items. Training items are in no list."""
    users = distinct(relevant.users)
    return list_hits(model.recommend(users, K)[0], relevant, users, (K,))[0]


def recall(hits: ListHits) -> float:
    """Return the mean over users of: hits / number of the user's relevant items."""
    return float((hits.n_hits / hits.n_relevant).mean())


def settings_for(name: str, train: Interactions, seed: int, *, defaults: bool) -> dict[str, Any]:
    """Return the settings of a model that are best on a fifth of each user's training rows.

    With `defaults`, return the defaults, with the best number of epochs and, for Blend, the best weights.
    """
    config, given = kgplug.create(name).config, _switched_off(name) if defaults else {}
    if name == "Blend":
        of_members = [_switched_off(member) for member in MEMBERS] if defaults else []
        given = {"members": ",".join(MEMBERS), "member_settings": of_members}
    if defaults and name != "Blend" and not isinstance(config, TrainedConfig):
        return given
    fitting, valid = train.split(VALIDATING, seed=seed, by="user")
    if name == "ItemKNN":
        choices = [dict(zip(NEAREST, values, strict=True)) for values in itertools.product(*NEAREST.values())]
        return max(choices, key=lambda each: recall(hits_of(_trained(name, fitting, seed, each), valid)))
    model = kgplug.create(name, **given)
    assert isinstance(model, Recommender)
    model.fit(fitting, valid=valid, seed=seed, progress=False)
    epochs = {"epochs": model.history["best_epoch"] + 1} if "best_epoch" in model.history else {}
    return model.config.model_dump(exclude={"settings"}) | epochs


def _switched_off(name: str) -> dict[str, Any]:
    """Return the setting with which a model chooses no settings; {} if it never does."""
    return {"settings": "defaults"} if isinstance(kgplug.create(name).config, ChosenConfig) else {}


def _trained(name: str, train: Interactions, seed: int, settings: dict[str, Any]) -> Recommender:
    model = kgplug.create(name, **settings)
    assert isinstance(model, Recommender)
    return model.fit(train, seed=seed, progress=False)


def measure(name: str, train: Interactions, test: Interactions, seed: int, *, defaults: bool) -> dict[str, Any]:
    """Choose the settings of a model, train it on all training rows, and return its metrics on the test set."""
    began = time.perf_counter()
    settings = settings_for(name, train, seed, defaults=defaults)
    chosen = time.perf_counter()
    model = _trained(name, train, seed, settings)
    trained = time.perf_counter()
    hits = hits_of(model, test)
    return {
        "model": name,
        f"recall@{K}": recall(hits),
        f"ndcg@{K}": float(ndcg(hits).mean()),
        "choosing_s": round(chosen - began, 1),
        "training_s": round(trained - chosen, 1),
        "lists_s": round(time.perf_counter() - trained, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
        "settings": settings,
    }


def measured_apart(folder: Path, name: str, seed: int, *, quick: bool, defaults: bool) -> dict[str, Any]:
    """Read the data and measure one model; this runs in a process of its own."""
    train, test = read(folder)
    if quick:
        train, test = smaller(train, test, seed)
    return measure(name, train, test, seed, defaults=defaults)


def main() -> None:
    """Measure, print a table, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="the folder of train.txt and test.txt")
    parser.add_argument("--models", metavar="NAMES", help=f"comma-separated; default {','.join(MODELS)}")
    parser.add_argument("--quick", action="store_true", help="a random subset of users and items, and the fast models")
    parser.add_argument("--defaults", action="store_true", help="choose only the number of epochs and Blend's weights")
    parser.add_argument("--seed", type=int, default=0, help="seed of the validation set and of training; default 0")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every result to this file")
    arguments = parser.parse_args()
    if arguments.data is None:
        print("Skipped: without --data FOLDER there are no data. FOLDER holds train.txt and test.txt of Amazon-book.")
        return
    train, test = read(arguments.data)
    print(f"{train.n_users:,} users, {train.n_items:,} items, {len(train):,} training and {len(test):,} test rows")
    names = arguments.models.split(",") if arguments.models else QUICK_MODELS if arguments.quick else MODELS
    how = {"quick": arguments.quick, "defaults": arguments.defaults}
    rows: list[dict] = []
    for name in names:
        with multiprocessing.get_context("spawn").Pool(1) as apart:
            try:
                row = apart.apply(measured_apart, (arguments.data, name, arguments.seed), how)
            except KgplugError as error:
                raise SystemExit(str(error)) from None
        rows.append(row | how | {"seed": arguments.seed})
        print(
            f"{name:11} recall@{K} {row[f'recall@{K}']:.4f}  ndcg@{K} {row[f'ndcg@{K}']:.4f}  choosing "
            f"{row['choosing_s']} s, training {row['training_s']} s, lists {row['lists_s']} s, {row['peak_gb']} GB  "
            f"{json.dumps(row['settings'])}",
            flush=True,
        )
        if arguments.json is not None:  # after each model, because all take hours
            arguments.json.write_text(json.dumps({"rows": rows}, indent=1), encoding="utf-8")
    if not arguments.quick:
        print(f"Published recall@{K}: " + ", ".join(f"{name} {value}" for name, value in PUBLISHED.items()))
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
