"""The search for settings: by the validation set, the same interrupted or not, with the reason of every failure."""

from __future__ import annotations

import os
import signal
import textwrap
import time
from pathlib import Path

import numpy as np
import optuna
import pytest

import kgplug
from kgplug import plots, tuning
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.embeddings import memory
from kgplug.embeddings.catalogue import EMBEDDINGS
from kgplug.embeddings.config import embedding_config
from kgplug.embeddings.model import EmbeddingModel
from kgplug.embeddings.search_space import search_space
from kgplug.errors import DataError, RunError, TrainingError, UsageError
from kgplug.jobs import Split
from kgplug.recommenders.models.mf import MF
from kgplug.training import studies
from kgplug.tuning import Tuning, tune
from tests import warm_python
from tests.unit.helpers.film_families import families
from tests.unit.helpers.planted import directors_and_fans

pytestmark = pytest.mark.training

OPTIONS = {"device": "cpu", "progress": False, "epochs": 2, "embedding_dim": 8}


@pytest.fixture(autouse=True)
def killed_processes_are_noticed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "HEARTBEAT_S", 1)
    monkeypatch.setattr(studies, "GRACE_S", 3)


@pytest.fixture(scope="module")
def parts() -> tuple[KnowledgeGraph, KnowledgeGraph]:
    train, valid, _ = Split((0.8, 0.1, 0.1)).triples(families())
    assert valid is not None
    return train, valid


def search(parts: tuple[KnowledgeGraph, KnowledgeGraph], **options) -> Tuning:
    return tune("TransE", parts[0], valid=parts[1], **{**OPTIONS, **options})


def without_times(found: Tuning) -> list[dict]:
    return found.trials.drop(columns="seconds").to_dict("records")


def test_trials_do_not_choose_settings_of_their_own() -> None:
    likes = directors_and_fans()[0]
    train, valid = likes.split((0.8, 0.2), seed=0, by="row")
    with pytest.raises(UsageError, match='settings="auto" would search within each trial'):
        tune("MF", train, valid=valid, settings="auto")
    found = tune("MF", train, valid=valid, trials=1, epochs=2, progress=False)
    assert found.settings == {"settings": "defaults"}


def test_the_space_has_pykeens_ranges_and_omits_given_settings(parts) -> None:
    space = search_space("TransE", embedding_config("TransE", {}))
    assert (space["embedding_dim"].low, space["embedding_dim"].high, space["embedding_dim"].step) == (16, 256, 16)
    assert space["model_settings.scoring_fct_norm"].whole and space["loss_settings.margin"].high == 3
    assert "embedding_dim" not in search_space("ConvE", embedding_config("ConvE", {}))
    assert "loss_settings.adversarial_temperature" in search_space(
        "TransE", embedding_config("TransE", {"loss": "NSSA"})
    )
    fixed = {"model_settings": {"scoring_fct_norm": 1}, "learning_rate": 0.02}
    found = search(parts, trials=3, **fixed)
    assert found.searched == ["batch_size", "negatives", "loss_settings.margin"]
    model = kgplug.create("TransE", **found.settings)
    assert model.config.model_settings == {"scoring_fct_norm": 1}
    assert model.config.learning_rate == 0.02
    assert model.config.epochs == embedding_config("TransE", {}).epochs  # those of a trial are no finding


@pytest.mark.parametrize("training", ["1-vs-all", "kvsall"])
def test_the_norm_is_not_searched_if_all_entities_are_scored(training: str) -> None:
    space = search_space("TransE", embedding_config("TransE", {"training": training}))
    assert not [setting for setting in space if setting.startswith("model_settings.")]


@pytest.mark.parametrize("name", list(EMBEDDINGS))
def test_every_embedding_accepts_the_settings_of_its_space(name: str) -> None:
    config = embedding_config(name, {})
    space = search_space(name, config)
    nested = {"model_settings": {}, "loss_settings": {}}
    for setting, values in space.items():
        top, _, inner = setting.partition(".")
        if inner:
            nested[top][inner] = values[0] if isinstance(values, tuple) else values.low
    EmbeddingModel(name, **nested)
    own = "negatives" if config.training == "negatives" else "n3"
    assert {"learning_rate", "batch_size", own} <= set(space)
    assert ("negatives" in space) != ("n3" in space)


def test_the_first_trial_has_the_models_own_settings(parts) -> None:
    found = search(parts, trials=1)
    first = found.trials.iloc[0]
    assert (first["learning_rate"], first["batch_size"], first["loss_settings.margin"]) == (0.01, 4096, 0.5)
    assert found.settings == {"device": "cpu", "embedding_dim": 8}
    model = kgplug.create("TransE", **found.settings, epochs=2).fit(parts[0], valid=parts[1], seed=0)
    assert found.best == pytest.approx((1 / model.ranks(parts[1].triples, parts[0].triples)).mean())


