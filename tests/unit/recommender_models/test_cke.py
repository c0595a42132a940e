"""CKE: its equations, its road from triples to scores, what its two losses mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kgplug.recommenders.click_through.pairs import ClickThroughData, Pairs
from kgplug.recommenders.models.cke import CKE, CKETask, Triples
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share

pytestmark = pytest.mark.training

SMALL = {"side": False, "embedding_dim": 6, "epochs": 4, "batch_size": 4, "kge_batch_size": 3, "device": "cpu"}
PLANTED = {**SMALL, "embedding_dim": 32, "batch_size": 64, "kge_batch_size": 400, "epochs": 50, "learning_rate": 0.03}
PLANTED |= {"kge_weight": 4.0, "l2": 0.01}


def fitted(**settings) -> CKE:
    interactions, knowledge = tiny()
    return CKE(**{**SMALL, **settings}).fit(interactions, knowledge, progress=False)


def weights_of(model: CKE) -> dict[str, np.ndarray]:
    return {name: tensor.double().numpy() for name, tensor in model.network.state_dict().items()}


def unit(x: np.ndarray) -> np.ndarray:
    return x / math.sqrt(sum(value * value for value in x))


def literal_score(w: dict[str, np.ndarray], user: int, item: int) -> float:
    e = w["entities"][int(w["item_entities"][item])]
    return sum(w["users"][user][f] * (w["items"][item][f] + e[f]) for f in range(len(e)))


def literal_distance(w: dict[str, np.ndarray], head: int, relation: int, tail: int) -> float:
    matrix = w["projections"][relation].reshape(6, 6)
    gap = unit(w["entities"][head] @ matrix) + unit(w["relations"][relation]) - unit(w["entities"][tail] @ matrix)
    return sum(value * value for value in gap)


def test_scores_are_those_of_the_equation() -> None:
    model = fitted()
    w = weights_of(model)
    users, items = np.indices((4, 5)).reshape(2, -1)
    expected = [literal_score(w, u, i) for u, i in zip(users, items, strict=True)]
    assert np.allclose(model.score(users, items), expected, atol=1e-5)


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (2.0, 0.5, 1.5)])
@pytest.mark.parametrize("loss", ["bpr", "bce"])
def test_the_loss_is_that_of_the_paper(loss: str, weights: tuple[float, ...]) -> None:
    model = fitted(loss=loss, l2=0.1, kge_weight=0.7)
    interactions, knowledge = tiny()
    task = CKETask(model.network, model.config, ClickThroughData(interactions, None, seed=0), knowledge.triples)
    w = weights_of(model)
    users, liked, other = [0, 1, 0], [0, 1, 1], [3, 4, 2]
    pairs = Pairs(
        np.array(users * 2), np.array(liked + other), np.array([1, 1, 1, 0, 0, 0], dtype=np.float32),
        weights=None if weights == (1.0, 1.0, 1.0) else np.array(weights * 2, dtype=np.float32),
    )  # fmt: skip
    triples, corrupt = knowledge.triples[[0, 1, 3, 4]], np.array([2, 4, 0, 3])
    expected = 0.0
    for u, i, j, weight in zip(users, liked, other, weights, strict=True):
        good, bad = literal_score(w, u, i), literal_score(w, u, j)
        if loss == "bpr":
            expected += weight * math.log1p(math.exp(bad - good)) / 3
        else:
            b = float(w["global_bias"][0])
            expected += weight * (math.log1p(math.exp(-good - b)) + math.log1p(math.exp(bad + b))) / 6
    for u, i in zip(users * 2, liked + other, strict=True):
        for row in (w["users"][u], w["items"][i], w["entities"][int(w["item_entities"][i])]):
            expected += 0.1 * (row @ row) / 6
    for (h, r, t), wrong in zip(triples, corrupt, strict=True):
        gap = literal_distance(w, h, r, wrong) - literal_distance(w, h, r, t)
        expected += 0.7 * math.log1p(math.exp(-gap)) / 4
        for row in (w["entities"][h], w["entities"][t], w["entities"][wrong], w["relations"][r]):
            expected += 0.1 * (row @ row) / 4
    with torch.no_grad():
        found = float(task.loss((pairs, Triples(*triples.T.copy(), corrupt))))
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_user_who_likes_everything_has_no_pair_to_learn_from() -> None:
    pairs = Pairs(np.array([0, 1, 2, 0, 2]), np.array([0, 1, 2, 3, 4]), np.array([1, 1, 1, 0, 0], dtype=np.float32))
    assert [part.tolist() for part in pairs.matched()] == [[0, 2], [3, 4]]


@pytest.mark.parametrize("loss", ["bpr", "bce"])
def test_scores_are_called_probabilities_where_they_are(loss: str) -> None:
    model = fitted(loss=loss)
    scores = model.score(*np.indices((4, 5)).reshape(2, -1))
    assert model.scores_are_probabilities == (loss == "bce")
    assert (scores.min() < 0) == (loss == "bpr")


def test_unseen_films_of_ones_director_come_first_and_not_with_shuffled_triples() -> None:
    interactions, knowledge, director, fan_of = directors_and_fans()
    right = unseen_share(CKE(**PLANTED).fit(interactions, knowledge, progress=False), director, fan_of)
    wrong = unseen_share(CKE(**PLANTED).fit(interactions, shuffled(knowledge), progress=False), director, fan_of)
    assert right > 0.5 and wrong < right - 0.15


def corrupted(interactions, knowledge) -> list[tuple[int, int, int]]:
    """Return the corrupt triples of one epoch's steps."""
    data, model = ClickThroughData(interactions, None, seed=0), fitted()
    task = CKETask(model.network, model.config, data, knowledge.triples)
    steps = [triples for _, triples in task.batches(0, np.random.default_rng(0))]
    parts = [(triples.heads, triples.relations, triples.corrupt) for triples in steps if triples is not None]
    return [(int(h), int(r), int(t)) for part in parts for h, r, t in zip(*part, strict=True)]


def test_corrupt_triples_are_unknown_and_triples_without_one_are_passed_over() -> None:
    assert corrupted(*tiny()) == []  # each relation there has one tail only, or both for each head
    interactions, knowledge, _, _ = directors_and_fans()
    drawn = corrupted(interactions, knowledge)
    assert len(drawn) > 100 and not set(drawn) & {tuple(triple) for triple in knowledge.triples.tolist()}


def test_the_weight_nought_leaves_the_triples_out() -> None:
    w = weights_of(fitted(kge_weight=0.0))
    assert np.array_equal(w["projections"], np.tile(np.eye(6).reshape(1, -1), (len(w["relations"]), 1)))
