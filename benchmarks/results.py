"""Every recommender of kgplug, with its graph and without: the tables of docs/results.md and docs/lab-notes.md.

    python benchmarks/results.py                           MovieLens-100K, everything; hours on two cores
    python benchmarks/results.py --book-crossing FOLDER    also Book-Crossing: KGCN's ratings_final and kg_final
    python benchmarks/results.py --movies FOLDER           also MovieLens small: movies.py describes the files
    python benchmarks/results.py --quick                   two models, one seed; about a minute
    python benchmarks/results.py --parts ranking --models EASE,KGCN --seeds 0,1
    python benchmarks/results.py --again KGCN              measure a model again, after it has changed
    python benchmarks/results.py --write                   measure nothing: put the tables into these pages
    python benchmarks/results.py --write --ckcf FILE       … and those of benchmarks/ckcf.py --json FILE
    python benchmarks/results.py --curves MKR,MF           measure nothing: draw their validation AUC by epoch
    python benchmarks/results.py --json FILE               all results as JSON

An interrupted run can be continued: results in `--file` with the same settings and data are not measured again.

These are the values of --parts:

ctr: as `kgplug.evaluate_ctr`. Likes (at least 4 stars; every row of Book-Crossing) are split 6:2:2 by row. The
validation set chooses the epoch and, for scores that are not probabilities, the threshold of ACC. By the protocol
"honest", negatives are drawn after the split; by "paper", before it, as in the papers. A seed is the seed of the split,
the negatives and the training.

ranking: every row is a like. Each user's rows are split 80:20. A model with epochs is trained twice. The first training
has 7/8 of the 80 % (by row), and the other eighth chooses the number of epochs by the AUC of click-through. The second
has the whole 80 % and that number of epochs. A model without epochs is trained once, on the 80 %. Lists are made from
the whole catalogue without the user's items in the 80 %. Every row of the 20 % is relevant. MKR-rated keeps a
like_threshold of 4 stars.

switches: one part of MKR-attention or CKCF-relational at a time is switched off. MKR-attention is then measured by
"honest", and CKCF-relational by ranking.

spread: "honest" on the split and negatives of seed 0. Only the seed of the training differs.

leak: the AUC of a score that is not a model, by both protocols: a user's number of training negatives minus its number
of training positives.

MovieLens small, on which no setting was chosen, is measured only by "honest" and ranking. The test set is used once per
seed and model. "Without KG" is the same model with a graph of the same entities and relations and no triples. "Shuffled
KG" is for models that refuse such a graph: the tails of each relation are exchanged at random. "CF alone", for CKCF and
models derived from it, is `cf_share=1`: the graph only fills up lists that CF leaves too short.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine
from results_extra import CURVES, ckcf_tables, draw_curves
from results_file import Key, ResultsFile
from results_page import PAGES, Tables, fill_pages
from results_rows import (
    ALL_DATASETS,
    BOOKS,
    DATASETS,
    DETERMINISTIC,
    KEEPS_THRESHOLD,
    MADE_FOR_LISTS,
    MOVIES,
    PROBE,
    SWITCHES,
    UNSEEN,
    DataSet,
    Row,
    read,
    rows,
)

from kgplug.errors import KgplugError
from kgplug.evaluation.ctr import auc
from kgplug.evaluation.experiment import measure_clicks
from kgplug.evaluation.protocol import ClickThroughParts, Protocol, divide
from kgplug.evaluation.ranking import evaluate_ranking
from kgplug.papers.lists import fit_for_lists
from kgplug.recommenders.base import Recommender
from kgplug.settings import Settings

PARTS = ("ctr", "ranking", "switches", "spread", "leak")
PROTOCOLS = ("honest", "paper")
MEASURED_BY = {  # part → protocols; "" means ranking
    "ctr": PROTOCOLS, "ranking": ("",), "switches": ("honest", ""), "spread": ("honest",), "leak": PROTOCOLS,
}  # fmt: skip
UNSEEN_MEASURED_BY = {"ctr": ("honest",), "ranking": ("",)}
SEEDS, SPREAD_SEEDS = range(5), range(10)
SPLIT, LISTS, LENGTHS = (0.6, 0.2, 0.2), (0.8, 0.2), (10, 20)
SPREAD_SPLIT = 0
QUICK = ("Popularity", "MF")


@functools.cache
def commit() -> str:
    """Return the id of this repository's current commit; "" outside a git repository."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip()


