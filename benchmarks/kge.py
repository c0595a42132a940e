"""Embedding models trained and ranked by kgplug and by PyKEEN, on FB15k-237, in one run.

    python benchmarks/kge.py                     every part; about an hour on two cores
    python benchmarks/kge.py --quick             fewer epochs, triples and seeds; about a minute
    python benchmarks/kge.py --parts speed       seconds per epoch, kgplug and PyKEEN in turns
    python benchmarks/kge.py --parts queries     seconds per epoch against all entities, kgplug and PyKEEN in turns
    python benchmarks/kge.py --parts all         metrics of models trained against all entities, and their curves
    python benchmarks/kge.py --parts ranking     seconds of a filtered evaluation of the same model, by both
    python benchmarks/kge.py --parts quality     metrics of both after the same number of epochs, three seeds
    python benchmarks/kge.py --parts best        kgplug with settings that suit the data
    python benchmarks/kge.py --parts rules       kgplug's mined rules: metrics, time, memory
    python benchmarks/kge.py --parts growth      vectors for nodes added later, made in four ways
    python benchmarks/kge.py --data FOLDER       where train.txt, valid.txt and test.txt (or .xz) are
    python benchmarks/kge.py --json FILE         the results as JSON

The part "queries" compares kgplug's 1-vs-all training with PyKEEN's `LCWATrainingLoop` with cross-entropy, both with
inverse relations, Adagrad and batches of 512 queries, on one thread. PyKEEN's loop also scores equal queries once.

In the other parts, the peer is PyKEEN's `SLCWATrainingLoop` with Adam, and its `RankBasedEvaluator`. Both sides have
the same settings: vectors of 64 dimensions, batches of 1,024 true triples with one corrupted triple each, Adam, margin
ranking loss, at most two threads. The peer's TransE and TransR are PyKEEN's classes with the Euclidean norm. PyKEEN's
TransH swaps its two relation vectors, so the peer's TransH is kgplug's class, where this is corrected, with PyKEEN's
score functions.
"""

from __future__ import annotations

import kgplug  # isort: skip  (first: it sets how OpenMP's threads wait, for both sides)

import argparse
import json
import os
import platform
import resource
import statistics
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pykeen.evaluation import RankBasedEvaluator
from pykeen.losses import CrossEntropyLoss, MarginRankingLoss
from pykeen.models import ComplEx, DistMult, ERModel, RotatE, TransE, TransR
from pykeen.training import LCWATrainingLoop, SLCWATrainingLoop
from pykeen.training.callbacks import TrainingCallback
from pykeen.triples import CoreTriplesFactory

from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.embeddings.model import EmbeddingModel
from kgplug.embeddings.parts import translational
from kgplug.evaluation.link_prediction import evaluate_link_prediction

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "fb15k-237"
DIMENSIONS, BATCH, NEGATIVES, MARGIN = 64, 1024, 1, 1.0
THREADS = 2
LEARNING_RATES = {"TransE": 1e-2, "TransH": 1e-2, "TransR": 1e-3}
_SOFTMAX = {"loss": "InfoNCE", "batch_size": 1024}  # softmax over the true triple and its corruptions
_SHARP = {**_SOFTMAX, "loss_settings": {"margin": 0.0, "log_adversarial_temperature": -2.3}}  # scores × 10
_PLAIN = {**_SOFTMAX, "loss_settings": {"margin": 0.0, "log_adversarial_temperature": 0.0}}
BEST = {  # chosen on the validation set in a few short runs; the numbers of epochs are cut to save time
    "TransE": {**_SHARP, "embedding_dim": 100, "negatives": 32, "learning_rate": 2e-3, "epochs": 20},
    "TransH": {**_SHARP, "embedding_dim": 100, "negatives": 16, "learning_rate": 2e-3, "epochs": 10},
    "TransR": {**_SHARP, "embedding_dim": 64, "negatives": 16, "learning_rate": 2e-3, "epochs": 6},
    "RotatE": {**_PLAIN, "embedding_dim": 64, "negatives": 16, "learning_rate": 1e-2, "epochs": 8},
}
QUERIES = 512  # queries per step of the part "queries"
ALL = {"ComplEx": {}, "DistMult": {}, "TransE": {}, "RotatE": {}}  # settings of the part "all"
NEW_SHARE = 0.05  # share of entities that the part "growth" adds later
RANKED = ("TransE", "TransH", "TransR", "RotatE", "DistMult")
FIGURES = ("MRR", "hits@1", "hits@3", "hits@10")


