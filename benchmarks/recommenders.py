"""Recommenders with a knowledge graph, kgplug's and RecBole's, on MovieLens-100K. Also lists and neighbour matrices.

    python benchmarks/recommenders.py                  every part; about twenty minutes on two cores
    python benchmarks/recommenders.py --quick          fewer steps, a short race; about two minutes
    python benchmarks/recommenders.py --parts training seconds per epoch and to the same AUC, peak memory
    python benchmarks/recommenders.py --parts lists    top-10 lists of all users, and the quickest bare matrix products
    python benchmarks/recommenders.py --parts ckcf     the neighbour matrices of 15,000 books
    python benchmarks/recommenders.py --models MKR,CKE
    python benchmarks/recommenders.py --batch 4096     rows per step, including negatives
    python benchmarks/recommenders.py --json FILE      the results as JSON

RecBole 1.2.1 runs in an environment of its own, with the same torch. The first run makes it (some minutes, 5 GB).
Both sides train on the same likes (at least 4 stars, 6:2:2 by row) and the same triples; RecBole reads them as atomic
files. These are equal on both sides: rows per step (2,048: 1,024 likes with one negative each), triples per step, 64
dimensions, at most two threads, KGCN's 4 neighbours, RippleNet's 2 layers of 32 memories. RecBole's pairwise models
(KGCN, CKE) count likes instead of rows, so their batch size is half as large. All other settings are each side's
defaults, except RecBole's learning rate: it is raised to the one with the highest AUC in the race (below).

A recommendation epoch has every training like once with one negative; a KG epoch has every triple once. A step is timed
with all that it needs: batch, negatives, loss, gradient, Adam. The sides are measured in turns. RecBole's seconds per
epoch are the median (minimum) step times the number of steps; kgplug's are the median (minimum) of whole epochs. Peak
memory is the largest resident set of each side's process, from import to the end of training and scoring.

The race takes place if an epoch of RecBole fits into its time (60 s, with --quick 6 s). RecBole trains from scratch
until the time is up. After each epoch, the AUC of the validation pairs is measured (not timed). Then kgplug trains from
scratch until it has reached the best of these AUCs.
"""

from __future__ import annotations

import kgplug  # isort: skip  # noqa: F401  (first: it sets how OpenMP's threads wait, also in child processes)

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import catalogue
import numpy as np
import pandas as pd
import torch
from kgplug_runner import save_data
from recbole_environment import recbole_python, write_atomic_files

from kgplug.data.interactions import Interactions
from kgplug.data.sources import movielens_100k
from kgplug.evaluation.ctr import auc
from kgplug.evaluation.protocol import divide
from kgplug.settings import Settings

DIMENSIONS, THREADS, MOST_EPOCHS = 64, 2, 100
BOTH_WAYS = {"kg_reverse_r": True}  # RecBole adds each triple's inverse to the graph, as kgplug does
PARTS = ("training", "lists", "ckcf")
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Contest:
    """One model to measure on both sides.

    Attributes:
        model: The model's name, in kgplug and in RecBole.
        ours, theirs: Settings for kgplug and for RecBole, in addition to those of all models.
        pairwise: Whether RecBole's batch size counts likes instead of rows.
        goals: Task → how many times as fast as RecBole's epoch kgplug's must be.
    """

    model: str
    ours: dict = field(default_factory=dict)
    theirs: dict = field(default_factory=dict)
    pairwise: bool = False
    goals: dict[str, float] = field(default_factory=dict)


