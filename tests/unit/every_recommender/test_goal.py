"""The goal of a training: epochs and settings chosen for lists (NDCG@10) or for clicks (AUC)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kgplug
from kgplug.data.interactions import Interactions
from kgplug.errors import UsageError
from kgplug.evaluation import experiment
from kgplug.recommenders.models.mf import MF
from kgplug.recommenders.parts.choosing.validation_lists import Validation
from kgplug.training.loop import History
from tests.unit.helpers.planted import directors_and_fans

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def sets() -> tuple[Interactions, Interactions]:
    train, valid, _ = directors_and_fans(fans=6)[0].split((0.6, 0.2, 0.2), seed=0, by="row")
    return train, valid


@pytest.mark.parametrize("name", ["MF", "LightGCN", "MKR", "HiddenEdgeGCN", "MKR-attention", "CKE", "BPR", "LibFM"])
def test_the_weights_kept_are_those_of_the_epoch_with_the_best_lists(
    name: str, sets: tuple[Interactions, Interactions]
) -> None:
    train, valid = sets
    model: Any = kgplug.create(name, epochs=8)
    model.fit(train, directors_and_fans(fans=6)[1] if model.inputs.triples else None, valid=valid, progress=False)
    history = History(**model.history)
    assert history.best_epoch == int(np.argmax(history.metric)) and len(history.lists) == len(history.validation)
    ndcg = kgplug.evaluate(model, train, valid, warn=False)["NDCG@10"].iloc[0]
    assert history.lists[history.best_epoch] == pytest.approx(ndcg, abs=1e-6)


def test_with_the_goal_clicks_the_best_auc_chooses_and_no_lists_are_made(
    sets: tuple[Interactions, Interactions],
) -> None:
    model = MF(goal="clicks", epochs=8).fit(sets[0], valid=sets[1], progress=False)
    assert model.history["lists"] == []
    assert model.history["best_epoch"] == int(np.argmax(model.history["validation"]))


@pytest.mark.parametrize("name", ["MF", "LightGCN", "MKR", "MKR-attention", "KGAT"])
def test_measuring_lists_does_not_change_the_training(name: str, sets: tuple[Interactions, Interactions]) -> None:
    train, valid = sets
    train = train.take(train.users != train.users[0])  # this user is cold
    losses = []
    for goal in ("lists", "clicks"):
        model: Any = kgplug.create(name, goal=goal, epochs=4, patience=4)
        graph = directors_and_fans(fans=6)[1] if model.inputs.triples else None
        losses.append(model.fit(train, graph, valid=valid, progress=False).history["losses"])
    assert losses[0] == losses[1] and len(losses[0]) == 4


def test_models_that_score_slowly_choose_by_auc(sets: tuple[Interactions, Interactions]) -> None:
    slow: Any = kgplug.create("KGCN", epochs=2)
    assert slow.fit(sets[0], directors_and_fans(fans=6)[1], valid=sets[1], progress=False).history["lists"] == []
    with_mlp: Any = kgplug.create("MKR", epochs=2, head="mlp")
    assert with_mlp.fit(sets[0], directors_and_fans(fans=6)[1], valid=sets[1], progress=False).history["lists"] == []


def test_lists_for_a_held_out_tenth_may_recommend_it(
    sets: tuple[Interactions, Interactions], monkeypatch: pytest.MonkeyPatch
) -> None:
    left_out, ndcg = list[int](), Validation.ndcg

    def noted(self: Validation, model: Any) -> np.ndarray:
        left_out.append(model.seen.nnz)
        return ndcg(self, model)

    monkeypatch.setattr(Validation, "ndcg", noted)
    monkeypatch.setattr("kgplug.recommenders.click_through.recommender.CHOOSING_FROM", 100)
    rows = sets[0]
    model = MF(patience=2).fit(rows, progress=False)
    assert set(left_out) == {round(0.9 * len(rows))} and model.seen.nnz == len(rows)


def test_click_through_is_measured_on_models_trained_for_clicks(monkeypatch: pytest.MonkeyPatch) -> None:
    goals, measure = list[str](), experiment.measure_clicks
    monkeypatch.setattr(
        experiment,
        "measure_clicks",
        lambda model, data: goals.append(getattr(model.config, "goal", "none")) or measure(model, data),
    )
    kgplug.evaluate_ctr("MF", directors_and_fans(fans=6)[0], like_threshold=None, seeds=(0,), epochs=1)
    kgplug.evaluate_ctr("MF", directors_and_fans(fans=6)[0], like_threshold=None, seeds=(0,), epochs=1, goal="lists")
    kgplug.evaluate_ctr("Popularity", directors_and_fans(fans=6)[0], like_threshold=None, seeds=(0,))
    assert goals == ["clicks", "lists", "none"]


@pytest.mark.parametrize("name", ["MF", "MKR", "LightGCN"])
def test_a_power_of_popularity_so_high_that_chances_overflow_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="negative_popularity"):
        kgplug.create(name, negative_popularity=400)


def test_runs_of_earlier_versions_had_one_uniform_negative_and_chose_by_auc() -> None:
    early = MF.config_class.of_saved({"l2": 0.1})
    assert early == {"l2": 0.1, "goal": "clicks", "negatives_per_like": 1, "negative_popularity": 0.0}
    assert MF.config_class.of_saved({**early, "goal": "lists", "negatives_per_like": 4})["negatives_per_like"] == 4
    bpr: Any = kgplug.create("BPR")
    assert "negatives_per_like" not in bpr.config_class.of_saved({"l2": 0.1})
