"""What the tests of differences, the controls of a graph and the split by users say on real and planted data.

    python benchmarks/comparing.py                      four models without epochs; some minutes
    python benchmarks/comparing.py --models CKE,MKR     other models, with default settings
    python benchmarks/comparing.py --quick              on small data
    python benchmarks/comparing.py --false-positives    only how often equal models differ by more than chance
    python benchmarks/comparing.py --json FILE          the results as JSON

The data are two of the sets of automatic.py. "user" splits the rows of each user, "new-users" the users, both 8:1:1.
The controls are those of `kgplug compare --controls`.
"""

from __future__ import annotations

import kgplug  # isort: skip  (first: it sets how OpenMP's threads wait)

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from automatic import sets
from machine import report

from kgplug.data.interactions import By, Interactions
from kgplug.errors import KgplugError
from kgplug.evaluation.new_users import profile_and_rest
from kgplug.evaluation.significance import paired_bootstrap

SPLIT = (0.8, 0.1, 0.1)
MODELS = "Popularity,ItemKNN,EASE,CEASE"
DATA = ("planted, 2,000 users", "MovieLens-100K")
GRAPHS = ("as it is", "without", "shuffled")
SHOWN = ("AUC", "NDCG@10")


def measure(name: str, rows: Interactions, graph: kgplug.KnowledgeGraph, models: list[str], by: By) -> list[dict]:
    """Train models on one split, and those with a graph also with the controls. Return their metrics and gains."""
    train, valid, test = rows.split(SPLIT, by=by)
    profiles, rest = profile_and_rest(test) if by == "new-users" else (None, test)
    own_valid = None if by == "new-users" else valid
    graphs = dict(zip(GRAPHS, (graph, graph.without_triples(), graph.shuffled()), strict=True))
    found: list[dict] = []
    for model in models:
        settings = {"settings": "defaults"} if "settings" in dict(kgplug.create(model).config) else {}
        kinds = GRAPHS if kgplug.create(model).inputs.triples else GRAPHS[:1]  # type: ignore[union-attr]
        fitted = {
            kind: kgplug.create(model, **settings).fit(train, graphs[kind], valid=own_valid, progress=False)  # type: ignore[arg-type]
            for kind in kinds
        }
        table = kgplug.evaluate(
            fitted, train, rest, valid=own_valid, profiles=profiles, k=10, baseline=GRAPHS[0], warn=False
        )  # fmt: skip
        apart = {(each.model, each.metric): each for each in table.attrs["differences"]}
        for kind in kinds:
            row = {"data": name, "by": by, "model": model, "graph": kind, "users": int(table.loc[kind, "users"])}
            for metric in SHOWN:
                row[metric] = float(table.loc[kind, metric])
                if each := apart.get((kind, metric)):
                    row |= {f"{metric} from": each.low, f"{metric} to": each.high, f"{metric} p": each.p_holm}
            found.append(row)
    print(pd.DataFrame(found).to_string(index=False, float_format="%.4f"), flush=True)
    return found


def false_positives(comparisons: int = 5000) -> list[dict]:
    """Return how many p-values are below 0.05 if there is no difference, for users' values of several shapes."""
    rng = np.random.default_rng(0)
    shapes = {
        "hits of 1 in 10 users": lambda size: rng.binomial(1, 0.1, size) - rng.binomial(1, 0.1, size).astype(float),
        "0 for 7 in 10 users, skewed": lambda size: rng.choice([0.0, 0.5, -0.25], size, p=[0.7, 0.1, 0.2]),
        "normal": lambda size: rng.normal(size=size),
    }
    rows = [
        {"values": shape, "users": n, "share": float((paired_bootstrap(draw((n, comparisons)))[3] < 0.05).mean())}
        for shape, draw in shapes.items()
        for n in (30, 100, 1000)
    ]
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.4f"), flush=True)
    return rows


def main() -> None:
    """Measure, print tables, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small data, and fewer simulations")
    parser.add_argument("--models", default=MODELS, help=f"comma-separated; default: {MODELS}")
    parser.add_argument("--false-positives", action="store_true", help="only simulate models without a difference")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every result to this file")
    arguments = parser.parse_args()
    rows = false_positives(500 if arguments.quick else 5000)
    try:
        if not arguments.false_positives:
            for name, feedback, graph in sets(0, None, quick=arguments.quick):
                for by in ("user", "new-users") if arguments.quick or name in DATA else ():
                    rows += measure(name, feedback, graph, arguments.models.split(","), by)
    except KgplugError as error:
        raise SystemExit(str(error)) from None
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
