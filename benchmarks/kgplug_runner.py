"""kgplug's side of benchmarks/recommenders.py, in a process of its own. It answers the requests of recbole_runner.py.

    python kgplug_runner.py SETTINGS.json

"steps" trains whole epochs and answers with the mean time of a step in each epoch, including the drawing of its data.
"""

from __future__ import annotations

import kgplug  # isort: skip  (first: it sets how OpenMP's threads wait)

import json
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.recommenders.click_through import recommender as trained
from kgplug.recommenders.models.mkr import TripleBatch
from kgplug.recommenders.parts.translations import Triples
from kgplug.training.loop import _run_epoch, _threads, _weights

SEED = 0


class UntrainedError(Exception):
    """Raised to end `fit` before the training begins."""


class Runner:
    """A model of kgplug with its training task.

    Args:
        settings: "model" (name), "config" (kgplug's settings), "threads", "data" (file written by `save_data`).
    """

    def __init__(self, settings: dict) -> None:
        torch.set_num_threads(settings["threads"])
        train, knowledge, self.users, self.items = load_data(Path(settings["data"]))
        self.model: Any = kgplug.create(settings["model"], **{"epochs": 1, **settings["config"]})
        tasks = []

        def caught(task: object, **_: object) -> None:
            tasks.append(task)
            raise UntrainedError

        with mock.patch.object(trained, "train", caught):
            try:
                self.model.fit(train, knowledge, seed=SEED)
            except UntrainedError:
                self.task = tasks[0]
        self.epoch = 0

    def steps(self, task: str, n: int) -> dict:
        """Train whole epochs until they have n steps of the task. Return each epoch's mean milliseconds per step."""
        means, rows, done = [], 0, 0
        with _threads(self.task):
            while done < n:
                seconds, rows = self._timed_epoch(task)
                means.append(1e3 * sum(seconds) / len(seconds))
                done += len(seconds)
        return {"ms": means, "rows": rows}

    def _timed_epoch(self, task: str) -> tuple[list[float], int]:
        """Train one epoch. Return the seconds of each of its steps of the task, and the largest batch size."""
        seconds, rows, began = [], 0, time.perf_counter()
        for batch in self.task.batches(self.epoch, np.random.default_rng([SEED, self.epoch])):
            self.task.step(batch)
            ended = time.perf_counter()
            of_graph = isinstance(batch, (TripleBatch, Triples))
            if of_graph == (task == "kg"):
                seconds.append(ended - began)
                rows = max(rows, len(batch.heads) if of_graph else 0)
            began = ended
        self.epoch += 1
        return seconds, rows or self.model.config.batch_size

    def train_epoch(self) -> dict:
        """Train one epoch as `fit` does, and return its seconds."""
        began = time.perf_counter()
        _run_epoch(self.task, self.epoch, SEED, _weights(self.task.module))
        self.epoch += 1
        return {"seconds": time.perf_counter() - began}

    def score(self) -> dict:
        """Return the scores of the validation pairs."""
        self.model._settle()
        return {"scores": self.model.score(self.users, self.items).tolist()}

    def answer(self, request: dict) -> dict:
        """Answer a request other than "reset" and "end"."""
        if request["do"] == "steps":
            return self.steps(request["task"], request["n"])
        return self.train_epoch() if request["do"] == "epoch" else self.score()


def save_data(path: Path, train: Interactions, knowledge: KnowledgeGraph, users: np.ndarray, items: np.ndarray) -> None:
    """Write training likes, triples and validation pairs as indices. The key of an item is the index of its entity."""
    item_keys = knowledge.entities_of(train.item_keys, label=train.item_label)
    np.savez(
        path, item_keys=item_keys, n=[train.n_users, knowledge.n_entities, knowledge.n_relations],
        triples=knowledge.triples, train=np.stack([train.users, train.items]), pairs=np.stack([users, items]),
    )  # fmt: skip


def load_data(path: Path) -> tuple[Interactions, KnowledgeGraph, np.ndarray, np.ndarray]:
    """Read what `save_data` wrote."""
    with np.load(path) as data:
        n_users, n_entities, n_relations = (np.arange(n).astype(object) for n in data["n"])
        likes = Interactions.from_arrays(n_users, data["item_keys"].astype(object), *data["train"])
        labels = np.full(len(n_entities), "", dtype=object)
        graph = KnowledgeGraph.from_arrays(n_entities, labels, n_relations.astype(str).astype(object), data["triples"])
        users, items = data["pairs"]
    return likes, graph, users, items


def peak_mb() -> float:
    """Return the largest resident set of this process since its program began (`ru_maxrss` counts its parent's)."""
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Answer the requests on standard input until "end"."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    runner = Runner(settings)
    print(json.dumps({"torch": torch.__version__, "numpy": np.__version__}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "end":
            print(json.dumps({"peak_mb": peak_mb()}), flush=True)
            return
        if request["do"] == "reset":
            del runner
            runner = Runner(settings)
        print(json.dumps({} if request["do"] == "reset" else runner.answer(request)), flush=True)


if __name__ == "__main__":
    main()
