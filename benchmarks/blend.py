"""How good Blend is, next to each of its members.

    python benchmarks/blend.py                         on MovieLens and planted data, about ten minutes
    python benchmarks/blend.py --members EASE,ALS
    python benchmarks/blend.py --book-crossing FOLDER  also Book-Crossing (see results.py)
    python benchmarks/blend.py --quick                 CEASE, ALS and LightGCN on the two smallest sets
    python benchmarks/blend.py --json FILE             the results as JSON

The data sets are those of automatic.py. Members and blend are trained on the training set, choose on the validation
set, and are measured on the test set.
"""

from __future__ import annotations

import kgplug  # isort: skip  (first: it sets how OpenMP's threads wait)

import argparse
import time
from pathlib import Path

import pandas as pd
from automatic import SPLIT, sets
from machine import report

from kgplug.data.interactions import Interactions
from kgplug.errors import KgplugError
from kgplug.recommenders.models.blend import Blend


def measure(name: str, rows: Interactions, graph: kgplug.KnowledgeGraph, members: str, seed: int) -> list[dict]:
    """Train a blend. Return the metrics of its members and of itself."""
    train, valid, test = rows.split(SPLIT, seed=seed, by="row")
    blend = Blend(members=members)
    began = time.perf_counter()
    blend.fit(train, graph if blend.inputs.triples else None, valid=valid, seed=seed, progress=False)
    seconds = time.perf_counter() - began
    models = {member.name: member for member in blend.members} | {blend.name: blend}
    table = kgplug.evaluate(models, train, test, valid=valid, warn=False)
    found = [
        {"data": name, "model": model, "seed": seed, "AUC": float(row["AUC"]), "NDCG@10": float(row["NDCG@10"])}
        for model, row in table.iterrows()
    ]
    found[-1] |= {"weights": list(blend.config.weights), "seconds": round(seconds, 1)}
    print(pd.DataFrame(found).to_string(index=False, float_format="%.4f"), flush=True)
    return found


def main() -> None:
    """Measure, print a table, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="CEASE, ALS and LightGCN on the two smallest sets")
    parser.add_argument("--members", default=Blend().config.members, help="comma-separated; default: Blend's")
    parser.add_argument("--seeds", type=int, default=1, help="number of draws and splits; default 1")
    parser.add_argument("--book-crossing", type=Path, metavar="FOLDER", help="where Book-Crossing is")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every result to this file")
    arguments = parser.parse_args()
    members = "CEASE,ALS,LightGCN" if arguments.quick else arguments.members
    rows: list[dict] = []
    try:
        for seed in range(arguments.seeds):
            for name, feedback, graph in sets(seed, arguments.book_crossing, quick=arguments.quick):
                rows += measure(name, feedback, graph, members, seed)
    except KgplugError as error:
        raise SystemExit(str(error)) from None
    table = pd.DataFrame(rows).groupby(["data", "model"], sort=False)[["AUC", "NDCG@10"]].mean()
    print(table.reset_index().to_string(index=False, float_format="%.4f"))
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
