"""CKCF and other models on Book-Crossing: precision, recall and F1 of lists, also for cold books, and by CKCF's ratio.

    python benchmarks/ckcf.py                  five splits; about an hour on two cores
    python benchmarks/ckcf.py --quick          one split, few epochs, three ratios; about one minute
    python benchmarks/ckcf.py --models CKCF,KGCN --splits 10
    python benchmarks/ckcf.py --json FILE      the results as JSON

The paper's protocol: every rating is a like. A random 3/4 of the rows are for training. Lists of 5, 10, 20 and 50 items
come from the whole catalogue without the user's training items. Metrics are means over the users with a test row.

"CKCF (paper)" lists only neighbours (`back_fill="none"`, `linked_only=True`), and so do ItemKNN and UserKNN; their
lists may be shorter than k. All other models have their defaults. "(without KG)" has a graph without triples. "(CF
alone)" fills all positions by collaborative filtering. The ratio goes from 0:10 (only the graph) to 10:0 (only
collaborative filtering). For cold books, the same lists are measured, but only test rows of books with fewer than two
training ratings count as relevant. One TransE is trained per split, for all models that read its vectors.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import book_crossing
import pandas as pd

import kgplug
from kgplug.embeddings.model import EmbeddingModel
from kgplug.papers import books_figure_3, books_figures_4_5
from kgplug.papers.books_figures_4_5 import CKCF, LENGTHS
from kgplug.papers.experiment import Contender, PaperData

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "book-crossing" / "satori-kgcn"
MODELS = (
    "CKCF (paper)", "CKCF", "CKCF (CF alone)", "CKCF-relational", "CKCF-relational (CF alone)", "SemanticCF",
    "SemanticCF (CF alone)", "RKGE-CF", "RKGE-CF (without KG)", "RippleNet", "RippleNet (without KG)", "KGCN",
    "KGCN (without KG)", "ItemKNN", "UserKNN", "EASE", "LightGCN", "MF", "Popularity",
)  # fmt: skip
QUICK_MODELS = ("CKCF (paper)", "CKCF-relational", "ItemKNN", "Popularity")
READ_VECTORS = ("CKCF", "CKCF-relational", "SemanticCF")
NEAR_ONLY = ("CKCF (paper)", "ItemKNN", "UserKNN")
WITHOUT = "without KG"
VARIANTS: dict[str, dict[str, Any]] = {"": {}, "paper": dict(CKCF.settings), "CF alone": {"cf_share": 1.0}, WITHOUT: {}}


def parted(name: str) -> tuple[str, str]:
    """Split a name such as "CKCF (paper)" into the model's name and the key of `VARIANTS`, "" without brackets."""
    plain, _, variant = name.removesuffix(")").partition(" (")
    return plain, variant


def contender(name: str, vectors: str) -> Contender:
    """Return the model of a row, with the vectors of the embedding run in the folder `vectors` if it reads any."""
    plain, variant = parted(name)
    settings = VARIANTS[variant] | ({"embedding": vectors} if plain in READ_VECTORS else {})
    return Contender(name, plain, settings, only_neighbours=name in NEAR_ONLY)


def measure(folder: Path, models: list[str], splits: int, ratios: list[int], epochs: int | None) -> list[dict]:
    """Return the results: one row per split and model, and one per split and ratio."""
    data = PaperData("Book-Crossing", *book_crossing.read(folder))
    without = replace(data, knowledge=data.knowledge.without_triples())
    print(f"Book-Crossing: {data.interactions}, {data.knowledge}", flush=True)
    rows = []
    for seed in range(splits):
        with tempfile.TemporaryDirectory() as folder_of_run:
            vectors, began = str(Path(folder_of_run) / "run"), time.perf_counter()
            transe = EmbeddingModel("TransE", **({} if epochs is None else {"epochs": epochs}))
            transe.fit(data.knowledge, seed=seed, progress=False).save(Path(vectors))
            print(f"  split {seed}: TransE {time.perf_counter() - began:.1f} s", flush=True)
            for name in models:
                began, used = time.perf_counter(), without if parted(name)[1] == WITHOUT else data
                found = books_figures_4_5.measure(contender(name, vectors), "lists", used, seed)[name]
                row = {"part": "models", "model": name, "split": seed, "seconds": time.perf_counter() - began}
                rows.append(row | found)
                print(f"  {name}: precision@10 {found['precision@10']:.4f}, {row['seconds']:.1f} s", flush=True)
            by_ratio = books_figure_3.measure(contender("CKCF (paper)", vectors), "lists", data, seed)
            wanted = {f"{ratio}:{10 - ratio}" for ratio in ratios}
            rows += [
                {"part": "ratio", "model": name, "split": seed} | found
                for name, found in by_ratio.items()
                if name in wanted
            ]
    return rows


def table(rows: list[dict], part: str, prefix: str) -> pd.DataFrame:
    """Return means over splits, one row per model or ratio."""
    chosen = pd.DataFrame([row for row in rows if row["part"] == part])
    columns = [f"{prefix}{name}@{k}" for name in ("precision", "recall", "F1") for k in LENGTHS]
    columns += ["seconds"] if part == "models" and not prefix else []
    return chosen.groupby("model", sort=False)[columns].mean().round(4)


def main() -> None:
    """Measure, print tables, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one split, few epochs, few models, three ratios")
    parser.add_argument("--models", help="comma-separated names, such as 'CKCF (paper),KGCN'")
    parser.add_argument("--splits", type=int, help="number of splits; default: 5, with --quick 1")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of Book-Crossing")
    parser.add_argument("--json", type=Path, help="write every result to this file")
    arguments = parser.parse_args()
    known = {info.name for info in kgplug.available() if info.kind == "recommender"}
    listed = [name for name in (QUICK_MODELS if arguments.quick else MODELS) if parted(name)[0] in known]
    models = [name.strip() for name in arguments.models.split(",")] if arguments.models else listed
    if unknown := [name for name in models if parted(name)[0] not in known or parted(name)[1] not in VARIANTS]:
        parser.error(f"--models: {', '.join(unknown)}; expected names like {', '.join(MODELS)}")
    splits = arguments.splits or (1 if arguments.quick else 5)
    ratios = [0, 5, 10] if arguments.quick else list(range(11))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, load {os.getloadavg()[0]:.1f}.")
    rows = measure(arguments.data, models, splits, ratios, 5 if arguments.quick else None)
    for part, prefix in (("models", ""), ("models", "cold "), ("ratio", ""), ("ratio", "cold ")):
        print(f"\n{part}{', cold books' if prefix else ''}\n{table(rows, part, prefix).to_string()}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "figures": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
