"""Seconds per epoch on a GPU and on the CPU of the same machine, for every recommender and some embeddings.

    python benchmarks/gpu.py                  both sizes, every model; some minutes on a server with a GPU
    python benchmarks/gpu.py --quick          the smaller size, fewer epochs
    python benchmarks/gpu.py --models MKR,TransE --sizes large
    python benchmarks/gpu.py --json FILE      the results as JSON

Likes and triples are drawn at random, as many as MovieLens-100K has ("small") and ten times as many ("large"): the time
of an epoch depends only on their number. Each model has the settings that kgplug chooses for such data. The result is
the median over the epochs after the first, in which kernels are compiled and memory is allocated. All cores of the CPU
are used.
"""

from __future__ import annotations

import kgplug  # isort: skip  (first: it sets how OpenMP's threads wait)

import argparse
import json
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from machine import machine

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.errors import KgplugError
from kgplug.recommenders.base import Recommender

SHOWN_EMBEDDINGS = ("TransE", "TransH", "TransR", "RotatE", "ComplEx")
SETTINGS = {name: {"embedding_settings": {"epochs": 1}} for name in ("LibFM", "Wide&Deep", "DKN")}
N_RELATIONS, N_WORDS = 24, 2_000


@dataclass(frozen=True)
class Size:
    """Size of the data to draw."""

    users: int
    items: int
    likes: int
    entities: int
    triples: int


SIZES = {"small": Size(943, 1_682, 55_000, 15_000, 76_000), "large": Size(9_430, 16_820, 550_000, 150_000, 760_000)}
SMALL_ONLY = (
    "DKN",
    "RKGE",
    "RKGE-CF",
    "LibFM",
    "Wide&Deep",
    "MKR-rated",
    "RippleNet",
    "RotatE",
    "ComplEx",
)  # else hours


def draw(size: Size) -> tuple[Interactions, KnowledgeGraph]:
    """Return likes and triples: the first entities are the items, popular ones first."""
    rng = np.random.default_rng(0)
    items = (size.items * rng.random(2 * size.likes) ** 2).astype(np.int64)
    pairs = np.unique(rng.integers(size.users, size=2 * size.likes) * size.items + items)
    users, liked = np.divmod(np.sort(rng.permutation(pairs)[: size.likes]), size.items)
    keys = np.arange(size.entities).astype(object)
    likes = Interactions.from_arrays(
        np.arange(size.users).astype(object), keys[: size.items], users, liked,
        ratings=rng.integers(1, 6, size=len(users)).astype(np.float32), like_threshold=3,
    )  # fmt: skip
    titles = {key: " ".join(f"w{word}" for word in rng.integers(N_WORDS, size=4)) for key in keys[: size.items]}
    ends = rng.integers(size.entities, size=(2, size.triples))
    ends[0, : size.triples // 2] %= size.items  # half of the triples get an item as head
    triples = np.unique(np.column_stack([ends[0], rng.integers(N_RELATIONS, size=size.triples), ends[1]]), axis=0)
    relations = np.array([f"r{number}" for number in range(N_RELATIONS)], dtype=object)
    graph = KnowledgeGraph.from_arrays(keys, np.full(len(keys), "", dtype=object), relations, triples)
    return likes.with_texts(titles), graph


def names() -> list[str]:
    """Return the names of the recommenders that can train on a GPU, and of some embeddings."""
    found = [info.name for info in kgplug.available() if info.kind == "recommender"]
    return [name for name in found if "device" in type(kgplug.create(name).config).model_fields] + [*SHOWN_EMBEDDINGS]


def epoch_seconds(name: str, device: str, epochs: int, likes: Interactions, graph: KnowledgeGraph) -> float:
    """Return the median seconds per epoch, without the first epoch."""
    model = kgplug.create(name, device=device, epochs=1 + epochs, **SETTINGS.get(name, {}))
    if isinstance(model, Recommender):
        model.fit(likes, graph if model.inputs.triples else None, progress=False)
    else:
        model.fit(graph, progress=False)
    return statistics.median(model.history["seconds"][1:])


def measure(name: str, size: str, epochs: int, data: tuple[Interactions, KnowledgeGraph]) -> dict:
    """Measure the seconds per epoch of one model on both devices."""
    row: dict = {"model": name, "size": size}
    try:
        for device in ("cuda", "cpu"):
            row[f"{device} s"] = epoch_seconds(name, device, epochs, *data)
        row["times faster"] = row["cpu s"] / row["cuda s"]
        print(f"  {size} {name}: {row['cuda s']:.3f} s, CPU {row['cpu s']:.3f} s", flush=True)
    except KgplugError as error:
        row["refused"] = str(error)
        print(f"  {size} {name}: {error}", flush=True)
    return row


def main() -> None:
    """Measure, print a table, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smaller size, two epochs")
    parser.add_argument("--models", default=",".join(names()), help="comma-separated; default: all")
    parser.add_argument("--sizes", default=",".join(SIZES), help=f"comma-separated; default: {','.join(SIZES)}")
    parser.add_argument("--json", type=Path, help="write every result to this file")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("Found no CUDA device; this benchmark compares one with the CPU.")
    sizes, epochs = (["small"], 2) if asked.quick else (asked.sizes.split(","), 3)
    rows = []
    for size in sizes:
        data = draw(SIZES[size])
        print(f"{size}: {data[0]}, {data[1]}", flush=True)
        chosen = [name for name in asked.models.split(",") if size == "small" or name not in SMALL_ONLY]
        rows += [measure(name, size, epochs, data) for name in chosen]
    print(pd.DataFrame(rows).round(3).to_string(index=False, na_rep=""))
    measured_on = f"{machine()}, torch {torch.__version__}"
    print(f"Machine: {measured_on}.")
    if asked.json:
        asked.json.write_text(json.dumps({"machine": measured_on, "figures": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
