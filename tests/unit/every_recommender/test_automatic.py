"""Automatic settings: chosen on the validation set, recorded, and continued after a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import kgplug
from kgplug.cli.training import _choice
from kgplug.data.interactions import Interactions
from kgplug.errors import TrainingError
from kgplug.recommenders.click_through import recommender as module
from kgplug.recommenders.models.lightgcn import LightGCN
from kgplug.recommenders.models.mf import MF
from kgplug.recommenders.models.mkr import MKR
from kgplug.recommenders.parts.choosing.grid import searched
from kgplug.training import loop

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def sets() -> tuple[Interactions, Interactions]:
    """Five likes each of 600 users, mostly of one of six groups of items."""
    rng = np.random.default_rng(0)
    group, taste = rng.integers(0, 6, 200), rng.integers(0, 6, 600)
    chances = np.where(group == taste[:, None], 4.0, 0.1) / np.arange(1, 201) ** 0.7
    items = np.argsort(-np.log(rng.random(chances.shape)) / chances, axis=1)[:, :5]  # drawn without repetition
    likes = pd.DataFrame({"user": np.repeat(np.arange(600), 5), "item": items.ravel()})
    train, valid = Interactions.from_dataframe(likes, user="user", item="item").split((0.8, 0.2), seed=0, by="row")
    return train, valid


@pytest.fixture
def far_from_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """The L2 that suits few likes kills LightGCN's vectors, so that another one is better. Trainings are short."""
    suited = {"l2": 0.5, "patience": 3}
    monkeypatch.setattr(LightGCN.config_class, "suited_to", classmethod(lambda cls, size: suited))


def automatic() -> MF:
    """An untrained MF that chooses its settings, in short trainings."""
    return MF(settings="auto", patience=3)


def metric_of(model: Any) -> list[float]:
    """Return the metric of each epoch that chose the best one."""
    return loop.History(**model.history).metric


def scores(model: Any) -> np.ndarray:
    return model.score(*(x.ravel() for x in np.indices((20, 200))))


@pytest.mark.usefixtures("far_from_good")
def test_a_better_l2_is_found_recorded_and_saved_and_the_weights_are_those_of_a_training_with_it(
    sets: tuple[Interactions, Interactions], tmp_path: Path
) -> None:
    train, valid = sets
    plain = LightGCN(settings="defaults").fit(train, valid=valid, progress=False)
    seen: list[float] = []
    model = LightGCN().fit(train, valid=valid, progress=False, on_epoch=lambda _, metric: seen.append(metric))
    assert (plain.config.l2, plain.tried) == (0.5, [])
    assert model.config.l2 < 0.5
    assert max(metric_of(model)) > max(metric_of(plain)) + 0.01
    assert [trial["settings"] for trial in model.tried if trial["chosen"]] == [{"l2": model.config.l2}]
    assert model.tried[0]["settings"] == {} and len(model.tried) > 2
    assert seen == metric_of(model)
    told = LightGCN(l2=model.config.l2, epochs=len(model.history["losses"])).fit(train, valid=valid, progress=False)
    np.testing.assert_array_equal(scores(told), scores(model))
    assert not any(trial["note"] for trial in model.tried)
    model.save(tmp_path / model.run)
    loaded = kgplug.load(tmp_path / model.run)
    assert isinstance(loaded, LightGCN) and loaded.tried == model.tried
    np.testing.assert_array_equal(scores(loaded), scores(model))


@pytest.mark.usefixtures("far_from_good")
def test_without_a_validation_set_a_tenth_of_the_rows_chooses(sets: tuple[Interactions, Interactions]) -> None:
    model = LightGCN().fit(sets[0], progress=False)
    assert model.config.l2 < 0.5 and model.tried and not model.history["validation"]
    assert LightGCN(l2=0.1).fit(sets[0], progress=False).tried == []
    model._given = LightGCN(settings="defaults").config
    assert model.fit(sets[0], progress=False).tried == []  # those of the first training are forgotten


def test_settings_of_the_user_are_not_searched() -> None:
    assert set(searched(MKR().config)) == {"side", "vector_l2"}
    assert set(searched(MKR(device="cpu", goal="clicks").config)) == {"side", "vector_l2"}
    assert set(searched(MKR(settings="auto", side=True, epochs=3).config)) == {"vector_l2"}
    assert searched(MKR(epochs=3).config) == searched(MKR(settings="defaults").config) == {}
    assert searched(MKR(**MKR().config.model_dump()).config) == {}  # the settings of a run


def test_a_small_validation_set_chooses_nothing(sets: tuple[Interactions, Interactions]) -> None:
    train, valid = sets
    assert automatic().fit(train, valid=valid.take(np.arange(99)), progress=False).tried == []
    assert automatic().fit(train, valid=valid.take(np.arange(100)), progress=False).tried != []


