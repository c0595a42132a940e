"""MKR-attention: equal to its equations written out, found structure, nothing that tells its own label."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kgplug.recommenders.click_through import Pairs
from kgplug.recommenders.mkr import MKR, TripleBatch, oriented
from kgplug.recommenders.mkr_attention import AttentionTask, GatedCross, MKRAttention
from kgplug.recommenders.neighbours import EntityGraph, Neighbours
from tests.unit.planted import directors_and_fans, shuffled, tiny, unseen_share

SMALL = {
    "side": False, "embedding_dim": 4, "epochs": 3, "batch_size": 6, "kge_batch_size": 3, "kge_interval": 1,
    "neighbours": 2, "device": "cpu",
}  # fmt: skip


def fitted(**settings) -> MKRAttention:
    interactions, knowledge = tiny()
    return MKRAttention(**{**SMALL, **settings}).fit(interactions, knowledge, progress=False)


def stirred(**settings) -> MKRAttention:
    """A model whose weights are far from where they start: gates from ½, relations from 0, so that each one shows."""
    model, generator = fitted(**settings), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=generator)
    model._settle()
    return model


def weights_of(model: MKRAttention) -> dict[str, np.ndarray]:
    return {name: tensor.double().numpy() for name, tensor in model.network.state_dict().items()}


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def literal_user(w: dict[str, np.ndarray], user: int, left_out: int | None) -> np.ndarray:
    """u_L, like by like."""
    liked = [i for u, i in zip(tiny()[0].likes().users, tiny()[0].likes().items, strict=True) if u == user]
    liked = [i for i in liked if i != left_out]
    u = w["users"][user] + (sum(w["items"][i] for i in liked) / len(liked) if liked else 0.0)
    u = w["user_layers.layers.0.weight"] @ u + w["user_layers.layers.0.bias"]
    return np.array([x if x > 0 else 0.1 * x for x in u])


def literal_item(w: dict[str, np.ndarray], item: int, near: np.ndarray, by: np.ndarray) -> np.ndarray:
    """v_L, neighbour by neighbour and dimension by dimension."""
    v, e = w["items"][item], w["entities"][int(w["item_entities"][item])]
    logits = [
        v @ (w["entities"][n] + w["attention_relations"][r]) / math.sqrt(len(v)) for n, r in zip(near, by, strict=True)
    ]
    powers = [math.exp(x - max(logits)) for x in logits]
    e = e + sum(p / sum(powers) * w["entities"][n] for p, n in zip(powers, near, strict=True))
    return gated(w, 0, v, e)


def gated(w: dict[str, np.ndarray], side: int, v: np.ndarray, e: np.ndarray) -> np.ndarray:
    """v' (side 0) or e' (side 1) of one item, dimension by dimension; a gate is how much of its own side stays."""
    a, b, c = w["cross.0.gates"][side]
    kept, other = (v, e) if side == 0 else (e, v)
    gates = [sigmoid(a[j] * v[j] + b[j] * e[j] + c[j]) for j in range(len(v))]
    return np.array([g * x + (1 - g) * y for g, x, y in zip(gates, kept, other, strict=True)]) + w["cross.0.bias"][side]


def test_scores_and_loss_equal_the_equations() -> None:
    model = stirred(weight_l2=0.01, l2=0.01)
    w, (interactions, _) = weights_of(model), tiny()
    near, by = (w[f"neighbour_{name}"].astype(int) for name in ("entities", "relations"))
    users, items = np.indices((4, 5)).reshape(2, -1)

    def logit(user: int, item: int, left_out: int | None) -> tuple[float, np.ndarray, np.ndarray]:
        u, v = literal_user(w, user, left_out), literal_item(w, item, near[item], by[item])
        return u @ v + w["user_bias"][user, 0] + w["item_bias"][item, 0] + w["global_bias"][0], u, v

    expected = [sigmoid(logit(u, i, None)[0]) for u, i in zip(users, items, strict=True)]
    np.testing.assert_allclose(model.score(users, items), expected, atol=1e-5)

    triples = np.zeros((0, 3), dtype=np.int64)
    task = AttentionTask(model.network, model.config, model._click_through(interactions, None, 0), triples, None)
    nodes = w["item_entities"].astype(int)
    whole = np.zeros((len(w["entities"]), 2), dtype=np.int64), np.zeros((len(w["entities"]), 2), dtype=np.int64)
    whole[0][nodes], whole[1][nodes] = near, by
    task._neighbours = Neighbours(*whole)
    likes = interactions.likes()
    negatives = np.array([next(i for i in range(5) if not likes.matrix()[u, i]) for u in likes.users])
    asked = np.concatenate([likes.items, negatives])
    batch = Pairs(np.tile(likes.users, 2), asked, np.repeat([1.0, 0.0], len(likes)).astype(np.float32))
    loss, n, c = 0.0, len(batch), model.config
    for u, i, own, y in zip(batch.users, batch.items, np.tile(likes.items, 2), batch.labels, strict=True):
        found, u_l, v_l = logit(u, i, own)
        loss -= math.log(sigmoid(found) if y else 1 - sigmoid(found)) / n
        rows = [w["users"][u], w["items"][i], w["entities"][nodes[i]], w["user_bias"][u], w["item_bias"][i]]
        around = sum(w["entities"][k] @ w["entities"][k] for k in near[i]) / len(near[i])
        loss += (c.l2 * (sum(row @ row for row in rows) + around) + c.vector_l2 * (u_l @ u_l + v_l @ v_l)) / n
    network = model.network
    dense = [
        *network.user_layers.parameters(),
        *network.cross.parameters(),
        network.global_bias,
        network.attention_relations,
    ]
    loss += c.weight_l2 * sum(float((p.detach().double() ** 2).sum()) for p in dense)
    assert task.recommendation_loss(batch).item() == pytest.approx(loss, abs=1e-5)


def test_the_kg_loss_crosses_an_item_with_its_entity_alone() -> None:
    """Its neighbourhood would hold the tail that is asked for."""
    model, (interactions, knowledge) = stirred(weight_l2=0.01, l2=0.01), tiny()
    w, config = weights_of(model), model.config
    triples = oriented(knowledge, knowledge.entities_of(interactions.item_keys))
    task = AttentionTask(model.network, config, model._click_through(interactions, None, 0), triples, None)
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


def test_without_its_parts_it_is_mkr(monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch draws neighbours before its batches, and even no neighbours cost random numbers: here, others."""
    sample = EntityGraph.sample
    monkeypatch.setattr(EntityGraph, "sample", lambda graph, k, rng: sample(graph, k, np.random.default_rng(0)))
    interactions, knowledge = tiny()
    settings = {key: value for key, value in SMALL.items() if key != "neighbours"} | {"epochs": 5, "vector_l2": 0.01}
    plain = MKR(**settings).fit(interactions, knowledge, progress=False)
    bare = MKRAttention(**settings, neighbours=0, gates=False, history=False)
    bare.fit(interactions, knowledge, progress=False)
    assert bare.history["losses"] == pytest.approx(plain.history["losses"], rel=1e-5)
    users, items = np.indices((4, 5)).reshape(2, -1)
    np.testing.assert_allclose(bare.score(users, items), plain.score(users, items), atol=1e-5)
    whole = MKRAttention(**settings, neighbours=2).fit(interactions, knowledge, progress=False)
    assert abs(whole.history["losses"][0] - plain.history["losses"][0]) > 1e-4