def contests(batch: int) -> dict[str, Contest]:
    """Return the models to measure, by name.

    Args:
        batch: Rows per step, including negatives.
    """
    memories = {"n_hop": 2, "n_memory": 32, "learning_rate": 5e-3}
    return {
        "MKR": Contest(
            "MKR", {"kge_batch_size": batch, "negatives_per_like": 1, "negative_popularity": 0.0},  # as RecBole's
            {"learning_rate": 5e-3}, goals={"recommendation": 50, "kg": 16},
        ),
        "KGCN H1": Contest(
            "KGCN", {"neighbours": 4, "n_layers": 1}, {"n_iter": 1, "neighbor_sample_size": 4, "learning_rate": 1e-2},
            pairwise=True, goals={"recommendation": 6},
        ),
        "KGCN H2": Contest(
            "KGCN", {"neighbours": 4, "n_layers": 2}, {"n_iter": 2, "neighbor_sample_size": 4, "learning_rate": 1e-2},
            pairwise=True, goals={"recommendation": 6},
        ),
        "RippleNet": Contest(
            "RippleNet", {"n_layers": 2, "memory_size": 32}, memories, goals={"recommendation": 50}
        ),
        "CKE": Contest(
            "CKE", {"kge_batch_size": batch // 2}, {"learning_rate": 1e-2}, pairwise=True, goals={"recommendation": 8}
        ),
        "KGAT": Contest(
            "KGAT", {"kge_batch_size": batch, "n_layers": 3, "dropout": 0.1},
            {"layers": [DIMENSIONS, DIMENSIONS // 2, DIMENSIONS // 4], "learning_rate": 5e-3, **BOTH_WAYS},
            pairwise=True, goals={"epoch": 3, "recommendation": 3, "kg": 3},
        ),
        "KGIN": Contest(
            "KGIN", {"n_layers": 3, "intents": 4, "dropout": 0.1},
            {
                "context_hops": 3, "n_factors": 4, "ind": "distance", "mess_dropout_rate": 0.1,
                "node_dropout_rate": 0.0, "learning_rate": 5e-3, **BOTH_WAYS,
            },
            pairwise=True, goals={"epoch": 3, "recommendation": 3},
        ),
    }  # fmt: skip


@dataclass(frozen=True)
class Size:
    """Size of the measurement.

    Attributes:
        turns: Number of turns.
        steps: RecBole's steps per turn.
        our_steps: kgplug's minimum number of steps per turn.
        race_s: RecBole's time in the race, in seconds.
    """

    turns: int
    steps: int
    our_steps: int
    race_s: float


FULL, QUICK = Size(3, 6, 66, 60.0), Size(1, 2, 33, 6.0)


class Side:
    """A process that trains one side's model. recbole_runner.py describes its requests and answers."""

    def __init__(self, python: Path, script: str, settings: Path) -> None:
        command = [str(python), str(HERE / script), str(settings)]
        self._log = settings.with_suffix(".log").open("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, cwd=settings.parent
        )

    def read(self) -> dict:
        """Return the next answer."""
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise SystemExit(f"A side of the benchmark ended:\n{self._log.read()[-3000:]}")
        return json.loads(line)

    def ask(self, do: str, **more: object) -> dict:
        """Send a request and return its answer."""
        self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self._process.stdin.flush()
        return self.read()

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._log.close()


class Bench:
    """The measurements of both sides on MovieLens-100K."""

    def __init__(self, size: Size, batch: int, folder: Path) -> None:
        self.size, self.batch, self.folder = size, batch, folder
        self.python = recbole_python(Settings().kgplug_home / "benchmarks")
        rows, knowledge = movielens_100k.read_arrays(Settings().downloads_dir)
        rows = linked_only(rows, knowledge.entities_of(rows.item_keys, label=rows.item_label), knowledge.triples)
        parts = divide(rows, (0.6, 0.2, 0.2), like_threshold=4, protocol="honest", seed=0)
        likes, pairs = parts.train.likes(), parts.valid_pairs
        self.paths = write_atomic_files(folder, likes, parts.valid, knowledge, pairs)
        save_data(folder / "kgplug.npz", likes, knowledge, pairs.users, pairs.items)
        self.labels, self.n_likes, self.n_triples = pairs.labels, len(likes), knowledge.n_triples
        print(
            f"MovieLens-100K: {len(likes):,} training likes, {knowledge}, {len(pairs):,} validation pairs", flush=True
        )

    @contextmanager
    def sides(self, contest: Contest) -> Iterator[tuple[Side, Side]]:
        """Start both sides of a contest: (kgplug, RecBole)."""
        ours = {"embedding_dim": DIMENSIONS, "batch_size": self.batch, **contest.ours}
        theirs = {
            **self.paths, "embedding_size": DIMENSIONS, "kg_embedding_size": DIMENSIONS,
            "train_batch_size": self.batch // 2 if contest.pairwise else self.batch, **contest.theirs,
        }  # fmt: skip
        common = {"model": contest.model, "threads": THREADS}
        files = self.folder / "ours.json", self.folder / "theirs.json"
        files[0].write_text(json.dumps({**common, "config": ours, "data": str(self.folder / "kgplug.npz")}))
        files[1].write_text(json.dumps({**common, "config": theirs, "pairs": str(self.folder / "pairs.json")}))
        with ExitStack() as stack:
            scripts = (Path(sys.executable), "kgplug_runner.py"), (self.python, "recbole_runner.py")
            started = []
            for (python, script), settings in zip(scripts, files, strict=True):
                started.append(Side(python, script, settings))
                stack.callback(started[-1].close)
            versions = [side.read() for side in started]
            if versions[0]["torch"] != versions[1]["torch"]:
                print(f"  torch differs: kgplug {versions[0]['torch']}, RecBole {versions[1]['torch']}")
            yield started[0], started[1]

    def contest(self, name: str, contest: Contest) -> list[dict]:
        """Measure one model on both sides. Return one row per task."""
        with self.sides(contest) as (ours, theirs):
            rows = [self._epochs(name, contest, task, ours, theirs) for task in contest.goals]
            epoch_s = rows[0]["RecBole ms median"] * rows[0]["steps"] / 1e3
            if epoch_s < self.size.race_s:
                for side in (ours, theirs):
                    side.ask("reset")
                rows[0] |= self._race(name, ours, theirs)
            else:
                print(f"  {name}: no race, as one epoch of RecBole takes {epoch_s:.0f} s", flush=True)
            peaks = ours.ask("end")["peak_mb"], theirs.ask("end")["peak_mb"]
        print(f"  {name}: peak memory {peaks[0]:.0f} MB, RecBole {peaks[1]:.0f} MB", flush=True)
        rows[0] |= {"peak MB": peaks[0], "RecBole peak MB": peaks[1]}
        return rows

    def _epochs(self, name: str, contest: Contest, task: str, ours: Side, theirs: Side) -> dict:
        """Measure both sides' milliseconds per step of one task, in turns."""
        per_step = self.batch // 2 if task == "recommendation" else self.batch
        total = self.n_likes if task == "recommendation" else self.n_triples
        steps = -(-total // per_step)
        if task == "epoch":
            steps = 1
        else:
            ours.ask("steps", task=task, n=1)
        mine, other = [], []
        for _ in range(self.size.turns):
            if task == "epoch":
                mine.append(ours.ask("epoch")["seconds"] * 1e3)
                other.append(theirs.ask("epoch")["seconds"] * 1e3)
                continue
            mine += ours.ask("steps", task=task, n=self.size.our_steps)["ms"]
            other += theirs.ask("steps", task=task, n=self.size.steps)["ms"]
        times = {
            "median": (statistics.median(mine), statistics.median(other)), "minimum": (min(mine), min(other)),
        }  # fmt: skip
        row = {"model": name, "task": task, "steps": steps, "goal": contest.goals[task]}
        for what, (a, b) in times.items():
            row |= {f"ms {what}": a, f"RecBole ms {what}": b, f"times faster, {what}": b / a}
        a, b = times["median"]
        print(f"  {name} {task}: {a:.1f} ms a step, RecBole {b:.1f} ms, × {steps} steps: {b / a:.1f} times", flush=True)
        return row

    def _race(self, name: str, ours: Side, theirs: Side) -> dict:
        """Train RecBole until its time is up, then kgplug until it has reached RecBole's best AUC."""
        seconds, best, reached = 0.0, 0.0, 0.0
        while seconds < self.size.race_s:
            seconds += theirs.ask("epoch")["seconds"]
            figure = auc(self.labels, np.array(theirs.ask("score")["scores"]))
            if figure > best:
                best, reached = figure, seconds
        mine, figure, epochs = 0.0, 0.0, 0
        while figure < best and epochs < MOST_EPOCHS:
            mine, epochs = mine + ours.ask("epoch")["seconds"], epochs + 1
            figure = auc(self.labels, np.array(ours.ask("score")["scores"]))
        print(
            f"  {name}: RecBole's best AUC in {seconds:.0f} s is {best:.4f} after {reached:.1f} s; "
            f"kgplug has {figure:.4f} after {mine:.2f} s, {epochs} epochs", flush=True,
        )  # fmt: skip
        done = figure >= best
        return {
            "AUC": best, "s to it": mine if done else float("nan"), "RecBole s to it": reached,
            "to AUC, times faster": reached / mine if done else float("nan"),
        }  # fmt: skip


def linked_only(rows: Interactions, linked: np.ndarray, triples: np.ndarray) -> Interactions:
    """Return only the items that have a triple, with their rows, because RecBole would drop all other items.

    Args:
        rows: Feedback.
        linked: int64 (n_items,), the entity of each item; -1 without one.
        triples: int64 (n, 3).
    """
    kept = np.isin(linked, triples[:, [0, 2]])
    chosen = kept[rows.items]
    return Interactions.from_arrays(
        rows.user_keys, rows.item_keys[kept], rows.users[chosen], (np.cumsum(kept) - 1)[rows.items[chosen]],
        ratings=rows.ratings[chosen], like_threshold=rows.like_threshold, user_label=rows.user_label,
        item_label=rows.item_label,
    )  # fmt: skip


def training(names: list[str], size: Size, batch: int) -> list[dict]:
    """Measure the named models on both sides."""
    with tempfile.TemporaryDirectory(prefix="kgplug-bench-") as folder:
        bench, rows = Bench(size, batch, Path(folder)), []
        for name in names:
            rows += bench.contest(name, contests(batch)[name])
    return rows


def table(rows: list[dict]) -> str:
    """Return the results of the part training as a table."""
    frame = pd.DataFrame(rows).set_index(["model", "task"])
    frame["epoch s"] = frame["ms median"] * frame["steps"] / 1e3
    frame["RecBole epoch s"] = frame["RecBole ms median"] * frame["steps"] / 1e3
    frame["met"] = np.where(frame["times faster, median"] >= frame["goal"], "yes", "no")
    columns = ["steps", "ms median", "RecBole ms median", "epoch s", "RecBole epoch s", "times faster, median",
               "times faster, minimum", "goal", "met", "AUC", "s to it", "RecBole s to it", "to AUC, times faster",
               "peak MB", "RecBole peak MB"]  # fmt: skip
    return frame.reindex(columns=columns).round(2).T.to_string(na_rep="")


def main() -> None:
    """Measure, print tables, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer steps, a short race")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"comma-separated; default {','.join(PARTS)}")
    parser.add_argument("--models", default=",".join(contests(2048)), help="comma-separated, for the part training")
    parser.add_argument("--batch", type=int, default=2048, help="rows per step, including negatives; default 2048")
    parser.add_argument("--json", type=Path, help="write every result to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    size, figures, parts = QUICK if arguments.quick else FULL, {}, arguments.parts.split(",")
    load = os.getloadavg()[0]
    if "training" in parts:
        figures["training"] = training(arguments.models.split(","), size, arguments.batch)
    if "lists" in parts:
        figures["lists"] = catalogue.lists(quick=arguments.quick)
    if "ckcf" in parts:
        figures["ckcf"] = catalogue.neighbour_matrices()
    if "training" in parts:
        print(table(figures["training"]))
    for part in ("lists", "ckcf"):
        if part in parts:
            print(pd.DataFrame(figures[part]).round(2).to_string(index=False))
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}"
    )
    print(f"Machine: {machine}; load before the run {load:.1f}, after it {os.getloadavg()[0]:.1f}.")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "figures": figures}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
