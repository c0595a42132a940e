"""Runs that version 0.1.0 saved: tests/data/runs-0.1.0 has a run of some models on `planted.tiny`, with its scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import kgplug

pytestmark = pytest.mark.training

RUNS = sorted((Path(__file__).parents[1] / "data" / "runs-0.1.0").iterdir())


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
def test_a_run_of_an_earlier_version_scores_as_it_did(folder: Path) -> None:
    model = kgplug.load(folder)
    users, items = np.indices((4, 5)).reshape(2, -1)
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    np.testing.assert_allclose(model.score(users, items), expected, atol=1e-6)
    listed, _ = model.recommend(np.arange(4), k=3)
    assert (listed[0] >= 0).any()
