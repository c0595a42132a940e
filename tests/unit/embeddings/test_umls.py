"""Every model of the catalogue learns UMLS, and the table of them in docs/ is whole."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from kgplug.embeddings.catalogue import EMBEDDINGS
from kgplug.embeddings.model import EmbeddingModel
from kgplug.evaluation.link_prediction import evaluate_link_prediction

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))
from umls import umls  # noqa: E402

pytestmark = pytest.mark.training


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_a_model_learns_to_rank_true_triples_on_umls(name: str) -> None:
    knowledge, _, test = umls()
    quick = {"embedding_dim": 16, "batch_size": 128, "epochs": 3}
    rate = {"learning_rate": 0.05} if EMBEDDINGS[name].training == "negatives" else {}  # Adagrad needs its own, .1
    model = EmbeddingModel(name, **quick, **rate).fit(knowledge, progress=False)
    assert model.history["losses"][-1] < model.history["losses"][0]
    true = knowledge.triples[::10]
    false = true.copy()
    false[:, 2] = np.random.default_rng(0).integers(0, knowledge.n_entities, len(true))
    assert (model.score_triples(true) > model.score_triples(false)).mean() > 0.7  # by chance: 0.5
    figures = evaluate_link_prediction(model, test[:50], np.concatenate([knowledge.triples, test]))
    assert all(0 < figures[name] <= 1 for name in ("MRR", "hits@10"))


def test_the_table_in_the_docs_has_every_model_and_its_metrics() -> None:
    rows = re.findall(
        r"^\| (\w+) \|.*\| (0\.\d{3}) \| 0\.\d{3} \|", (ROOT / "docs" / "models.md").read_text("utf-8"), re.M
    )
    assert {name for name, _ in rows} == set(EMBEDDINGS)
