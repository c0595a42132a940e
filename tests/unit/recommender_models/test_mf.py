"""MF: its scores and loss are what the formulas say, and settings follow the size of the data."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kgplug.data.interactions import Interactions
from kgplug.recommenders.click_through.factors import Factors
from kgplug.recommenders.click_through.pairs import ClickThroughData
from kgplug.recommenders.click_through.tasks import ClickThroughTask
from kgplug.recommenders.models.mf import MF
from tests.unit.helpers.planted import directors_and_fans, tiny
from tests.unit.helpers.stirred import stirred

pytestmark = pytest.mark.training

SMALL = {"embedding_dim": 5, "epochs": 3, "batch_size": 4, "init_scale": 0.3, "device": "cpu"}


def test_scores_are_the_sigmoid_of_the_product_and_biases() -> None:
    interactions, _ = tiny()
    model = stirred(MF(**SMALL).fit(interactions, progress=False))
    w = {name: tensor.double().numpy() for name, tensor in model.network.state_dict().items()}
    for user in range(4):
        for item in range(5):
            logit = sum(w["users"][user][k] * w["items"][item][k] for k in range(5))
            logit += w["user_bias"][user, 0] + w["item_bias"][item, 0] + w["global_bias"][0]
            assert model.score(np.array([user]), np.array([item]))[0] == pytest.approx(
                1 / (1 + math.exp(-logit)), abs=1e-5
            )


def test_the_loss_is_the_mean_log_loss_and_the_squared_norms_of_what_was_looked_up() -> None:
    interactions, _ = tiny()
    model = stirred(MF(**SMALL, l2=0.7).fit(interactions, progress=False))
    data = ClickThroughData(interactions, None, seed=0)
    batch = next(data.epoch(np.random.default_rng(0), 100))
    w = {name: tensor.double().numpy() for name, tensor in model.network.state_dict().items()}
    expected = 0.0
    for user, item, label in zip(batch.users, batch.items, batch.labels, strict=True):
        logit = float(w["users"][user] @ w["items"][item] + w["user_bias"][user, 0] + w["item_bias"][item, 0])
        p = 1 / (1 + math.exp(-logit - w["global_bias"][0]))
        expected -= math.log(p if label else 1 - p) / len(batch)
        for rows in (w["users"][user], w["items"][item], w["user_bias"][user], w["item_bias"][item]):
            expected += 0.7 * float(rows @ rows) / len(batch)
    found = ClickThroughTask(model.network, model.config, data).loss(batch).item()
    assert found == pytest.approx(expected, abs=1e-5)


def _dense() -> Interactions:
    users, items = np.indices((12, 12)).reshape(2, -1)
    return Interactions.from_arrays(np.arange(12), np.arange(12), users, items)


def test_settings_that_nobody_set_are_suited_to_the_data() -> None:
    sparse, dense = directors_and_fans()[0], _dense()
    assert len(sparse) / sparse.n_users < 10 < len(dense) / dense.n_users
    quick = {"epochs": 1, "device": "cpu"}
    assert MF(**quick).fit(sparse, progress=False).config.l2 == 0.05
    assert MF(**quick).fit(dense, progress=False).config.l2 == 0.02
    assert MF(**quick, l2=0.3).fit(sparse, progress=False).config.l2 == 0.3


def test_the_second_fit_of_one_object_suits_them_to_its_own_data() -> None:
    model = MF(epochs=1)
    assert model.fit(directors_and_fans()[0], progress=False).config.l2 > MF().config.l2
    assert model.fit(_dense(), progress=False).config == MF(epochs=1).fit(_dense(), progress=False).config


@pytest.mark.parametrize("biased", [True, False])
def test_products_are_those_of_the_formula(biased: bool) -> None:
    rng = np.random.default_rng(0)
    users, items, by_user, by_item = (rng.normal(size=n).astype(np.float32) for n in ((600, 5), (7, 5), 600, 7))
    factors = Factors(users, items, by_user * biased, by_item * biased)
    expected = users.astype(np.float64) @ items.T + biased * (by_user[:, None] + by_item)
    np.testing.assert_allclose(factors.products(users, factors.user_bias), expected, atol=1e-5)
