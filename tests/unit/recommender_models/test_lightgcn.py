"""LightGCN and HiddenEdgeGCN: their equations node by node, what they must find, what they must not see."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.recommenders.click_through.collaborative_graph import CollaborativeGraph, HiddenBatch
from kgplug.recommenders.click_through.pairs import ClickThroughData, Pairs, own_rows
from kgplug.recommenders.click_through.propagation import Propagation
from kgplug.recommenders.click_through.side_features import SideFeatures, kg_features
from kgplug.recommenders.models.hidden_edge_gcn import HiddenEdgeGCN, HiddenEdgeTask
from kgplug.recommenders.models.lightgcn import LightGCN, LightGCNTask
from kgplug.recommenders.training_data import TrainingData
from tests.unit.helpers.literal_propagation import edges_of, literal_layers
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share
from tests.unit.helpers.stirred import stir, stirred

pytestmark = pytest.mark.training

SMALL = {"embedding_dim": 5, "epochs": 3, "batch_size": 4, "init_scale": 0.3, "device": "cpu"}
CPU = torch.device("cpu")


def test_propagation_and_its_gradient_are_the_product_with_the_normalised_adjacency() -> None:
    left, right = np.array([0, 0, 1, 3]), np.array([1, 2, 2, 4])  # node 5 has no edge
    weights = np.array([1.0, 2.0, 0.5, 1.0], dtype=np.float32)
    graph = Propagation(left, right, weights, n_nodes=6, device=CPU)
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    edges = dict(zip(zip(left.tolist(), right.tolist(), strict=True), weights.tolist(), strict=True))
    expected = literal_layers(x.detach().double().numpy(), edges, 2)
    found = graph.mean_of_layers(x, 2)
    assert np.allclose(found.detach().numpy(), expected, atol=1e-5)
    pull = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    (found * pull).sum().backward()
    matrix = literal_layers(np.eye(6), edges, 2)  # x ↦ matrix x
    assert x.grad is not None and np.allclose(x.grad.numpy(), matrix.T @ pull.numpy(), atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_lightgcn_scores_and_loss_are_those_of_its_equations(bias: bool) -> None:
    interactions, _ = tiny()
    model = LightGCN(**SMALL, n_layers=2, l2=0.3, bias=bias).fit(interactions, progress=False)
    assert bias == bool(model.network.bias.any())
    task = model._task(TrainingData(interactions))
    stir(model.network)
    model.factors = model.trained_factors()
    w = {name: tensor.double().numpy() for name, tensor in model.network.state_dict().items()}
    likes = interactions.likes()
    edges = {(int(u), 4 + int(i)): 1.0 for u, i in zip(likes.users, likes.items, strict=True)}
    x = literal_layers(w["nodes"], edges, 2)

    def logit(user: int, item: int) -> float:
        return float(x[user] @ x[4 + item] + w["bias"][user] + w["bias"][4 + item] + w["global_bias"][0])

    for user in range(4):
        for item in range(5):
            p = model.score(np.array([user]), np.array([item]))[0]
            assert p == pytest.approx(1 / (1 + math.exp(-logit(user, item))), abs=1e-5)
    data = ClickThroughData(interactions, None, seed=0)
    batch = next(data.epoch(np.random.default_rng(0), 100))
    expected = 0.0
    for user, item, label in zip(batch.users, batch.items, batch.labels, strict=True):
        p = 1 / (1 + math.exp(-logit(user, item)))
        rows = [w["nodes"][user], w["nodes"][4 + item], w["bias"][[user]], w["bias"][[4 + item]]]
        expected += -math.log(p if label else 1 - p) + 0.3 * sum(float(row @ row) for row in rows)
    assert isinstance(task, LightGCNTask)
    assert task.loss(batch).item() == pytest.approx(expected / len(batch), abs=1e-5)


def _hidden(interactions: Interactions, knowledge: KnowledgeGraph, **settings: object) -> HiddenEdgeGCN:
    return HiddenEdgeGCN(**{**SMALL, **settings}).fit(interactions, knowledge, progress=False)


def _stirred_hidden(**settings: object) -> tuple[HiddenEdgeGCN, HiddenEdgeTask]:
    """A model and its task, weights far from where they start, the side term's too."""
    interactions, knowledge = tiny()
    model = _hidden(interactions, knowledge, **settings)
    task = model._task(TrainingData(interactions, knowledge))
    assert isinstance(task, HiddenEdgeTask) and model.side is not None
    stir(model.side.towers)
    return stirred(model), task


