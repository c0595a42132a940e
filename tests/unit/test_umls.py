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

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
from umls import SETTINGS, umls  # noqa: E402

SLOW_TO_START = {"AutoSF", "CP", "ERMLPE", "NTN", "PairRE", "SimplE", "TransF", "ComplEx"}  # need more than 2 epochs


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_a_model_learns_umls_and_nothing_breaks(name: str) -> None:
    knowledge, valid, test = umls()
    known, few = np.concatenate([knowledge.triples, valid, test]), test[:100]
    model = EmbeddingModel(name, **{**SETTINGS, "embedding_dim": 16}, epochs=2).fit(knowledge, progress=False)
    figures = evaluate_link_prediction(model, few, known)
    chance = (1 / np.arange(1, knowledge.n_entities + 1)).mean()  # MRR of a random order: 0.041
    assert 0 < figures["MRR"] <= 1
    assert name in SLOW_TO_START or figures["MRR"] > 1.5 * chance
    assert model.history["losses"][1] < model.history["losses"][0]


def test_the_table_in_the_docs_has_every_model_and_its_figures() -> None:
    rows = re.findall(
        r"^\| (\w+) \|.*\| (0\.\d{3}) \| 0\.\d{3} \|", (ROOT / "docs" / "models.md").read_text("utf-8"), re.M
    )
    assert {name for name, _ in rows} == set(EMBEDDINGS)
