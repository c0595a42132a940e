"""Validation AUC on small samples of real data, with the settings that kgplug chooses for them and with others.

    python benchmarks/small_data.py                         MovieLens-100K; other setting: the batch size of large data
    python benchmarks/small_data.py --book-crossing FOLDER  also samples of Book-Crossing (see results.py)
    python benchmarks/small_data.py --models MKR --set learning_rate=0.02
    python benchmarks/small_data.py --alone                 train without a validation set; other setting: epochs
    python benchmarks/small_data.py --quick                 MKR and CKE on the smallest sample, one seed
    python benchmarks/small_data.py --json FILE             the results as JSON

A sample has some users with all their likes, or ("thin") all users with a given mean number of training likes. Each
seed draws a new sample and splits it as `kgplug.evaluate_ctr` does (honest protocol). The test set is not used. The
result is the best AUC on the validation set over the epochs; this AUC also decides when the training stops. With
--alone, the training does not get the validation set. It chooses its number of epochs itself, or with the other setting
does them all, and the result is the validation AUC after training.
"""

from __future__ import annotations

import kgplug  # isort: skip  (first: it sets how OpenMP's threads wait)

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from machine import report
from results_rows import BOOKS, MOVIELENS, DataSet, read

from kgplug.data.interactions import Interactions
from kgplug.errors import KgplugError
from kgplug.evaluation.ctr import auc
from kgplug.evaluation.protocol import divide

SHARES = (0.6, 0.2, 0.2)
MODELS = ("MKR", "KGCN", "CKE", "RippleNet")


@dataclass(frozen=True)
class Part:
    """A sample of a data set's likes.

    Attributes:
        data: Name of the data set.
        users: Number of users to take, with all their likes; 0: all users, thinned.
        thin: Mean number of training likes per user after thinning; 0: no thinning.
    """

    data: str
    users: int = 0
    thin: int = 0

    def __str__(self) -> str:
        return f"{self.data}, " + (f"{self.users:,} users" if self.users else f"thinned to {self.thin} likes per user")


PARTS = (
    *(Part(MOVIELENS, users=users) for users in (100, 200, 300)),
    *(Part(MOVIELENS, thin=likes) for likes in (6, 8, 14)),
    *(Part(BOOKS, users=users) for users in (500, 2_000, 3_300, 6_000)),
)


def draw(part: Part, likes: Interactions, seed: int) -> Interactions:
    """Draw the likes of a sample."""
    rng = np.random.default_rng(seed)
    if part.users:
        kept = np.flatnonzero(np.isin(likes.users, rng.choice(likes.n_users, part.users, replace=False)))
    else:
        kept = np.sort(rng.choice(len(likes.users), int(part.thin / SHARES[0] * likes.n_users), replace=False))
    labels = {"user_label": likes.user_label, "item_label": likes.item_label}
    return Interactions.from_arrays(likes.user_keys, likes.item_keys, likes.users[kept], likes.items[kept], **labels)


def measure(
    part: Part, data: DataSet, models: list[str], given: dict[str, str], seeds: range, *, alone: bool
) -> list[dict]:
    """Train each model twice per seed, with the chosen and the other settings. Return one row per model, with means."""
    rows = []
    for name in models:
        plain = kgplug.create(name)
        usual = "epochs" if alone else "batch_size"
        given_here = given or {
            setting: value for setting, value in plain.config.model_dump().items() if setting.endswith(usual)
        }
        figures = []
        for seed in seeds:
            parts = divide(
                draw(part, data.interactions.likes(), seed), SHARES, like_threshold=None, protocol="honest", seed=seed
            )
            for settings in ({}, given_here):
                model = kgplug.create(name, **{"settings": "defaults", "goal": "clicks", **settings})
                graph = data.knowledge if model.inputs.triples else None
                model.fit(parts.train, graph, valid=None if alone else parts.valid, seed=seed, progress=False)
                pairs = parts.valid_pairs
                assert pairs is not None  # every sample has a validation set
                figures.append(
                    auc(pairs.labels, model.score(pairs.users, pairs.items))
                    if alone
                    else max(model.history["validation"])
                )
        chosen, other = np.reshape(figures, (-1, 2)).T
        row = {
            "part": str(part), "likes": len(parts.train.users), "model": name, "chosen": float(chosen.mean()),
            "given": float(other.mean()), "settings": given_here, "by seed": (chosen - other).tolist(),
        }  # fmt: skip
        differences = " ".join(f"{difference:+.4f}" for difference in row["by seed"])
        print(
            f"  {row['part']} ({row['likes']:,} likes), {name}: {row['chosen']:.4f} as chosen, "
            f"{row['given']:.4f} with {given_here}; by seed {differences}",
            flush=True,
        )
        rows.append(row)
    return rows


def main() -> None:
    """Measure, print a table, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="MKR and CKE on the smallest sample, one seed")
    parser.add_argument("--models", default=",".join(MODELS), help=f"comma-separated; default {','.join(MODELS)}")
    parser.add_argument("--seeds", type=int, default=2, help="number of draws of each sample; default 2")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="other setting to compare with; default: the batch size of large data, with --alone their epochs",
    )  # fmt: skip
    parser.add_argument("--alone", action="store_true", help="train without a validation set")
    parser.add_argument("--book-crossing", type=Path, metavar="FOLDER", help="where Book-Crossing is")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every result to this file")
    arguments = parser.parse_args()
    models = ["MKR", "CKE"] if arguments.quick else arguments.models.split(",")
    given = dict(setting.split("=", 1) for setting in arguments.set)
    seeds = range(1 if arguments.quick else arguments.seeds)
    rows = []
    try:
        sets = {name: read(name, arguments.book_crossing) for name in (MOVIELENS, BOOKS)}
        for part in PARTS[:1] if arguments.quick else PARTS:
            if (data := sets[part.data]) is not None:
                rows += measure(part, data, models, given, seeds, alone=arguments.alone)
    except KgplugError as error:
        raise SystemExit(str(error)) from None
    print(pd.DataFrame(rows)[["part", "likes", "model", "chosen", "given"]].to_string(index=False, float_format="%.4f"))
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
