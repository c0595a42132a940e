"""How many epochs a model does that was given neither a number of them nor a validation set."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

import kgplug
from kgplug.data.interactions import Interactions
from kgplug.recommenders.click_through import recommender as trained
from kgplug.recommenders.click_through.pairs import ClickThroughData
from kgplug.recommenders.models.mf import MF
from kgplug.recommenders.models.mkr_rated import MKRRated
from kgplug.training import loop
from kgplug.training.config import DataSize
from tests.unit.helpers.planted import directors_and_fans

pytestmark = pytest.mark.training

LIKES = directors_and_fans(fans=6)[0]  # 480
WITH_EPOCHS = [
    info.name for info in kgplug.available()
    if info.kind == "recommender" and "patience" in type(kgplug.create(info.name).config).model_fields
]  # fmt: skip
QUICK = {"embedding_dim": 8, "batch_size": 64, "l2": 1e-3, "learning_rate": 0.05, "patience": 5, "device": "cpu"}


@pytest.fixture(autouse=True)
def _few_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained, "CHOOSING_FROM", 400)


def weights(model: MF) -> np.ndarray:
    return np.concatenate([model.factors.users, model.factors.items])


@cache
def chosen_by_itself(seed: int = 0) -> MF:
    return MF(**QUICK).fit(LIKES, seed=seed, progress=False)


@cache
def on_nine_tenths(seed: int = 0) -> loop.History:
    part, valid = LIKES.split((0.9, 0.1), seed=seed, by="row")
    return loop.History(**MF(**QUICK).fit(part, valid=valid, seed=seed, progress=False).history)


def best_epochs(seed: int = 0) -> int:
    return on_nine_tenths(seed).best_epoch + 1


def test_a_tenth_of_the_rows_tells_how_many_and_all_rows_are_learnt() -> None:
    chosen = chosen_by_itself(seed=3)
    n = best_epochs(seed=3)
    assert 1 < n < MF().config.epochs
    assert chosen.config.epochs == len(chosen.history["losses"]) == n and chosen.history["validation"] == []
    named = MF(**QUICK, epochs=n).fit(LIKES, seed=3, progress=False)
    assert np.array_equal(weights(chosen), weights(named))


def test_guesses_reach_what_ranks_drawn_at_random_reach() -> None:
    assert trained.auc_by_chance(0) == 0.5
    rng = np.random.default_rng(0)
    ranks = rng.permuted(np.tile(np.arange(40), (4000, 1)), axis=1)[:, :20]  # of 20 likes among 40 pairs
    aucs = (ranks.sum(axis=1) - 190) / 400
    assert trained.auc_by_chance(20) == pytest.approx(0.5 + 2 * aucs.std(), abs=0.005)


@pytest.mark.parametrize(("figure", "done"), [(0.5, 30), (0.56, 30), (0.9, 6)])
def test_no_training_ends_for_want_of_patience_before_it_is_better_than_guesses(
    figure: float, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClickThroughData, "validation_auc", lambda *_: figure)
    part, valid = LIKES.split((0.9, 0.1), seed=0, by="row")  # 48 likes: guesses reach .62
    model = MF(**QUICK, goal="clicks", epochs=30).fit(part, valid=valid, progress=False)
    assert (len(model.history["losses"]), model.history["best_epoch"]) == (done, 0)


def test_epochs_that_were_named_are_done() -> None:
    n = best_epochs()
    assert len(MF(**QUICK, epochs=n + 3).fit(LIKES, progress=False).history["losses"]) == n + 3


def test_of_few_likes_the_usual_number_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained, "CHOOSING_FROM", len(LIKES) + 1)
    model = MF(**QUICK).fit(LIKES, progress=False)
    assert len(model.history["losses"]) == model.config.epochs == MF().config.epochs


def test_of_few_dislikes_the_usual_number_is_done_where_they_are_learnt_from() -> None:
    likes, graph, *_ = directors_and_fans(fans=6)
    rows = Interactions.from_arrays(
        likes.user_keys, likes.item_keys, np.append(likes.users, 0), np.append(likes.items, likes.items[-1]),
        ratings=np.append(np.full(len(likes), 5.0), 1.0), like_threshold=4,
    )  # fmt: skip
    seed = next(seed for seed in range(100) if rows.split(trained.CHOOSING, seed=seed, by="row")[0].is_like.all())
    model = MKRRated(**QUICK).fit(rows, graph, seed=seed, progress=False)
    assert len(model.history["losses"]) == model.config.epochs == MKRRated().config.epochs


@pytest.mark.parametrize("name", WITH_EPOCHS)
def test_very_few_likes_have_more_patience(name: str) -> None:
    settings = type(kgplug.create(name).config)
    usual = settings.model_fields["patience"].default
    few, many = (settings().suited(DataSize(100, 90, n, 80)) for n in (7_999, 8_000))
    assert (few.patience, many.patience) == (max(20, usual), usual)  # type: ignore[attr-defined]


def test_each_fit_of_one_object_chooses_anew() -> None:
    model = MF(**QUICK)
    first = model.fit(LIKES, seed=0, progress=False).config.epochs
    assert model.fit(LIKES, seed=3, progress=False).config.epochs == best_epochs(seed=3) != first


@pytest.mark.parametrize("killed_after", [3, -2])
def test_a_training_killed_in_either_half_resumes_to_the_same_model(
    killed_after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative: so many epochs before the end of the training on all rows."""
    whole, saved = chosen_by_itself(), []
    in_all = len(on_nine_tenths().losses) + whole.config.epochs  # of both trainings
    save = loop.save_checkpoint

    def then_killed(*arguments: object, **options: object) -> None:
        save(*arguments, **options)  # type: ignore[arg-type]
        saved.append(1)
        if len(saved) == killed_after % in_all:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", then_killed)
    checkpoint = tmp_path / "mf.safetensors"
    with pytest.raises(KeyboardInterrupt):
        MF(**QUICK).fit(LIKES, checkpoint=checkpoint, progress=False)
    done = len(saved)
    again = MF(**QUICK).fit(LIKES, checkpoint=checkpoint, progress=False)
    assert len(saved) == in_all and done == killed_after % in_all  # nothing was done twice
    assert np.array_equal(weights(again), weights(whole))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mf-epochs.safetensors", "mf.safetensors"]
