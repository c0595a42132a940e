"""Click-through accuracy of the models on MovieLens-100K with its Freebase graph, or on Book-Crossing with Satori's.

    python benchmarks/accuracy.py                       three seeds; about five minutes on two cores
    python benchmarks/accuracy.py --quick               one seed; about one minute
    python benchmarks/accuracy.py --models MKR,LightGCN --seeds 0,1,2,3,4
    python benchmarks/accuracy.py --book-crossing FOLDER   where KGCN's ratings_final.txt and kg_final.txt (or .xz) are
    python benchmarks/accuracy.py --json FILE           the figures, for machines

Protocol "honest" of `kgplug.evaluate_ctr`: a rating of 4 or 5 is a like; likes are split 6:2:2 by row; training
negatives are redrawn each epoch among all but the user's training rows; validation picks the epoch; the test
part, with one negative a like among items that the user never rated, is looked at once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path

import book_crossing
import pandas as pd

from kgplug.data.datasets import movielens_100k
from kgplug.evaluation.experiment import evaluate_ctr
from kgplug.settings import Settings

MODELS = ("Popularity", "ItemKNN", "MF", "LightGCN", "MKR", "KGCN", "HiddenEdgeGCN")


def measure(models: list[str], seeds: list[int], folder: Path | None) -> pd.DataFrame:
    """Return one row a model and seed: model, seed, AUC, ACC, warm AUC, epochs, seconds …"""
    interactions, knowledge = movielens_100k(Settings().downloads_dir) if folder is None else book_crossing.read(folder)
    print(f"{'MovieLens-100K' if folder is None else 'Book-Crossing'}: {interactions}, {knowledge}")
    rows = []
    for name in models:
        for seed in seeds:
            row = evaluate_ctr(name, interactions, knowledge, seeds=(seed,))
            print(f"  {name} seed {seed}: AUC {row['AUC'][0]:.4f}, {row['seconds'][0]:.1f} s", flush=True)
            rows.append(row)
    return pd.concat(rows, ignore_index=True)


def summary(figures: pd.DataFrame) -> pd.DataFrame:
    """Return one row a model: mean ± standard deviation over seeds, mean seconds of a training."""
    rows = {}
    for name, rows_of_model in figures.groupby("model", sort=False):
        spread = {
            column: f"{rows_of_model[column].mean():.4f} ± {rows_of_model[column].std(ddof=0):.4f}"
            for column in ("AUC", "ACC", "warm AUC")
        }
        rows[name] = spread | {
            "epochs": f"{rows_of_model['epochs'].mean():.0f}",
            "seconds": f"{rows_of_model['seconds'].mean():.1f}",
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def main() -> None:
    """Measure, print a table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated; default 0,1,2")
    parser.add_argument("--models", default=",".join(MODELS), help=f"comma-separated; default {','.join(MODELS)}")
    parser.add_argument("--book-crossing", type=Path, metavar="FOLDER", help="measure on Book-Crossing instead")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    arguments = parser.parse_args()
    seeds = [0] if arguments.quick else [int(seed) for seed in arguments.seeds.split(",")]
    figures = measure(arguments.models.split(","), seeds, arguments.book_crossing)
    print(summary(figures).to_string())
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"Machine: {machine}. Seeds: {', '.join(map(str, seeds))}. Seconds are of one training.")
    if arguments.json:
        record = {"machine": machine, "figures": figures.to_dict("records")}
        arguments.json.write_text(json.dumps(record, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