@pytest.mark.usefixtures("far_from_good")
def test_settings_that_kill_a_model_are_not_chosen(
    sets: tuple[Interactions, Interactions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "model_findings", lambda model: ["is dead"] if model.config.l2 < 0.5 else [])
    model = LightGCN().fit(sets[0], valid=sets[1], progress=False)
    assert model.config.l2 == 0.5
    assert [trial["chosen"] for trial in model.tried] == [True] + [False] * (len(model.tried) - 1)
    assert [trial["note"] for trial in model.tried if trial["note"]] == ["the model has collapsed"]
    plain = LightGCN(settings="defaults").fit(sets[0], valid=sets[1], progress=False)
    np.testing.assert_array_equal(scores(plain), scores(model))


@pytest.mark.usefixtures("far_from_good")
def test_a_choice_whose_training_fails_is_left_out(
    sets: tuple[Interactions, Interactions], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = LightGCN._task

    def failing(model: LightGCN, data: Any) -> Any:
        if model.config.l2 < 0.5:
            raise TrainingError("The loss became nan.")
        return task(model, data)

    monkeypatch.setattr(LightGCN, "_task", failing)
    model = LightGCN().fit(sets[0], valid=sets[1], progress=False)
    assert model.config.l2 == 0.5
    assert "The loss became nan." in [trial["note"] for trial in model.tried]
    plain = LightGCN(settings="defaults").fit(sets[0], valid=sets[1], progress=False)
    np.testing.assert_array_equal(scores(plain), scores(model))


@pytest.mark.usefixtures("far_from_good")
@pytest.mark.parametrize("after", [4, 40])
def test_after_memory_ran_out_the_model_is_the_one_that_was_measured(
    after: int, sets: tuple[Interactions, Interactions], monkeypatch: pytest.MonkeyPatch
) -> None:
    left, run_epoch = [after], loop._run_epoch

    def short(*arguments: Any) -> float:
        left[0] -= 1
        if left[0] == 0:
            raise MemoryError
        return run_epoch(*arguments)

    monkeypatch.setattr(loop, "_run_epoch", short)
    model = LightGCN().fit(sets[0], valid=sets[1], progress=False)
    chosen = next(trial for trial in model.tried if trial["chosen"])
    assert round(max(metric_of(model)), 4) == chosen["value"]
    assert len(model.history["validation"]) == chosen["epochs"]


def test_files_of_the_choices_are_removed(sets: tuple[Interactions, Interactions], tmp_path: Path) -> None:
    model = automatic().fit(sets[0], valid=sets[1], progress=False, checkpoint=tmp_path / "here.safetensors")
    assert len(model.tried) > 1 and list(tmp_path.iterdir()) == []
    model.fit(sets[0], progress=False, checkpoint=tmp_path / "here.safetensors")
    assert not [path for path in tmp_path.iterdir() if "trial" in path.name]


def test_the_command_says_what_was_chosen_and_why_something_was_not() -> None:
    first = {"settings": {}, "epochs": 9, "metric": "AUC", "value": 0.8, "chosen": True, "note": ""}
    other = {"settings": {"side": False}, "epochs": 9, "metric": "AUC", "value": 0.7, "chosen": False, "note": ""}
    assert _choice([first, other]) == (
        "Settings chosen on the validation set, with 1 other choice tried: the defaults (AUC 0.8000)."
    )
    better = {**other, "value": 0.9, "chosen": True}
    assert _choice([{**first, "chosen": False}, better]) == (
        "Settings chosen on the validation set, with 1 other choice tried: side=False (AUC 0.9000; defaults 0.8000)."
    )
    dead = {**other, "value": 0.9, "note": "the model has collapsed"}
    assert _choice([first, dead]).endswith(" side=False was not chosen: the model has collapsed.")
    failed = {**other, "value": None, "note": "The loss became nan."}
    assert _choice([first, failed]).endswith(" side=False was not chosen: The loss became nan.")
    gone = {**first, "value": None, "chosen": False, "note": "the model has collapsed"}
    assert _choice([gone, better]) == (
        "Settings chosen on the validation set, with 1 other choice tried: side=False (AUC 0.9000; defaults unknown). "
        "The defaults were not chosen: the model has collapsed."
    )
    assert "the defaults (AUC unknown)" in _choice([{**gone, "chosen": True}])


def test_an_interruption_waits_for_an_epoch_only_if_a_checkpoint_is_kept(
    sets: tuple[Interactions, Interactions], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[bool] = []
    interruption = loop.Interruption

    def noted(*, active: bool) -> loop.Interruption:
        waits.append(active)
        return interruption(active=active)

    monkeypatch.setattr(loop, "Interruption", noted)
    automatic().fit(sets[0], valid=sets[1], progress=False)
    assert waits and not any(waits)
    waits.clear()
    automatic().fit(sets[0], valid=sets[1], progress=False, checkpoint=tmp_path / "here.safetensors")
    assert waits and all(waits)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.usefixtures("far_from_good")
@pytest.mark.parametrize("after", [3, 60])
def test_a_choice_that_was_killed_is_continued_and_finds_the_same(
    after: int, sets: tuple[Interactions, Interactions], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KGPLUG_CHECKPOINT_S", "0")
    train, valid = sets
    whole = LightGCN().fit(train, valid=valid, progress=False)
    left, run_epoch = [after], loop._run_epoch

    def dying(*arguments: Any) -> float:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return run_epoch(*arguments)

    checkpoint = tmp_path / "here.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_run_epoch", dying)
        with pytest.raises(Killed):
            LightGCN().fit(train, valid=valid, progress=False, checkpoint=checkpoint)
    counted = [0]

    def counting(*arguments: Any) -> float:
        counted[0] += 1
        return run_epoch(*arguments)

    monkeypatch.setattr(loop, "_run_epoch", counting)
    model = LightGCN().fit(train, valid=valid, progress=False, checkpoint=checkpoint)
    assert model.tried == whole.tried
    assert counted[0] + after <= sum(trial["epochs"] for trial in whole.tried) + 10  # little is trained twice
    np.testing.assert_array_equal(scores(model), scores(whole))
