"""KGAT, KGIN, KGCL, CKAN, KGNN-LS and CFKG next to MF, LightGCN, MKR and KGCN.

    python benchmarks/collaborative.py               MovieLens-100K and planted data; half an hour on two cores
    python benchmarks/collaborative.py --quick       planted data only
    python benchmarks/collaborative.py --without     also train each model without its graph
    python benchmarks/collaborative.py --models KGIN,MF
    python benchmarks/collaborative.py --json FILE   the results as JSON

The models have their default settings. Likes (MovieLens: at least 4 stars) are split 6:2:2 by row. The validation set
decides when a training stops; AUC and NDCG@10 are measured on the test set, once per training. "Without its graph"
means with a graph of a single triple. The planted data are those of planted_taste.py.
"""

from __future__ import annotations

import kgplug  # isort: skip  (first: it sets how OpenMP's threads wait)

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import planted_taste
from machine import report
from results_rows import MOVIELENS, read

from kgplug.data.interactions import Interactions
from kgplug.errors import KgplugError

MODELS = ("MF", "LightGCN", "MKR", "KGCN", "KGAT", "KGIN", "KGCL", "CKAN", "KGNN-LS", "CFKG")
SPLIT = (0.6, 0.2, 0.2)
LIKED_FROM = 4  # stars


def sets(seed: int, *, quick: bool) -> Iterator[tuple[str, Interactions, kgplug.KnowledgeGraph]]:
    """Yield the name, feedback and graph of each data set."""
    likes, graph, _ = planted_taste.draw(2_000, 750, seed)
    yield "planted, 2,000 users", likes, graph
    if not quick:
        films = read(MOVIELENS, None)
        assert films is not None  # never None: this data set is downloaded
        yield "MovieLens-100K", films.interactions.with_like_threshold(LIKED_FROM), films.knowledge


def measure(
    data: str, rows: Interactions, graph: kgplug.KnowledgeGraph, name: str, seed: int, *, without: bool
) -> list[dict]:
    """Train a model with the graph, and if asked without it. Return the metrics and seconds of each training."""
    train, valid, test = rows.split(SPLIT, seed=seed, by="row")
    item = {"head": [rows.item_keys[0]], "relation": ["none"], "tail": ["none"]}
    one_triple = kgplug.KnowledgeGraph.from_dataframe(pd.DataFrame(item))
    found = []
    has_graph = kgplug.create(name).inputs.triples
    for knowledge in (graph, one_triple) if without and has_graph else (graph,):
        chooses = "settings" in type(kgplug.create(name).config).model_fields
        model = kgplug.create(name, **({"settings": "defaults"} if chooses else {}))
        began = time.perf_counter()
        model.fit(train, knowledge if has_graph else None, valid=valid, seed=seed, progress=False)
        seconds = time.perf_counter() - began
        metrics = kgplug.evaluate(model, train, test, valid=valid, warn=False).iloc[0]
        found.append(
            {
                "data": data, "model": name, "graph": knowledge is graph and has_graph, "seed": seed,
                "AUC": float(metrics["AUC"]), "NDCG@10": float(metrics["NDCG@10"]),
                "epochs": len(model.history["losses"]), "seconds": seconds,
            }
        )  # fmt: skip
        shown = (f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in found[-1].items())
        print("  " + ", ".join(shown), flush=True)
    return found


def main() -> None:
    """Measure, print a table of means over the seeds, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="planted data only")
    parser.add_argument("--without", action="store_true", help="also train each model without its graph")
    parser.add_argument("--models", default=",".join(MODELS), help=f"comma-separated; default {','.join(MODELS)}")
    parser.add_argument("--seeds", type=int, default=1, help="number of draws and splits; default 1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every result to this file")
    arguments = parser.parse_args()
    rows = []
    try:
        for seed in range(arguments.seeds):
            for data, feedback, graph in sets(seed, quick=arguments.quick):
                for name in arguments.models.split(","):
                    rows += measure(data, feedback, graph, name, seed, without=arguments.without)
    except KgplugError as error:
        raise SystemExit(str(error)) from None
    table = pd.DataFrame(rows).groupby(["data", "model", "graph"], sort=False)
    shown = table[["AUC", "NDCG@10", "epochs", "seconds"]].mean().reset_index()
    print(shown.to_string(index=False, float_format="%.4f"))
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
