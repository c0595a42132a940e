"""SemanticCF: the sum of two normalised scores, with any embedding."""

from __future__ import annotations

import numpy as np
import pytest

from kgplug.recommenders.models.ckcf_relational import CKCFRelational
from kgplug.recommenders.models.semantic_cf import SemanticCF
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share

pytestmark = pytest.mark.training

SMALL = {"embedding_settings": {"embedding_dim": 6, "epochs": 3, "device": "cpu"}}


@pytest.mark.parametrize("aggregate", ["sum", "max"])
def test_scores_equal_the_formula(aggregate: str) -> None:
    interactions, knowledge, *_ = directors_and_fans()
    model = SemanticCF(**SMALL, aggregate=aggregate, cf_share=0.3, back_fill="none")
    model.fit(interactions, knowledge, progress=False)
    cf, kg = model.cf.toarray().astype(float), model.semantic.toarray().astype(float)
    add = sum if aggregate == "sum" else max
    for user in range(0, interactions.n_users, 7):
        liked = interactions.items[interactions.users == user]
        got = [[add(near[j, i] for j in liked) for i in range(interactions.n_items)] for near in (cf, kg)]
        expected = [0.3 * c / max(got[0]) + 0.7 * k / max(got[1]) for c, k in zip(*got, strict=True)]
        found = model.score(np.full(interactions.n_items, user), np.arange(interactions.n_items))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_films_of_a_liked_director_are_found_through_the_graph() -> None:
    interactions, knowledge, film_director, fan_of = directors_and_fans()
    settings = {"embedding_settings": {"embedding_dim": 16, "epochs": 60, "learning_rate": 0.05, "device": "cpu"}}
    true, false = (
        unseen_share(SemanticCF(**settings).fit(interactions, graph, progress=False), film_director, fan_of)
        for graph in (knowledge, shuffled(knowledge))
    )
    assert true > 0.7 and true > 2 * false  # by chance 0.05


@pytest.mark.parametrize("embedding", ["TransE", "TransH", "TransR", "RotatE"])
def test_it_takes_any_embedding_by_name(embedding: str) -> None:
    interactions, knowledge = tiny()
    model = SemanticCF(embedding=embedding, **SMALL).fit(interactions, knowledge, progress=False)
    assert model.item_vectors().shape == (5, 12 if embedding == "RotatE" else 6)
    assert np.isfinite(model.score(np.arange(4), np.arange(4))).all()


def test_a_user_without_a_like_scores_nothing() -> None:
    interactions, knowledge = tiny()
    model = SemanticCF(**SMALL, back_fill="none").fit(interactions.with_like_threshold(5), knowledge, progress=False)
    assert not model.score(np.full(5, 2), np.arange(5)).any()  # user 2 has rated one item, with 4


def test_items_near_to_no_like_stand_below_in_the_order_of_their_likes() -> None:
    interactions, knowledge, *_ = directors_and_fans()
    plain, filled = (
        SemanticCF(**SMALL, neighbours=5, back_fill=how).fit(interactions, knowledge, progress=False)
        for how in ("none", "popularity")
    )
    users, items = np.indices((interactions.n_users, interactions.n_items)).reshape(2, -1)
    s, score = plain.score(users, items), filled.score(users, items)
    assert (s == 0).any()
    np.testing.assert_allclose(score[s > 0], 1 + s[s > 0], atol=1e-6)
    likes = np.bincount(interactions.items, minlength=interactions.n_items)[items[s == 0]]
    order = np.argsort(-score[s == 0], kind="stable")
    assert score[s == 0].max() < 1 and (np.diff(likes[order]) <= 0).all()


@pytest.mark.parametrize("compare", ["relations", "mean"])
def test_items_can_be_compared_by_their_neighbours_as_in_ckcf_relational(compare: str) -> None:
    interactions, knowledge, *_ = directors_and_fans()
    options = {**SMALL, "compare": compare, "cold_boost": "none"}
    model, other = (m(**options).fit(interactions, knowledge, progress=False) for m in (SemanticCF, CKCFRelational))
    own = SemanticCF(**SMALL).fit(interactions, knowledge, progress=False)
    assert np.array_equal(model.semantic.toarray(), other.semantic.toarray())
    assert not np.array_equal(model.semantic.toarray(), own.semantic.toarray())
