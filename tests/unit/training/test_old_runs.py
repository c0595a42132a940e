"""Runs of earlier versions open with the same scores.

tests/data/runs-0.1.0 holds runs that version 0.1.0 saved: models trained on `planted.tiny`, with their scores.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import kgplug
from kgplug.data.artefact import read_artefact
from kgplug.errors import UsageError
from kgplug.recommenders.base import Recommender
from tests.unit.helpers.contract import SETTINGS
from tests.unit.helpers.planted import tiny

pytestmark = pytest.mark.training

RUNS = sorted((Path(__file__).parents[2] / "data" / "runs-0.1.0").iterdir())


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
def test_a_run_of_an_earlier_version_scores_as_it_did(folder: Path) -> None:
    model = kgplug.load(folder)
    assert isinstance(model, Recommender)
    users, items = np.indices((4, 5)).reshape(2, -1)
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    np.testing.assert_allclose(model.score(users, items), expected, atol=1e-6)
    listed, _ = model.recommend(np.arange(4), k=3)
    assert (listed[0] >= 0).any()


OLD_NAMES = {
    "KGCN": {"n_layers": "hops"},
    "RippleNet": {"n_layers": "n_hops"},
    "LightGCN": {"n_layers": "layers"},
    "HiddenEdgeGCN": {"n_layers": "layers"},
    "MKR-attention": {"n_layers": "propagations"},
    "DKN": {"hidden_dim": "hidden"},
    "PER": {"epochs": "iterations"},
}
REMOVED = {
    **{name: {"weight_l2": 1e-5} for name in ("MF", "BPR", "CKE", "LightGCN", "HiddenEdgeGCN")},
    "MKR-rated": {"exclude_low_rated": True},
    "MKR-attention": {"head": "dot"},
}
OTHERS = {"n_layers": 3, "hidden_dim": 7, "epochs": 5}  # not the defaults


@pytest.mark.parametrize("name", sorted({*OLD_NAMES, *REMOVED}))
def test_a_run_with_old_setting_names_scores_as_it_did(name: str, tmp_path: Path) -> None:
    old = OLD_NAMES.get(name, {})
    settings = {**SETTINGS[name], **{new: OTHERS[new] for new in old}}
    if name != "PER":
        settings["epochs"] = 2
    interactions, knowledge = tiny()
    interactions = interactions.with_texts({item: f"film {item}" for item in range(5)})
    model = kgplug.create(name, **settings)
    assert isinstance(model, Recommender)
    model.fit(interactions, knowledge if model.inputs.triples else None, progress=False)
    model.save(tmp_path / "run")
    arrays, content = read_artefact(tmp_path / "run")
    content["settings"] = {old.get(key, key): value for key, value in content["settings"].items()}
    assert not content["settings"].keys() & {*old, *REMOVED.get(name, {})}
    content["settings"] |= REMOVED.get(name, {})
    again = type(model).restored(tmp_path / "run", arrays, content)
    assert again.config == model.config
    users, items = np.indices((4, 5)).reshape(2, -1)
    np.testing.assert_array_equal(again.score(users, items), model.score(users, items))


def test_an_old_setting_name_is_refused_with_the_new_one() -> None:
    with pytest.raises(UsageError, match=r'MKR-attention: the setting "propagations" is now called "n_layers"\.'):
        kgplug.create("MKR-attention", propagations=2)
