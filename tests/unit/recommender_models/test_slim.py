"""SLIM: its weights solve the paper's problem."""

from __future__ import annotations

import numpy as np
import pytest

from kgplug.data.interactions import Interactions
from kgplug.recommenders.models import _slim_columns
from kgplug.recommenders.models.slim import SLIM
from tests.unit.helpers.planted import directors_and_fans, popular, unseen_share

pytestmark = pytest.mark.training


def some_likes(seed: int = 0) -> tuple[np.ndarray, Interactions]:
    """Return a table of likes in which item 4 and user 3 have none, and the same as interactions."""
    rng = np.random.default_rng(seed)
    table = (rng.random((60, 14)) < np.linspace(0.1, 0.6, 14)).astype(int)
    table[:, 4] = table[3] = 0
    table[:, 9] |= table[:, 8] & table[:, 7]
    return table, Interactions.from_arrays(*map(np.arange, table.shape), *np.nonzero(table))


def weighted(table: np.ndarray, user_power: float) -> np.ndarray:
    """Return D^½ X: each user's row times the root of the user's weight."""
    return table * np.maximum(table.sum(axis=1, keepdims=True), 1.0) ** (-user_power / 2)


def mean_weight(table: np.ndarray, user_power: float) -> float:
    """Return the mean weight of a like, which is its user's."""
    return float((table.sum(axis=1)[np.nonzero(table)[0]] ** -user_power).mean())


def by_projected_gradient(x: np.ndarray, l1: float, l2: float) -> np.ndarray:
    """Minimise ½‖X − X W‖² + ½ l2 ‖W‖² + l1 ‖W‖₁ over W ≥ 0 with a zero diagonal: many small steps downhill."""
    gram, w = x.T @ x, np.zeros((x.shape[1], x.shape[1]))
    step = 1 / (np.linalg.eigvalsh(gram)[-1] + l2)
    for _ in range(20_000):
        w = np.maximum(w - step * (gram @ w - gram + l2 * w + l1), 0)
        np.fill_diagonal(w, 0)
    return w


@pytest.mark.parametrize("user_power", [0.0, 0.5])
@pytest.mark.parametrize(("l1", "l2"), [(0.0, 1.0), (0.5, 0.2), (2.0, 5.0)])
def test_weights_minimise_the_papers_objective(l1: float, l2: float, user_power: float, monkeypatch) -> None:
    monkeypatch.setattr("kgplug.recommenders.models.slim._BLOCK_COLUMNS", 5)
    table, interactions = some_likes()
    model = SLIM(l1=l1, l2=l2, user_power=user_power).fit(interactions)
    mean = mean_weight(table, user_power)
    assert (mean == 1) == (user_power == 0)  # the paper
    expected = by_projected_gradient(weighted(table, user_power), mean * l1, mean * l2)
    assert (expected > 0.01).sum() > 5
    np.testing.assert_allclose(model.similarity.toarray(), expected, atol=1e-5)
    scores = model.score(*np.indices(table.shape).reshape(2, -1)).reshape(table.shape)
    liking = table.any(axis=1)
    np.testing.assert_allclose(scores[liking], (table @ expected)[liking], atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_weights_meet_the_kkt_conditions(seed: int) -> None:
    rows, l1, l2 = popular(seed), 0.4, 3.0
    model = SLIM(l1=l1, l2=l2).fit(rows)
    table, w = rows.matrix().toarray(), model.similarity.toarray().astype(np.float64)
    x, (l1, l2) = weighted(table, 0.5), mean_weight(table, 0.5) * np.array([l1, l2])
    gradient = x.T @ (x @ w - x) + l2 * w + l1  # of the objective
    np.fill_diagonal(gradient, 0)
    scale = np.square(x).sum(axis=0) + l2
    assert (w >= 0).all() and not w.diagonal().any() and 0 < (w > 0).mean() < 0.5
    assert (np.abs(gradient)[w > 0] / np.broadcast_to(scale[:, None], w.shape)[w > 0]).max() < 1e-5
    assert (gradient / scale[:, None])[w == 0].min() > -1e-5


def test_an_item_can_be_added_after_the_first_sweeps() -> None:
    table, interactions = some_likes(2)
    for l1 in (0.0, 0.1, 1.0):
        w = SLIM(l1=l1, l2=0.01, user_power=0.0).fit(interactions).similarity.toarray()
        np.testing.assert_allclose(w, by_projected_gradient(table.astype(float), l1, 0.01), atol=1e-4)


def test_blocks_and_growing_results_change_nothing(monkeypatch) -> None:
    rows = popular(0)
    whole = SLIM(l1=0.01, l2=1.0).fit(rows).similarity
    assert whole.nnz > 1024  # more than the first array of results holds
    monkeypatch.setattr("kgplug.recommenders.models.slim._BLOCK_COLUMNS", 7)
    monkeypatch.setattr("kgplug.data.ranking.threads.processors", lambda: 2)
    np.testing.assert_array_equal(SLIM(l1=0.01, l2=1.0).fit(rows).similarity.toarray(), whole.toarray())
    longer = _slim_columns._longer(np.arange(4), 5)
    assert len(longer) == 8 and list(longer[:4]) == [0, 1, 2, 3]


def test_what_the_other_fan_likes_is_recommended() -> None:
    interactions, _, film_director, fan_of = directors_and_fans()
    assert unseen_share(SLIM(l1=0.01).fit(interactions), film_director, fan_of) > 0.3  # by chance: 0.05


def test_settings_are_chosen_and_the_winner_learns_all_items(monkeypatch) -> None:
    monkeypatch.setattr("kgplug.recommenders.parts.choosing.chosen_by_lists._ITEMS_TO_CHOOSE_ON", 60)
    train, valid = popular(0).split((0.8, 0.2), seed=0, by="row")
    model = SLIM().fit(train, valid=valid)
    assert {"l1", "l2", "user_power"} <= {name for trial in model.tried for name in trial["settings"]}
    (chosen,) = (trial["settings"] for trial in model.tried if trial["chosen"])
    assert {name: getattr(model.config, name) for name in chosen} == chosen
    assert len(np.unique(model.similarity.indices)) > 60
    given = SLIM(**model.config.model_dump(exclude={"settings"})).fit(train)
    np.testing.assert_array_equal(given.similarity.toarray(), model.similarity.toarray())
