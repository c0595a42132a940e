"""RP3beta: its scores are those of the walk, step by step."""

from __future__ import annotations

import numpy as np
import pytest

from kgplug.data.interactions import Interactions
from kgplug.recommenders.models.rp3beta import RP3beta
from tests.unit.helpers.literal_similarity import nearest_only
from tests.unit.helpers.planted import directors_and_fans, popular, unseen_share

pytestmark = pytest.mark.training


def some_likes(seed: int = 0) -> tuple[np.ndarray, Interactions]:
    """Return a table of likes in which item 4 and user 3 have none, and the same as interactions."""
    rng = np.random.default_rng(seed)
    table = (rng.random((25, 11)) < np.linspace(0.1, 0.6, 11)).astype(int)
    table[:, 4] = table[3] = 0
    return table, Interactions.from_arrays(*map(np.arange, table.shape), *np.nonzero(table))


def walk(table: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    """Return s(j, i): walks from item j over a user to item i, each step taken for itself."""
    n_users, n_items = table.shape
    similar = np.zeros((n_items, n_items))
    for j in range(n_items):
        for v in range(n_users):
            for i in range(n_items):
                if i != j and table[v, j] and table[v, i]:
                    to_user, to_item = 1 / table[:, j].sum(), 1 / table[v].sum()
                    similar[j, i] += to_user**alpha * to_item**alpha / table[:, i].sum() ** beta
    return similar


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (1.0, 0.5), (0.4, 0.8), (1.7, 1.0)])
@pytest.mark.parametrize("neighbours", [3, 11])
def test_scores_are_those_of_the_walk(alpha: float, beta: float, neighbours: int, monkeypatch) -> None:
    monkeypatch.setattr("kgplug.recommenders.models.rp3beta._BLOCK_CELLS", 44)  # four items at a time
    table, interactions = some_likes()
    model = RP3beta(alpha=alpha, beta=beta, neighbours=neighbours).fit(interactions)
    expected = nearest_only(walk(table, alpha, beta), neighbours)
    np.testing.assert_allclose(model.similarity.toarray(), expected, atol=1e-5)
    scores = model.score(*np.indices(table.shape).reshape(2, -1)).reshape(table.shape)
    liking = table.any(axis=1)
    np.testing.assert_allclose(scores[liking], (table @ expected)[liking], atol=1e-5)
    np.testing.assert_allclose(scores[~liking], [table.mean(axis=0) @ expected], atol=1e-5)


def test_lists_are_those_of_the_third_power_of_the_transition_matrix() -> None:
    table, interactions = some_likes(1)
    model = RP3beta(alpha=1.0, beta=0.0).fit(interactions)
    users, items = (np.where(n := table.sum(axis=axis, keepdims=True), table / np.maximum(n, 1), 0) for axis in (1, 0))
    third = users @ items.T @ users  # from users to items, to users, to items
    for user in np.flatnonzero(table.any(axis=1)):
        unseen = np.flatnonzero((table[user] == 0) & (third[user] > 0))
        scores = model.score(np.array([user]), unseen) / table[user].sum()
        np.testing.assert_allclose(scores, third[user, unseen], atol=1e-5)


def test_what_the_other_fan_likes_is_recommended() -> None:
    interactions, _, film_director, fan_of = directors_and_fans()
    assert unseen_share(RP3beta().fit(interactions), film_director, fan_of) > 0.3  # by chance: 0.05


def test_beta_favours_less_popular_items_and_popularity_the_others() -> None:
    rows = popular(0)
    likes = np.bincount(rows.items, minlength=rows.n_items)
    users = np.arange(rows.n_users)

    def mean_likes(**settings: float) -> float:
        return float(likes[RP3beta(**settings).fit(rows).recommend(users, 10)[0]].mean())

    assert mean_likes(beta=0.0) > mean_likes(beta=0.5) > mean_likes(beta=1.0)
    assert mean_likes(beta=0.5, popularity=1.0) > mean_likes(beta=0.5)


def test_settings_are_chosen_on_half_of_the_items_and_the_winner_learns_all(monkeypatch) -> None:
    monkeypatch.setattr("kgplug.recommenders.parts.choosing.chosen_by_lists._ITEMS_TO_CHOOSE_ON", 60)
    train, valid = popular(0).split((0.8, 0.2), seed=0, by="row")
    learnt: list[int] = []
    similarity_of = RP3beta._similarity_of

    def noted(self: RP3beta, likes, *, fraction: float):
        learnt.append(len(np.unique(likes.indices)))
        return similarity_of(self, likes, fraction=fraction)

    monkeypatch.setattr(RP3beta, "_similarity_of", noted)
    model = RP3beta().fit(train, valid=valid)
    assert set(learnt[:-1]) == {60} and learnt[-1] == len(np.unique(train.items)) and len(learnt) > 4
    assert {"alpha", "beta"} <= {name for trial in model.tried for name in trial["settings"]}
    (chosen,) = (trial["settings"] for trial in model.tried if trial["chosen"])
    assert {name: getattr(model.config, name) for name in chosen} == chosen
    given = RP3beta(**model.config.model_dump(exclude={"settings"})).fit(train)
    np.testing.assert_array_equal(given.similarity.toarray(), model.similarity.toarray())
