"""What every recommender makes of input that is small, lopsided or empty: finite scores, or one sentence."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import kgplug
from kgplug.data.interactions import Interactions
from kgplug.errors import DataError, UsageError
from kgplug.recommenders.base import Recommender
from tests.unit.helpers.bad_input import CASES, Data, feedback, rows
from tests.unit.helpers.contract import NAMES, SETTINGS
from tests.unit.helpers.planted import tiny

pytestmark = pytest.mark.training

PRETRAINED = {"LibFM", "Wide&Deep", "DKN", "CKCF", "CKCF-relational", "SemanticCF"}
NOTHING_SHARED = r"no two items share an attribute in the knowledge graph.* Add relationships"
NO_ENTITY = r"[Nn]one of the 8 items.* is an entity of the knowledge graph\. Items and entities must have the same keys"
NO_TRIPLE = r"needs at least one triple, between two entities; found 0 triples and 8 entities\. Add relationships"
NO_DISLIKE = r"needs ratings below like_threshold, and there are none"
EMPTY_GRAPH = {**dict.fromkeys(PRETRAINED, NO_TRIPLE), "PER": NOTHING_SHARED}
REFUSED: dict[str, dict[str, str]] = {
    "no triple and no relation": EMPTY_GRAPH,
    "no triple of two relations": EMPTY_GRAPH,
    "no item with an entity": {name: NO_ENTITY for name in NAMES if kgplug.create(name).inputs.triples},
    "some items with an entity": {"PER": NOTHING_SHARED},
    "one item with an entity": {"PER": NOTHING_SHARED},
    "entities without neighbours": {"PER": NOTHING_SHARED},
    "a loop and a triple twice": {"PER": NOTHING_SHARED},
    "all like everything": {"MKR-rated": NO_DISLIKE},
    "no rating at all": {"MKR-rated": NO_DISLIKE},
    "one item": {"PER": NOTHING_SHARED, "MKR-rated": NO_DISLIKE},
    "one item, liked by some": {"PER": NOTHING_SHARED},
    "one row": {"PER": NOTHING_SHARED, "MKR-rated": NO_DISLIKE},
    "one like": {"PER": NOTHING_SHARED},
    "a threshold above every rating": dict.fromkeys(
        NAMES, r"none of the \d+ training rows is a like \(a rating of at least 6\)\. Lower like_threshold"
    ),
    "no titles": {"DKN": r"none of the 8 items has one. Set title under \[item\] .*, or use .*with_texts"},
}


@pytest.fixture(autouse=True)
def numbers_out_of_range_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def fitted(name: str, data: Data) -> Recommender:
    settings: dict[str, Any] = dict(SETTINGS[name])
    if "epochs" in settings:
        settings["epochs"] = 3
    if name in PRETRAINED:
        settings["embedding_settings"] = {**settings["embedding_settings"], "epochs": 3, "device": "cpu"}
    model = kgplug.create(name, **settings)
    assert isinstance(model, Recommender)
    return model.fit(data.likes, data.triples if model.inputs.triples else None, valid=data.valid, progress=False)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", NAMES)
def test_a_model_trains_and_answers_or_says_in_a_sentence_why_not(name: str, case: str, tmp_path: Path) -> None:
    data = CASES[case]()
    if message := REFUSED.get(case, {}).get(name):
        with pytest.raises(DataError, match=message) as refused:
            fitted(name, data)
        assert "\n" not in str(refused.value) and re.search(r"[.\]]$", str(refused.value))
        return
    model = fitted(name, data)
    n_users, n_items = len(model.user_keys), len(model.item_keys)
    users, items = np.indices((n_users, n_items)).reshape(2, -1)
    scores = model.score(users, items)
    assert scores.dtype == np.float32 and np.isfinite(scores).all()
    listed, of_listed = model.recommend(np.arange(n_users), n_items + 5, exclude_seen=False)
    assert (np.sort(listed, axis=1) == np.arange(n_items)).all() and np.isfinite(of_listed).all()
    unseen, _ = model.recommend(np.arange(n_users), n_items + 5)
    assert [(row >= 0).sum() for row in unseen] == (n_items - np.diff(model.seen.indptr)).tolist()
    assert all(np.isfinite(part.vectors).all() for part in model.publication(k=3).vectors)
    answer_new_users(model)
    model.save(tmp_path / "run")
    assert np.array_equal(type(model).load(tmp_path / "run").score(users, items), scores)


def answer_new_users(model: Recommender) -> None:
    for likes in ([0], []):
        items, scores = model.recommend_for(np.array(likes, dtype=np.int64), len(model.item_keys) + 5)
        assert len(items) == len(model.item_keys) - len(likes) and np.isfinite(scores).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_rows_and_repeated_rows_change_nothing(name: str) -> None:
    data = CASES["keys of all kinds, rows twice"]()
    table = data.likes.to_dataframe().rename(columns={"rating": "stars"})
    ordered = feedback(list(table.itertuples(index=False, name=None)))
    assert ordered.fingerprint == data.likes.fingerprint
    users, items = np.indices((ordered.n_users, ordered.n_items)).reshape(2, -1)
    first, second = (fitted(name, Data(likes, data.triples)).score(users, items) for likes in (data.likes, ordered))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("rating", [float("nan"), float("inf"), None, "good"])
def test_ratings_that_are_no_numbers_are_refused(rating: object) -> None:
    frame = pd.DataFrame([*rows(), (0, 7, rating)], columns=["user", "item", "stars"])
    with pytest.raises(DataError, match=r'Column "stars": expected a number in every row, found .* in row 36\.'):
        Interactions.from_dataframe(frame, user="user", item="item", rating="stars", like_threshold=4)


@pytest.mark.parametrize("rating", [float("nan"), float("-inf")])
def test_arrays_of_ratings_that_are_no_numbers_are_refused_too(rating: float) -> None:
    likes = feedback(rows())
    ratings = np.append(np.ones(len(likes) - 1), rating)
    with pytest.raises(DataError, match=rf"expected a number in every row, found -?{abs(rating)} in row 35\."):
        Interactions.from_arrays(likes.user_keys, likes.item_keys, likes.users, likes.items, ratings=ratings)


def test_every_refusal_is_about_a_case_and_a_model_that_are_there() -> None:
    assert set(REFUSED) <= set(CASES) and all(set(models) <= set(NAMES) for models in REFUSED.values())


@pytest.mark.parametrize("name", ["MF", "MKR", "Popularity"])
def test_what_fit_does_not_take_is_one_sentence(name: str) -> None:
    interactions, knowledge = tiny()
    frame = pd.DataFrame({"user": [1], "item": [2]})
    for arguments, options, what in (
        ((frame, knowledge), {}, "interactions must be a kgplug.Interactions"),
        ((interactions, frame), {}, "knowledge must be a kgplug.KnowledgeGraph"),
        ((interactions, knowledge), {"valid": frame}, "valid must be a kgplug.Interactions"),
    ):
        with pytest.raises(UsageError, match=rf"{name}\.fit: {what}, for example .*; found DataFrame\."):
            kgplug.create(name).fit(*arguments, **options)