def test_a_continued_search_finds_what_an_uninterrupted_one_finds(parts, tmp_path: Path) -> None:
    alone = search(parts, trials=13)
    search(parts, trials=4, folder=tmp_path)
    again = search(parts, trials=13, folder=tmp_path)
    assert without_times(again) == without_times(alone)
    assert len(alone.trials["learning_rate"].unique()) == 13
    assert len(list(tmp_path.glob("transe-*.db"))) == 1
    other_seed = search(parts, trials=4, folder=tmp_path, seed=1)
    assert len(list(tmp_path.glob("transe-*.db"))) == 2
    assert without_times(other_seed)[1:] != without_times(alone)[1:4]


def test_a_search_on_other_data_starts_again_and_names_the_earlier_study(
    parts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = search(parts, trials=1, folder=tmp_path)
    search(parts, trials=1, folder=tmp_path)
    search(parts, trials=1, folder=tmp_path, seed=1)
    assert caplog.messages == []
    train, valid = parts
    fewer = KnowledgeGraph(train.entity_keys, train.entity_labels, train.relations, train.triples[1:])
    assert search((fewer, valid), trials=1, folder=tmp_path).path != first.path
    (message,) = caplog.messages
    assert "The data have changed since this search of TransE began, so a new search begins" in message
    assert str(first.path) in message


def test_a_study_of_an_earlier_version_is_continued(parts, tmp_path: Path) -> None:
    first = search(parts, trials=2, folder=tmp_path)
    assert first.path is not None
    asked, data = (first.path.stem.split("-")[n] for n in (1, 2))
    assert len(asked) == len(data) == 16
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(studies, "_short", lambda value: "earlier" if isinstance(value[-1], list) else "now")
        first.path.rename(tmp_path / "transe-earlier.db")
        again = search(parts, trials=2, folder=tmp_path)
    assert again.path == tmp_path / "transe-earlier.db" and without_times(again) == without_times(first)


def in_another_process(folder: Path, *, trials: int, before_fit: str) -> warm_python.Process:
    """Start the same search in another process, which runs `before_fit` before each training."""
    program = f"""
        import os, signal, time
        from pathlib import Path
        from kgplug.embeddings.model import EmbeddingModel
        from kgplug.jobs import Split
        from kgplug.training import studies
        from kgplug.tuning import tune
        from tests.unit.helpers.film_families import families

        studies.HEARTBEAT_S, studies.GRACE_S = 1, 3
        fit, calls = EmbeddingModel.fit, []
        def observed(self, *arguments, **named):
            calls.append(1)
            {before_fit}
            return fit(self, *arguments, **named)
        EmbeddingModel.fit = observed
        train, valid, _ = Split((0.8, 0.1, 0.1)).triples(families())
        tune("TransE", train, valid=valid, trials={trials}, folder=Path({str(folder)!r}), **{OPTIONS!r})
    """
    return warm_python.Process(code=textwrap.dedent(program), env=os.environ, cwd=Path(__file__).parents[3])


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list:
    """One entry per training in this process."""
    found, fit = [], EmbeddingModel.fit
    monkeypatch.setattr(EmbeddingModel, "fit", lambda self, *a, **k: (found.append(1), fit(self, *a, **k))[1])
    return found


def test_a_killed_search_repeats_one_trial_and_finds_the_same(parts, tmp_path: Path, trainings: list) -> None:
    kill = "if len(calls) == 3: os.kill(os.getpid(), signal.SIGKILL)"
    other = in_another_process(tmp_path, trials=5, before_fit=kill)
    _, errors = other.communicate()
    assert other.poll() == -signal.SIGKILL, errors
    again = search(parts, trials=5, folder=tmp_path)
    assert len(trainings) == 3  # two were kept
    assert without_times(again) == without_times(search(parts, trials=5))


def study_in(path: Path | None) -> optuna.Study:
    """Open a study as earlier versions did: without heartbeats."""
    return optuna.load_study(study_name="tuning", storage=f"sqlite:///{path}")


def test_the_trial_of_a_process_killed_in_an_earlier_version_is_repeated(parts, tmp_path: Path) -> None:
    study_in(search(parts, trials=2, folder=tmp_path).path).ask()
    again = search(parts, trials=4, folder=tmp_path)
    assert without_times(again) == without_times(search(parts, trials=4))


def test_a_trial_that_kills_its_process_every_time_counts_as_failed(parts, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tuning, "MAX_KILLED", 1)
    study_in(search(parts, trials=1, folder=tmp_path).path).ask()
    found = search(parts, trials=3, folder=tmp_path)
    assert found.reasons == ["1 processes were killed during this trial; is memory short?"]
    assert list(found.trials["state"]) == ["complete", "failed", "complete"]


def test_a_process_suspended_too_long_reports_that_its_trial_was_repeated(parts, tmp_path: Path, monkeypatch) -> None:
    path, fit = search(parts, trials=1, folder=tmp_path).path, EmbeddingModel.fit

    def suspended(self, *arguments, **named):
        study_in(path).tell(1, state=optuna.trial.TrialState.FAIL)
        return fit(self, *arguments, **named)

    monkeypatch.setattr(EmbeddingModel, "fit", suspended)
    with pytest.raises(UsageError, match="another process has repeated its trial"):
        search(parts, trials=2, folder=tmp_path)


def test_several_processes_share_a_search(parts, tmp_path: Path, trainings: list) -> None:
    other = in_another_process(tmp_path, trials=7, before_fit="time.sleep(0.7)")
    while not list(tmp_path.glob("*.db")):
        time.sleep(0.1)
    found = search(parts, trials=7, folder=tmp_path)
    _, errors = other.communicate()
    assert other.poll() == 0, errors
    assert 7 <= len(found.trials) <= 8 and 0 < len(trainings) < len(found.trials)
    assert found.trials["metric"].notna().all()
    assert len(found.trials["learning_rate"].unique()) == len(found.trials)


def test_ctrl_c_ends_the_search_and_keeps_what_was_tried(parts, tmp_path: Path, monkeypatch) -> None:
    fit, calls = EmbeddingModel.fit, []

    def interrupted(self, *arguments, **named):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fit(self, *arguments, **named)

    monkeypatch.setattr(EmbeddingModel, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(parts, trials=4, folder=tmp_path)
    assert len(search(parts, trials=4, folder=tmp_path).trials) == 4
    assert len(calls) == 5


def test_a_failed_trial_has_a_reason_and_does_not_end_the_search(parts, monkeypatch) -> None:
    fit, calls = EmbeddingModel.fit, []

    def sometimes(self, *arguments, **named):
        calls.append(1)
        if len(calls) == 2:
            raise TrainingError("The loss became nan in epoch 1.")
        if len(calls) == 3:
            raise MemoryError
        return fit(self, *arguments, **named)

    monkeypatch.setattr(EmbeddingModel, "fit", sometimes)
    found = search(parts, trials=5)
    assert found.reasons == ["The loss became nan in epoch 1.", "MemoryError"]
    assert list(found.trials["metric"].isna()) == [False, True, True, False, False]
    assert list(found.ranked["metric"]) == sorted(found.trials["metric"].dropna(), reverse=True)
    assert found.best == found.trials["best"].iloc[-1] == found.ranked["metric"].iloc[0]
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1000)
    with pytest.raises(TrainingError, match=r"TransE: none of 2 trials succeeded\. TransE with embedding_dim"):
        search(parts, trials=2)


def bad_in_training(number: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let one training report bad epochs; return the list of all epochs that it reports."""
    fit, trainings, epochs = EmbeddingModel.fit, [], []

    def observed(self, *arguments, on_epoch, **named):
        trainings.append(1)

        def report(epoch: int, metric: float) -> None:
            epochs.append(epoch)
            on_epoch(epoch, 0.0)

        return fit(self, *arguments, on_epoch=report if len(trainings) == number else on_epoch, **named)

    monkeypatch.setattr(EmbeddingModel, "fit", observed)
    return epochs


def test_a_bad_trial_is_pruned_after_ten_epochs(parts, monkeypatch) -> None:
    epochs = bad_in_training(6, monkeypatch)
    found = search(parts, trials=7, epochs=13, patience=13)
    assert epochs == list(range(11))
    assert found.trials["state"].iloc[5] == "pruned" and np.isnan(found.trials["metric"].iloc[5])
    assert found.trials["reason"].iloc[5] == "Pruned after 11 epochs." and found.reasons == []
    figure = plots.trials_figure(found.trials, found.searched, title="TransE", metric=found.metric)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert "pruned" in labels and "failed" not in labels


def test_the_first_five_trials_are_not_pruned(parts, monkeypatch) -> None:
    epochs = bad_in_training(5, monkeypatch)
    assert set(search(parts, trials=5, epochs=12, patience=12).trials["state"]) == {"complete"}
    assert epochs == list(range(12))


def test_a_continued_search_with_pruned_trials_finds_what_an_uninterrupted_one_finds(parts, tmp_path: Path) -> None:
    longer = {"epochs": 13, "patience": 13}
    alone = search(parts, trials=12, **longer)
    assert "pruned" in set(alone.trials["state"])
    for trials in (3, 7, 12):
        again = search(parts, trials=trials, folder=tmp_path, **longer)
    assert again.trials.drop(columns="seconds").equals(alone.trials.drop(columns="seconds"))


def test_the_figure_shows_every_trial_and_one_plot_per_setting(parts, tmp_path: Path) -> None:
    found = search(parts, trials=4)
    figure = plots.trials_figure(found.trials, found.searched, title="TransE", metric=found.metric)
    assert len(figure.axes) == 1 + len(found.searched)
    assert len(figure.axes[0].collections[0].get_offsets()) == 4
    figure.savefig(tmp_path / "found.png")


@pytest.mark.parametrize(
    ("name", "goal", "metric"),
    [
        ("MKR", {}, "NDCG@10 (validation)"),
        ("MKR", {"goal": "clicks"}, "AUC (validation)"),
        ("KGCN", {}, "NDCG@10 (validation)"),
        ("ItemKNN", {}, "NDCG@10 (validation)"),
    ],
)
def test_recommenders_are_searched_by_their_goal_on_the_validation_set(
    name: str, goal: dict[str, str], metric: str, tmp_path: Path
) -> None:
    likes, graph, _, _ = directors_and_fans()
    train, valid, _ = likes.split((0.8, 0.2, 0.0), seed=0)
    trained = {} if name == "ItemKNN" else {"epochs": 2, "embedding_dim": 8, **goal}
    found = tune(
        name, train, graph if trained else None, valid=valid, trials=3, folder=tmp_path, progress=False, **trained
    )
    assert found.metric == metric and 0 <= found.best <= 1
    assert np.isfinite(found.trials["metric"]).all() and "embedding_dim" not in found.searched
    kgplug.create(name, **found.settings)


def test_a_study_of_another_metric_is_not_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, valid = directors_and_fans()[0].split((0.8, 0.2), seed=0, by="row")
    options = {"valid": valid, "trials": 1, "folder": tmp_path, "progress": False}
    with monkeypatch.context() as before:
        before.setattr(tuning, "_metric_of", lambda *_: ("AUC (validation)", lambda trained: 2.0))
        assert tune("ItemKNN", train, **options).best == 2
    assert tune("ItemKNN", train, **options).best <= 1


@pytest.mark.parametrize("goal", ["lists", "clicks"])
def test_a_validation_set_without_likes_is_refused_before_training(goal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    train, valid = directors_and_fans()[0].split((0.8, 0.2), seed=0, by="row")
    monkeypatch.setattr(MF, "fit", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(DataError, match="MF: none of the 0 validation rows is a like"):
        tune("MF", train, valid=valid.take(np.zeros(len(valid), dtype=bool)), goal=goal, progress=False)


def test_searches_that_cannot_work_are_refused_before_training(parts, tmp_path: Path) -> None:
    likes = directors_and_fans()[0]
    with pytest.raises(UsageError, match="Popularity has no settings to search"):
        tune("Popularity", likes, valid=likes)
    with pytest.raises(UsageError, match="Nothing is left to search: similarity, neighbours are all given"):
        tune("ItemKNN", likes, valid=likes, similarity="cosine", neighbours=5)
    with pytest.raises(UsageError, match='Unknown setting of ItemKNN "epochs"'):
        tune("ItemKNN", likes, valid=likes, epochs=3)
    with pytest.raises(UsageError, match="TransE is an embedding: pass a KnowledgeGraph"):
        tune("TransE", likes, valid=likes)
    with pytest.raises(UsageError, match="trials: expected at least 1"):
        search(parts, trials=0)


def test_a_damaged_study_is_refused(parts, tmp_path: Path) -> None:
    path = search(parts, trials=1, folder=tmp_path).path
    assert path is not None
    path.write_bytes(b"no database" * 200)
    with pytest.raises(RunError, match="Delete it to search from the start"):
        search(parts, trials=2, folder=tmp_path)


def test_the_old_name_of_the_metric_still_works(parts) -> None:
    found = search(parts, trials=1)
    with pytest.warns(DeprecationWarning, match="figure is now called metric"):
        assert found.figure == found.metric == "MRR (validation)"


def test_optuna_prints_nothing_and_its_log_level_is_restored(parts, capfd: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    search(parts, trials=2)
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == before
    search(parts, trials=2, progress=True)
    assert "TransE trials" in capfd.readouterr().err
