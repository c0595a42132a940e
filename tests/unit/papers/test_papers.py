"""`kgplug papers`: what is measured, what is kept of it, and the pages that are written."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.errors import KgplugError, UsageError
from kgplug.papers import books_figure_3, books_figures_4_5, movies_figure_8, movies_table_2
from kgplug.papers.catalogue import EXPERIMENTS
from kgplug.papers.experiment import Contender, PaperData
from kgplug.papers.lists import list_metrics
from kgplug.papers.page import page_of
from kgplug.papers.reproduce import reproduce
from kgplug.papers.results import ResultsFile, paired_p
from kgplug.recommenders.base import Recommender

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def data() -> PaperData:
    """Two groups of users: each likes one half of the items and rates the other low. The graph knows the halves."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(60), 12)
    items = np.concatenate([rng.choice(30, 12, replace=False) for _ in range(60)])
    ratings = np.where(users % 2 == items % 2, 5, 2).astype(np.float32)
    interactions = Interactions.from_arrays(
        np.arange(60), np.array([f"i{n}" for n in range(30)], dtype=object), users, items, ratings=ratings,
        like_threshold=4, item_label="Item",
    )  # fmt: skip
    keys = np.array([*(f"i{n}" for n in range(30)), "even", "odd"], dtype=object)
    labels = np.array(["Item"] * 30 + ["Half"] * 2, dtype=object)
    triples = np.column_stack([np.arange(30), np.zeros(30, dtype=np.int64), 30 + np.arange(30) % 2])
    return PaperData("two halves", interactions, KnowledgeGraph.from_arrays(keys, labels, np.array(["IN"]), triples))


def counting(monkeypatch: pytest.MonkeyPatch, *, stop_at: int | None = None) -> list[str]:
    """Record each training by the model's name; raise Ctrl-C instead of training number `stop_at`."""
    trained: list[str] = []
    create = Contender.create

    def watched(self: Contender, **more: object) -> Recommender:
        model = create(self, **more)
        fit = model.fit

        def count(*args: object, **kwargs: object) -> Recommender:
            if len(trained) == stop_at:
                raise KeyboardInterrupt
            trained.append(self.name)
            return fit(*args, **kwargs)

        object.__setattr__(model, "fit", count)
        return model

    monkeypatch.setattr(Contender, "create", watched)
    return trained


def test_a_killed_command_continues_and_measures_nothing_twice(
    data: PaperData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"models": ["Popularity", "EASE"], "repetitions": 2, "quick": True}
    trained = counting(monkeypatch, stop_at=3)
    with pytest.raises(KeyboardInterrupt) as stopped:
        reproduce(movies_table_2.EXPERIMENT, data, tmp_path, **arguments)
    assert "Run the same command again" in stopped.value.__notes__[0]
    (file,) = tmp_path.iterdir()
    with file.open("a") as half:
        half.write('{"contender": "EASE", "proto')  # killed while it wrote
    monkeypatch.undo()
    trained = counting(monkeypatch)
    results = reproduce(movies_table_2.EXPERIMENT, data, tmp_path, **arguments)
    assert len(trained) == 2 * 2 * 2 - 3
    assert len(results.found) == 8
    assert reproduce(movies_table_2.EXPERIMENT, data, tmp_path, **arguments).found == results.found
    assert len(trained) == 5
    fresh = reproduce(movies_table_2.EXPERIMENT, data, tmp_path / "fresh", **arguments)
    assert {key: each.rows for key, each in fresh.found.items()} == {
        key: each.rows for key, each in results.found.items()
    }


def test_other_settings_are_measured_again(data: PaperData, tmp_path: Path) -> None:
    file = ResultsFile(tmp_path / "a.jsonl")
    results = reproduce(movies_table_2.EXPERIMENT, data, tmp_path, models=["EASE"], repetitions=1, quick=True)
    (key, measured), *_ = results.found.items()
    file.add(key, measured)
    assert ResultsFile(tmp_path / "a.jsonl").has(key, measured.settings)
    assert not file.has(key, {**measured.settings, "l2": 3.0})


