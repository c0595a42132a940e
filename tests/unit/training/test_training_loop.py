"""The loop: it stops when it should, keeps the best weights, and leaves the world's randomness alone."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from kgplug.errors import TrainingError
from kgplug.training.loop import History, train
from tests.unit.helpers.small_task import SmallTask, same

pytestmark = pytest.mark.training

OPTIONS = {"patience": 2, "seed": 5, "description": "small", "progress": False}


def test_the_loss_falls_and_one_metric_per_epoch_is_kept() -> None:
    history = train(SmallTask(), epochs=6, **OPTIONS)
    assert len(history.losses) == len(history.seconds) == 6 and history.validation == []
    assert history.losses[-1] < history.losses[0] and history.best_epoch == 5


def test_early_stopping_ends_with_the_weights_of_the_best_epoch() -> None:
    task = SmallTask(figures=[0.1, 0.9, 0.3, 0.4, 0.5, 0.6])
    history = train(task, epochs=6, **OPTIONS)
    assert (history.best_epoch, history.validation) == (1, [0.1, 0.9, 0.3, 0.4])
    two_epochs = SmallTask()
    train(two_epochs, epochs=2, **OPTIONS)
    assert same(task.weights(), two_epochs.weights())


def test_no_patience_is_lost_before_a_figure_is_better_than_chance() -> None:
    figures = [0.5, 0.4, 0.3, 0.3, 0.4, 0.6, 0.55, 0.5, 0.9]
    assert train(SmallTask(figures=figures), epochs=9, chance=0.5, **OPTIONS).validation == figures[:8]
    assert train(SmallTask(figures=[0.4] * 9), epochs=9, chance=0.5, **OPTIONS).best_epoch == 0
    assert len(train(SmallTask(figures=[0.4] * 9), epochs=9, chance=0.5, **OPTIONS).losses) == 9


def test_the_best_epoch_is_kept_also_when_epochs_end_before_patience() -> None:
    task = SmallTask(figures=[0.9, 0.3])
    assert train(task, epochs=2, **OPTIONS).best_epoch == 0
    assert task.weights()["epochs_seen"] == 1


def test_an_equal_figure_is_not_a_better_one() -> None:
    history = train(SmallTask(figures=[0.5] * 9), epochs=9, **OPTIONS)
    assert history.best_epoch == 0 and len(history.losses) == 3


def test_lists_choose_the_epoch_by_the_mean_of_three_and_training_goes_on_while_either_metric_improves() -> None:
    ndcg = [0.1, 0.5, 0.2, 0.3, 0.3, 0.3, 0.1, 0.1, 0.1]  # means of three: .1 .3 .267 .333 .267 .3 .233 …
    measured = iter(ndcg)
    task = SmallTask(figures=[0.5, 0.4, 0.4, 0.4, 0.4, 0.6, 0.5, 0.5, 0.5])
    seen: list[float] = []
    history = train(
        task, epochs=9, lists=lambda: next(measured), on_epoch=lambda _, metric: seen.append(metric), **OPTIONS
    )
    assert history.best_epoch == 3 and history.lists == ndcg[:8]  # stopped two epochs after the best metric, epoch 5
    assert seen == history.metric == pytest.approx([0.1, 0.3, 0.8 / 3, 1 / 3, 0.8 / 3, 0.3, 0.7 / 3, 0.5 / 3])
    assert task.weights()["epochs_seen"] == 4
    assert train(SmallTask(figures=[0.5] * 9), epochs=9, lists=lambda: 0.1, **OPTIONS).best_epoch == 0


def test_without_a_validation_metric_no_lists_are_measured_and_the_last_weights_are_kept() -> None:
    task, measured = SmallTask(), iter([0.9, 0.1, 0.1])
    history = train(task, epochs=3, lists=lambda: next(measured), **OPTIONS)
    assert (history.best_epoch, history.lists, history.metric) == (2, [], [])
    assert task.weights()["epochs_seen"] == 3


def test_a_training_by_lists_continues_from_its_checkpoint_as_if_uninterrupted(tmp_path: Path) -> None:
    ndcg, figures = [0.1, 0.5, 0.2, 0.3, 0.9, 0.3], [0.5, 0.6, 0.7, 0.6, 0.6, 0.6]
    file = tmp_path / "here.safetensors"
    first, whole = iter(ndcg), iter(ndcg)
    train(SmallTask(figures=figures), epochs=6, lists=lambda: next(first), checkpoint=file, pause_after=3, **OPTIONS)
    again = train(SmallTask(figures=figures), epochs=6, lists=lambda: next(first), checkpoint=file, **OPTIONS)
    assert again.lists == ndcg and again.best_epoch == 5
    alone = train(SmallTask(figures=figures), epochs=6, lists=lambda: next(whole), **OPTIONS)
    assert (alone.lists, alone.validation, alone.best_epoch) == (again.lists, again.validation, again.best_epoch)


def test_an_infinite_loss_names_epoch_and_learning_rates_and_keeps_the_last_good_weights() -> None:
    task, good = SmallTask(poison=2), SmallTask()
    with pytest.raises(TrainingError, match=r"loss became nan in epoch 3 with learning rate 0\.05, 0\.01"):
        train(task, epochs=5, **OPTIONS)
    train(good, epochs=2, **OPTIONS)
    assert same(task.weights(), good.weights())


def test_a_validation_figure_that_is_not_a_number_stops_the_training() -> None:
    with pytest.raises(TrainingError, match=r"validation metric became nan in epoch 2"):
        train(SmallTask(figures=[0.5, float("nan"), 0.7]), epochs=3, **OPTIONS)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    tasks = [SmallTask() for _ in range(3)]
    for task, seed in zip(tasks, (5, 5, 6), strict=True):
        torch.rand(1), np.random.rand(1)  # noqa: NPY002 (the state of the world does not matter)
        train(task, epochs=2, **{**OPTIONS, "seed": seed})
    assert same(tasks[0].weights(), tasks[1].weights()) and not same(tasks[0].weights(), tasks[2].weights())


def test_no_global_generator_is_changed() -> None:
    task = SmallTask()
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    train(task, epochs=2, **OPTIONS)
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]


def test_the_module_is_left_ready_for_use_not_for_training() -> None:
    task = SmallTask()
    train(task, epochs=1, **OPTIONS)
    assert not task.module.training


def test_a_bar_is_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    train(SmallTask(figures=[0.5, 0.6]), epochs=2, **{**OPTIONS, "progress": True})
    shown = capsys.readouterr().err
    assert "small" in shown and "2/2" in shown and "best=0.6000" in shown
    train(SmallTask(), epochs=1, **OPTIONS)
    assert capsys.readouterr().err == ""


def test_a_history_is_plain_data() -> None:
    history = History([0.5], [0.6], 0, [1.0])
    assert History(**history.to_dict()) == history