@functools.lru_cache(maxsize=1)
def clicks(data: DataSet, protocol: Protocol, seed: int) -> ClickThroughParts:
    """Return a click-through split. It is cached, so that all models share it."""
    return divide(data.interactions, SPLIT, like_threshold=data.like_threshold, protocol=protocol, seed=seed)


def fit(model: Recommender, *parts: Any, seed: int, valid: Any = None) -> float:
    """Train a model, and return the seconds."""
    began = time.perf_counter()
    model.fit(*parts, valid=valid, seed=seed, progress=False)
    return time.perf_counter() - began


def measure_ctr(row: Row, data: DataSet, protocol: Protocol, *, split: int, seed: int) -> dict[str, Any]:
    """Train a model and measure click-through on the test set once."""
    parts, model = clicks(data, protocol, split), untrained(row, for_clicks=True)
    seconds = fit(model, parts.train, row.graph(data.knowledge), valid=parts.valid, seed=seed)
    began = time.perf_counter()
    figures = measure_clicks(model, parts)
    return told(model, model, figures, seconds, time.perf_counter() - began)


def measure_ranking(row: Row, data: DataSet, seed: int) -> dict[str, Any]:
    """Train a model, with the number of epochs chosen on training rows, and measure lists on the test set once."""
    interactions = (data if row.model in KEEPS_THRESHOLD else data.every_row_liked()).interactions
    train, test = interactions.split(LISTS, seed=seed, by="user")
    graph, began = row.graph(data.knowledge), time.perf_counter()
    chosen, model = fit_for_lists(row.create, train, graph, seed=seed)
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    result = evaluate_ranking(chosen, train, test, k=LENGTHS, relevant="all")
    figures = result.metrics | {"users": result.users}
    return told(chosen, model, figures, seconds, time.perf_counter() - began)


def measure_leak(data: DataSet, protocol: Protocol, seed: int) -> dict[str, Any]:
    """Return the AUC of the user's number of training negatives minus its number of training positives."""
    parts = clicks(data, protocol, seed)
    train, pairs = parts.train, parts.test_pairs
    sign = np.where(train.is_like, -1, 1)
    balance = np.bincount(train.users, weights=sign, minlength=train.n_users)
    return {"figures": {"AUC": auc(pairs.labels, balance[pairs.users])}}


def told(
    tested: Recommender, validated: Recommender, figures: dict[str, float], fit_s: float, score_s: float
) -> dict[str, Any]:
    """Return the facts of one measurement to store in the results file.

    Args:
        tested: The measured model.
        validated: The model that chose the number of epochs, or `tested`.
        figures: Metrics by name.
        fit_s, score_s: Seconds of training and of measuring.
    """
    history = {
        name: [round(float(value), 5) for value in validated.history.get(name) or []]
        for name in ("losses", "validation")
    }
    return {
        "figures": figures,
        "epochs": len(tested.history.get("losses") or []),
        "fit_s": round(fit_s, 2),
        "score_s": round(score_s, 2),
        "fitted": tested.config.model_dump(mode="json"),
        "history": history | {"best_epoch": validated.history.get("best_epoch", -1)},
    }


def untrained(row: Row, *, for_clicks: bool) -> Recommender:
    """Return a row's model before its training; `for_clicks`: with the goal "clicks", as in `evaluate_ctr`."""
    model = row.create()
    return row.create(goal="clicks") if for_clicks and "goal" in type(model.config).model_fields else model


def settings_of(row: Row, *, for_clicks: bool) -> dict[str, Any]:
    """Return the settings of a model before its training adapts them to the size of the data."""
    return {} if row.model == PROBE else untrained(row, for_clicks=for_clicks).config.model_dump(mode="json")


def early_settings_of(name: str) -> dict[str, Any]:
    """Return a model's settings, with the values that those had which did not exist yet when a line was written."""
    if name == PROBE:
        return {}
    model = Row(name, takes_graph=False).create()
    return model.config.model_dump(mode="json") | model.config_class.of_saved({})


