"""RecBole's side of benchmarks/recommenders.py. It runs in RecBole's own environment, without kgplug.

    python recbole_runner.py SETTINGS.json

This reads requests from standard input, one line of JSON each, and answers each with one line of JSON:

    {"do": "steps", "task": "recommendation" | "kg", "n": 5}     {"ms": [one number per step], "rows": rows per step}
    {"do": "epoch"}                                              {"seconds": training time of one epoch}
    {"do": "score"}                                              {"scores": [one per validation pair]}
    {"do": "reset"}                                              {} and the model is untrained again
    {"do": "end"}                                                {"peak_mb": largest resident set of this process}

A step is all that RecBole's trainer does for a batch: drawing it, the loss, the gradient, and Adam.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import recbole_stand_ins
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.trainer import Trainer
from recbole.utils import get_model, get_trainer, init_logger, init_seed
from recbole.utils.enum_type import KGDataLoaderState

_SCORED_PAIRS = 2048  # pairs scored at a time
_STATES = {"recommendation": KGDataLoaderState.RS, "kg": KGDataLoaderState.KG, "both": KGDataLoaderState.RSKG}


class EnoughError(Exception):
    """Raised to end an epoch after the requested steps."""


class Runner:
    """A RecBole model with its trainer and data.

    Args:
        settings: "model" (name), "config" (RecBole's settings), "threads", "pairs" (JSON file with the users' tokens
            and the items' tokens of the validation pairs).
    """

    def __init__(self, settings: dict) -> None:
        self._name, self._pairs_file = settings["model"], settings["pairs"]
        self.config = Config(model=self._name, dataset="ml", config_dict=settings["config"])
        init_seed(self.config["seed"], self.config["reproducibility"])
        init_logger(self.config)
        recbole_stand_ins.install()
        torch.set_num_threads(settings["threads"])  # RecBole does not set the number of threads
        self.dataset = create_dataset(self.config)
        self.data = data_preparation(self.config, self.dataset)[0]
        self.model = get_model(self._name)(self.config, self.data._dataset)
        self.trainer = get_trainer(self.config["MODEL_TYPE"], self._name)(self.config, self.model)
        self.epoch, self._pairs = 0, None

    def steps(self, task: str, n: int) -> dict:
        """Return the milliseconds of n steps and the rows per step. The first step of an epoch is not counted."""
        loss, state = {
            "recommendation": ("calculate_rs_loss" if self._name == "MKR" else "calculate_loss", "recommendation"),
            "kg": ("calculate_kg_loss", "kg"),
        }[task]
        if self._name == "CKE":
            state = "both"
        self.data.set_mode(_STATES[state])
        stamps, rows = [], []

        def stamped(interaction: Interaction) -> torch.Tensor:
            stamps.append(time.perf_counter())
            rows.append(len(interaction))
            if len(stamps) == n + 2:  # the last step has ended, and the next batch was fetched
                raise EnoughError
            return getattr(self.model, loss)(interaction)

        with contextlib.suppress(EnoughError):
            Trainer._train_epoch(self.trainer, self.data, self.epoch, loss_func=stamped)
        self.epoch += 1
        return {"ms": (np.diff(stamps) * 1e3).tolist()[1:], "rows": max(rows), "steps": len(self.data)}

    def train_epoch(self) -> dict:
        """Train one epoch as the model's own trainer does, and return its seconds."""
        began = time.perf_counter()
        self.trainer._train_epoch(self.data, self.epoch)
        self.epoch += 1
        return {"seconds": time.perf_counter() - began}

    def score(self) -> dict:
        """Return the scores of the validation pairs."""
        if self._pairs is None:
            tokens = json.loads(Path(self._pairs_file).read_text(encoding="utf-8"))
            fields = self.dataset.uid_field, self.dataset.iid_field
            self._pairs = [
                torch.from_numpy(self.dataset.token2id(field, np.array(part)))
                for field, part in zip(fields, tokens, strict=True)
            ]
        users, items = self._pairs
        self.model.eval()
        scores = []
        with torch.no_grad():
            for start in range(0, len(users), _SCORED_PAIRS):
                part = slice(start, start + _SCORED_PAIRS)
                batch = Interaction({self.dataset.uid_field: users[part], self.dataset.iid_field: items[part]})
                scores += self.model.predict(batch).tolist()
        return {"scores": scores}

    def answer(self, request: dict) -> dict:
        """Answer a request other than "reset" and "end"."""
        does: dict[str, Callable[[], dict]] = {
            "steps": lambda: self.steps(request["task"], request["n"]),
            "epoch": self.train_epoch,
            "score": self.score,
        }
        return does[request["do"]]()


def peak_mb() -> float:
    """Return the largest resident set of this process since its program began (`ru_maxrss` counts its parent's)."""
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Answer the requests on standard input until "end"."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what RecBole prints must not get among the answers
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    runner = Runner(settings)
    print(json.dumps({"torch": torch.__version__, "numpy": np.__version__}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "end":
            print(json.dumps({"peak_mb": peak_mb()}), file=answers, flush=True)
            return
        if request["do"] == "reset":
            del runner
            runner = Runner(settings)
        print(json.dumps({} if request["do"] == "reset" else runner.answer(request)), file=answers, flush=True)


if __name__ == "__main__":
    main()