def _literal_hidden(model: HiddenEdgeGCN, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return users' and items' vectors where some likes are hidden, and scale · u · v + b_i of all pairs."""
    w = {name: tensor.double().numpy() for name, tensor in model.network.state_dict().items()}
    (interactions, knowledge), config = tiny(), model.config
    x = literal_layers(w["nodes"], edges_of(interactions, knowledge, visible, config.knowledge_weight), config.n_layers)
    _, item_rows = own_rows(knowledge.entities_of(interactions.item_keys), knowledge.n_entities)
    users, items = x[:4], x[4 + item_rows]
    logits = [[w["scale"][0] * (u @ v) + b for v, b in zip(items, w["item_bias"], strict=True)] for u in users]
    return users, items, np.array(logits)


@pytest.mark.parametrize("n_layers", [1, 2])
def test_hidden_edge_scores_are_those_of_its_equations_over_all_likes(n_layers: int) -> None:
    model, _ = _stirred_hidden(n_layers=n_layers, knowledge_weight=0.7)
    users, items = np.indices((4, 5)).reshape(2, -1)
    *_, logits = _literal_hidden(model, np.ones(6, dtype=bool))
    assert model.side is not None
    expected = 1 / (1 + np.exp(-logits - model.side.logits(users, items).reshape(4, 5)))
    np.testing.assert_allclose(model.logits(users, items), logits.ravel(), atol=1e-5)
    np.testing.assert_allclose(model.score(users, items), expected.ravel(), atol=1e-5)
    np.testing.assert_allclose(model._score_block(np.arange(4)), expected, atol=1e-5)


def test_hidden_edge_loss_propagates_over_visible_likes_and_weighted_knowledge_only() -> None:
    model, task = _stirred_hidden(l2=0.3, entity_l2=0.2, bias_l2=0.4)
    (interactions, knowledge), nodes = tiny(), model.network.nodes.detach().double().numpy()
    visible = np.array([True, False, True, True, False, True])
    likes = interactions.likes()
    users, items = np.append(likes.users[~visible], [2, 3]), np.append(likes.items[~visible], [0, 2])
    pairs = Pairs(users, items, np.array([1, 1, 0, 0], dtype=np.float32))
    of_users, of_items, logits = _literal_hidden(model, visible)
    facts = SideFeatures(likes.matrix(), kg_features(likes, knowledge)).of_pairs(users, items, hidden=pairs.own_likes())
    side = task.data.side.towers(facts).detach().double().numpy()
    expected = 0.2 * (nodes[4:] ** 2).sum() / len(nodes[4:])
    for n, (user, item, label) in enumerate(zip(users, items, pairs.labels, strict=True)):
        u, v, bias = of_users[user], of_items[item], model.network.item_bias[item].item()
        p = 1 / (1 + math.exp(-logits[user, item] - side[n]))
        expected += (-math.log(p if label else 1 - p) + 0.3 * (u @ u + v @ v) + 0.4 * bias**2) / 4
    assert task.loss(HiddenBatch(pairs, task.edges.without(~visible))).item() == pytest.approx(expected, abs=1e-5)


def test_a_step_predicts_hidden_likes_only_and_its_graph_holds_none_of_them() -> None:
    interactions, knowledge = directors_and_fans()[:2]
    model = _hidden(interactions, knowledge, batch_size=50, epochs=1)
    task = model._task(TrainingData(interactions, knowledge))
    assert isinstance(task, HiddenEdgeTask)
    asked, graphs = [], set()
    for batch in task.batches(0, np.random.default_rng(0)):
        likes = batch.pairs.labels == 1
        asked.append(np.stack([batch.pairs.users[likes], batch.pairs.items[likes]], axis=1))
        graphs.add(batch.graph)
    pairs = np.concatenate(asked)
    assert 0.3 < len(pairs) / len(interactions) < 0.7 and len(graphs) == 1
    matrix = graphs.pop().matrix
    assert (matrix[pairs[:, 0], model._nodes[pairs[:, 1]]] == 0).all()
    whole = task.edges.whole().matrix
    assert (whole[pairs[:, 0], model._nodes[pairs[:, 1]]] > 0).all()


def test_an_edge_of_the_graph_counts_once_whatever_relations_two_entities_have() -> None:
    frame = pd.DataFrame([(0, "by", 1), (1, "of", 0), (0, "in", 1), (0, "is", 0)], columns=["head", "relation", "tail"])
    likes = Interactions.from_arrays(np.arange(1), np.arange(2), np.array([0]), np.array([0]))
    triples = KnowledgeGraph.from_dataframe(frame).triples
    edges = CollaborativeGraph(likes, np.array([0, 1]), triples, n_entities=2, knowledge_weight=0.5, device=CPU)
    matrix = edges.without(np.array([True])).matrix.toarray()
    assert matrix[1, 2] == pytest.approx(1.0) and np.count_nonzero(matrix) == 2  # no loop, normalised to 1


def _literal_facts(likes: np.ndarray, features: list[dict[str, float]], user: int, item: int) -> tuple:
    """Facts of a pair from sets, with the pair's own like struck out."""
    likes = likes.copy()
    likes[user, item] = 0
    near = 0.0
    for other in range(likes.shape[1]):
        if other != item:
            near += len(set(features[item]) & set(features[other])) * likes[:, other].sum()
    profile: dict[str, float] = {}
    for other in np.flatnonzero(likes[user]):
        for name, value in features[other].items():
            profile[name] = profile.get(name, 0.0) + value
    product = sum(value * profile.get(name, 0.0) for name, value in features[item].items())
    norms = math.sqrt(sum(v * v for v in profile.values()) * sum(v * v for v in features[item].values()))
    cosine = product / norms if norms > 0 else 0.0
    degree = likes[:, item].sum()
    return (
        math.log1p(likes[user].sum()),
        (math.log1p(degree), math.log1p(near), float(degree == 0)),
        math.log1p(10 * cosine),
    )


@pytest.mark.parametrize("kept", [True, False])
def test_facts_of_a_pair_are_counted_as_if_the_user_had_not_liked_it(kept: bool, monkeypatch) -> None:
    if not kept:
        monkeypatch.setattr("kgplug.recommenders.click_through.side_features._KEPT_CELLS", 0)
    rng = np.random.default_rng(0)
    table = (rng.random((6, 7)) < 0.4).astype(int)
    users, items = np.nonzero(table)
    rows = [(item, "by", f"a{item % 3}") for item in range(7)] + [(f"b{item % 2}", "made", item) for item in range(5)]
    rows += [(6, "by", "only here")]
    knowledge = KnowledgeGraph.from_dataframe(pd.DataFrame(rows, columns=["head", "relation", "tail"]))
    likes = Interactions.from_arrays(np.arange(6), np.arange(7), users, items)
    side = SideFeatures(likes.matrix(), kg_features(likes, knowledge))
    counts = {f"a{n}": len(range(n, 7, 3)) for n in range(3)} | {"b0": 3, "b1": 2}
    names = [[f"a{item % 3}"] + ([f"b{item % 2}"] if item < 5 else []) for item in range(7)]
    features = [{name: math.log(7 / counts[name]) + 1e-2 for name in own} for own in names]
    everybody, everything = np.indices((6, 7)).reshape(2, -1)
    facts = side.of_pairs(everybody, everything, hidden=np.where(table[everybody, everything] > 0, everything, -1))
    for n, (user, item) in enumerate(zip(everybody, everything, strict=True)):
        by_user, by_item, profile = _literal_facts(table, features, int(user), int(item))
        if not table[user, item]:
            by_user = math.log1p(table[user].sum() - 1)  # a negative's user counts one like less, too
        assert facts.users[n, 0] == pytest.approx(by_user, abs=1e-5)
        assert facts.items[n] == pytest.approx(by_item, abs=1e-5)
        assert facts.profile[n] == pytest.approx(profile, abs=1e-3)
    degrees, profiles = side.of_likes(likes.matrix())
    assert np.allclose(profiles.reshape(-1), facts.profile, atol=1e-3)
    assert np.allclose(degrees[:, 0], np.log1p(table.sum(axis=1)))


PLANTED = {
    "embedding_dim": 16, "epochs": 100, "learning_rate": 0.02, "side_learning_rate": 0.02, "l2": 1e-3, "device": "cpu",
}  # fmt: skip


def test_hidden_edge_gcn_finds_the_director_through_the_graph_and_not_without_it() -> None:
    interactions, knowledge, director, fan = directors_and_fans()
    told = HiddenEdgeGCN(**PLANTED).fit(interactions, knowledge, progress=False)
    untold = HiddenEdgeGCN(**PLANTED).fit(interactions, shuffled(knowledge), progress=False)
    assert unseen_share(told, director, fan) > 0.8
    assert unseen_share(untold, director, fan) < 0.5


def test_lightgcn_finds_tastes_in_likes_alone() -> None:
    rng = np.random.default_rng(0)
    table = (np.arange(40)[:, None] % 2 == np.arange(30) % 2) & (rng.random((40, 30)) < 0.5)
    users, items = np.nonzero(table)
    likes = Interactions.from_arrays(np.arange(40), np.arange(30), users, items)
    model = LightGCN(embedding_dim=8, epochs=100, init_scale=0.1, device="cpu").fit(likes, progress=False)
    found, _ = model.recommend(np.arange(40), 5)
    assert (found % 2 == np.arange(40)[:, None] % 2).mean() > 0.95


def test_items_without_an_entity_and_entities_without_neighbours_are_no_obstacle() -> None:
    interactions, knowledge = tiny()
    alone = replace(knowledge, triples=knowledge.triples[:1])
    for graph in (knowledge, alone, replace(knowledge, triples=knowledge.triples[:0])):
        scores = _hidden(interactions, graph).score(*np.indices((4, 5)).reshape(2, -1))
        assert np.isfinite(scores).all()