@dataclass(frozen=True)
class Size:
    """Size of each part.

    Attributes:
        speed_turns: Number of trainings whose seconds are measured, per model and side.
        query_batches: Number of steps whose seconds are measured in the part "queries".
        quality_epochs: Number of epochs of the part "quality".
        seeds: Number of seeds of the part "quality".
        ranked: Number of test triples; None for all.
        epochs: Maximum number of epochs of the parts "best" and "growth".
    """

    speed_turns: int
    query_batches: int
    quality_epochs: int
    seeds: int
    ranked: int | None
    epochs: int


FULL, QUICK = Size(5, 50, 10, 3, None, 100), Size(1, 3, 1, 1, 300, 1)


class PeerTransH(translational.TransH):
    """kgplug's TransH, whose relation vectors are not swapped, with PyKEEN's score functions."""

    score_hrt, score_h, score_t = ERModel.score_hrt, ERModel.score_h, ERModel.score_t


class Clock(TrainingCallback):
    """Records the wall time of each epoch of PyKEEN's loop, in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._began = time.perf_counter()

    def post_epoch(self, epoch: int, epoch_loss: float, **kwargs: object) -> None:  # noqa: ARG002
        self.seconds.append(time.perf_counter() - self._began)
        self._began = time.perf_counter()


class Bench:
    """The measurements, and the three sets of FB15k-237 with common entity and relation indices."""

    def __init__(self, folder: Path, size: Size) -> None:
        frames = [_read(folder, part) for part in ("train", "valid", "test")]
        whole = KnowledgeGraph.from_dataframe(pd.concat(frames, ignore_index=True))
        self.size, self.whole = size, whole
        entity = {key: number for number, key in enumerate(whole.entity_keys)}
        relation = {key: number for number, key in enumerate(whole.relations)}
        self.train, self.valid, self.test = (
            np.stack([f["head"].map(entity), f["relation"].map(relation), f["tail"].map(entity)], axis=1).astype(int)
            for f in frames
        )
        if size.ranked is not None:
            self.test = self.test[: size.ranked]
        self.factory = self._factory(self.train)

    def _factory(self, triples: np.ndarray) -> CoreTriplesFactory:
        return CoreTriplesFactory(torch.from_numpy(triples), self.whole.n_entities, self.whole.n_relations)

    def ours(self, name: str, *, epochs: int, seed: int) -> EmbeddingModel:
        """Return kgplug's model, trained for `epochs` epochs."""
        model = kgplug.create(
            name, embedding_dim=DIMENSIONS, batch_size=BATCH, negatives=NEGATIVES, epochs=epochs,
            learning_rate=LEARNING_RATES.get(name, 1e-2), loss="MarginRanking", loss_settings={"margin": MARGIN},
        )  # fmt: skip
        return model.fit(self._graph(self.train), seed=seed, progress=False)

    def peer(self, name: str, *, epochs: int, seed: int) -> tuple[ERModel, list[float]]:
        """Return PyKEEN's model, trained by PyKEEN's loop for `epochs` epochs, and the seconds of each epoch."""
        model = peer_module(name, self.factory, seed)
        loop = SLCWATrainingLoop(
            model=model,
            triples_factory=self.factory,
            optimizer=torch.optim.Adam(params=model.get_grad_params(), lr=LEARNING_RATES.get(name, 1e-2)),
            negative_sampler_kwargs={"num_negs_per_pos": NEGATIVES},
            automatic_memory_optimization=False,
        )
        clock = Clock()
        loop.train(
            self.factory, num_epochs=epochs, batch_size=BATCH, use_tqdm=False, num_workers=0, callbacks=clock,
            pin_memory=False,
        )  # fmt: skip
        return model.eval(), clock.seconds

    def speed(self) -> list[dict]:
        """Measure seconds per epoch of kgplug and of PyKEEN in turns. The first epoch of each training is not counted.

        PyKEEN runs with two threads, its default, and with one thread; the faster of these counts.
        """
        rows = []
        for name in LEARNING_RATES:
            ours, peer = [], {1: [], THREADS: []}
            for turn in range(self.size.speed_turns):
                ours += self.ours(name, epochs=2, seed=turn).history["seconds"][1:]
                for threads, seconds in peer.items():
                    torch.set_num_threads(threads)
                    seconds += self.peer(name, epochs=2, seed=turn)[1][1:]
                torch.set_num_threads(THREADS)
            medians = {threads: statistics.median(seconds) for threads, seconds in peer.items()}
            row = _row("speed", name, statistics.median(ours), min(medians.values()))
            rows.append(row | {f"PyKEEN, {threads} threads s": seconds for threads, seconds in medians.items()})
        return rows

    def queries(self) -> list[dict]:
        """Measure seconds of steps against all entities, by kgplug and by PyKEEN in turns, on one thread.

        Both train on triples that make about `query_batches` steps. The first epoch is not counted.
        """
        rows, threads = [], torch.get_num_threads()
        torch.set_num_threads(1)
        few = self.train[: self.size.query_batches * QUERIES]
        factory = CoreTriplesFactory(
            torch.from_numpy(few), self.whole.n_entities, self.whole.n_relations, create_inverse_triples=True
        )
        for name, kind in (("ComplEx", ComplEx), ("DistMult", DistMult)):
            ours, peer = [], []
            for turn in range(self.size.speed_turns):
                model = kgplug.create(name, embedding_dim=DIMENSIONS, batch_size=QUERIES, epochs=2, n3=0, device="cpu")
                model.fit(self._graph(few), seed=turn, progress=False)
                steps = len(list(model._task(self._graph(few), None, None, False).batches(0, np.random.default_rng(0))))
                ours.append(model.history["seconds"][1] / steps)
                module = kind(
                    triples_factory=factory, embedding_dim=DIMENSIONS, random_seed=turn, loss=CrossEntropyLoss(),
                    **model.config.model_settings,
                )  # fmt: skip
                optimizer, clock = torch.optim.Adagrad(module.parameters(), lr=0.1), Clock()
                loop = LCWATrainingLoop(
                    model=module, triples_factory=factory, optimizer=optimizer, automatic_memory_optimization=False
                )
                loop.train(
                    factory, num_epochs=2, batch_size=QUERIES, use_tqdm=False, num_workers=0, callbacks=clock,
                    pin_memory=False,
                )  # fmt: skip
                n_queries = len(
                    np.unique(factory._add_inverse_triples_if_necessary(factory.mapped_triples)[:, :2], axis=0)
                )
                peer.append(clock.seconds[1] / -(-n_queries // QUERIES))
            rows.append(_row("queries", name, statistics.median(ours), statistics.median(peer)))
        torch.set_num_threads(threads)
        return rows

    def all(self) -> list[dict]:
        """Train against all entities with default settings, and measure filtered metrics on the test set, one seed."""
        known, rows = np.concatenate([self.train, self.valid, self.test]), []
        for name, settings in ALL.items():
            own = {"epochs": self.size.epochs} if self.size.ranked is not None else {}
            graph = self._graph(self.train if self.size.ranked is None else self.train[:5000])
            model = kgplug.create(name, **{"training": "1-vs-all", **settings, **own})
            model.fit(graph, valid=self.valid, seed=0, progress=False)
            figures = evaluate_link_prediction(model, self.test, known)
            seconds, curve = sum(model.history["seconds"]), model.history["validation"]
            row = {"part": "all", "model": name, **{f: figures[f] for f in FIGURES}, "epochs": len(curve)}
            rows.append(row | {"seconds": seconds, "validation MRR of each epoch": curve})
            print(f"  {name}: MRR {figures['MRR']:.4f}, {seconds:.0f} s", flush=True)
        return rows

    def ranking(self) -> list[dict]:
        """Time a filtered evaluation by each side, and measure how far kgplug's metrics are from PyKEEN's."""
        rows = []
        known = np.concatenate([self.train, self.valid, self.test])
        for name in RANKED:
            model = self.ours(name, epochs=1, seed=0)
            began = time.perf_counter()
            ours = evaluate_link_prediction(model, self.test, known)
            ours_s = time.perf_counter() - began
            same = self._peer_figures(model.module)[0]
            module = peer_module(name, self.factory, 0)
            module.load_state_dict(model.module.state_dict())
            peer, peer_s = self._peer_figures(module.eval())
            row = _row("ranking", name, ours_s, peer_s)
            row["off"] = max(abs(ours[figure] - same[figure]) for figure in FIGURES)
            row["off, its scores"] = max(abs(ours[figure] - peer[figure]) for figure in FIGURES)
            rows.append(row)
        return rows

    def _peer_figures(self, module: ERModel) -> tuple[dict[str, float], float]:
        evaluator = RankBasedEvaluator(filtered=True)
        others = [torch.from_numpy(part) for part in (self.train, self.valid)]
        began = time.perf_counter()
        result = evaluator.evaluate(
            module, torch.from_numpy(self.test), additional_filter_triples=others, batch_size=256, use_tqdm=False
        )
        seconds = time.perf_counter() - began
        names = {"MRR": "inverse_harmonic_mean_rank"} | {f"hits@{k}": f"hits_at_{k}" for k in (1, 3, 10)}
        return {name: result.get_metric(f"both.realistic.{theirs}") for name, theirs in names.items()}, seconds

    def quality(self) -> list[dict]:
        """Measure filtered metrics on the test set after the same number of epochs. One row per model, side, seed."""
        known, rows = np.concatenate([self.train, self.valid, self.test]), []
        torch.set_num_threads(1)  # PyKEEN is faster with one thread
        for name in LEARNING_RATES:
            for seed in range(self.size.seeds):
                ours = self.ours(name, epochs=self.size.quality_epochs, seed=seed)
                module, _ = self.peer(name, epochs=self.size.quality_epochs, seed=seed)
                theirs = self.ours(name, epochs=1, seed=seed)
                theirs.module.load_state_dict(module.state_dict())
                for side, model in (("kgplug", ours), ("PyKEEN", theirs)):
                    figures = evaluate_link_prediction(model, self.test, known)
                    row = {"part": "quality", "model": name, "side": side, "seed": seed}
                    rows.append(row | {figure: figures[figure] for figure in FIGURES})
                    print("  " + ", ".join(f"{k} {v:.4f}" if k in FIGURES else str(v) for k, v in rows[-1].items()))
        return rows

    def best(self) -> list[dict]:
        """Measure filtered metrics on the test set, with settings chosen on the validation set and one seed."""
        known, rows = np.concatenate([self.train, self.valid, self.test]), []
        for name, settings in BEST.items():
            epochs = min(settings["epochs"], self.size.epochs)
            model = kgplug.create(name, **{**settings, "epochs": epochs})
            model.fit(self._graph(self.train), valid=self.valid, seed=0, progress=False)
            figures = evaluate_link_prediction(model, self.test, known)
            seconds = sum(model.history["seconds"])
            row = {"part": "best", "model": name, **{f: figures[f] for f in FIGURES}}
            rows.append(row | {"epochs": len(model.history["losses"]), "seconds": seconds})
            print(f"  {name}: MRR {figures['MRR']:.4f}, {seconds:.0f} s", flush=True)
        return rows

    def rules(self) -> list[dict]:
        """Measure rules with default settings on the test set. The validation set chooses how they are added up."""
        valid = self.valid if self.size.ranked is None else self.valid[: self.size.ranked]
        began, cpu_began = time.perf_counter(), time.process_time()
        model = kgplug.create("Rules").fit(self._graph(self.train), valid=valid, seed=0, progress=False)
        seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
        figures = evaluate_link_prediction(model, self.test, np.concatenate([self.train, self.valid, self.test]))
        row = {"part": "rules", "model": "Rules", **{f: figures[f] for f in FIGURES}, "seconds": seconds}
        row |= {"CPU seconds": cpu_s, "seconds of the test": time.perf_counter() - began - seconds}
        row |= {"CPU seconds of the test": time.process_time() - cpu_began - cpu_s}
        row |= {f"validation {name}" if name == "MRR" else name: value for name, value in model.history.items()}
        row["peak memory, GB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print("  " + ", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
        return [row]

    def growth(self) -> list[dict]:
        """Add entities after a training of TransE in four ways, and measure each on these entities' test triples."""
        n = self.whole.n_entities
        new = np.zeros(n, dtype=bool)
        new[np.random.default_rng(0).choice(n, int(NEW_SHARE * n), replace=False)] = True
        late = new[self.train[:, 0]] | new[self.train[:, 2]]
        asked = self.test[new[self.test[:, 0]] | new[self.test[:, 2]]]
        known = np.concatenate([self.train, self.valid, self.test])
        settings = {**BEST["TransE"], "epochs": min(10, self.size.epochs)}
        head, relation, tail = self.train[~late].T
        frame = {"head": self.whole.entity_keys[head], "relation": self.whole.relations[relation]}
        before = KnowledgeGraph.from_dataframe(pd.DataFrame({**frame, "tail": self.whole.entity_keys[tail]}))
        earlier = kgplug.create("TransE", **settings).fit(before, seed=0, progress=False)
        few = {"epochs": min(3, self.size.epochs)}
        ways = {
            "closed form, no training": ({"epochs": 1, "learning_rate": 1e-12}, {"start": earlier, "freeze": True}),
            "only the new rows, 3 epochs": (few, {"start": earlier, "freeze": True}),
            "all rows go on, 3 epochs": (few, {"start": earlier}),
            "trained anew, 10 epochs": ({}, {}),
        }
        rows = []
        for way, (changed, options) in ways.items():
            began = time.perf_counter()
            model = kgplug.create("TransE", **{**settings, **changed})
            model.fit(self._graph(self.train), seed=0, progress=False, **options)
            seconds = time.perf_counter() - began
            figures = evaluate_link_prediction(model, asked, known)
            rows.append({"part": "growth", "way": way, **{f: figures[f] for f in FIGURES}, "seconds": seconds})
            print(f"  {way}: MRR {figures['MRR']:.4f}, {seconds:.1f} s", flush=True)
        print(f"  {len(asked):,} test triples of {new.sum():,} new entities")
        return rows

    def _graph(self, triples: np.ndarray) -> KnowledgeGraph:
        whole = self.whole
        return KnowledgeGraph(whole.entity_keys, whole.entity_labels, whole.relations, triples)


def peer_module(name: str, factory: CoreTriplesFactory, seed: int) -> ERModel:
    """Return PyKEEN's model with this name and with the settings of kgplug's model."""
    options = {
        "triples_factory": factory, "embedding_dim": DIMENSIONS, "random_seed": seed,
        "loss": MarginRankingLoss(margin=MARGIN),
    }  # fmt: skip
    if name == "TransE":
        return TransE(scoring_fct_norm=2, **options)
    if name == "TransH":
        return PeerTransH(**options)
    if name == "TransR":
        return TransR(
            scoring_fct_norm=2, relation_dim=DIMENSIONS, relation_projection_initializer=translational._identity,
            **options,
        )  # fmt: skip
    return {"RotatE": RotatE, "DistMult": DistMult}[name](**options)


def _read(folder: Path, part: str) -> pd.DataFrame:
    for ending in (".txt", ".txt.xz"):
        path = folder / f"{part}{ending}"
        if path.exists():
            return pd.read_csv(path, sep="\t", names=["head", "relation", "tail"], dtype=str, keep_default_na=False)
    raise SystemExit(f"No {part}.txt in {folder}: --data names the folder that holds FB15k-237.")


def _row(part: str, model: str, ours_s: float, peer_s: float) -> dict:
    row = {"part": part, "model": model, "kgplug s": ours_s, "PyKEEN s": peer_s, "times faster": peer_s / ours_s}
    print("  " + ", ".join(f"{k} {v:.3f}" if isinstance(v, float) else str(v) for k, v in row.items()), flush=True)
    return row


def main() -> None:
    """Measure, print tables, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer epochs, triples and seeds")
    parser.add_argument(
        "--parts", default="speed,queries,ranking,quality,best,all,rules,growth", help="comma-separated; default: all"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of FB15k-237")
    parser.add_argument("--seeds", type=int, help="number of seeds of the part quality; default 3, with --quick 1")
    parser.add_argument("--json", type=Path, help="write every result to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    size = QUICK if arguments.quick else FULL
    size = replace(size, seeds=arguments.seeds or size.seeds)
    bench = Bench(arguments.data, size)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"FB15k-237: {bench.whole}. {machine}, load {os.getloadavg()[0]:.1f}.")
    rows: list[dict] = []
    for part in arguments.parts.split(","):
        found = getattr(bench, part)()
        rows += found
        table = pd.DataFrame(found).drop(columns="part")
        if part == "quality":
            table = table.groupby(["model", "side"])[list(FIGURES)].agg(["mean", "std"])
        print(f"\n{part}\n{table.round(6).to_string(index=part == 'quality')}\n", flush=True)
    if arguments.json:
        record = {"machine": machine, "size": asdict(size), "figures": rows}
        arguments.json.write_text(json.dumps(record, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
