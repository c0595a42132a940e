"""The registry of metrics: each entry is complete, and a new entry is in every table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kgplug
from kgplug.cli import training
from kgplug.evaluation.metrics import catalogue, ranked_lists
from kgplug.evaluation.metrics.metric import Better, Metric, Need, Shown
from kgplug.evaluation.report import to_table
from kgplug.recommenders.models.item_knn import ItemKNN
from kgplug.recommenders.models.popularity import Popularity
from tests.unit.helpers.planted import two_tastes

NAMES = [metric.name for metric in catalogue.metrics()]


@pytest.mark.parametrize("metric", catalogue.metrics(), ids=NAMES)
def test_an_entry_is_complete(metric: Metric) -> None:
    assert metric.name and metric.description and "\n" not in metric.description and metric.needs
    assert catalogue.metric_of(metric.column(10)) is metric
    assert ("@k" in metric.name) == (Need.LISTS in metric.needs)
    assert not metric.by_group or Need.LIKES in metric.needs


def test_names_are_unique_and_each_kind_of_model_has_one_to_sort_and_one_to_validate_by() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert {metric.kind for metric in catalogue.metrics()} == set(catalogue.SORTED_BY) == set(catalogue.VALIDATED_BY)
    for chosen in (catalogue.SORTED_BY, catalogue.VALIDATED_BY):
        assert all(metric.kind == kind and metric in catalogue.metrics() for kind, metric in chosen.items())
    assert [metric.validation_name for metric in catalogue.VALIDATED_BY.values()] == [
        "AUC (validation)",
        "MRR (validation)",
    ]


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("NDCG@10", "NDCG@k"),
        ("ndcg@5", "NDCG@k"),
        ("NDCG@10 cold users", "NDCG@k"),
        ("MRR@20", "MRR@k"),
        ("MRR", "MRR"),
        ("MRR tails", "MRR tails"),
        ("hits@3", "hits@3"),
        ("warm AUC", "AUC"),
        ("AUC hot items", "AUC"),
        ("users", None),
        ("cold users", None),
        ("hits@7", None),
        ("AUC (validation)", None),
    ],
)
def test_a_column_leads_to_its_metric(column: str, name: str | None) -> None:
    found = catalogue.metric_of(column)
    assert (found and found.name) == name


def test_each_view_has_its_columns() -> None:
    lists = ["AUC", "ACC", *(f"{name}@{k}" for k in (5, 10) for name in ("precision", "recall", "F1", "NDCG", "hit"))]
    columns = [*lists, "coverage@5", "users", "left out", "novelty@5", "AUC cold users"]
    assert catalogue.shown(columns, Shown.TABLE) == [*lists, "coverage@5"]
    assert catalogue.shown_once(columns, Shown.PICTURE) == ["AUC", "NDCG@10", "recall@10", "hit@10"]
    assert catalogue.shown_once(columns, Shown.LINE) == ["AUC", "NDCG@10"]
    assert catalogue.shown_once(["NDCG@7", "NDCG@20"], Shown.LINE) == ["NDCG@7"]
    ranks = ["MRR", "hits@1", "hits@3", "hits@10", "MRR heads", "MRR tails"]
    assert catalogue.shown([*ranks, "untrained", "test rows"], Shown.SUMMARY) == ranks
    assert catalogue.shown_once(ranks, Shown.PICTURE) == ranks[:4]


def test_the_best_value_of_a_lower_is_better_metric_is_bold(planted: Metric) -> None:
    assert catalogue.better("first@10") == Better.LOWER and catalogue.better("users") == Better.NEITHER


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Metric:
    """One more metric of lists: the rank of the first hit, k + 1 without one."""
    metric = Metric[ranked_lists.ListHits](
        name="first@k",
        better=Better.LOWER,
        needs=(Need.LIKES, Need.LISTS),
        shown=Shown.LINE,
        description="rank of the first hit",
        measure=lambda hits: np.where(hits.first_rank > 0, hits.first_rank, hits.k + 1),
        by_group=True,
    )
    monkeypatch.setattr(ranked_lists, "METRICS", (*ranked_lists.METRICS, metric))
    return metric


def test_a_new_metric_is_measured_printed_and_documented(planted: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    train, valid, test = two_tastes().split((0.6, 0.2, 0.2), seed=1)
    models = {"pop": Popularity().fit(train), "knn": ItemKNN().fit(train)}
    table = kgplug.evaluate(models, train, test, valid=valid, k=(5,), beyond=True)
    assert 1 <= table.loc["knn", "first@5"] < table.loc["pop", "first@5"] <= 6
    assert table["first@5 hot users"].notna().all()
    bold = [
        str(cell) for column in to_table(table[["first@5"]]).columns for cell in column._cells if cell.style == "bold"
    ]
    assert bold == [f"{table.loc['knn', 'first@5']:.4f}"]
    printed = []
    for name in ("print_frame", "print_compared"):
        monkeypatch.setattr(training, name, lambda frame, **_: printed.extend(frame.columns))
    training._print_measures({"recommender": table}, beyond=False, as_json=False, sorted_by=5)
    assert "first@5" in printed
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "docs"))
    import metrics_page

    assert "| first@k * | lower |" in metrics_page.page()
