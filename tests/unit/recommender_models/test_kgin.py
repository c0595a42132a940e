"""KGIN: its equations node by node, the planted director, the independence of intents."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from kgplug.recommenders.click_through.pairs import Comparisons
from kgplug.recommenders.models._kgin_network import dependence
from kgplug.recommenders.models.kgin import KGIN, KGINTask
from kgplug.recommenders.training_data import TrainingData
from tests.unit.helpers.literal_collaborative import doubles, literal_triples, same_gradients
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share
from tests.unit.helpers.stirred import stir

pytestmark = pytest.mark.training

SMALL = {
    "embedding_dim": 4, "epochs": 2, "batch_size": 4, "init_scale": 0.3, "intents": 3, "side": False, "device": "cpu",
}  # fmt: skip
BATCH = Comparisons(np.array([0, 0, 3]), np.array([0, 1, 4]), np.array([2, 3, 1]))
MEASURES = ["distance", "cosine", "mi"]


def _stirred(**settings: object) -> tuple[KGIN, KGINTask]:
    """A model and its task, weights far from where they start."""
    interactions, knowledge = tiny()
    model = KGIN(**{**SMALL, **settings}).fit(interactions, knowledge, progress=False)
    task = model._task(TrainingData(interactions, knowledge))
    assert isinstance(task, KGINTask)
    stir(model.network.eval())
    return model, task


def _literal_intents(w: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Eqs. 1 and 2."""
    found = []
    for weights in w["intents"]:
        total = sum(torch.exp(weight) for weight in weights)
        found.append(sum(torch.exp(weight) / total * r for weight, r in zip(weights, w["relations"], strict=True)))
    return found