def test_table_2_separates_high_from_low_ratings(data: PaperData) -> None:
    """EASE finds the halves, so it puts every 5 above every 2; popularity knows nothing.

    By the honest protocol, half of the drawn items are as good as the likes, so even EASE is wrong about many.
    """
    contenders = {each.name: each for each in movies_table_2.EXPERIMENT.contenders}
    for protocol, least in ((movies_table_2.RATINGS, 0.95), (movies_table_2.HONEST, 0.65)):
        knows = movies_table_2.measure(contenders["EASE"], protocol, data, 0)["EASE"]
        not_ = movies_table_2.measure(contenders["Popularity"], protocol, data, 0)["Popularity"]
        assert knows["AUC"] > least and knows["ACC"] > least
        assert not_["AUC"] < least - 0.05


def test_data_without_low_ratings_are_refused_for_one_protocol_only(data: PaperData, tmp_path: Path) -> None:
    likes = PaperData("likes", data.interactions.likes(), data.knowledge)
    results = reproduce(movies_table_2.EXPERIMENT, likes, tmp_path, models=["EASE"], repetitions=1)
    assert "all feedback here is of one kind" in results.refused(movies_table_2.RATINGS)["EASE"]
    assert list(results.values(movies_table_2.HONEST, "AUC")) == ["EASE"]
    assert "EASE was not measured" in page_of(results, likes, command="c").as_html()


def test_if_every_model_refuses_the_data_the_reason_is_the_error(data: PaperData, tmp_path: Path) -> None:
    rows = data.interactions.take(np.arange(0))
    with pytest.raises(KgplugError, match="No model could be measured"):
        reproduce(movies_figure_8.EXPERIMENT, PaperData("none", rows, data.knowledge), tmp_path, models=["EASE"])


def test_an_unknown_model_is_refused_before_anything_is_trained(data: PaperData, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"books-figure-3 does not measure MKRR\. Choose from CKCF"):
        reproduce(books_figure_3.EXPERIMENT, data, tmp_path, models=["MKRR"])


def test_every_list_metric_is_the_mean_over_users(data: PaperData) -> None:
    train, test = data.interactions.with_like_threshold(None).split((0.75, 0.25), seed=0, by="row")
    model = Contender("EASE", "EASE").create(settings="defaults").fit(train, seed=0, progress=False)
    found, users = list_metrics(model, test, (2, 5)), np.unique(test.users)
    lists = model.recommend(users, 5)[0]
    for k in (2, 5):
        recalls = []
        for user, items in zip(users, lists, strict=True):
            right = set(test.items[test.users == user].tolist())
            recalls.append(len(right & set(items[:k].tolist())) / len(right))
        assert found[f"recall@{k}"] == pytest.approx(np.mean(recalls))


