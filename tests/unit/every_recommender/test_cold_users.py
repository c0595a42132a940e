"""Users without a like, of every recommender: they get one list, that of the average user."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import kgplug
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.recommenders.base import Recommender
from tests.unit.helpers.contract import NAMES, SETTINGS

pytestmark = pytest.mark.training

N_FANS, N_FILMS, POPULAR = 12, 12, np.arange(8, 12)  # the last films are everybody's, so that no order of keys does it


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest) -> Recommender:
    liked = [(user, film, 5) for user in range(N_FANS) for film in (user % 8, *POPULAR) if film != POPULAR[user % 4]]
    disliked = [(user, (user + 3) % 8, 1) for user in range(N_FANS)]
    cold = [(user, 0, 1) for user in range(100, 106)]
    frame = pd.DataFrame([*liked, *disliked, *cold], columns=["user", "film", "stars"])
    interactions = Interactions.from_dataframe(frame, user="user", item="film", rating="stars", like_threshold=4)
    interactions = interactions.with_texts({film: f"word {film // 4}" for film in range(N_FILMS)})
    facts = [(film, "DIRECTED_BY", f"director {film // 4}") for film in range(N_FILMS)]
    knowledge = KnowledgeGraph.from_dataframe(pd.DataFrame(facts, columns=["head", "relation", "tail"]))
    fresh = kgplug.create(request.param, **SETTINGS[request.param])
    assert isinstance(fresh, Recommender)
    return fresh.fit(interactions, knowledge if fresh.inputs.triples else None, progress=False)


def test_users_without_a_like_get_one_list_with_what_is_popular(model: Recommender) -> None:
    cold = np.array([model.user_index(user) for user in range(100, 106)])
    items, scores = model.recommend(cold, 4)
    assert (items == items[0]).all()
    np.testing.assert_allclose(scores, np.broadcast_to(scores[0], scores.shape), rtol=1e-6)
    pairs = np.repeat(cold, 4), items.ravel()
    np.testing.assert_allclose(model.score(*pairs), scores.ravel(), rtol=1e-5, atol=1e-6)
    every = model.score(np.repeat(cold[:1], N_FILMS), np.arange(N_FILMS))
    assert every.max() > every.min()
    popular = np.isin(items[0], model.item_indices(POPULAR.tolist())).sum()
    assert popular >= (2 if model.name.startswith("RKGE") else 3)  # that has nothing but a bias where no path leads