def _literal_vectors(w: dict[str, torch.Tensor], n_layers: int, residual: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Eqs. 6 to 12: the vectors of users and of items, one neighbour at a time."""
    likes, facts = literal_triples(*tiny())
    n_relations = len(w["relations"]) // 2
    edges = [(h - 4, r, t - 4) for h, r, t in facts] + [(t - 4, r + n_relations, h - 4) for h, r, t in facts]
    intents = _literal_intents(w)
    users, entities = list(w["users"]), list(w["entities"])
    of_users, of_items = list(users), entities[:5]
    for _ in range(n_layers):
        next_users, next_entities = [], []
        for user in range(4):
            items = [t - 4 for h, _, t in likes if h == user]
            total = sum(torch.exp(p @ w["users"][user]) for p in intents)
            message = torch.zeros(4, dtype=torch.float64)
            for item in items:
                for p in intents:
                    beta = torch.exp(p @ w["users"][user]) / total
                    message = message + beta * p * entities[item] / len(items)
                if residual:
                    message = message + entities[item] / len(items)
            next_users.append(message / message.norm())
        for entity in range(len(entities)):
            own = [(r, t) for h, r, t in edges if h == entity]
            message = torch.zeros(4, dtype=torch.float64)
            for r, t in own:
                message = message + w["relations"][r] * entities[t] / len(own)
            next_entities.append(message / message.norm() if own else message)
        users, entities = next_users, next_entities
        of_users = [total + user for total, user in zip(of_users, users, strict=True)]
        of_items = [total + item for total, item in zip(of_items, entities, strict=False)]
    return torch.stack(of_users), torch.stack(of_items)


def _correlation(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The distance correlation of two vectors, pair of dimensions by pair of dimensions."""
    d = len(x)

    def centred(z: torch.Tensor) -> dict[tuple[int, int], torch.Tensor]:
        far = {(i, j): torch.sqrt((z[i] - z[j]) ** 2 + 1e-8) for i in range(d) for j in range(d)}
        mean = {i: sum(far[i, j] for j in range(d)) / d for i in range(d)}
        return {(i, j): far[i, j] - mean[i] - mean[j] + sum(mean.values()) / d for i, j in far}

    def covariance(a: dict, b: dict) -> torch.Tensor:
        return torch.sqrt(sum(a[place] * b[place] for place in a) / d**2 + 1e-8)

    a, b = centred(x), centred(y)
    return covariance(a, b) / torch.sqrt(covariance(a, a) * covariance(b, b) + 1e-8)


def _literal_dependence(intents: list[torch.Tensor], measure: str, temperature: float) -> torch.Tensor:
    def cosine(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x @ y / (x.norm() * y.norm())

    if measure == "mi":
        total = torch.zeros((), dtype=torch.float64)
        for p in intents:
            all_of_them = sum(torch.exp(cosine(p, q) / temperature) for q in intents)
            total = total - torch.log(torch.exp(cosine(p, p) / temperature) / all_of_them)
        return total
    pairs = [(p, q) for number, p in enumerate(intents) for q in intents[number + 1 :]]
    return sum(_correlation(p, q) if measure == "distance" else cosine(p, q) ** 2 for p, q in pairs)


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_scores_are_those_of_the_equations(n_layers: int, residual: bool) -> None:
    model, _ = _stirred(n_layers=n_layers, residual=residual)
    model.factors = model.trained_factors()
    users, items = _literal_vectors(doubles(model.network), n_layers, residual)
    expected = (users @ items.T).detach().numpy()
    pairs = np.indices((4, 5)).reshape(2, -1)
    np.testing.assert_allclose(model.score(*pairs), expected.ravel(), atol=1e-5)
    np.testing.assert_allclose(model._score_block(np.arange(4)), expected, atol=1e-5)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_loss_and_its_gradient_are_those_of_the_equations(measure: str) -> None:
    settings = {"independence": measure, "independence_weight": 0.7, "temperature": 0.4, "l2": 0.3}
    model, task = _stirred(n_layers=2, **settings)
    w = doubles(model.network)
    users, items = _literal_vectors(w, 2, residual=True)
    expected = 0.7 * _literal_dependence(_literal_intents(w), measure, 0.4)
    for user, liked, other in zip(BATCH.users, BATCH.liked, BATCH.others, strict=True):
        difference = users[user] @ items[liked] - users[user] @ items[other]
        norms = [2 * w["users"][user].square().sum(), *(w["entities"][i].square().sum() for i in (liked, other))]
        expected = expected - torch.log(torch.sigmoid(difference)) / 3 + 0.3 * sum(norms) / 6
    loss = task.loss(BATCH)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    loss.backward()
    expected.backward()
    assert same_gradients(model.network, w)


@pytest.mark.parametrize("measure", MEASURES)
def test_intents_that_are_alike_depend_on_each_other_more_than_others(measure: str) -> None:
    generator = torch.Generator().manual_seed(0)
    apart = torch.linalg.qr(torch.randn(64, 4, generator=generator))[0].T
    alike = apart[:1] + 0.01 * apart
    assert dependence(alike, measure, 0.2) > 1.5 * dependence(apart, measure, 0.2)


def test_the_penalty_pushes_intents_apart() -> None:
    interactions, knowledge = directors_and_fans()[:2]
    found = []
    for weight in (0.0, 1.0):
        settings = {**PLANTED, "epochs": 5, "independence": "cosine", "independence_weight": weight}
        model = KGIN(**settings).fit(interactions, knowledge, progress=False)
        with torch.no_grad():
            found.append(dependence(model.network.intent_vectors(), "cosine", 0.2).item())
    assert found[1] < 0.5 * found[0]


def test_dropout_is_for_training_only() -> None:
    _, task = _stirred(dropout=0.5)
    task.module.train()
    assert task.loss(BATCH).item() != task.loss(BATCH).item()
    task.module.eval()
    assert task.loss(BATCH).item() == task.loss(BATCH).item()


def test_vectors_that_are_dropped_whole_have_finite_gradients_through_many_layers() -> None:
    interactions, knowledge = tiny()
    model = KGIN(**{**SMALL, "epochs": 30, "n_layers": 5, "dropout": 0.8}).fit(interactions, knowledge, progress=False)
    assert np.isfinite(model.history["losses"]).all() and len(model.history["losses"]) == 30


PLANTED = {
    "embedding_dim": 16, "epochs": 60, "batch_size": 256, "learning_rate": 0.02, "l2": 1e-3, "side": False,
    "device": "cpu",
}  # fmt: skip


def test_it_finds_the_director_through_the_graph_and_not_without_it() -> None:
    interactions, knowledge, director, fan = directors_and_fans()
    told = KGIN(**PLANTED).fit(interactions, knowledge, progress=False)
    untold = KGIN(**PLANTED).fit(interactions, shuffled(knowledge), progress=False)
    assert unseen_share(told, director, fan) > 0.8  # by chance: 0.03
    assert unseen_share(untold, director, fan) < 0.2


def test_items_without_an_entity_and_graphs_of_few_triples_are_no_obstacle() -> None:
    interactions, knowledge = tiny()
    for graph in (knowledge, replace(knowledge, triples=knowledge.triples[:1])):
        scores = KGIN(**SMALL).fit(interactions, graph, progress=False).score(*np.indices((4, 5)).reshape(2, -1))
        assert np.isfinite(scores).all()