def test_every_part_of_it_is_trained() -> None:
    network = fitted().network
    assert network.attention_relations.any()  # zero at the start, as are the gates
    assert all(unit.gates.flatten(1).any(dim=1).all() for unit in network.cross)


def test_new_neighbours_are_drawn_each_epoch_and_kept_for_scoring() -> None:
    interactions, knowledge, *_ = directors_and_fans()
    settings = {**SMALL, "epochs": 1, "neighbours": 1}
    model = MKRAttention(**settings).fit(interactions, knowledge, progress=False)
    task = model._task(interactions, knowledge, None, 0)
    assert isinstance(task, AttentionTask)
    drawn = []
    for epoch in (0, 1):
        next(iter(task.batches(epoch, np.random.default_rng([0, epoch]))))
        drawn.append(task._neighbours.entities)
    assert (drawn[0] != drawn[1]).any()
    scored = model.network.neighbour_entities
    assert torch.equal(
        scored, MKRAttention(**settings).fit(interactions, knowledge, progress=False).network.neighbour_entities
    )


def test_a_like_reaches_neither_its_own_prediction_in_training_nor_that_of_its_negative() -> None:
    model, (interactions, _) = fitted(l2=0.0), tiny()
    likes, network = interactions.likes(), model.network
    task = AttentionTask(
        network, model.config, model._click_through(interactions, None, 0), np.zeros((0, 3), int), None
    )
    user, (own, other) = likes.users[0], likes.items[likes.users == likes.users[0]]
    batch = Pairs(np.full(2, user), np.array([own, 3]), np.array([1, 0], dtype=np.float32))
    fixed = torch.linspace(-1, 1, 2 * model.config.embedding_dim).reshape(2, -1)
    task.item_vectors = lambda *_: (fixed, torch.zeros(()))  # of both items; so only the history can move the loss
    before = task.recommendation_loss(batch).item()
    with torch.no_grad():
        network.items[own] += 1.0
    assert task.recommendation_loss(batch).item() == pytest.approx(before, abs=1e-6)
    with torch.no_grad():
        network.items[other] += 1.0  # another like of the same user
    assert abs(task.recommendation_loss(batch).item() - before) > 1e-3


def test_an_item_s_vector_is_the_same_for_all_and_lists_are_products_with_it() -> None:
    model = stirred()
    w, vectors = weights_of(model), model.item_vectors()
    near, by = (w[f"neighbour_{name}"].astype(int) for name in ("entities", "relations"))
    expected = np.array([literal_item(w, item, near[item], by[item]) for item in range(5)])
    np.testing.assert_allclose(vectors, expected, atol=1e-5)  # without a user in it
    logits = model.user_vectors() @ vectors.T + w["user_bias"] + w["item_bias"].T + w["global_bias"]
    items, scores = model.recommend(np.arange(4), 5, exclude_seen=False)
    assert (items == np.argsort(-logits, axis=1, kind="stable")).all()
    np.testing.assert_allclose(scores, np.take_along_axis(1 / (1 + np.exp(-logits)), items, axis=1), atol=1e-5)


def test_gates_start_as_the_mean_of_both_and_can_part_dimensions() -> None:
    unit, v, e = GatedCross(3), torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[5.0, 4.0, 3.0]])
    assert all(torch.allclose(x, (v + e) / 2) for x in unit(v, e))
    with torch.no_grad():
        unit.gates[0, 2] = torch.tensor([50.0, -50.0, 0.0])
    assert torch.allclose(unit(v, e)[0], torch.tensor([[1.0, 4.0, 3.0]]))


@pytest.mark.parametrize("switch", [{"neighbours": 0}, {"gates": False}, {"history": False}, {"low_layers": 2}])
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