def measure(key: Key, row: Row, data: DataSet) -> dict[str, Any]:
    """Do one measurement and return its line of the results file, with the reason if the model refuses the data."""
    try:
        if key.part == "leak":
            result = measure_leak(data, key.protocol, key.seed)  # type: ignore[arg-type]
        elif not key.protocol:
            result = measure_ranking(row, data, key.seed)
        else:
            split = SPREAD_SPLIT if key.part == "spread" else key.seed
            result = measure_ctr(row, data, key.protocol, split=split, seed=key.seed)  # type: ignore[arg-type]
    except KgplugError as error:
        result = {"refused": str(error), "figures": {}}
    import torch

    return {
        "settings": settings_of(row, for_clicks=bool(key.protocol)),
        "data": data.fingerprint,
        **result,
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        "commit": commit(),
        "when": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def planned(table: list[Row], names: list[str], parts: list[str], seeds: list[int] | None) -> Iterator[tuple[Key, Row]]:
    """Yield every measurement, one seed after another, so that an interrupted run has some results of every part."""
    for seed in SPREAD_SEEDS if seeds is None else seeds:
        for dataset in names:
            for part in parts:
                if seeds is None and part != "spread" and seed not in SEEDS:
                    continue
                for protocol in UNSEEN_MEASURED_BY.get(part, ()) if dataset in UNSEEN else MEASURED_BY[part]:
                    for row in part_rows(part, protocol, table):
                        yield Key(dataset, part, protocol, row.model, row.variant, seed), row


def part_rows(part: str, protocol: str, table: list[Row]) -> list[Row]:
    """Return the rows of a table that a part measures by a protocol ("" means ranking)."""
    if part == "leak":
        return [Row(PROBE, takes_graph=False)]
    if part == "switches":
        names = [row.model for row in table if row.model in SWITCHES and not row.variant]
        names = [name for name in names if (name in MADE_FOR_LISTS) == (not protocol)]
        return [Row(name, takes_graph=True, ablation=switch) for name in names for switch in SWITCHES[name]]
    return [row for row in table if part != "spread" or not (row.variant or row.model in DETERMINISTIC)]


def run(file: ResultsFile, plan: list[tuple[Key, Row]], data: dict[str, DataSet]) -> list[Key]:
    """Do the measurements that the file does not have yet, and return the keys of those that failed."""
    measured = {(row.model, row.variant, bool(key.protocol)): row for key, row in plan}
    settings = {kind: settings_of(row, for_clicks=kind[2]) for kind, row in measured.items()}
    early = {model: early_settings_of(model) for model, _, _ in settings}

    def is_there(key: Key) -> bool:
        wanted = settings[key.model, key.variant, bool(key.protocol)]
        return file.has(key, settings=wanted, data=data[key.dataset].fingerprint, defaults=early[key.model])

    left = [(key, row) for key, row in plan if not is_there(key)]
    print(f"{len(left)} of {len(plan)} measurements are left. {machine()}, load {os.getloadavg()[0]:.1f}.", flush=True)
    broken = []
    for number, (key, row) in enumerate(left, 1):
        try:
            line = measure(key, row, data[key.dataset])
        except Exception:  # a bug of one model must not end all other measurements
            traceback.print_exc()
            broken.append(key)
            continue
        file.add(key, line)
        what = " ".join(filter(None, (key.dataset, key.part, key.protocol, key.model, key.variant)))
        shown = line.get("refused") or ", ".join(
            f"{name} {line['figures'][name]:.4f}" for name in ("AUC", "NDCG@10") if name in line["figures"]
        )
        print(f"  {number}/{len(left)} {what}, seed {key.seed}: {shown}, {line.get('fit_s', 0)} s", flush=True)
    return broken


def listed(text: str) -> list[str]:
    """Split a comma-separated text."""
    return [part.strip() for part in text.split(",") if part.strip()]


def arguments() -> argparse.Namespace:
    """Parse and check the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{' and '.join(QUICK)} on MovieLens-100K, one seed")
    parser.add_argument("--models", type=listed, help="comma-separated; default: all of kgplug's recommenders")
    parser.add_argument("--parts", type=listed, default=list(PARTS), help=f"default: {','.join(PARTS)}")
    parser.add_argument(
        "--datasets", type=listed, default=list(ALL_DATASETS), help=f"default: {','.join(ALL_DATASETS)}"
    )
    parser.add_argument("--protocols", type=listed, default=list(PROTOCOLS), help="for ctr and leak; default: both")
    parser.add_argument(
        "--variants", choices=("all", "whole", "ablated"), default="all", help="whole models or ablated ones"
    )
    parser.add_argument("--seeds", type=listed, help="default: 0 to 4, for spread 0 to 9")
    parser.add_argument("--book-crossing", type=Path, metavar="FOLDER", help="where Book-Crossing is")
    parser.add_argument("--movies", type=Path, metavar="FOLDER", help="where MovieLens small is")
    parser.add_argument("--file", type=Path, help="file of the results; default: results.jsonl in KGPLUG_HOME")
    parser.add_argument(
        "--again",
        type=listed,
        default=[],
        metavar="MODELS",
        help="measure these models again; omit it when you continue an interrupted run",
    )
    parser.add_argument("--json", type=Path, help="write all results to this file")
    parser.add_argument(
        "--write", action="store_true", help="measure nothing; write the tables of docs/results.md and lab-notes.md"
    )
    parser.add_argument("--mixed", action="store_true", help="let --write use results of several machines, all named")
    parser.add_argument("--ckcf", type=Path, metavar="FILE", help="with --write: file that ckcf.py --json FILE wrote")
    parser.add_argument(
        "--curves", type=listed, nargs="?", const=list(CURVES), metavar="MODELS",
        help=f"measure nothing; draw docs/curves-….png from the file; default: {','.join(CURVES)}",
    )  # fmt: skip
    asked = parser.parse_args()
    for given, valid in ((asked.parts, PARTS), (asked.datasets, ALL_DATASETS), (asked.protocols, PROTOCOLS)):
        if unknown := set(given) - set(valid):
            parser.error(f"unknown: {', '.join(sorted(unknown))}. Valid choices: {', '.join(valid)}.")
    if asked.quick:
        asked.models, asked.datasets, asked.seeds = list(QUICK), [DATASETS[0]], ["0"]
    asked.file = asked.file or Settings().kgplug_home / "results.jsonl"
    return asked


def write(file: ResultsFile, ckcf: Path | None, *, mixed: bool) -> None:
    """Write the tables of docs/results.md and docs/lab-notes.md between their markers."""
    tables = Tables(file)
    if len(tables.machines()) > 1 and not mixed:
        raise SystemExit(
            f"The results are from several machines: {'; '.join(tables.machines())}. To write them all, use --mixed."
        )
    made = tables.all() | (ckcf_tables(ckcf) if ckcf else {})
    pages = {path: path.read_text(encoding="utf-8") for path in PAGES}
    for path, text in fill_pages(pages, made).items():
        path.write_text(text, encoding="utf-8")
    print(f"Written: {', '.join(made)}.")


def main() -> None:
    """Do the missing measurements, or write tables and curves of the existing results."""
    asked = arguments()
    file = ResultsFile(asked.file)
    if asked.write:
        write(file, asked.ckcf, mixed=asked.mixed)
    if asked.curves:
        print("Drawn:", ", ".join(path.name for path in draw_curves(file, asked.curves)) or "nothing: no results.")
    if not (asked.write or asked.curves):
        measure_left(file, asked)
    if asked.json:
        asked.json.write_text(json.dumps(list(file.lines.values()), indent=1), encoding="utf-8")


def measure_left(file: ResultsFile, asked: argparse.Namespace) -> None:
    """Do the measurements that were asked for and are missing in the file."""
    folders = {BOOKS: asked.book_crossing, MOVIES: asked.movies}
    data = {name: found for name in asked.datasets if (found := read(name, folders.get(name))) is not None}
    for name in asked.datasets:
        found = data.get(name)
        shown = (
            f"left out; to include it, name its folder with --{'movies' if name == MOVIES else name}"
            if found is None
            else f"{found.interactions}, {found.knowledge}"
        )
        print(f"{name}: {shown}", flush=True)
    for row in rows(asked.again) if asked.again else []:
        if not row.variant:
            file.forget(row.model, datasets=list(data), parts=asked.parts)
    seeds = None if asked.seeds is None else [int(seed) for seed in asked.seeds]
    plan = list(planned(rows(asked.models or asked.again or None), list(data), asked.parts, seeds))
    variants = {"all": (True, False), "whole": (False,), "ablated": (True,)}[asked.variants]
    plan = [
        (key, row)
        for key, row in plan
        if key.protocol in ("", *asked.protocols) and (row.ablation is not None) in variants
    ]
    broken = run(file, plan, data)
    print(f"Measurements: {file.path.name} holds {len(file.lines)}.")
    if broken:
        raise SystemExit("Failed measurements: " + "; ".join(" ".join(map(str, vars(key).values())) for key in broken))


if __name__ == "__main__":
    main()
