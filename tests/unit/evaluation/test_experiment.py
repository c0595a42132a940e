"""Experiments: leaks are refused, protocols differ as they say, figures are what the parts give."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import kgplug
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.errors import DataError, TrainingError, UsageError
from kgplug.evaluation.ctr import auc, label_pairs
from kgplug.evaluation.experiment import evaluate, evaluate_ctr
from kgplug.evaluation.link_prediction import evaluate_link_prediction
from kgplug.evaluation.protocol import Protocol, divide
from kgplug.evaluation.ranking import evaluate_ranking
from kgplug.evaluation.report import to_json, to_table
from kgplug.recommenders.models.item_knn import ItemKNN
from kgplug.recommenders.models.popularity import Popularity
from tests.unit.helpers.planted import two_tastes

TRIPLES = pd.DataFrame({"head": range(40), "relation": "near", "tail": [(i * 7 + 3) % 40 for i in range(40)]})


@pytest.fixture(scope="module")
def parts() -> tuple[Interactions, Interactions, Interactions]:
    train, valid, test = two_tastes().split((0.6, 0.2, 0.2), seed=1)
    return train, valid, test


def test_one_row_a_model_with_every_figure(parts) -> None:
    train, valid, test = parts
    models = {"pop": Popularity().fit(train), "knn": ItemKNN().fit(train)}
    table = evaluate(models, train, test, valid=valid, k=(5, 10))
    assert list(table.index) == ["pop", "knn"] and table.index.name == "model"
    names = ("precision", "recall", "F1", "NDCG", "hit", "MRR", "coverage")
    assert {f"{name}@{k}" for k in (5, 10) for name in names} <= set(table.columns)
    assert list(table.columns[:2]) + list(table.columns[-2:]) == ["AUC", "ACC", "users", "left out"]
    assert table.loc["knn", "AUC"] > 0.7 > table.loc["pop", "AUC"]
    assert table.loc["knn", "ACC"] > 0.6
    result = evaluate_ranking(models["knn"], train, test, valid=valid, k=(5, 10))
    assert {name: table.loc["knn", name] for name in result.metrics} == pytest.approx(result.metrics)
    pairs = label_pairs(test, [train, valid, test], np.random.default_rng(0))
    assert table.loc["knn", "AUC"] == auc(pairs.labels, models["knn"].score(pairs.users, pairs.items))


def test_all_models_answer_the_same_pairs_and_a_seed_gives_them_again(parts) -> None:
    train, _, test = parts
    model = Popularity().fit(train)
    table = evaluate({"a": model, "b": model}, train, test, k=3)
    assert table.loc["a"].equals(table.loc["b"])
    assert evaluate({"a": model}, train, test, k=3).equals(table.loc[["a"]])
    assert evaluate({"a": model}, train, test, k=3, seed=1).loc["a", "AUC"] != table.loc["a", "AUC"]


def test_test_rows_in_the_training_part_are_refused(parts) -> None:
    train, _, test = parts
    leaky = Interactions.from_arrays(
        train.user_keys, train.item_keys, np.append(train.users, test.users[:3]), np.append(train.items, test.items[:3])
    )
    user, item = test.user_keys[test.users[0]], test.item_keys[test.items[0]]
    with pytest.raises(UsageError) as error:
        evaluate({"pop": Popularity().fit(leaky)}, leaky, test)
    assert f"The test set leaks: 3 of its {len(test)} rows are also in the training set" in str(error.value)
    assert f"user {user!r}, item {item!r}" in str(error.value)


@pytest.mark.training
def test_a_model_that_has_seen_test_or_other_data_is_refused(parts) -> None:
    train, _, test = parts
    with pytest.raises(UsageError, match=r'among the rows that model "pop" was fitted on'):
        evaluate({"pop": Popularity().fit(two_tastes())}, train, test)
    with pytest.raises(UsageError, match=r"fitted on other users or items"):
        evaluate({"pop": Popularity().fit(two_tastes(n_items=50))}, train, test)
    with pytest.raises(UsageError, match=r"has not been fitted"):
        evaluate({"pop": Popularity()}, train, test)
    with pytest.raises(UsageError, match=r"take both from one split"):
        evaluate({"pop": Popularity().fit(train)}, train, two_tastes(n_items=50))
    with pytest.raises(UsageError, match=r"The validation set leaks"):
        evaluate({"pop": Popularity().fit(train)}, train, test, valid=train)
    with pytest.raises(UsageError, match=r"at least one model"):
        evaluate({}, train, test)
    with pytest.raises(UsageError, match=r'Model "pop": expected a fitted model, found a str'):
        evaluate({"pop": "Popularity"}, train, test)  # type: ignore[dict-item]
    with pytest.raises(UsageError, match=r"test must be Interactions; found KnowledgeGraph"):
        evaluate(Popularity().fit(train), train, KnowledgeGraph.from_dataframe(TRIPLES))


@pytest.mark.training
def test_one_model_or_several_need_no_names(parts) -> None:
    train, valid, test = parts
    first, second = Popularity().fit(train), Popularity().fit(train)
    one = evaluate(first, train, test, valid=valid)
    assert one.index.tolist() == ["Popularity"]
    assert evaluate([first], train, test, valid=valid).equals(one)
    assert evaluate([first, second], train, test, valid=valid).index.tolist() == ["Popularity 1", "Popularity 2"]


@pytest.mark.training
def test_embeddings_are_measured_by_link_prediction() -> None:
    train, valid, test = KnowledgeGraph.from_dataframe(TRIPLES).split((0.8, 0.1, 0.1), seed=0)
    model = kgplug.create("TransE", epochs=1, embedding_dim=4, device="cpu").fit(train, progress=False)  # type: ignore[arg-type]
    table = evaluate(model, train, test, valid=valid)
    known = np.concatenate([part.triples for part in (train, valid, test)])
    assert table.loc["TransE"].to_dict() == evaluate_link_prediction(model, test.triples, known)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"no metric in common"):
        evaluate([model, Popularity().fit(two_tastes())], train, test)  # type: ignore[list-item]


def test_a_test_part_without_likes_is_refused(parts) -> None:
    train, _, test = parts
    with pytest.raises(DataError, match=r"none of the .* rows is a like"):
        evaluate({"pop": Popularity().fit(train)}, train, test.take(~test.is_like))


def test_scores_that_are_not_numbers_are_refused(parts) -> None:
    train, _, test = parts
    model = Popularity().fit(train)
    model.likes_per_item = model.likes_per_item * np.nan
    with pytest.raises(TrainingError, match=r"not numbers"):
        evaluate({"pop": model}, train, test)


def test_a_probability_counts_from_one_half_on_and_other_scores_from_the_validation_parts_best(parts) -> None:
    train, valid, test = parts
    model = ItemKNN().fit(train)
    chosen = evaluate({"m": model}, train, test, valid=valid, k=1).loc["m", "ACC"]
    model.scores_are_probabilities = True  # all its positive scores are far above or below one half
    assert evaluate({"m": model}, train, test, valid=valid, k=1).loc["m", "ACC"] != chosen
    del model.scores_are_probabilities
    assert evaluate({"m": model}, train, test, k=1).loc["m", "ACC"] > 0.5  # the median over training pairs


def test_honest_negatives_are_drawn_after_the_split_and_the_papers_before() -> None:
    rows = two_tastes()
    rated = set(rows.pairs.tolist())
    for protocol in ("honest", "paper"):
        data = divide(rows, (0.6, 0.2, 0.2), like_threshold=4, protocol=protocol, seed=0)
        assert data.valid is not None and data.valid_pairs is not None
        held = [set((p.users * rows.n_items + p.items).tolist()) for p in (data.valid_pairs, data.test_pairs)]
        negatives = data.test_pairs.users[~data.test_pairs.labels] * rows.n_items
        negatives = negatives + data.test_pairs.items[~data.test_pairs.labels]
        assert not rated & set(negatives.tolist())
        assert not set(data.train.pairs.tolist()) & (held[0] | held[1])
        balanced = np.bincount(data.test_pairs.users, np.where(data.test_pairs.labels, 1, -1))
        low_rated = set(data.train.pairs[~data.train.is_like].tolist())  # in the papers' way, drawn negatives
        assert low_rated and (low_rated <= rated, bool((balanced == 0).all())) == ((protocol == "honest"),) * 2


@pytest.mark.parametrize("protocol", ["honest", "paper"])
def test_all_parts_keep_titles_and_labels(protocol: Protocol) -> None:
    rows = two_tastes()
    rows = replace(rows.with_texts({key: f"title of {key}" for key in rows.item_keys}), item_label="Film")
    data = divide(rows, (0.6, 0.2, 0.2), like_threshold=4, protocol=protocol, seed=0)
    for part in (data.train, data.valid):
        assert part is not None and part.item_label == "Film" and part.texts_fingerprint == rows.texts_fingerprint


def test_one_row_a_seed_that_names_the_protocol() -> None:
    rows = two_tastes()
    table = evaluate_ctr("itemknn", rows, seeds=(3, 4), protocol="paper", similarity="cosine")
    figures = ["AUC", "ACC", "warm AUC", "valid AUC"]
    assert list(table.columns) == ["model", "protocol", "seed", *figures, "epochs", "seconds"]
    assert list(table.model) == ["ItemKNN"] * 2 and list(table.protocol) == ["paper"] * 2 and list(table.seed) == [3, 4]
    assert (table.AUC > 0.7).all() and (table.ACC > 0.6).all()
    again = evaluate_ctr("ItemKNN", rows, seeds=(4,), protocol="paper", similarity="cosine")
    assert again.AUC[0] == table.AUC[1]


def test_without_ratings_every_row_is_a_positive() -> None:
    rows = two_tastes()
    plain = Interactions.from_arrays(rows.user_keys, rows.item_keys, rows.users, rows.items)
    data = divide(plain, (0.6, 0.2, 0.2), like_threshold=4, protocol="honest", seed=0)
    assert abs(len(data.train) - 0.6 * len(rows)) < 1


def test_a_split_without_validation_is_measured_too() -> None:
    table = kgplug.evaluate_ctr("Popularity", two_tastes(), fractions=(0.8, 0.0, 0.2), seeds=(0,))
    assert 0 < table.ACC[0] < 1


@pytest.mark.training
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"fractions": (0.8, 0.2)}, "three, for training, validation and test set"),
        ({"fractions": (0.8, 0.2, 0.2)}, "add up to 1"),
        ({"protocol": "usual"}, '"honest" or "paper"'),
        ({"seeds": ()}, "at least one"),
        ({"seeds": (-1,)}, "whole numbers from 0 on"),
        ({"like_threshold": "4"}, "lowest rating of a like"),
        ({"like_threshold": 9}, "ratings run from 1 to 5"),
        ({"name": "Popularty"}, 'Did you mean "Popularity"'),
        ({"name": "TransE"}, "embedding"),
        ({"size": 3}, 'Unknown setting of Popularity "size"'),
        ({"name": "MKR"}, "needs a knowledge graph"),
    ],
)
def test_wrong_arguments_are_one_sentence(wrong: dict, message: str) -> None:
    options = {"name": "Popularity", "interactions": two_tastes(), **wrong}
    with pytest.raises((UsageError, DataError)) as error:
        evaluate_ctr(**options)
    assert message in str(error.value)


def test_too_few_positives_are_refused() -> None:
    rows = two_tastes().likes().take(np.arange(1))
    with pytest.raises(DataError, match=r"Too few positives \(1\)"):
        evaluate_ctr("Popularity", rows, seeds=(0,))


FRAME = pd.DataFrame(
    {"AUC": [0.91234, 0.9], "NDCG@10": [np.nan, 0.3], "seconds": [1.25, 100.0], "users": [943, 943]},
    index=pd.Index(["MKR [x]", "KNN"], name="model"),
)


def _print(frame: pd.DataFrame, **options) -> str:
    console = Console(width=120, force_terminal=True, color_system="standard", legacy_windows=False)
    with console.capture() as capture:
        console.print(to_table(frame, **options))
    return capture.get()


def test_a_table_has_equal_digits_and_the_best_value_in_bold() -> None:
    shown = _print(FRAME, title="Models")
    bold = "\x1b[1m"
    assert "Models" in shown and "MKR [x]" in shown
    assert f"{bold}0.9123" in shown and f"{bold}0.9000" not in shown
    assert "–" in shown and "100.0" in shown and f"{bold}100.0" not in shown


def test_a_table_of_many_figures_is_turned_so_that_it_fits() -> None:
    wide = pd.DataFrame(np.random.default_rng(0).random((2, 14)), index=["a", "b"])
    wide.columns = [f"recall@{number}" for number in range(14)]
    assert len(_print(wide).splitlines()) > 14


def test_json_is_one_object_a_row_with_null_for_no_value() -> None:
    rows = json.loads(to_json(FRAME))
    assert rows[0] == {"model": "MKR [x]", "AUC": 0.91234, "NDCG@10": None, "seconds": 1.25, "users": 943}
    odd = pd.DataFrame({"a": [np.array([1, 2]), None], "t": pd.to_datetime(["2020-01-01", None]), "é": ["x", pd.NA]})
    assert json.loads(to_json(odd)) == [
        {"a": [1, 2], "t": "2020-01-01 00:00:00", "é": "x"},
        {"a": None, "t": None, "é": None},
    ]


def test_several_recommenders_are_compared_user_by_user(parts) -> None:
    train, valid, test = parts
    models = {"pop": Popularity().fit(train), "knn": ItemKNN().fit(train), "same": ItemKNN().fit(train)}
    table = evaluate(models, train, test, valid=valid, k=(5, 10))
    found = pd.DataFrame(table.attrs["differences"]).set_index(["model", "metric"])
    assert set(found.index.get_level_values("model")) == {"pop", "same"} and set(found["baseline"]) == {"knn"}
    of_lists = [f"{name}@{k}" for k in (5, 10) for name in ("precision", "recall", "F1", "NDCG", "hit", "MRR")]
    for metric in ("AUC", *of_lists):
        assert found.loc[("pop", metric), "difference"] == pytest.approx(
            table.loc["pop", metric] - table.loc["knn", metric]
        )
        assert found.loc[("same", metric), "p"] == 1
    assert found.loc[("pop", "AUC"), "more_than_chance"] and (found["users"] == table.loc["pop", "users"]).all()
    beforehand = evaluate(models, train, test, k=5, baseline="pop").attrs["differences"]
    assert {each.baseline for each in beforehand} == {"pop"}
    assert evaluate({"pop": models["pop"]}, train, test, k=5).attrs["differences"] == []
    with pytest.raises(UsageError, match=r'baseline "mkr": expected one of the recommenders \(pop, knn, same\)'):
        evaluate(models, train, test, baseline="mkr")


def test_users_who_like_nothing_are_compared_only_where_all_test_rows_are_relevant(parts) -> None:
    train, _, test = parts
    some = test.take(~test.is_like | (test.users % 2 == 0))
    models = {"pop": Popularity().fit(train), "knn": ItemKNN().fit(train)}
    found = evaluate(models, train, some, k=5, relevant="all").attrs["differences"]
    users = {each.metric: each.users for each in found}
    assert users["AUC"] == len(set(some.likes().users)) < users["NDCG@5"] == len(set(some.users))
