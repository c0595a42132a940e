"""Every embedding model that kgplug offers, trained on UMLS (which PyKEEN ships) with its default settings.

    python benchmarks/umls.py                     all of them, 30 epochs each; some minutes on two cores
    python benchmarks/umls.py --quick             5 epochs each; about a minute
    python benchmarks/umls.py --models TransE,TransH
    python benchmarks/umls.py --write             put the table into docs/models.md
    python benchmarks/umls.py --json FILE         the results as JSON

Metrics are those of filtered link prediction on the test set of UMLS. UMLS has 135 entities, 46 relations, and 5,216
training, 652 validation and 661 test triples.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import pandas as pd

from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.embeddings.catalogue import EMBEDDINGS
from kgplug.embeddings.model import EmbeddingModel
from kgplug.evaluation.link_prediction import evaluate_link_prediction

TABLE = Path(__file__).resolve().parents[1] / "docs" / "models.md"
FIGURES = ("MRR", "hits@1", "hits@10")


def umls() -> tuple[KnowledgeGraph, np.ndarray, np.ndarray]:
    """Return the training graph, and the validation and test triples, int64 (n, 3), in the graph's indices."""
    from pykeen.datasets import UMLS

    data = UMLS()
    parts = [factory.mapped_triples.numpy() for factory in (data.training, data.validation, data.testing)]
    keys = np.empty(data.num_entities, dtype=object)
    names = np.empty(data.num_relations, dtype=object)
    keys[:] = [data.training.entity_id_to_label[number] for number in range(data.num_entities)]
    names[:] = [data.training.relation_id_to_label[number] for number in range(data.num_relations)]
    return KnowledgeGraph(keys, np.full(len(keys), "", dtype=object), names, parts[0]), parts[1], parts[2]


def measure(names: list[str], *, epochs: int) -> pd.DataFrame:
    """Train the models. Return one row per model: filtered metrics on the test set, number of epochs, seconds."""
    knowledge, valid, test = umls()
    known = np.concatenate([knowledge.triples, valid, test])
    rows = []
    for name in names:
        began = time.perf_counter()
        model = EmbeddingModel(name, epochs=epochs).fit(knowledge, valid=valid, progress=False)
        seconds = time.perf_counter() - began
        figures = evaluate_link_prediction(model, test, known)
        done = len(model.history["losses"])
        rows.append({"model": name, **{f: figures[f] for f in FIGURES}, "epochs": done, "seconds": seconds})
        print(f"  {name:10} MRR {figures['MRR']:.3f}, {done} epochs, {seconds:.1f} s", flush=True)
    return pd.DataFrame(rows)


def write_table(figures: pd.DataFrame, machine: str) -> None:
    """Write docs/models.md with a table of the results."""
    lines = [
        "# The embedding models",
        "",
        "This page is for anyone who chooses an embedding. It lists the names that `kgplug train NAME` and",
        "`kgplug.create(NAME)` accept, and shows by measurement that each model learns. To find out which model is",
        "best on your graph, use `kgplug compare`. One more model predicts links: [Rules](embeddings.md#rules). It has",
        "no vectors, so it is not in this table.",
        "",
        "The table shows filtered link prediction on the test set of UMLS, a small medical graph with 135 entities",
        "and 5,216 training triples. The models have their default settings, at most 30 epochs, and early stopping.",
        "To predict a link is to rank all entities as the missing head or tail of a test triple. MRR is the mean of 1",
        "/ rank of the correct entity. hits@k is the share of rankings in which the correct entity is among the first",
        "k. *Filtered* means that entities that make another true triple are left out of the ranking. The column `s`",
        "is the seconds of training.",
        f"Command: `python benchmarks/umls.py --write` on {machine}, with other programs running.",
        "",
        "| name | good for | paper | MRR | hits@1 | hits@10 | epochs | s |",
        "|-|-|-|-|-|-|-|-|",
    ]
    for row in figures.sort_values("MRR", ascending=False).to_dict("records"):
        entry = EMBEDDINGS[row["model"]]
        shown = " | ".join(f"{row[figure]:.3f}" for figure in FIGURES)
        lines.append(
            f"| {row['model']} | {entry.good_for} | {entry.paper} | {shown} | {row['epochs']} | {row['seconds']:.1f} |"
        )
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Measure, print a table, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5 epochs per model")
    parser.add_argument("--models", default=",".join(EMBEDDINGS), help="comma-separated; default: all")
    parser.add_argument("--write", action="store_true", help="write docs/models.md")
    parser.add_argument("--json", type=Path, help="write every result to this file")
    arguments = parser.parse_args()
    figures = measure(arguments.models.split(","), epochs=5 if arguments.quick else 30)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(figures.round(3).to_string(index=False))
    if arguments.write:
        write_table(figures, machine)
    if arguments.json:
        record = {"machine": machine, "figures": figures.to_dict("records")}
        arguments.json.write_text(json.dumps(record, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
