"""RKGE: its paths, its equations, and the graph that its scores come from."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kgplug.data.interactions import Interactions
from kgplug.errors import DataError
from kgplug.recommenders.click_through.pairs import ClickThroughData, Pairs
from kgplug.recommenders.models import rkge
from kgplug.recommenders.models._rkge_paths import PathSampler
from kgplug.recommenders.models.rkge import RKGE, RKGETask
from kgplug.recommenders.new_users import FoldIn
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share
from tests.unit.helpers.stirred import stir

pytestmark = pytest.mark.training

SMALL = {"side": False, "embedding_dim": 5, "hidden_dim": 3, "epochs": 3, "batch_size": 4, "device": "cpu", "l2": 0.03}


def fitted(seed: int = 0, **settings) -> RKGE:
    interactions, knowledge = tiny()
    return RKGE(**{**SMALL, **settings}).fit(interactions, knowledge, seed=seed, progress=False)


def stirred(**settings) -> RKGE:
    """A fitted model with weights far from where they start: biases and the state without a path from 0."""
    model = fitted(**settings)
    stir(model.network)
    return model


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def all_paths(likes, item_entities, triples, user: int, item: int) -> list[tuple[int, int]]:
    """Return every (j, a) of a simple path user → j → a → item, ordered by a and j, by going through all of them."""
    joined = {(h, t) for h, _, t in triples.tolist()} | {(t, h) for h, _, t in triples.tolist()}
    target, found = int(item_entities[item]), []
    for j in item_entities[likes.items[likes.users == user]].tolist():
        shared = {t for h, t in joined if h == j and (t, target) in joined}
        found += [(j, a) for a in shared if len({j, a, target}) == 3]
    return sorted(found, key=lambda path: path[::-1])


def literal_state(w: dict[str, np.ndarray], nodes: list[np.ndarray]) -> np.ndarray:
    """Return the last state of the LSTM over the vectors of one path, gate by gate."""
    h = c = np.zeros(w["lstm.weight_hh_l0"].shape[1])
    for x in nodes:
        gates = w["lstm.weight_ih_l0"] @ x + w["lstm.bias_ih_l0"] + w["lstm.weight_hh_l0"] @ h + w["lstm.bias_hh_l0"]
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h


def literal(model: RKGE, user: int, item: int, likes: Interactions | None = None) -> tuple[float, float]:
    """Return (logit, squared norms of the rows) of one pair, path by path; of the training's likes, or of others."""
    interactions, knowledge = tiny()
    w = {name: tensor.double().numpy() for name, tensor in model.network.state_dict().items()}
    item_entities, e = model.network.sampler.item_entities, w["entities"]
    paths = all_paths(likes or interactions.likes(), item_entities, knowledge.triples, user, item)
    assert len(paths) <= model.config.paths  # so nothing is sampled here
    states, rows = [], 0.0
    for j, a in paths:
        nodes = [w["users"][user], e[j], e[a], e[item_entities[item]]]
        states.append(literal_state(w, nodes))
        rows += sum(float(x @ x) for x in nodes) / model.config.paths
    state = np.max(states, axis=0) if states else w["no_path"]
    logit = float((w["output.weight"] @ state + w["output.bias"])[0])
    if model.config.bias:
        biases = [w["user_bias"][user, 0], w["item_bias"][item, 0]]
        logit, rows = logit + sum(biases) + w["global_bias"][0], rows + sum(b**2 for b in biases)
    return logit, rows


@pytest.mark.parametrize("bias", [True, False])
def test_scores_lists_and_loss_equal_the_equations(bias, monkeypatch):
    monkeypatch.setattr(rkge, "RANKED_PAIRS", 7)  # so that lists are made of several blocks
    model = stirred(bias=bias)
    users, items = np.indices((4, 5)).reshape(2, -1)
    expected = [literal(model, u, i) for u, i in zip(users, items, strict=True)]
    probabilities = sigmoid(np.array([logit for logit, _ in expected]))
    np.testing.assert_allclose(model.score(users, items), probabilities, atol=1e-5)
    np.testing.assert_allclose(model._score_block(np.arange(4)).reshape(-1), probabilities, atol=1e-5)
    labels = (np.arange(20) % 3 == 0).astype(np.float32)
    losses = [
        -math.log(p if y else 1 - p) + model.config.l2 * rows
        for (_, rows), p, y in zip(expected, probabilities, labels, strict=True)
    ]
    layers = sum(float((p.detach().double() ** 2).sum()) for p in model.network.layers())
    task = RKGETask(model.network, model.config, ClickThroughData(tiny()[0], None, seed=0))
    loss = np.mean(losses) + model.config.weight_l2 * layers
    assert task.loss(Pairs(users, items, labels)).item() == pytest.approx(loss, abs=1e-5)


