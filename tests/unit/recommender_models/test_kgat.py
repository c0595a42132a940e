"""KGAT: its equations node by node, the planted director, what an epoch consists of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from kgplug.data.interactions import Interactions
from kgplug.recommenders.click_through.pairs import Comparisons
from kgplug.recommenders.models.kgat import KGAT, KGATTask
from kgplug.recommenders.parts.operations.layers import LEAK
from kgplug.recommenders.parts.translations import Triples
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import DataSize
from tests.unit.helpers.literal_collaborative import doubles, literal_triples, same_gradients
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share
from tests.unit.helpers.stirred import stir

pytestmark = pytest.mark.training

SMALL = {"embedding_dim": 4, "epochs": 2, "batch_size": 4, "init_scale": 0.3, "side": False, "device": "cpu"}
BATCH = Comparisons(np.array([0, 0, 3]), np.array([0, 1, 4]), np.array([2, 3, 1]))


def _stirred(**settings: object) -> tuple[KGAT, KGATTask]:
    """A model and its task, weights far from where they start."""
    interactions, knowledge = tiny()
    model = KGAT(**{**SMALL, **settings}).fit(interactions, knowledge, progress=False)
    task = model._task(TrainingData(interactions, knowledge))
    stir(model.network.eval())
    task.graph = model.network.attentive_graph(model._triples)
    return model, task


def _pi(w: dict[str, torch.Tensor], head: int, relation: int, tail: int, sign: int) -> torch.Tensor:
    """Eq. 4; sign −1 is the inverse relation."""
    matrix = w["projections"][relation].view(4, 4)
    return (w["nodes"][tail] @ matrix) @ torch.tanh(w["nodes"][head] @ matrix + sign * w["relations"][relation])


def _literal_attention(w: dict[str, torch.Tensor], n_nodes: int) -> torch.Tensor:
    likes, facts = literal_triples(*tiny())
    edges = [(h, r, t, 1) for h, r, t in likes + facts] + [(t, r, h, -1) for h, r, t in likes + facts]
    matrix = torch.zeros(n_nodes, n_nodes, dtype=torch.float64)
    for node in range(n_nodes):
        own = [(h, r, t, sign) for h, r, t, sign in edges if h == node]
        total = sum(torch.exp(_pi(w, *edge)) for edge in own)
        for edge in own:
            matrix[node, edge[2]] += torch.exp(_pi(w, *edge)) / total
    return matrix.detach()  # weights are constant in the steps of BPR


def _literal_vectors(w: dict[str, torch.Tensor], n_layers: int) -> torch.Tensor:
    """Eqs. 3–8 and 11: the concatenated vector of each node."""
    x, attention = w["nodes"], _literal_attention(w, len(w["nodes"]))
    found = [x]
    for layer in range(n_layers):
        rows = []
        for node in range(len(x)):
            around = sum(attention[node, other] * x[other] for other in range(len(x)))
            joined = 0.0
            for name, value in (("sum_layers", x[node] + around), ("product_layers", x[node] * around)):
                joined = joined + functional.leaky_relu(
                    w[f"{name}.{layer}.weight"] @ value + w[f"{name}.{layer}.bias"], LEAK
                )
            rows.append(joined)
        x = torch.stack(rows)
        found.append(x / x.norm(dim=1, keepdim=True))
    return torch.cat(found, dim=1)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_scores_are_those_of_the_equations(n_layers: int) -> None:
    model, _ = _stirred(n_layers=n_layers)
    model.factors = model.trained_factors()
    x = _literal_vectors(doubles(model.network), n_layers)
    expected = (x[:4] @ x[4:9].T).detach().numpy()
    assert x.shape[1] == {1: 8, 2: 10, 3: 11}[n_layers]  # widths 4, 4, 2, 1
    users, items = np.indices((4, 5)).reshape(2, -1)
    np.testing.assert_allclose(model.score(users, items), expected.ravel(), atol=1e-5)
    np.testing.assert_allclose(model._score_block(np.arange(4)), expected, atol=1e-5)


@pytest.mark.parametrize("n_layers", [1, 3])
def test_the_bpr_loss_and_its_gradient_are_those_of_the_equations(n_layers: int) -> None:
    model, task = _stirred(n_layers=n_layers, l2=0.3)
    w = doubles(model.network)
    x, nodes = _literal_vectors(w, n_layers), w["nodes"]
    expected = torch.zeros((), dtype=torch.float64)
    for user, liked, other in zip(BATCH.users, BATCH.liked, BATCH.others, strict=True):
        difference = x[user] @ x[4 + liked] - x[user] @ x[4 + other]
        norms = 2 * nodes[user].square().sum() + nodes[4 + liked].square().sum() + nodes[4 + other].square().sum()
        expected = expected - torch.log(torch.sigmoid(difference)) / 3 + 0.3 * norms / 6
    loss = task.bpr_loss(BATCH)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    loss.backward()
    expected.backward()
    assert same_gradients(model.network, w)


def test_the_loss_of_triples_and_its_gradient_are_those_of_transr() -> None:
    model, task = _stirred(l2=0.2)
    batch = Triples(np.array([0, 4, 5, 0]), np.array([3, 0, 1, 3]), np.array([4, 9, 10, 5]), np.array([6, 8, 9, 7]))
    w = doubles(model.network)

    def distance(head: int, relation: int, tail: int) -> torch.Tensor:
        matrix = w["projections"][relation].view(4, 4)
        return (w["nodes"][head] @ matrix + w["relations"][relation] - w["nodes"][tail] @ matrix).square().sum()

    expected = torch.zeros((), dtype=torch.float64)
    for h, r, t, corrupt in zip(batch.heads, batch.relations, batch.tails, batch.corrupt, strict=True):
        vectors = [w["nodes"][h], w["relations"][r], w["nodes"][t], w["nodes"][corrupt]]
        expected = expected - torch.log(torch.sigmoid(distance(h, r, corrupt) - distance(h, r, t))) / 4
        expected = expected + 0.2 * sum(vector.square().sum() for vector in vectors) / 4
    loss = task.kge_loss(batch)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    loss.backward()
    expected.backward()
    assert same_gradients(model.network, w)


def test_an_epoch_compares_each_like_once_then_takes_each_triple_once_likes_among_them() -> None:
    interactions, knowledge = directors_and_fans()[:2]
    model = KGAT(**{**SMALL, "batch_size": 50, "kge_batch_size": 60}).fit(interactions, knowledge, progress=False)
    task = model._task(TrainingData(interactions, knowledge))
    batches = list(task.batches(0, np.random.default_rng(0)))
    kinds = [isinstance(batch, Triples) for batch in batches]
    assert kinds == sorted(kinds) and not kinds[0] and kinds[-1]
    compared = [
        pair
        for batch in batches
        if isinstance(batch, Comparisons)
        for pair in zip(batch.users, batch.liked, strict=True)
    ]
    assert sorted(compared) == sorted(zip(interactions.users, interactions.items, strict=True))
    taken = [
        row
        for batch in batches
        if isinstance(batch, Triples)
        for row in zip(batch.heads, batch.relations, batch.tails, strict=True)
    ]
    likes, facts = literal_triples(interactions, knowledge)
    assert sorted(taken) == sorted(likes + facts)


def test_attention_is_computed_anew_in_each_epoch_and_for_scores() -> None:
    model, task = _stirred()
    before = task.graph.whole.matrix.toarray()
    with torch.no_grad():
        model.network.relations += 1.0
    next(iter(task.batches(1, np.random.default_rng(0))))
    after = task.graph.whole.matrix.toarray()
    assert np.abs(before - after).max() > 0.01
    np.testing.assert_allclose(after.sum(axis=1), np.ones(len(after)), atol=1e-6)


def test_dropout_is_for_training_only() -> None:
    _, task = _stirred(dropout=0.5)
    task.module.train()
    assert task.bpr_loss(BATCH).item() != task.bpr_loss(BATCH).item()
    task.module.eval()
    assert task.bpr_loss(BATCH).item() == task.bpr_loss(BATCH).item()


def test_bpr_trains_nodes_and_layers_and_transr_trains_nodes_relations_and_projections() -> None:
    _, task = _stirred()
    triples = Triples(np.array([0, 4, 5]), np.array([3, 0, 1]), np.array([4, 9, 10]), np.array([6, 8, 9]))
    changed = []
    for batch in (BATCH, triples):
        before = {name: parameter.detach().clone() for name, parameter in task.module.named_parameters()}
        task.step(batch)
        changed.append({name for name, now in task.module.named_parameters() if not torch.equal(now, before[name])})
    layers = {name for name in before if "_layers." in name}
    assert len(layers) == 8  # two layers, each with two weights and two biases
    assert changed == [{"nodes", *layers}, {"nodes", "relations", "projections"}]


def test_triples_without_a_corrupt_tail_are_no_obstacle_even_if_they_fill_a_batch() -> None:
    interactions, knowledge = tiny()
    users, items = np.indices((3, 5)).reshape(2, -1)
    all_liked = Interactions.from_arrays(np.arange(3), interactions.item_keys, users, items)
    for likes, batch_size in ((interactions, 1), (all_liked, 100)):
        model = KGAT(**{**SMALL, "kge_batch_size": batch_size}).fit(likes, knowledge, progress=False)
        assert np.isfinite(model.history["losses"]).all()


PLANTED = {
    "embedding_dim": 16, "epochs": 60, "batch_size": 256, "kge_batch_size": 256, "learning_rate": 0.02, "l2": 1e-3,
    "side": False, "device": "cpu",
}  # fmt: skip


def test_it_finds_the_director_better_through_the_graph() -> None:
    interactions, knowledge, director, fan = directors_and_fans()
    told = KGAT(**PLANTED).fit(interactions, knowledge, progress=False)
    untold = KGAT(**PLANTED).fit(interactions, shuffled(knowledge), progress=False)
    assert unseen_share(told, director, fan) > 0.35  # by chance: 0.03
    assert unseen_share(told, director, fan) > 1.4 * unseen_share(untold, director, fan)


def test_on_small_data_an_epoch_has_16_steps_of_each_kind() -> None:
    config = KGAT().config.suited(DataSize(n_users=100, n_items=100, n_likes=3200, n_triples=1600))
    assert (config.batch_size, config.kge_batch_size) == (400, 300)  # 6,400 pairs; 4,800 triples with the likes


def test_items_without_an_entity_and_a_graph_without_triples_are_no_obstacle() -> None:
    interactions, knowledge = tiny()
    for graph in (knowledge, replace(knowledge, triples=knowledge.triples[:1])):
        scores = KGAT(**SMALL).fit(interactions, graph, progress=False).score(*np.indices((4, 5)).reshape(2, -1))
        assert np.isfinite(scores).all()
