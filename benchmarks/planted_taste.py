"""What models gain from the side term and from the graph, on sparse data with planted taste.

    python benchmarks/planted_taste.py                    SideTerm, MF, MKR and KGCN on three draws
    python benchmarks/planted_taste.py --models MKR,CKE
    python benchmarks/planted_taste.py --quick            SideTerm, MF and MKR on one draw of half the size
    python benchmarks/planted_taste.py --json FILE        the results as JSON

Items are in 15 clusters. Four of a user's five likes are in the user's favourite cluster; popular items are liked more
often. In the graph, every item has one of the four facts of its cluster. A model that takes a graph is trained with and
without the graph and, if it has a side term, with and without it. SideTerm is the side term alone. AUC and NDCG@10 are
measured on the test set. "nearest" is the share of items whose nearest item, by the cosine of their vectors, is in the
same cluster; by chance, it is .07.
"""

from __future__ import annotations

import kgplug  # isort: skip  (first: it sets how OpenMP's threads wait)

import argparse
import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
from machine import report

from kgplug.data.ranking.neighbours import nearest_neighbours
from kgplug.errors import KgplugError
from kgplug.recommenders.base import Recommender

MODELS = ("SideTerm", "MF", "MKR", "KGCN")
N_CLUSTERS, N_FACTS, N_LIKES = 15, 4, 5
SPLIT = (0.7, 0.2, 0.1)


def draw(n_users: int, n_items: int, seed: int) -> tuple[kgplug.Interactions, kgplug.KnowledgeGraph, np.ndarray]:
    """Return likes, the graph, and the cluster of each item key."""
    rng = np.random.default_rng(seed)
    cluster, taste = rng.integers(0, N_CLUSTERS, n_items), rng.integers(0, N_CLUSTERS, n_users)
    popularity = 1 / np.arange(1, n_items + 1) ** 0.7
    chances = popularity / popularity.sum()
    rows: list[tuple[int, int]] = []
    for user in range(n_users):
        own = np.flatnonzero(cluster == taste[user])
        weights = popularity[own] / popularity[own].sum()
        liked = [*rng.choice(own, N_LIKES - 1, replace=False, p=weights), rng.choice(n_items, p=chances)]
        rows += [(user, int(item)) for item in liked]
    likes = pd.DataFrame(rows, columns=["user", "item"]).drop_duplicates()
    tails = [f"fact {of}-{number}" for of, number in zip(cluster, rng.integers(0, N_FACTS, n_items), strict=True)]
    facts = pd.DataFrame({"head": np.arange(n_items), "relation": "HAS", "tail": tails})
    return (
        kgplug.Interactions.from_dataframe(likes, user="user", item="item"),
        kgplug.KnowledgeGraph.from_dataframe(facts),
        cluster,
    )


def nearest(model: Recommender, cluster: np.ndarray) -> float:
    """Return the share of items whose nearest item is in the same cluster; NaN if the model has no vectors."""
    vectors = model.item_vectors()
    if vectors is None:
        return math.nan
    near = nearest_neighbours(vectors, 1)[0][:, 0]
    clusters = cluster[np.asarray(model.item_keys, dtype=np.int64)]
    return float(np.mean(clusters[near] == clusters))


def measure(names: list[str], n_users: int, n_items: int, seed: int) -> list[dict]:
    """Train and evaluate the models on one draw of the data. Return one row per training."""
    likes, graph, cluster = draw(n_users, n_items, seed)
    train, valid, test = likes.split(SPLIT, seed=seed, by="row")
    no_graph = kgplug.KnowledgeGraph.from_dataframe(pd.DataFrame({"head": [0], "relation": ["none"], "tail": ["none"]}))
    rows = []
    for name in names:
        untrained = kgplug.create(name)
        has_switch = untrained.inputs.triples and "side" in type(untrained.config).model_fields
        graphs = (graph, no_graph) if untrained.inputs.triples else (None,)
        sides = (True, False) if has_switch else (name == "SideTerm",)
        for knowledge, side in itertools.product(graphs, sides):
            chosen = {"settings": "defaults"} if "settings" in type(untrained.config).model_fields else {}
            model = kgplug.create(name, **chosen, **({"side": side} if has_switch else {}))
            model.fit(train, knowledge, valid=valid, seed=seed, progress=False)
            found = kgplug.evaluate(model, train, test, valid=valid, warn=False).iloc[0]
            rows.append(
                {
                    "model": name, "side term": side, "graph": knowledge is graph, "seed": seed,
                    "AUC": float(found["AUC"]), "NDCG@10": float(found["NDCG@10"]), "nearest": nearest(model, cluster),
                }
            )  # fmt: skip
            shown = (f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items())
            print("  " + ", ".join(shown), flush=True)
    return rows


def main() -> None:
    """Measure, print a table of means over the draws, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="SideTerm, MF and MKR on one draw of half the size")
    parser.add_argument("--models", default=",".join(MODELS), help=f"comma-separated; default {','.join(MODELS)}")
    parser.add_argument("--seeds", type=int, default=3, help="number of draws; default 3")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every result to this file")
    arguments = parser.parse_args()
    names = ["SideTerm", "MF", "MKR"] if arguments.quick else arguments.models.split(",")
    size, seeds = ((2_000, 750), range(1)) if arguments.quick else ((4_000, 1_500), range(arguments.seeds))
    try:
        rows = [row for seed in seeds for row in measure(names, *size, seed)]
    except KgplugError as error:
        raise SystemExit(str(error)) from None
    table = (
        pd.DataFrame(rows).groupby(["model", "side term", "graph"], sort=False)[["AUC", "NDCG@10", "nearest"]].mean()
    )
    print(table.reset_index().to_string(index=False, float_format="%.3f"))
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