def test_only_neighbours_ends_a_list_at_its_first_score_of_zero(data: PaperData) -> None:
    def recommend(users: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        items = np.tile(np.arange(k), (len(users), 1))
        return items, np.where(items < 1, 1.0, 0.0)

    model = Contender("Popularity", "Popularity").create()
    object.__setattr__(model, "recommend", recommend)
    rows = data.interactions
    first = rows.take(rows.items == 0)
    assert list_metrics(model, first, (3,), only_neighbours=True)["recall@3"] == 1
    second = rows.take(rows.items == 1)
    assert list_metrics(model, second, (3,), only_neighbours=True)["recall@3"] == 0
    assert list_metrics(model, second, (3,))["recall@3"] == 1


def test_cold_metrics_count_only_test_rows_of_new_items(data: PaperData) -> None:
    train, test = books_figures_4_5.sets(data, 0)
    rare = train.take(train.items != 3)
    contender = Contender("Popularity", "Popularity")
    model = contender.create().fit(rare, seed=0, progress=False)
    found = books_figures_4_5.metrics(model, contender, rare, test)
    only = list_metrics(model, test.take(test.items == 3), books_figures_4_5.LENGTHS)
    assert found["cold recall@50"] == only["recall@50"]
    assert found["recall@5"] != only["recall@5"]


def test_figure_3_has_a_row_per_ratio_and_each_is_that_of_a_model_trained_with_it(data: PaperData) -> None:
    rows = books_figure_3.measure(books_figures_4_5.CKCF, "lists", data, 0)
    assert list(rows) == [f"{n}:{10 - n}" for n in range(11)]
    train, test = books_figures_4_5.sets(data, 0)
    model = books_figures_4_5.CKCF.create(cf_share=0.3).fit(train, data.knowledge, seed=0, progress=False)
    assert rows["3:7"] == books_figures_4_5.metrics(model, books_figures_4_5.CKCF, train, test)


def test_figure_8_marks_the_peak_of_the_curve(data: PaperData) -> None:
    row = movies_figure_8.measure(Contender("EASE", "EASE", {"settings": "defaults"}), "lists", data, 0)["EASE"]
    curve = [row[f"F1@{k}"] for k in movies_figure_8.LENGTHS]
    assert row["highest F1"] == max(curve)
    assert row["at K"] == curve.index(max(curve)) + 1


def test_the_paired_test_is_that_of_nadeau_and_bengio() -> None:
    d, ratio = np.array([0.01, 0.03, 0.02, 0.015, 0.04]), 0.25
    t = d.mean() / math.sqrt((1 / 5 + 0.25) * sum((x - d.mean()) ** 2 for x in d) / 4)
    assert paired_p(d, ratio) == pytest.approx(2 * (1 - stats.t.cdf(t, 4)))
    assert paired_p(d, 0.0) == pytest.approx(stats.ttest_1samp(d, 0).pvalue)
    assert paired_p([0, 0, 0], ratio) == 1
    assert paired_p([0.1, 0.1], ratio) == 0
    assert math.isnan(paired_p([0.1], ratio))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_pages_need_no_other_file_and_hold_table_chart_and_printed_values(
    name: str, data: PaperData, tmp_path: Path
) -> None:
    experiment = EXPERIMENTS[name]
    quick = [each for each in experiment.quick if each not in ("LibFM", "MKR", "MF")]
    results = reproduce(experiment, data, tmp_path, models=quick, repetitions=2, quick=True)
    page, text = page_of(results, data, command="kgplug papers <x>").write(tmp_path / "pages", f"{name}-quick")
    html = page.read_text()
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert "data:image/png;base64,iVBOR" in html
    assert "kgplug papers &lt;x&gt;" in html
    assert "Measured with --quick" in html and "Measured with --quick" in text.read_text()
    for sentence in experiment.differences:
        assert sentence in text.read_text()
    for protocol in experiment.protocols:
        for row in results.rows(protocol):
            assert f"<td>{row}</td>" in html
            assert f"| {row} |" in text.read_text()
    assert (tmp_path / "pages" / f"{name}-quick.png").read_bytes().startswith(b"\x89PNG")


def test_the_best_row_has_a_star_and_rows_that_may_be_as_good_are_marked(data: PaperData, tmp_path: Path) -> None:
    experiment = movies_table_2.EXPERIMENT
    results = reproduce(experiment, data, tmp_path, models=["EASE", "Popularity"], repetitions=4, quick=True)
    found = results.summaries(movies_table_2.HONEST, "AUC")
    assert math.isnan(found["EASE"].p)
    assert found["Popularity"].p < 0.05
    text = page_of(results, data, command="c").as_markdown(str)
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
    assert " *" in lines["EASE"]
    assert "*" not in lines["Popularity"] and "≈" not in lines["Popularity"]


def test_values_that_the_paper_prints_stand_next_to_those_measured(data: PaperData, tmp_path: Path) -> None:
    results = reproduce(movies_table_2.EXPERIMENT, data, tmp_path, models=["MKR", "EASE"], repetitions=1, quick=True)
    text = page_of(results, data, command="c").as_markdown(str)
    header = next(line for line in text.splitlines() if line.startswith("|  |"))
    assert header == "|  | ACC | AUC | paper: ACC | paper: AUC |"
    mkr = next(line for line in text.splitlines() if line.startswith("| MKR |"))
    assert mkr.endswith("| .8250 | .9030 |")


def test_the_file_is_one_line_of_json_per_measurement(data: PaperData, tmp_path: Path) -> None:
    reproduce(movies_table_2.EXPERIMENT, data, tmp_path, models=["EASE"], repetitions=1, quick=True)
    (file,) = tmp_path.iterdir()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["protocol"] for line in lines] == ["ratings", "honest"]
    assert set(lines[0]["rows"]["EASE"]) == {"AUC", "ACC"}
