"""Where a saved model scores: where it was trained, or on what is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kgplug.errors import UsageError
from kgplug.recommenders.models.mf import MF
from kgplug.training.device import device_at_hand
from tests.unit.helpers.planted import tiny

pytestmark = pytest.mark.training


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, so none is missing")
def test_a_run_trained_on_a_gpu_opens_without_one(tmp_path: Path) -> None:
    model = MF(embedding_dim=4, epochs=2, device="cpu").fit(tiny()[0], progress=False)
    model.config = model.config.model_copy(update={"device": "cuda"})  # as it is after a training there
    model.save(tmp_path / "run")
    again = MF.load(tmp_path / "run")
    users, items = np.indices((4, 5)).reshape(2, -1)
    assert again.config.device == "auto" and np.array_equal(again.score(users, items), model.score(users, items))
    with pytest.raises(UsageError, match=r'device="cuda": no CUDA device was found'):
        MF.load(tmp_path / "run", device="cuda")
    assert device_at_hand("cpu") == "cpu"


def test_a_run_opens_on_the_device_that_is_named(tmp_path: Path) -> None:
    MF(embedding_dim=4, epochs=2, device="auto").fit(tiny()[0], progress=False).save(tmp_path / "run")
    assert MF.load(tmp_path / "run", device="cpu").config.device == "cpu"
    assert MF.load(tmp_path / "run").config.device == "auto"
