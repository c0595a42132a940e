"""CEASE: equal to its equations written out, found structure, EASE without a graph."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kgplug.data.interactions import Interactions
from kgplug.recommenders.models.cease import CEASE
from kgplug.recommenders.models.ease import EASE
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share


def literal_strengths(interactions: Interactions, rating_weight: float) -> np.ndarray:
    """X: 1 + rating_weight · z for each like, row by row."""
    likes = interactions.likes()
    rows = list(zip(likes.users, likes.items, map(float, likes.ratings), strict=True))
    mean = sum(rating for *_, rating in rows) / len(rows)
    deviation = (sum((rating - mean) ** 2 for *_, rating in rows) / len(rows)) ** 0.5
    strengths = np.zeros((likes.n_users, likes.n_items))
    for user, item, rating in rows:
        strengths[user, item] = 1 + rating_weight * max(-3.0, min(3.0, (rating - mean) / deviation))
    return strengths


def literal(settings: dict) -> np.ndarray:
    """Scores of all pairs of `tiny`, by loops over users, features and items."""
    interactions, knowledge = tiny()
    likes = interactions.likes().matrix().toarray().astype(float)
    features: dict[tuple, set[int]] = {}
    keys = list(interactions.item_keys)
    for head, relation, tail in knowledge.triples:
        names = [knowledge.entity_keys[head], knowledge.entity_keys[tail]]
        if names[0] in keys:
            features.setdefault((relation, tail, "out"), set()).add(keys.index(names[0]))
        if names[1] in keys:
            features.setdefault((relation, head, "in"), set()).add(keys.index(names[1]))
    strengths = literal_strengths(interactions, settings["rating_weight"])
    weights = [max(row.sum(), 1.0) ** -settings["user_power"] for row in likes]
    mean = sum(w * row.sum() for w, row in zip(weights, likes, strict=True)) / likes.sum()
    liked = [{item: value for item, value in enumerate(row) if value} for row in strengths]
    rows = list(zip(weights, liked, strict=True))
    shared = [dict.fromkeys(items, 1.0) for items in features.values() if len(items) > 1]
    rows += [(settings["knowledge_weight"] * mean, items) for items in shared]
    known = sorted(set().union(*(items for _, items in rows)))
    gram = np.zeros((len(known), len(known)))
    for weight, items in rows:
        for a in items:
            for b in items:
                gram[known.index(a), known.index(b)] += weight * items[a] * items[b]
    own = gram.diagonal().copy()
    relative = [value / (sum(own) / len(own)) for value in own]
    for n in range(len(known)):
        l2 = settings["l2"] * relative[n] ** settings["l2_power"]
        gram[n, n] += settings["dropout"] / (1 - settings["dropout"]) * gram[n, n] + l2
    inverse = np.linalg.inv(gram)
    scores, discount = np.zeros(likes.shape), settings["discount"]
    for user, row in enumerate(strengths):
        for n, item in enumerate(known):
            for m, other in enumerate(known):
                if m != n:
                    scores[user, item] += row[other] * -inverse[m, n] / inverse[n, n] / relative[n] ** discount
    return scores + settings["popularity"] * np.log1p(likes.sum(axis=0))


@pytest.mark.parametrize("settings", [
    {"l2": 2.0, "user_power": 0.5, "knowledge_weight": 2.5, "dropout": 0.4, "popularity": 0.003,
     "rating_weight": 0.2, "l2_power": 0.3, "discount": 0.1},
    {"l2": 0.5, "user_power": 0.0, "knowledge_weight": 1.0, "dropout": 0.0, "popularity": 0.0,
     "rating_weight": 0.0, "l2_power": 0.0, "discount": 0.0},
])  # fmt: skip
def test_scores_equal_the_equations(settings: dict) -> None:
    interactions, knowledge = tiny()
    model = CEASE(**settings).fit(interactions, knowledge)
    users, items = np.indices((4, 5)).reshape(2, -1)
    np.testing.assert_allclose(model.score(users, items).reshape(4, 5), literal(settings), atol=1e-5)


def test_without_a_graph_s_weight_or_its_triples_it_is_ease() -> None:
    interactions, knowledge = tiny()
    settings = {"l2": 3.0, "dropout": 0.2, "l2_power": 0.0, "discount": 0.0}
    users, items = np.indices((4, 5)).reshape(2, -1)
    expected = EASE(**settings).fit(interactions).score(users, items)
    for model in (
        CEASE(knowledge_weight=0, popularity=0, rating_weight=0, **settings).fit(interactions, knowledge),
        CEASE(popularity=0, rating_weight=0, **settings).fit(interactions, knowledge.without_triples()),
    ):
        np.testing.assert_allclose(model.score(users, items), expected, atol=1e-6)


def test_an_item_that_nobody_likes_is_scored_by_what_it_shares() -> None:
    """Item 2 of `tiny` shares a feature with item 1; item 3, the only like of user 2, shares none."""
    interactions, knowledge = tiny()
    assert not (interactions.likes().items == 2).any()
    settings = {"popularity": 0.0, "dropout": 0.0, "l2": 1.0, "rating_weight": 0.0}
    users, items = np.arange(4), np.full(4, 2)
    scores = CEASE(**settings).fit(interactions, knowledge).score(users, items)
    likes_item_1 = interactions.likes().matrix().toarray()[:, 1] > 0
    assert (scores[likes_item_1] > 0.05).all() and scores[2] == 0
    assert not EASE(l2=1.0).fit(interactions).score(users, items).any()


def test_popularity_lists_liked_items_first_for_who_likes_nothing() -> None:
    interactions, knowledge = tiny()
    nobody = np.array([], dtype=np.int64)
    items, scores = CEASE(popularity=0.5).fit(interactions, knowledge).recommend_for(nobody, 5)
    counts = np.bincount(interactions.likes().items, minlength=5)
    np.testing.assert_allclose(scores, 0.5 * np.log1p(counts[items]), atol=1e-6)
    model = CEASE(popularity=0, rating_weight=0).fit(interactions, knowledge)
    weights = np.zeros((5, 5))
    weights[np.ix_(model.known, model.known)] = model.weights
    items, scores = model.recommend_for(nobody, 5)
    expected = interactions.likes().matrix().toarray().mean(axis=0) @ weights  # of the average user
    np.testing.assert_allclose(scores, expected[items], atol=1e-6)
    assert scores.any()


def test_what_a_user_rated_higher_says_more_and_equal_ratings_say_nothing_more() -> None:
    """Ten users like films 0 and 2, ten like 1 and 3; the last two like 0 and 1, each rating another one higher."""
    rows = [(user, item, 4) for user in range(20) for item in ((0, 2) if user < 10 else (1, 3))]
    rows += [(20, 0, 5), (20, 1, 3), (21, 0, 3), (21, 1, 5)]
    frame = pd.DataFrame(rows, columns=["user", "item", "rating"])
    settings = {"l2": 1.0, "rating_weight": 0.2}
    rated = EASE(**settings).fit(Interactions.from_dataframe(frame, user="user", item="item", rating="rating"))
    assert rated.recommend(np.array([20, 21]), 2)[0].tolist() == [[2, 3], [3, 2]]
    frame["rating"] = 4.0
    equal = EASE(**settings).fit(Interactions.from_dataframe(frame, user="user", item="item", rating="rating"))
    unrated = EASE(**settings).fit(Interactions.from_dataframe(frame, user="user", item="item"))
    np.testing.assert_array_equal(equal.weights, unrated.weights)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_unseen_films_of_ones_director_come_first_and_not_with_shuffled_triples(seed: int) -> None:
    interactions, knowledge, film_director, fan_of = directors_and_fans(seed)
    found = unseen_share(CEASE().fit(interactions, knowledge), film_director, fan_of)
    lost = unseen_share(CEASE().fit(interactions, shuffled(knowledge, seed)), film_director, fan_of)
    assert found >= 0.9 and lost <= 0.5, (found, lost)
