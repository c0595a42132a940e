"""MKR-attention: equal to its equations written out, found structure, nothing that tells its own label."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kgplug.recommenders.click_through.collaborative_graph import HiddenBatch
from kgplug.recommenders.click_through.pairs import Pairs
from kgplug.recommenders.models.mkr import TripleBatch, oriented
from kgplug.recommenders.models.mkr_attention import AttentionTask, GatedCross, MKRAttention
from kgplug.recommenders.parts.operations.layers import CrossCompress
from kgplug.recommenders.training_data import TrainingData
from tests.unit.helpers.literal_propagation import edges_of, literal_layers
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share
from tests.unit.helpers.stirred import stir

pytestmark = pytest.mark.training

SMALL = {
    "side": False, "embedding_dim": 4, "epochs": 3, "batch_size": 6, "kge_batch_size": 3, "init_scale": 0.3,
    "neighbours": 2, "device": "cpu",
}  # fmt: skip


def fitted(**settings) -> MKRAttention:
    interactions, knowledge = tiny()
    return MKRAttention(**{**SMALL, **settings}).fit(interactions, knowledge, progress=False)


def stirred(**settings) -> tuple[MKRAttention, AttentionTask]:
    """A model and its task, weights far from where they start: relations from 0, scale from 1."""
    interactions, knowledge = tiny()
    model = fitted(**settings)
    task = model._task(TrainingData(interactions, knowledge))
    assert isinstance(task, AttentionTask)
    stir(model.network)
    model.factors = model.trained_factors()
    return model, task


def weights_of(model: MKRAttention) -> dict[str, np.ndarray]:
    return {name: tensor.double().numpy() for name, tensor in model.network.state_dict().items()}


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def literal_item(
    w: dict[str, np.ndarray], entities: np.ndarray, item: int, near: np.ndarray, by: np.ndarray
) -> np.ndarray:
    """v_L, neighbour by neighbour and dimension by dimension."""
    e = entities[int(w["item_entities"][item])]
    logits = [
        e @ (entities[n] + w["attention_relations"][r]) / math.sqrt(len(e)) for n, r in zip(near, by, strict=True)
    ]
    powers = [math.exp(x - max(logits)) for x in logits]
    e = e + sum(p / sum(powers) * entities[n] for p, n in zip(powers, near, strict=True))
    return gated(w, 0, w["items"][item], e)


def gated(w: dict[str, np.ndarray], side: int, v: np.ndarray, e: np.ndarray) -> np.ndarray:
    """v' (side 0) or e' (side 1) of one item, dimension by dimension; a gate is how much of v passes."""
    a, b, c = w["cross.0.gates"][side]
    gates = [sigmoid(a[j] * v[j] + b[j] * e[j] + c[j]) for j in range(len(v))]
    return np.array([y + g * x for g, x, y in zip(gates, v, e, strict=True)])


class Literal:
    """What the equations give where some likes are hidden."""

    def __init__(self, model: MKRAttention, near: np.ndarray, by: np.ndarray, visible: np.ndarray) -> None:
        interactions, knowledge = tiny()
        self.w = w = weights_of(model)
        edges = edges_of(interactions, knowledge, visible, model.config.knowledge_weight)
        nodes = literal_layers(np.concatenate([w["users"], w["entities"]]), edges, model.config.n_layers)
        self.users = w["scale"][0] * nodes[:4]
        self.items = np.array([literal_item(w, nodes[4:], i, near[i], by[i]) for i in range(5)])

    def logit(self, user: int, item: int) -> float:
        bias = self.w["user_bias"][user, 0] + self.w["item_bias"][item, 0] + self.w["global_bias"][0]
        return float(self.users[user] @ self.items[item] + bias)


def neighbours(model: MKRAttention) -> tuple[np.ndarray, ...]:
    return tuple(x.numpy() for x in model._neighbours)


@pytest.mark.parametrize("n_layers", [0, 1, 2])
def test_scores_equal_the_equations_over_all_likes(n_layers: int) -> None:
    model, _ = stirred(n_layers=n_layers)
    literal = Literal(model, *neighbours(model), visible=np.ones(6, dtype=bool))
    users, items = np.indices((4, 5)).reshape(2, -1)
    expected = [sigmoid(literal.logit(u, i)) for u, i in zip(users, items, strict=True)]
    np.testing.assert_allclose(model.score(users, items), expected, atol=1e-5)
    np.testing.assert_allclose(model.item_vectors(), literal.items, atol=1e-5)  # without a user in it


def test_the_loss_equals_the_equations_over_likes_that_are_not_hidden() -> None:
    model, task = stirred(weight_l2=0.01, vector_l2=0.02, bias_l2=0.3)
    visible = np.array([True, False, True, True, False, True])
    task._neighbours = model._neighbours
    literal, likes = Literal(model, *neighbours(model), visible=visible), tiny()[0].likes()
    users, items = np.append(likes.users[~visible], [2, 3]), np.append(likes.items[~visible], [0, 2])
    pairs = Pairs(users, items, np.array([1, 1, 0, 0], dtype=np.float32))
    w, c, loss = literal.w, model.config, 0.0
    for user, item, label in zip(users, items, pairs.labels, strict=True):
        p, u, v = sigmoid(literal.logit(user, item)), literal.users[user], literal.items[item]
        biases = w["user_bias"][user, 0] ** 2 + w["item_bias"][item, 0] ** 2
        loss += (-math.log(p if label else 1 - p) + c.vector_l2 * (u @ u + v @ v) + c.bias_l2 * biases) / 4
    dense = ("cross.0.gates", "attention_relations", "scale", "global_bias")
    loss += c.weight_l2 * sum(float((w[name] ** 2).sum()) for name in dense)
    found = task.recommendation_loss(HiddenBatch(pairs, model.likes_graph.without(~visible)))
    assert found.item() == pytest.approx(loss, abs=1e-5)


def test_the_kg_loss_crosses_an_item_with_its_entity_alone() -> None:
    """Its neighbourhood would hold the tail that is asked for."""
    (model, task), (interactions, knowledge) = stirred(weight_l2=0.01, l2=0.01), tiny()
    w, config = weights_of(model), model.config
    triples = oriented(knowledge, knowledge.entities_of(interactions.item_keys))
    heads, relations, tails = triples.T
    corrupt, triple_of = np.array([1, 0, 2]), np.array([0, 2, 2])

    def probability(n: int, tail: int) -> float:
        head = w["entities"][heads[n]]
        for item in np.flatnonzero(w["item_entities"] == heads[n]):
            head = gated(w, 1, w["items"][item], head)
        r = w["relation_layers.layers.0.weight"] @ w["relations"][relations[n]] + w["relation_layers.layers.0.bias"]
        r = np.array([x if x > 0 else 0.1 * x for x in r])
        predicted = w["tail_output.weight"] @ np.concatenate([head, r]) + w["tail_output.bias"]
        return sigmoid(float(predicted @ w["entities"][tail]))

    loss = np.mean([probability(n, t) for n, t in zip(triple_of, corrupt, strict=True)])
    loss -= np.mean([probability(n, t) for n, t in enumerate(tails)])
    rows = [w["entities"][k] for k in (*heads, *tails, *corrupt)] + [w["relations"][r] for r in relations]
    rows += [w["items"][i] for h in heads for i in np.flatnonzero(w["item_entities"] == h)]
    loss += config.l2 * sum(row @ row for row in rows) / len(triples)
    dense = ("relation_layers", "cross", "tail_layers", "tail_output")
    loss += config.weight_l2 * sum(float((x**2).sum()) for name, x in w.items() if name.startswith(dense))
    found = task.kge_loss(TripleBatch(heads, relations, tails, corrupt, triple_of))
    assert found.item() == pytest.approx(loss, abs=1e-5)


def test_every_part_of_it_is_trained() -> None:
    network, start = fitted().network, GatedCross(4).gates
    assert network.attention_relations.any() and network.scale.item() != 1
    assert all((unit.gates != start).flatten(1).any(dim=1).all() for unit in network.cross)


def test_an_epoch_asks_for_hidden_likes_only_with_neighbours_of_its_own() -> None:
    interactions, knowledge, *_ = directors_and_fans()
    model = MKRAttention(**{**SMALL, "epochs": 1, "neighbours": 1}).fit(interactions, knowledge, progress=False)
    task = model._task(TrainingData(interactions, knowledge))
    assert isinstance(task, AttentionTask)
    drawn, nodes = [], interactions.n_users + model.network.item_entities.numpy()
    for epoch in (0, 1):
        batches = list(task.pairs(np.random.default_rng([0, epoch])))
        drawn.append(task._neighbours[0])
        pairs = [(b.pairs.users[b.pairs.labels == 1], b.pairs.items[b.pairs.labels == 1]) for b in batches]
        users, items = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        assert 0.3 < len(users) / len(interactions) < 0.7
        assert all((batch.graph.matrix[users, nodes[items]] == 0).all() for batch in batches)
        assert (model._whole_graph.matrix[users, nodes[items]] > 0).all()
    assert (drawn[0] != drawn[1]).any()
    again = MKRAttention(**{**SMALL, "epochs": 1, "neighbours": 1}).fit(interactions, knowledge, progress=False)
    assert np.array_equal(again.item_vectors(), model.item_vectors())  # so those for scoring are always the same


def test_lists_are_products_with_vectors_that_are_the_same_for_all() -> None:
    model, _ = stirred()
    w = weights_of(model)
    logits = model.user_vectors() @ model.item_vectors().T + w["user_bias"] + w["item_bias"].T + w["global_bias"]
    items, scores = model.recommend(np.arange(4), 5, exclude_seen=False)
    assert (items == np.argsort(-logits, axis=1, kind="stable")).all()
    np.testing.assert_allclose(scores, np.take_along_axis(1 / (1 + np.exp(-logits)), items, axis=1), atol=1e-5)


def test_gates_start_nearly_closed_and_can_part_dimensions() -> None:
    unit, v, e = GatedCross(3), torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[5.0, 4.0, 3.0]])
    assert all(torch.allclose(x, e + v / (1 + math.exp(3))) for x in unit(v, e))
    with torch.no_grad():
        unit.gates[0, 2] = torch.tensor([50.0, -50.0, 0.0])
    assert torch.allclose(unit(v, e)[0], torch.tensor([[6.0, 4.0, 4.5]]))


def test_without_gates_items_and_entities_cross_in_the_unit_of_mkr() -> None:
    plain = fitted(init_scale=0.01, epochs=1, gates=False)
    assert isinstance(plain.network.cross[0], CrossCompress) and plain.network.cross[0].offset == 1.0


@pytest.mark.parametrize(
    "switch", [{"neighbours": 0}, {"gates": False}, {"n_layers": 0}, {"low_layers": 2}, {"bias": False}]
)
def test_each_part_can_be_left_out_and_is_kept_in_a_run(switch: dict, tmp_path) -> None:
    model = fitted(**switch)
    users, items = np.indices((4, 5)).reshape(2, -1)
    whole = fitted().score(users, items)
    assert not np.allclose(model.score(users, items), whole, atol=1e-4)
    model.save(tmp_path / "run")
    assert np.array_equal(MKRAttention.load(tmp_path / "run").score(users, items), model.score(users, items))


def test_unseen_films_of_ones_director_come_first_and_not_with_shuffled_triples() -> None:
    interactions, knowledge, film_director, fan_of = directors_and_fans()
    settings = {
        "side": False, "embedding_dim": 16, "epochs": 100, "batch_size": 64, "kge_batch_size": 400, "kge_interval": 1,
        "learning_rate": 0.02, "kge_learning_rate": 0.02, "vector_l2": 0.001, "l2": 0.01, "device": "cpu",
    }  # fmt: skip
    shares = [
        unseen_share(MKRAttention(**settings).fit(interactions, graph, progress=False), film_director, fan_of)
        for graph in (knowledge, shuffled(knowledge))
    ]
    assert shares[0] >= 0.6 and shares[1] <= 0.3, shares
