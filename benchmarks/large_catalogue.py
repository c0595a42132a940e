"""Lists and click-through on a large catalogue with planted taste, of the size of the data in MKR's and KGCN's papers.

    python benchmarks/large_catalogue.py                       200,000 users and 94,000 items: hours
    python benchmarks/large_catalogue.py --size 0.1            a tenth of the users and of the items
    python benchmarks/large_catalogue.py --models MKR,BPR --settings goal=clicks
    python benchmarks/large_catalogue.py --quick               Popularity, BPR and MKR on a fiftieth
    python benchmarks/large_catalogue.py --json FILE           the results as JSON

Items are in clusters of about 300. A user has three favourite clusters, from which four of five likes come; the others
come from the whole catalogue. Popular items are liked more often (Zipf's law), and a user has 13 likes on average. In
the graph, an item has two facts that its cluster's items share with others, and a maker with about ten items of the
same cluster; one fact in five is random. AUC and NDCG@10 are measured on the test set.
"""

from __future__ import annotations

import kgplug  # isort: skip  (first: it sets how OpenMP's threads wait)

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from machine import report

from kgplug.errors import KgplugError

N_USERS, N_ITEMS, LIKES_PER_USER = 200_000, 94_000, 13
IN_CLUSTER, FAVOURITES, FROM_FAVOURITES, RANDOM_FACTS = 300, 3, 0.8, 0.2
MODELS = ("Popularity", "SideTerm", "BPR", "MF", "LightGCN", "MKR", "KGCN", "MKR-attention", "HiddenEdgeGCN")
SPLIT = (0.7, 0.1, 0.2)


def draw(size: float, seed: int) -> tuple[kgplug.Interactions, kgplug.KnowledgeGraph]:
    """Return likes and the graph, for a share `size` of the full numbers."""
    rng = np.random.default_rng(seed)
    n_users, n_items = int(N_USERS * size), int(N_ITEMS * size)
    n_clusters = max(6, n_items // IN_CLUSTER)
    cluster, popularity = rng.integers(0, n_clusters, n_items), rng.permutation(1 / np.arange(1, n_items + 1) ** 0.8)
    by_cluster = np.argsort(cluster, kind="stable")  # items, one cluster after the other
    starts = np.searchsorted(cluster[by_cluster], np.arange(n_clusters + 1))
    within, overall = np.cumsum(popularity[by_cluster]), np.cumsum(popularity)
    before = np.concatenate([[0.0], within])[starts]  # popularity of all clusters before each
    users = np.repeat(np.arange(n_users), rng.poisson(LIKES_PER_USER - 1, n_users) + 1)
    favourites = rng.integers(0, n_clusters, (n_users, FAVOURITES))
    wanted = favourites[users, rng.integers(0, FAVOURITES, len(users))]
    place = before[wanted] + rng.random(len(users)) * (before[wanted + 1] - before[wanted])
    near = by_cluster[np.minimum(np.searchsorted(within, place), starts[wanted + 1] - 1)]
    anywhere = np.minimum(np.searchsorted(overall, rng.random(len(users)) * overall[-1]), n_items - 1)
    items = np.where(rng.random(len(users)) < FROM_FAVOURITES, near, anywhere)
    likes = pd.DataFrame({"user": users, "item": items}).drop_duplicates()
    wrong, other = rng.random((n_items, 3)) < RANDOM_FACTS, rng.integers(0, n_clusters, (n_items, 3))
    known = np.where(wrong, other, cluster[:, None])  # the cluster that each of an item's three facts is about
    maker = known[:, 2] * 1_000 + rng.integers(0, IN_CLUSTER // 10, n_items)
    facts = pd.DataFrame(
        {
            "head": np.tile(np.arange(n_items), 3),
            "relation": np.repeat(["GENRE", "THEME", "MAKER"], n_items),
            "tail": [
                *(f"genre {n}" for n in known[:, 0] // 4),
                *(f"theme {n}" for n in known[:, 1] % 40),
                *(f"maker {n}" for n in maker),
            ],
        }
    )
    return (
        kgplug.Interactions.from_dataframe(likes, user="user", item="item"),
        kgplug.KnowledgeGraph.from_dataframe(facts),
    )


def measure(name: str, data: tuple, settings: dict[str, str], seed: int) -> dict:
    """Train and evaluate one model. Return its metrics, and the seconds and epochs of its training."""
    (train, valid, test), graph = data
    fields = type(kgplug.create(name).config).model_fields
    model = kgplug.create(name, **{key: value for key, value in settings.items() if key in fields})
    began = time.perf_counter()
    model.fit(train, graph if model.inputs.triples else None, valid=valid, seed=seed, progress=False)
    seconds = time.perf_counter() - began
    found = kgplug.evaluate(model, train, test, valid=valid, warn=False).iloc[0]
    chosen = next((trial["settings"] for trial in model.tried if trial["chosen"]), {})
    row = {
        "model": name,
        "AUC": float(found["AUC"]),
        "NDCG@10": float(found["NDCG@10"]),
        "s": seconds,
        "epochs": len(model.history.get("validation", [])),
        "chosen": str(chosen),
        "settings": str(settings),
        "seed": seed,
    }
    print("  " + ", ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)
    return row


def main() -> None:
    """Measure, print a table, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="Popularity, BPR and MKR on a fiftieth of the data")
    parser.add_argument("--size", type=float, default=1.0, help="share of the users and items; default 1")
    parser.add_argument("--models", default=",".join(MODELS), help=f"comma-separated; default {','.join(MODELS)}")
    parser.add_argument("--settings", default="", metavar="NAME=VALUE,…", help="settings, for models that have them")
    parser.add_argument("--seed", type=int, default=0, help="seed of the data, the split and the training; default 0")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every result to this file")
    arguments = parser.parse_args()
    names = ["Popularity", "BPR", "MKR"] if arguments.quick else arguments.models.split(",")
    given = [pair.partition("=") for pair in arguments.settings.split(",") if pair]
    if any(not equals for _, equals, _ in given):
        parser.error(f"--settings expects NAME=VALUE,…; found {arguments.settings!r}")
    settings = {name: value for name, _, value in given}
    likes, graph = draw(0.02 if arguments.quick else arguments.size, arguments.seed)
    data = likes.split(SPLIT, seed=arguments.seed, by="row"), graph
    print(f"{likes.n_users:,} users, {likes.n_items:,} items, {len(likes):,} likes, {graph.n_triples:,} triples")
    try:
        rows = [measure(name, data, settings, arguments.seed) for name in names]
    except KgplugError as error:
        raise SystemExit(str(error)) from None
    print(pd.DataFrame(rows)[["model", "AUC", "NDCG@10", "epochs", "s"]].to_string(index=False, float_format="%.4f"))
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