@pytest.mark.parametrize("k", [2, 5, 1000])
def test_paths_are_simple_different_and_as_many_as_there_are(k):
    interactions, knowledge, *_ = directors_and_fans()
    entities = knowledge.entities_of(interactions.item_keys)
    sampler = PathSampler(
        interactions.users, interactions.items, entities, knowledge.triples, n_entities=knowledge.n_entities
    )
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, interactions.n_users, 300), rng.integers(0, interactions.n_items, 300)
    users, items = np.append(users, interactions.users), np.append(items, interactions.items)  # liked ones too
    for generator in (rng, None):
        paths = sampler.sample(users, items, k, generator)
        found: dict[int, list] = {}
        for pair, via in zip(paths.pairs.tolist(), paths.via.tolist(), strict=True):
            found.setdefault(pair, []).append(tuple(via))
        assert (np.diff(paths.pairs) >= 0).all() and paths.slots.max(initial=0) < k
        for pair, (user, item) in enumerate(zip(users.tolist(), items.tolist(), strict=True)):
            there = all_paths_of(sampler, interactions, knowledge, user, item)
            mine = found.get(pair, [])
            assert set(mine) <= there and len(set(mine)) == len(mine) == min(k, len(there))


_joined: dict[int, dict[int, set[int]]] = {}


def all_paths_of(sampler, interactions, knowledge, user: int, item: int) -> set[tuple[int, int]]:
    near = _joined.setdefault(id(knowledge), {})
    if not near:
        for h, _, t in knowledge.triples.tolist():
            near.setdefault(h, set()).add(t)
            near.setdefault(t, set()).add(h)
    target = int(sampler.item_entities[item])
    liked = sampler.item_entities[interactions.items[interactions.users == user]].tolist()
    return {(j, a) for j in liked if j != target for a in near.get(j, set()) & near.get(target, set())}


def test_drawn_paths_change_and_those_of_scoring_do_not():
    interactions, knowledge, *_ = directors_and_fans()
    entities = knowledge.entities_of(interactions.item_keys)
    sampler = PathSampler(
        interactions.users, interactions.items, entities, knowledge.triples, n_entities=knowledge.n_entities
    )
    rng = np.random.default_rng(0)
    first, second = (sampler.sample(interactions.users, interactions.items, 1, rng).via for _ in range(2))
    assert (first != second).any()
    first, second = (sampler.sample(interactions.users, interactions.items, 1, None).via for _ in range(2))
    assert (first == second).all()


def test_films_of_a_liked_director_are_found_through_the_graph():
    interactions, knowledge, film_director, fan_of = directors_and_fans()
    settings = {
        "side": False, "epochs": 20, "batch_size": 64, "embedding_dim": 16, "bias": False, "l2": 1e-3,
        "learning_rate": 0.02, "device": "cpu",
    }  # fmt: skip
    true, false = (
        unseen_share(RKGE(**settings).fit(interactions, graph, progress=False), film_director, fan_of)
        for graph in (knowledge, shuffled(knowledge))
    )
    assert true > 0.5  # by chance: 0.03
    assert true > 2 * false


def test_pairs_without_a_path_are_scored_by_the_learnt_state_and_biases():
    model = stirred()
    network, user, item = model.network, 0, 4  # item 4 has no entity
    state = network.output(network.no_path) + network.user_bias[user] + network.item_bias[item] + network.global_bias
    expected = torch.sigmoid(state).item()
    assert model.score(np.array([user]), np.array([item]))[0] == pytest.approx(expected, abs=1e-6)
    assert (fitted().network.no_path != 0).any()  # learnt: it starts at zero


def test_a_new_user_is_read_over_the_paths_of_the_given_likes():
    """The vector and the bias are what ridge regression makes of the likes; who likes nothing has no bias."""
    model = stirred()
    network, rows = model.network, [(0, 0), (0, 2), (1, 3), (3, 1), (3, 2), (3, 3)]
    before = model.score(*np.indices((4, 5)).reshape(2, -1))
    new_users = Interactions.from_arrays(np.arange(4), model.item_keys, *np.array(rows).T)
    known = np.column_stack([network.users.detach().numpy(), network.user_bias.detach().numpy()])
    fold = FoldIn.learn(model.liked, model.item_vectors(), known)
    folded = torch.from_numpy(fold.vectors(new_users.matrix(), model.item_vectors()))
    found = model.logits_of_new_users(new_users.matrix())
    assert np.array_equal(model.score(*np.indices((4, 5)).reshape(2, -1)), before)  # the model is as it was
    with torch.no_grad():
        network.users.copy_(folded[:, :-1])
        network.user_bias.copy_(folded[:, -1:] * torch.tensor([[1.0], [1], [0], [1]]))
    expected = [[literal(model, user, item, new_users)[0] for item in range(5)] for user in range(4)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_graph_without_a_path_will_do_and_no_graph_will_not():
    interactions, knowledge = tiny()
    frame = knowledge.to_dataframe()
    apart = type(knowledge).from_dataframe(frame.query("relation == 'made'"))
    model = RKGE(**SMALL).fit(interactions, apart, progress=False)
    assert np.isfinite(model._score_block(np.arange(4))).all()
    with pytest.raises(DataError, match="needs a knowledge graph"):
        RKGE(**SMALL).fit(interactions)
